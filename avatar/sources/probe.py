"""Opening of media files by FFmpeg, each after a trial in a child process.

Some valid files crash the process that reads them inside PyAV 18.1.0 (a double free), which no `except` can catch:
files with unusual channel layouts, and frames with metadata beside the image. The trial keeps such a crash out of the
window and out of a live session.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import VideoError
from avatar.sources.sample_counts import check_sample_counts
from avatar.system.limits import MAX_CLIP_PIXELS
from avatar.system.message import Message
from avatar.system.trial import can_try, run_trial

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

# FFmpeg would also follow playlists to other files and addresses, and render any text as a terminal does.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,gif,apng,"
    "mjpeg,mxf,nut,dv,rm,wtv,vob,webp_anim,yuv4mpegpipe,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,image2,"
    "mp3,wav,flac,aac,ac3,aiff,caf"
)
FFMPEG_MAX_PIXELS = str(2 * MAX_CLIP_PIXELS)  # FFmpeg includes the padding of its buffers
TIMEOUT_S = 15.0  # ten times what a slow disk and a busy machine need
_CHILD = Path(__file__).with_name("probe_child.py")
_REMEMBERED = 512  # number of remembered files


@dataclass(frozen=True)
class Verdict:
    """Result of a trial."""

    video: bool = True
    sound: bool = True
    reason: str = ""  # cause of a failure, as half a sentence
    hung: bool = False


_known: dict[tuple[str, int, int], Verdict] = {}  # by path, size and modification time


def open_input(path: Path) -> InputContainer:
    """Open a media file with FFmpeg, after a trial on first use.

    Raises:
        VideoError: the trial crashed or hung, or the header claims more than the file can contain.
        OSError, FFmpegError, ValueError: raised by PyAV.
    """
    import av

    check_opens(path)
    # The prefix prevents a colon in a name from being parsed as a protocol.
    # max_pixels: FFmpeg decodes frames to determine the size.
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    options["max_pixels"] = FFMPEG_MAX_PIXELS
    container: InputContainer = av.open(f"file:{path}", options=options)
    return container


def check_opens(path: Path) -> Verdict:
    """Check that reading a media file does not crash the process; cached until the file changes.

    Called by `open_input`; callers that read sound also need the result. It takes about a tenth of a second, at most
    TIMEOUT_S, so call it on a thread that may block.

    Returns:
        The verdict, which says whether the sound can be read as well.
    Raises:
        VideoError: the video cannot be read, or the header claims more than the file can contain.
    """
    try:
        found = path.stat()
    except OSError:
        return Verdict()  # opening it reports a better error
    key = (str(path.resolve()), found.st_size, found.st_mtime_ns)
    verdict = _known.get(key)
    if verdict is None:
        with contextlib.suppress(OSError):  # opening it reports a better error
            check_sample_counts(path)  # before the trial, which would allocate memory for them as well
        if not can_try():
            return Verdict()
        verdict = _try(key[0])
        if len(_known) >= _REMEMBERED:
            _known.clear()
        if not verdict.hung:  # it may succeed next time
            _known[key] = verdict
    if not verdict.video:
        raise VideoError(
            Message("{name} cannot be read safely: a trial {reason}.", name=path.name, reason=verdict.reason),
            remedy="Convert it to MP4 with another program and use that.",
        )
    return verdict


def _try(path: str) -> Verdict:
    """Run the trial."""
    trial = run_trial(child_command(path), TIMEOUT_S)
    if not trial.failure:
        return Verdict()
    steps = trial.said.split()
    logger.info("%s: a trial %s after %s", Path(path).name, trial.failure, steps or "nothing")
    return Verdict(video=b"video" in steps, sound=False, reason=trial.failure, hung=trial.hung)


def child_command(path: str) -> list[str]:
    """Return the command that tries a file."""
    return [sys.executable, "-I", str(_CHILD), path, FORMATS, FFMPEG_MAX_PIXELS]
