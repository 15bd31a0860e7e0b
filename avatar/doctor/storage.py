"""Checks of models and disk space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from avatar import weights
from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import WeightsError
from avatar.system.message import Message
from avatar.weights import stored

_LITTLE = 2e9  # bytes; a checkpoint is 0.75 GB and is copied once when it is fetched


def look_at_models() -> Iterator[Check]:
    """Check each model that is present or required; reads files that changed since their last check."""
    for model in weights.list_models():
        name, state = model.weight.name, model.state
        if state == stored.MISSING:
            if model.weight.needed:
                yield Check("models", BROKEN, Message("{name} is missing.", name=name), _fetch(name))
            continue
        try:
            weights.model_path(name)
        except WeightsError as error:
            yield Check("models", BROKEN, error.what, error.remedy)
        else:
            yield Check("models", OK, Message("{name} is here and sound.", name=name))


def _fetch(name: str) -> str:
    return Message("Fetch it: python run.py models pull {name}", name=name)


def look_at_disk() -> Iterator[Check]:
    """Report free disk space and the size of the data folders."""
    from avatar.library.library import library_folder

    models, avatars = weights.models_folder(), library_folder()
    free = shutil.disk_usage(_existing(models)).free
    what = Message(
        "{free:.1f} GB free; models take {models:.0f} MB, avatars {avatars:.0f} MB.",
        free=free / 1e9, models=_size(models) / 1e6, avatars=_size(avatars) / 1e6,
    )  # fmt: skip
    if free < _LITTLE:
        yield Check("disk", WARNING, what, "Make room: recordings stop when the disk is full.")
    else:
        yield Check("disk", OK, what)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
