"""Which checkpoint the engine takes, and what kind of picture it was trained on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from avatar import manifest, weights
from avatar.errors import WeightsError
from avatar.fomm.config import PUBLISHED

OWN = "masque-face"  # models/masque-face.safetensors, where this copy of the program has it
FACES, WHOLE, UNKNOWN = "faces", "whole pictures", "unknown"
_KINDS = {"vox": FACES, OWN: FACES, "face": FACES} | dict.fromkeys(
    ("taichi", "nemo", "mgif", "bair", "fashion", "ted"), WHOLE
)


@dataclass(frozen=True)
class ModelChoice:
    """A checkpoint that is here."""

    label: str  # for people
    path: Path
    kind: str  # as its name tells: FACES are shown a square around a face, WHOLE all, UNKNOWN a face if there is one


def choose_model(model: str | Path | None) -> ModelChoice:
    """The checkpoint of a name in the manifest, of a file, or, without either, our own.

    Raises:
        WeightsError: it is not here, or neither a known name nor a file; with the commands that fetch or import one.
    """
    if model is None:
        return _own()
    name = str(model)
    if name == OWN:
        return _own()
    if name in _checkpoints():
        return ModelChoice(name, _checked(name), kind_of(name))
    path = Path(model).expanduser()
    if path.exists():
        return ModelChoice(path.name, path, kind_of(path.name))
    raise WeightsError(
        f"There is no checkpoint called {name!r}, and no such file.",
        remedy=f"Name a file or one of: {', '.join((OWN, *_checkpoints()))}. {how_to_get_one()}",
    )


def kind_of(name: str) -> str:
    """What a checkpoint of this name was trained on, as far as its name tells."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((kind for part, kind in _KINDS.items() if part in words or part == name.lower()), UNKNOWN)


def how_to_get_one() -> str:
    """The commands that bring a checkpoint here, with size and licence."""
    fetched = [
        f"python run.py models pull {weight.name} ({_size(weight)}{weight.licence}; {weight.about})"
        for weight in _checkpoints().values()
        if weight.downloadable
    ]
    others = [weight.name for weight in _checkpoints().values() if not weight.downloadable]
    return (
        f"Fetch one: {'; or '.join(fetched)}. Or take in a file that you have (MIT as well: {', '.join(others)}): "
        "python run.py models import NAME FILE. Or name a file of your own: --model FILE."
    )


def _checkpoints() -> dict[str, manifest.Weight]:
    known = manifest.read_manifest()
    return {name: weight for name, weight in known.items() if name.removesuffix("-pruned") in PUBLISHED}


def _checked(name: str) -> Path:
    try:
        return weights.model_path(name)
    except WeightsError as error:
        weight = weights.find(name)
        raise WeightsError(error.what, remedy=f"{error.remedy} ({_size(weight)}{weight.licence})") from error


def own_model() -> Path:
    """Where our own checkpoint lies, if this copy of the program has it."""
    return manifest.MANIFEST.parent / f"{OWN}.safetensors"


def _own() -> ModelChoice:
    path = own_model()
    if not path.is_file():
        raise WeightsError("No checkpoint was named, and this copy of Masque has none.", remedy=how_to_get_one())
    return ModelChoice(OWN, path, FACES)


def _size(weight: manifest.Weight) -> str:
    return "" if weight.bytes is None else f"{weight.bytes / 1e6:.0f} MB, "
