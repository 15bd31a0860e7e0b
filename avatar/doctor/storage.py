"""Checks of models and disk space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from avatar import weights
from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import WeightsError
from avatar.system.installation import COMMAND
from avatar.weights import stored

_LITTLE = 2e9  # bytes; a checkpoint is 0.75 GB and is copied once when it is fetched


def look_at_models() -> Iterator[Check]:
    """Check each model that is present or required; reads files that changed since their last check."""
    for model in weights.list_models():
        name, state = model.weight.name, model.state
        if state == stored.MISSING:
            if model.weight.needed:
                yield Check("models", BROKEN, f"{name} is missing.", f"Type: {COMMAND} models pull {name}")
            continue
        try:
            weights.model_path(name)
        except WeightsError as error:
            yield Check("models", BROKEN, error.what, error.remedy)
        else:
            yield Check("models", OK, f"{name} is here and sound.")


def look_at_disk() -> Iterator[Check]:
    """Report free disk space and the size of the data folders."""
    from avatar.library.library import library_folder

    kept = {"models": weights.models_folder(), "avatars": library_folder()}
    sizes = ", ".join(f"{name} take {_size(folder) / 1e6:.0f} MB" for name, folder in kept.items())
    free = shutil.disk_usage(_existing(kept["models"])).free
    what = f"{free / 1e9:.1f} GB free; {sizes}."
    if free < _LITTLE:
        yield Check("disk", WARNING, what, "Make room: recordings stop when the disk is full.")
    else:
        yield Check("disk", OK, what)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
