"""Places of inputs and results: a path of this machine, or an address that fsspec understands."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from avatar.errors import OutputError, SetupError, UsageError
from avatar.system.atomic import replacing
from avatar.system.message import Message
from avatar.system.program import require

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: `C:\` is a drive
_MAGIC = re.compile(r"[*?\[]")


def is_address(place: str) -> bool:
    """Return whether a place is an address, such as s3://bucket/clip.mp4, and not a path."""
    return _ADDRESS.match(place) is not None


def joined(folder: str, name: str) -> str:
    """Return the place of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else str(Path(folder) / name)


def parent(place: str) -> str:
    """Return the folder of a file."""
    return place.rpartition("/")[0] if is_address(place) else str(Path(place).parent)


def name_of(place: str) -> PurePosixPath | Path:
    """Return the last part of a place, for its stem and its ending."""
    return PurePosixPath(PurePosixPath(place).name) if is_address(place) else Path(Path(place).name)


def exists(place: str) -> bool:
    """Return whether a file or folder is there. Raises: OSError: the store does not answer."""
    if not is_address(place):
        return Path(place).exists()
    system, path = _opened(place)
    return bool(system.exists(path))


def matches(pattern: str, folder: Path) -> list[str]:
    """Return the places that a pattern names, sorted; a word that is no pattern, or an existing file, is itself.

    Args:
        pattern: a path, relative to `folder`, or an address; `**` goes through all folders.
    Raises:
        UsageError: nothing matches.
    """
    if is_address(pattern):
        if not _MAGIC.search(pattern):
            return [pattern]
        system, path = _opened(pattern)
        found = sorted(system.unstrip_protocol(each) for each in system.glob(path))
    else:
        path_here = folder / Path(pattern).expanduser()
        if not _MAGIC.search(pattern) or path_here.exists():
            return [str(path_here)] if path_here.exists() else [pattern]
        found = sorted(glob.glob(str(path_here), recursive=True))  # noqa: PTH207 - takes absolute patterns
    if not found:
        raise UsageError(
            Message("No file matches {pattern}.", pattern=pattern),
            remedy="Paths in a job file begin at its own folder; check the pattern.",
        )
    return found


def fingerprint(place: str) -> str:
    """Return what changes with a file's content: size and time, or what the store says. Raises: OSError."""
    if not is_address(place):
        seen = Path(place).stat()
        return f"{place} {seen.st_size} {seen.st_mtime_ns}"
    system, path = _opened(place)
    told = system.info(path)
    return f"{place} " + " ".join(str(told.get(key)) for key in ("size", "ETag", "etag", "mtime", "LastModified"))


def digest(*parts: object) -> str:
    """Return a short name for some values, the same on every machine."""
    return hashlib.blake2b(repr(parts).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def fetch(place: str, target: Path) -> None:
    """Copy what is at an address, a file or a folder, to a path that does not exist yet. Raises: OSError."""
    system, path = _opened(place)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        system.get(path, str(part), recursive=bool(system.isdir(path)))
        part.rename(target)
    finally:
        remove(str(part))


def put(path: Path, place: str) -> None:
    """Give a file or folder of this machine its final place; a reader there sees a whole file or none.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if not is_address(place):
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            with replacing(Path(place)) as part:
                shutil.copyfile(path, part)
            return
        system, target = _opened(place)
        system.makedirs(parent(target), exist_ok=True)
        if path.is_dir():
            system.put(f"{path}/", f"{target}/", recursive=True)
            return
        part_name = f"{target}.{secrets.token_hex(4)}.part"
        system.put(str(path), part_name)
        if system.exists(target):
            system.rm(target)
        system.mv(part_name, target)
    except OSError as error:
        raise OutputError(
            Message("{place} cannot be written: {why}.", place=place, why=error.strerror or error),
            remedy="Make room there, or name another folder.",
        ) from error


def make_folder(place: str) -> None:
    """Make a folder with those around it. Raises: OutputError."""
    try:
        if not is_address(place):
            Path(place).mkdir(parents=True, exist_ok=True)
            return
        system, path = _opened(place)
        system.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(
            Message("The folder {place} cannot be made: {why}.", place=place, why=error.strerror or error),
            remedy="Name another folder for the results.",
        ) from error


def remove(place: str) -> None:
    """Remove a file or folder of ours; never fails."""
    with contextlib.suppress(Exception):
        if is_address(place):
            system, path = _opened(place)
            system.rm(path, recursive=True)
        elif Path(place).is_dir():
            shutil.rmtree(place)
        else:
            Path(place).unlink()


def read_lines(path: Path, most_bytes: int, start: int = 0, *, errors: str = "strict") -> Iterator[str]:
    """Yield the lines of a text file one by one, from byte `start` on.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is longer than `most_bytes`, or no text.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        while line := stream.readline(most_bytes + 1):
            if len(line) > most_bytes:
                raise ValueError(Message("it has a line of more than {most:,} bytes", most=most_bytes))
            yield line.decode("utf-8-sig", errors)


def _opened(place: str) -> tuple[Any, str]:
    require("fsspec", Message("An address such as {place}", place=place))
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(place)
    except ImportError as error:  # another machine may have it
        raise SetupError(
            Message("The address {place} cannot be opened: {why}.", place=place, why=error),
            remedy="Install the package that fsspec names for it on every machine, or give a path.",
        ) from error
    except ValueError as error:  # an unknown protocol
        raise UsageError(
            Message("The address {place} cannot be opened: {why}.", place=place, why=error),
            remedy="Write it as fsspec does, such as s3://bucket/clip.mp4, or give a path.",
        ) from error
    return system, str(path)
