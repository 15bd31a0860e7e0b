"""Opens media files with FFmpeg, each after a trial in a child process.

Some valid files end the process that reads them inside PyAV 18.1.0 (a double free), which no `except` can catch: sound
with unusual arrangements of channels, and frames with metadata beside the picture. In a window or a live session that
is not to happen, so a file is opened here first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import VideoError
from avatar.limits import MAX_CLIP_PIXELS
from avatar.sources.sample_counts import check_sample_counts

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

# FFmpeg would also follow playlists to other files and addresses, and film any text as a terminal shows it.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,gif,apng,"
    "mjpeg,mxf,nut,dv,rm,wtv,vob,webp_anim,yuv4mpegpipe,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,image2,"
    "mp3,wav,flac,aac,ac3,aiff,caf"
)
FFMPEG_MAX_PIXELS = str(2 * MAX_CLIP_PIXELS)  # it counts the padding of its buffers as well
TIMEOUT_S = 15.0  # a slow disk and a busy machine together take a tenth of that
_CHILD = Path(__file__).with_name("probe_child.py")
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_FIRST_NTSTATUS = 0xC0000000  # how Windows reports a crash; its abort() ends with 3
_REMEMBERED = 512  # files


@dataclass(frozen=True)
class Verdict:
    """How far the child came."""

    pictures: bool = True
    sound: bool = True
    reason: str = ""  # of a failure, as half a sentence
    hung: bool = False


_known: dict[tuple[str, int, int], Verdict] = {}  # by path, size and time of the last change


def open_input(path: Path) -> InputContainer:
    """Open a media file with FFmpeg, after a trial where this is the first time.

    Raises:
        VideoError: the trial crashed or hung, or its header names more than the file can hold.
        OSError, FFmpegError, ValueError: as PyAV has it.
    """
    import av

    check_opens(path)
    # The prefix keeps a colon in a name from being read as a protocol.
    # max_pixels: while it looks for the size, FFmpeg decodes.
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    options["max_pixels"] = FFMPEG_MAX_PIXELS
    container: InputContainer = av.open(f"file:{path}", options=options)
    return container


def check_opens(path: Path) -> Verdict:
    """Make sure that reading a media file does not end this process; remembered until the file changes.

    `open_input` calls it for everybody; whoever reads sound asks for the verdict. It takes about a tenth of a second,
    at most TIMEOUT_S: call it on a thread that may wait.

    Returns:
        Whether its sound may be read as well.
    Raises:
        VideoError: its pictures may not be read, or its header names more than the file can hold.
    """
    try:
        found = path.stat()
    except OSError:
        return Verdict()  # whoever opens it says it better
    key = (str(path.resolve()), found.st_size, found.st_mtime_ns)
    verdict = _known.get(key)
    if verdict is None:
        with contextlib.suppress(OSError):  # whoever opens it says it better
            check_sample_counts(path)  # before the child: it would make room for them as well
        if getattr(sys, "frozen", False) or not sys.executable:
            return Verdict()  # what would be started is not Python
        verdict = _try(key[0])
        if len(_known) >= _REMEMBERED:
            _known.clear()
        if not verdict.hung:  # the disk may be faster next time
            _known[key] = verdict
    if not verdict.pictures:
        raise VideoError(
            f"{path.name} cannot be read safely: a trial {verdict.reason}.",
            remedy="Convert it to MP4 with another program and use that.",
        )
    return verdict


def _try(path: str) -> Verdict:
    """Run the child to its end."""
    try:
        child = subprocess.Popen(
            child_command(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=_NO_WINDOW,
            start_new_session=True,  # Ctrl-C is for this process, and would look like a crash of the other
        )
    except OSError as error:
        logger.warning("No child process can be started to try files in: %s", error)
        return Verdict()
    hung = False
    with child:
        try:
            said, _ = child.communicate(timeout=TIMEOUT_S)
            reason = _crash(child.returncode)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
            reason, hung = f"took longer than {TIMEOUT_S:g} s", True
        except BaseException:
            child.kill()
            raise
    if not reason:
        return Verdict()
    steps = said.split()
    logger.info("%s: a trial %s after %s", Path(path).name, reason, steps or "nothing")
    return Verdict(pictures=b"pictures" in steps, sound=False, reason=reason, hung=hung)


def child_command(path: str) -> list[str]:
    """Return the command that tries a file."""
    return [sys.executable, "-I", str(_CHILD), path, FORMATS, FFMPEG_MAX_PIXELS]


def _crash(code: int) -> str:
    """What ended a process that did not end by itself, as half a sentence; "" if it did."""
    if code < 0:
        try:
            return f"crashed ({signal.Signals(-code).name})"
        except ValueError:
            return f"crashed (signal {-code})"
    if os.name == "nt" and (code >= _FIRST_NTSTATUS or code == 3):
        return f"crashed ({code:#x})"
    return ""
