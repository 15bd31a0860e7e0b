"""Checks of a recording's path before anything is opened, and readable errors for one that ends early."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import OutputError, UsageError
from avatar.outputs.files.target import OutputKind, check_folder, refuse_foreign_folder, refuse_special
from avatar.outputs.live.growing_file import check_not_recorded
from avatar.system.message import Message, together

if TYPE_CHECKING:
    from av.error import FFmpegError


def recording_kind(path: Path) -> OutputKind:
    """Return the kind of recording for a name, by the rule of `kind_of`: MP4, WebM, or a folder of PNG pictures.

    Raises:
        UsageError: another ending.
    """
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".webm"):
        return OutputKind(suffix)
    if not suffix or path.is_dir():
        return OutputKind.PNG_FOLDER
    raise UsageError(
        Message("{name} ends in {suffix}, which is not a kind of recording.", name=path.name, suffix=path.suffix),
        remedy="End it in .mp4 or .webm; a name without an ending becomes a folder of PNG pictures.",
    )


def check_recording(path: Path) -> OutputKind:
    """Refuse a path that cannot be recorded to.

    Raises:
        UsageError: an unknown ending, also of what a link points to.
        OutputError: no such folder, not writable, or the name is that of a folder, a device or a protected
            file, or of a folder that holds other things, or is being recorded to.
    """
    kind = recording_kind(path)
    if kind is OutputKind.PNG_FOLDER:
        refuse_foreign_folder(path)
    else:
        _check_file(path)
    check_folder(path.resolve().parent)
    check_not_recorded(path)
    return kind


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise OutputError(
            Message("{path} is a folder, not a file.", path=path),
            remedy=Message("Name a file in it: {path}.", path=path / "show.mp4"),
        )
    if path.resolve().suffix.lower() != path.suffix.lower():  # signing and other programs rely on the ending
        raise UsageError(
            Message(
                "{path} is a link to {name}, which does not end in {suffix}.",
                path=path, name=path.resolve().name, suffix=path.suffix,
            ),
            remedy="Remove the link, or choose another name for the recording.",
        )  # fmt: skip
    refuse_special(path)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(
            Message("{path} is write-protected.", path=path), remedy="Choose another name for the recording."
        )


def recording_stopped(target: Path, kept: Message | str, error: OSError | FFmpegError) -> OutputError:
    """Explain a failed write.

    Args:
        target: the file or folder.
        kept: what is there now.
        error: of the system or of FFmpeg.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, remedy = "The disk is full, so the recording stopped.", "Make room and start a new one."
    elif error.errno == errno.EFBIG:
        what = "The recording grew as large as its file system or your limits allow, so it stopped."
        remedy = "Start a new one."
    else:
        reason = error.strerror or str(error)
        what = Message("The recording stopped: {name} cannot be written ({reason}).", name=target.name, reason=reason)
        remedy = "Choose another folder and start a new one."
    return OutputError(what, remedy=together(kept, remedy))
