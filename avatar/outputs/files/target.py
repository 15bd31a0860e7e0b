"""Checks of a result's path before any work is done, and readable errors for failed writes."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from avatar.errors import OutputError, UsageError
from avatar.library.names import same_name
from avatar.system.atomic import part_path
from avatar.system.message import Message
from avatar.system.small_files import is_special

OUR_FRAME = re.compile(r"\d{6}\.png")  # names written by PngFolderWriter

# Errors of the system about files. FFmpeg also uses EINVAL, EPERM and others for its own errors.
_OF_FILES = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT, errno.ENOTDIR,
    errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.EMFILE, errno.ENFILE,
    errno.ELOOP, errno.ESTALE, errno.EBADF,
})  # fmt: skip


class OutputKind(Enum):
    """Kind of result, from its name."""

    MP4 = ".mp4"
    WEBM = ".webm"
    GIF = ".gif"
    PNG_FOLDER = ""


def kind_of(path: Path) -> OutputKind:
    """Return the kind of result for a name; a folder, or a name without an ending, means PNG frames.

    Raises:
        UsageError: another ending.
    """
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".webm", ".gif"):
        return OutputKind(suffix)
    if not suffix or path.is_dir():
        return OutputKind.PNG_FOLDER
    raise UsageError(
        Message("{name} ends in {suffix}, which is not a kind of result.", name=path.name, suffix=suffix),
        remedy="End it in .mp4, .webm or .gif; a name without an ending becomes a folder of PNG frames.",
    )


def check_target(path: Path, inputs: Sequence[Path]) -> OutputKind:
    """Refuse a result that could not be written or would overwrite an input.

    Raises:
        UsageError: an unknown ending, or the result is one of the inputs (also by another name or link).
        OutputError: no such folder, not writable, or a folder that holds other things.
    """
    kind = kind_of(path)
    check_apart([path], inputs)
    if kind is OutputKind.PNG_FOLDER:
        refuse_foreign_folder(path)
    elif path.is_dir():
        raise OutputError(
            Message("{path} is a folder, not a file.", path=path),
            remedy=Message("Name a file in it: {path}.", path=path / "result.mp4"),
        )
    else:
        refuse_special(path)
    check_folder(path.resolve().parent)
    return kind


def check_apart(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse outputs that would replace an input or each other, also through links, case or enclosing folders.

    Args:
        outputs: files and folders that are replaced; not folders that are only added to.
        inputs: everything that is read, existing or not.

    Raises:
        UsageError: two of them coincide.
    """
    for output in outputs:
        for given in inputs:
            if _is_same(output, given) or _holds(output, given):
                raise UsageError(
                    Message("{output} is itself an input.", output=output), remedy="Give the result a name of its own."
                )
    for one, other in itertools.combinations(outputs, 2):
        if _is_same(one, other) or _is_same_folded(one, other) or _holds(one, other) or _holds(other, one):
            raise UsageError(
                Message("{one} and {other} are the same file or folder.", one=one, other=other),
                remedy="Give each result a name of its own.",
            )


def files_named(*words: str | Path | None) -> list[Path]:
    """Return the existing files and folders among options that may also be names: models, cameras, portraits."""
    return [path for word in words if word and (path := Path(word).expanduser()).exists()]


def refuse_special(path: Path) -> None:
    """Raise OutputError for a device, a pipe or a socket, which a result would replace."""
    if is_special(path):
        raise OutputError(
            Message("{path} is not a file but a device or a pipe.", path=path),
            remedy="Give the result a name of its own.",
        )


def refuse_foreign_folder(path: Path) -> None:
    """Raise OutputError if replacing `path` by a folder of frames would lose other files."""
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(
            Message("{path} is a file, not a folder.", path=path),
            remedy="Choose another name for the folder of frames.",
        )
    foreign = sorted(entry.name for entry in path.iterdir() if not OUR_FRAME.fullmatch(entry.name))
    if foreign:
        raise OutputError(
            Message(
                "The folder {path} holds other things ({foreign}), which would be lost.", path=path, foreign=foreign[0]
            ),
            remedy="Name a new folder; it is made for you.",
        )


@contextlib.contextmanager
def write_errors_explained(path: Path) -> Iterator[None]:
    """Convert errors of the system or of FFmpeg in a failed write to OutputError."""
    from av.error import FFmpegError

    try:
        yield
    except (OSError, FFmpegError) as error:
        if is_of_the_file(error):
            raise _explained(path, error.errno, error.strerror or str(error)) from error
        raise OutputError(
            Message("{path} was not written: it could not be encoded ({why}).", path=path, why=error.strerror or error),
            remedy="Try another kind of result (.mp4, .webm); if that fails too, please report it.",
        ) from error


def is_of_the_file(error: Exception) -> bool:
    """Return whether an error concerns the file or its folder; FFmpeg's own errors use system numbers, too."""
    from av.error import FFmpegError

    if isinstance(error, FFmpegError):
        return error.errno in _OF_FILES
    return isinstance(error, OSError)


def _explained(path: Path, number: int | None, reason: str) -> OutputError:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            Message("The disk is full; {path} was not written.", path=path),
            remedy="Make room, choose another folder with -o, or a smaller --size.",
        )
    if number == errno.EFBIG:
        return OutputError(
            Message("{path} grew larger than its file system or your limits allow.", path=path),
            remedy="Choose another folder with -o, a smaller --size, or a shorter clip.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            Message("{path} may not be written.", path=path), remedy="Choose a folder that you may write to."
        )
    return OutputError(
        Message("{path} cannot be written: {why}.", path=path, why=reason),
        remedy="Choose another folder or name.",
    )


def check_folder(folder: Path) -> None:
    """Raise OutputError if no file can be created in `folder`."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            Message("{path} is a file, not a folder.", path=folder), remedy="Name a folder for the result."
        )
    if not folder.is_dir():
        raise OutputError(
            Message("There is no folder {folder}.", folder=folder), remedy="Make it first, or name another."
        )
    probe = part_path(folder / "masque")
    try:  # permissions are not sufficient: a read-only disk may still grant them
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(folder, error.errno, error.strerror or "") from error


def _is_same(path: Path, given: Path) -> bool:
    try:
        return path.samefile(given)
    except OSError:  # one of the paths, or a folder in it, does not exist
        return path.resolve() == given.resolve()


def _is_same_folded(one: Path, other: Path) -> bool:
    """Return whether two paths that may not exist yet coincide on a disk that ignores case and accents."""
    return same_name(str(one.resolve())) == same_name(str(other.resolve()))


def _holds(folder: Path, path: Path) -> bool:
    return any(_is_same(folder, parent) for parent in path.resolve().parents)
