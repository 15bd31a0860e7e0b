"""Where a result may go, checked before any work is done, and what a failed write means in plain words."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from avatar.atomic import part_path
from avatar.errors import OutputError, UsageError
from avatar.library_names import same_name
from avatar.small_files import is_special

OUR_FRAME = re.compile(r"\d{6}\.png")  # what PngFolderWriter calls its files

# What the system says of files and places. FFmpeg says EINVAL, EPERM and others of what it is given, too.
_OF_FILES = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT, errno.ENOTDIR,
    errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.EMFILE, errno.ENFILE,
    errno.ELOOP, errno.ESTALE, errno.EBADF,
})  # fmt: skip


class OutputKind(Enum):
    """What a result's name asks for."""

    MP4 = ".mp4"
    WEBM = ".webm"
    GIF = ".gif"
    PNG_FOLDER = ""


def kind_of(path: Path) -> OutputKind:
    """Read the kind of result off its name; a folder, or a name without an ending, means PNG frames.

    Raises:
        UsageError: another ending.
    """
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".webm", ".gif"):
        return OutputKind(suffix)
    if not suffix or path.is_dir():
        return OutputKind.PNG_FOLDER
    raise UsageError(
        f"{path.name} ends in {suffix}, which is not a kind of result.",
        remedy="End it in .mp4, .webm or .gif; a name without an ending becomes a folder of PNG frames.",
    )


def check_target(path: Path, inputs: Sequence[Path]) -> OutputKind:
    """Refuse a result that could not be written or would overwrite what it is made from.

    Raises:
        UsageError: an unknown ending, or the result is one of the inputs (also by another name or link).
        OutputError: no such folder, not writable, or a folder that holds other things.
    """
    kind = kind_of(path)
    check_apart([path], inputs)
    if kind is OutputKind.PNG_FOLDER:
        refuse_foreign_folder(path)
    elif path.is_dir():
        raise OutputError(f"{path} is a folder, not a file.", remedy=f"Name a file in it: {path / 'result.mp4'}.")
    else:
        refuse_special(path)
    check_folder(path.resolve().parent)
    return kind


def check_apart(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse outputs that would replace an input or each other, also by a link, another case or a folder around them.

    Args:
        outputs: files and folders that are replaced; not folders that are only added to.
        inputs: whatever is read, there or not.

    Raises:
        UsageError: two of them are one.
    """
    for output in outputs:
        for given in inputs:
            if _is_same(output, given) or _holds(output, given):
                raise UsageError(f"{output} is itself an input.", remedy="Give the result a name of its own.")
    for one, other in itertools.combinations(outputs, 2):
        if _is_same(one, other) or _is_same_folded(one, other) or _holds(one, other) or _holds(other, one):
            raise UsageError(f"{one} and {other} are one place.", remedy="Give each result a name of its own.")


def files_named(*words: str | Path | None) -> list[Path]:
    """Return the files and folders among options that take a file or something else: a model, a camera, a portrait."""
    return [path for word in words if word and (path := Path(word).expanduser()).exists()]


def refuse_special(path: Path) -> None:
    """Raise OutputError for a device, a pipe or a socket: a result that takes its name would put an end to it."""
    if is_special(path):
        raise OutputError(f"{path} is not a file but a device or a pipe.", remedy="Give the result a name of its own.")


def refuse_foreign_folder(path: Path) -> None:
    """Raise OutputError where replacing `path` by a folder of frames would lose something that is not such a frame."""
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path} is a file, not a folder.", remedy="Choose another name for the folder of frames.")
    foreign = sorted(entry.name for entry in path.iterdir() if not OUR_FRAME.fullmatch(entry.name))
    if foreign:
        raise OutputError(
            f"The folder {path} holds other things ({foreign[0]}), which would be lost.",
            remedy="Name a new folder; it is made for you.",
        )


@contextlib.contextmanager
def write_errors_explained(path: Path) -> Iterator[None]:
    """Turn what the system or FFmpeg says about a failed write into an OutputError."""
    from av.error import FFmpegError

    try:
        yield
    except (OSError, FFmpegError) as error:
        if is_of_the_file(error):
            raise _explained(path, error.errno, error.strerror or str(error)) from error
        raise OutputError(
            f"{path} was not written: it could not be encoded ({error.strerror or error}).",
            remedy="Try another kind of result (.mp4, .webm); if that fails too, please report it.",
        ) from error


def is_of_the_file(error: Exception) -> bool:
    """Say whether an error is about the file or its place; FFmpeg's own errors have numbers of the system too."""
    from av.error import FFmpegError

    if isinstance(error, FFmpegError):
        return error.errno in _OF_FILES
    return isinstance(error, OSError)


def _explained(path: Path, number: int | None, reason: str) -> OutputError:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"The disk is full; {path} was not written.",
            remedy="Make room, choose another folder with -o, or a smaller --size.",
        )
    if number == errno.EFBIG:
        return OutputError(
            f"{path} grew larger than its file system or your limits allow.",
            remedy="Choose another folder with -o, a smaller --size, or a shorter clip.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path} may not be written.", remedy="Choose a folder that you may write to.")
    return OutputError(f"{path} cannot be written: {reason}.", remedy="Choose another folder or name.")


def check_folder(folder: Path) -> None:
    """Raise OutputError where no file can be made in `folder`."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder.", remedy="Name a folder for the result.")
    if not folder.is_dir():
        raise OutputError(f"There is no folder {folder}.", remedy="Make it first, or name another.")
    probe = part_path(folder / "masque")
    try:  # asking the file system is not enough: a read-only disk says yes to its owner
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(folder, error.errno, error.strerror or "") from error


def _is_same(path: Path, given: Path) -> bool:
    try:
        return path.samefile(given)
    except OSError:  # one of them does not exist, or is written as a way through a folder that does not
        return path.resolve() == given.resolve()


def _is_same_folded(one: Path, other: Path) -> bool:
    """Whether two names that may not exist yet are one on a disk that tells neither case nor accents apart."""
    return same_name(str(one.resolve())) == same_name(str(other.resolve()))


def _holds(folder: Path, path: Path) -> bool:
    return any(_is_same(folder, parent) for parent in path.resolve().parents)
