"""Choice of the checkpoint, and the kind of image that it was trained on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from avatar import weights
from avatar.errors import WeightsError
from avatar.system.installation import MODELS
from avatar.system.message import Message, chained, together
from avatar.weights import manifest

OWN = "masque-face"  # models/masque-face.safetensors, in copies of the program that include it
FACES, WHOLE, UNKNOWN = manifest.FACES, manifest.WHOLE, "unknown"
_BY_NAME = {"vox": FACES, OWN: FACES, "face": FACES} | dict.fromkeys(
    ("taichi", "nemo", "mgif", "bair", "fashion", "ted"), WHOLE
)


@dataclass(frozen=True)
class ModelChoice:
    """An available checkpoint."""

    label: str  # description for the user
    path: Path
    # From the manifest or the file's name: FACES models get a square around a face, WHOLE models the whole image,
    # UNKNOWN ones a face if there is one.
    kind: str


def choose_model(model: str | Path | None) -> ModelChoice:
    """Return the checkpoint of a name in the manifest, of a file, or, without either, our own.

    Raises:
        WeightsError: it is missing, or neither a known name nor a file; the remedy names commands that fetch one.
    """
    if model is None:
        return _own()
    name = str(model)
    if name == OWN:
        return _own()
    if name in _checkpoints():
        return ModelChoice(name, _checked(name), _checkpoints()[name].shows or UNKNOWN)
    path = Path(model).expanduser()
    if path.exists():
        return ModelChoice(path.name, path, kind_of(path.name))
    raise WeightsError(
        Message("There is no checkpoint called {name!r}, and no such file.", name=name),
        remedy=together(
            Message("Name a file or one of: {names}.", names=", ".join((OWN, *_checkpoints()))), how_to_get_one()
        ),
    )


def kind_of(name: str) -> str:
    """Guess from its name what a file that is not in the manifest was trained on."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((kind for part, kind in _BY_NAME.items() if part in words or part == name.lower()), UNKNOWN)


def how_to_get_one() -> str:
    """Return the commands that fetch or import a checkpoint, with size and licence."""
    fetched = [
        Message(
            "python run.py models pull {name} ({size}{licence}; {about})",
            name=weight.name,
            size=_size(weight),
            licence=weight.licence,
            about=Message(weight.about),
        )
        for weight in _checkpoints().values()
        if weight.downloadable
    ]
    others = [weight.name for weight in _checkpoints().values() if not weight.downloadable]
    return Message(
        "Fetch one: {fetched}. Or import a file that you have (MIT as well: {others}): python run.py models "
        "import NAME FILE. Or name a file of your own: --model FILE.",
        fetched=chained("{first}; or {second}", *fetched),
        others=", ".join(others),
    )


def _checkpoints() -> dict[str, manifest.Weight]:
    known = manifest.read_manifest()
    return {name: weight for name, weight in known.items() if weight.kind == manifest.FOMM}


def _checked(name: str) -> Path:
    try:
        return weights.model_path(name)
    except WeightsError as error:
        weight = weights.find(name)
        raise WeightsError(
            error.what,
            remedy=Message(
                "{remedy} ({size}{licence})", remedy=error.remedy, size=_size(weight), licence=weight.licence
            ),
        ) from error


def own_model() -> Path:
    """Return the path of our own checkpoint, which may be missing."""
    return MODELS / f"{OWN}.safetensors"


def _own() -> ModelChoice:
    path = own_model()
    if not path.is_file():
        raise WeightsError("No checkpoint was named, and this copy of Masque has none.", remedy=how_to_get_one())
    return ModelChoice(OWN, path, FACES)


def _size(weight: manifest.Weight) -> str:
    return "" if weight.bytes is None else f"{weight.bytes / 1e6:.0f} MB, "
