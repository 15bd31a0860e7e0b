"""Choice of the weights: those that were fetched or imported, or a user's folder or file."""

from __future__ import annotations

from pathlib import Path

from avatar import weights
from avatar.errors import WeightsError
from avatar.system.message import Message
from avatar.weights.manifest import LIVEPORTRAIT, Weight, read_manifest

DEFAULT = "liveportrait"
_EXTRACTOR = "motion_extractor"


def choose_weights(model: str | Path | None) -> Path:
    """Return a folder with the five files, or one file that holds all of them.

    Args:
        model: the name of a set of the manifest, a folder, or a .safetensors of `models convert`; None: DEFAULT.
    Raises:
        WeightsError: it is not here; with the commands that fetch or import it, its size and licence.
    """
    name = DEFAULT if model is None else str(model)
    if name in sets():
        try:
            return weights.set_folder(name)
        except WeightsError as error:
            raise WeightsError(error.what, remedy=how_to_get(name)) from error
    path = Path(name).expanduser()
    if path.exists():
        return path
    raise WeightsError(
        Message("There are no weights of LivePortrait called {name!r}, and no such folder or file.", name=name),
        remedy=how_to_get(DEFAULT),
    )


def choose_extractor(model: str | Path | None) -> Path:
    """Return the file or folder with the motion extractor M, which is a fifth of the whole.

    Args:
        model: as for `choose_weights`; None: DEFAULT.
    Raises:
        WeightsError: it is not here; with the command that fetches it.
    """
    name = DEFAULT if model is None else str(model)
    if name not in sets():
        return choose_weights(model)
    part = next(weight for weight in sets()[name] if Path(weight.file).stem == _EXTRACTOR)
    try:
        return weights.model_path(part.name)
    except WeightsError as error:
        if part.downloadable:
            raise
        raise WeightsError(error.what, remedy=how_to_get(name)) from error


def sets() -> dict[str, list[Weight]]:
    """Return the sets of files that the engine can take, by name."""
    found: dict[str, list[Weight]] = {}
    for weight in read_manifest().values():
        if weight.kind == LIVEPORTRAIT:
            found.setdefault(weight.set, []).append(weight)
    return found


def how_to_get(name: str) -> str:
    """Return the commands that bring a set here, with size and licence."""
    parts = sets()[name]
    take = Message("python run.py models import {name} FOLDER", name=name)
    if not all(part.downloadable for part in parts):
        return Message(
            "Get the files ({files}; {licence}) from {address} yourself, then: {take}",
            files=", ".join(part.file for part in parts),
            licence=parts[0].licence,
            address=parts[0].urls[0].rpartition("/")[0],
            take=take,
        )
    return Message(
        "Fetch them: python run.py models pull {name} ({size:.0f} MB, {licence}). Or import the files that you have: "
        "{take}",
        name=name,
        size=sum(part.bytes or 0 for part in parts) / 1e6,
        licence=parts[0].licence,
        take=take,
    )
