"""Queries of Linux video devices, without any package.

The constants are from <linux/videodev2.h>.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/dev")
LOOPBACK_DRIVER = "v4l2 loopback"
CARD_LABEL = "Masque"  # name of our virtual camera
JOIN_GROUP = 'sudo usermod -aG video "$USER"'

_QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP
_G_FMT, _S_FMT, _TRY_FMT = 0xC0D05604, 0xC0D05605, 0xC0D05640  # VIDIOC_G_FMT, VIDIOC_S_FMT, VIDIOC_TRY_FMT
_STREAMON = 0x40045612  # VIDIOC_STREAMON
_G_INPUT, _ENUMINPUT = 0x80045626, 0xC050561A  # VIDIOC_G_INPUT, VIDIOC_ENUMINPUT
_CAPTURE, _OUTPUT = 1, 2  # V4L2_CAP_VIDEO_CAPTURE and _OUTPUT; the buffer types have the same numbers
_CAPTURE_MPLANE = 0x1000
_HAS_DEVICE_CAPS = 0x80000000
_FORMAT_BYTES = 208  # struct v4l2_format
_NO_SIGNAL = 0x00010003  # V4L2_IN_ST_NO_POWER, _NO_SIGNAL and _NO_SYNC: frames are then noise
_HAS_SIGNALS = 0x6  # V4L2_IN_CAP_DV_TIMINGS and _STD: HDMI, analogue video
_DELIVERS_S = 0.5  # the slowest senders deliver two frames per second


@dataclass(frozen=True)
class VideoNode:
    """A device /dev/videoN."""

    path: Path
    name: str
    driver: str
    captures: bool  # it delivers frames; False also for the additional metadata node of many cameras
    takes: bool  # it accepts frames

    @property
    def number(self) -> int:
        """The number N."""
        return int(self.path.name.removeprefix("video"))

    @property
    def is_loopback(self) -> bool:
        """True for a virtual camera of v4l2loopback."""
        return self.driver == LOOPBACK_DRIVER

    @property
    def is_stuck(self) -> bool:
        """True for a virtual camera that no longer accepts or delivers frames."""
        return self.is_loopback and not self.captures and not self.takes


def video_paths() -> list[Path]:
    """List every /dev/videoN by number; empty on other systems."""
    found = DEVICES.glob("video*") if sys.platform == "linux" else ()
    return sorted((path for path in found if re.fullmatch(r"video\d+", path.name)), key=lambda p: int(p.name[5:]))


def query_node(path: Path) -> VideoNode:
    """Query one device. Raises OSError: it cannot be opened, or is not a video device."""
    answer = bytearray(104)  # struct v4l2_capability
    with _opened(path) as device:
        ioctl(device, _QUERYCAP, answer)
    driver, card = (answer[start:end].split(b"\0")[0].decode("utf-8", "replace") for start, end in ((0, 16), (16, 48)))
    capabilities, device_caps = struct.unpack_from("=II", answer, 84)
    has = device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities
    return VideoNode(path, card, driver, bool(has & (_CAPTURE | _CAPTURE_MPLANE)), bool(has & _OUTPUT))


def output_format(path: Path) -> tuple[int, int, str]:
    """Return width, height and four-character pixel format of a loopback device's input. Raises OSError."""
    with _opened(path) as device:
        taken = _format_of(device, _OUTPUT)
    width, height, pixels = struct.unpack_from("=II4s", taken, 8)
    return width, height, pixels.decode("ascii", "replace")


def is_busy(path: Path, *, output: bool = False) -> bool:
    """Return whether another program uses a camera, or the output of a loopback: its format is readable but fixed."""
    try:
        with _opened(path) as device:
            ioctl(device, _S_FMT, _format_of(device, _OUTPUT if output else _CAPTURE))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def has_signal(path: Path) -> bool | None:
    """Return whether an input such as HDMI has a signal; None if the driver does not report it, as for webcams."""
    chosen, answer = bytearray(4), bytearray(80)  # int and struct v4l2_input
    try:
        with _opened(path) as device:
            ioctl(device, _G_INPUT, chosen)
            answer[:4] = chosen
            ioctl(device, _ENUMINPUT, answer)
    except OSError:
        return None
    status, capabilities = struct.unpack_from("=II", answer, 56)
    if status & _NO_SIGNAL:
        return False
    return True if capabilities & _HAS_SIGNALS else None


def delivers(path: Path) -> bool:
    """Return whether a device delivers new frames within half a second; frames buffered earlier do not count.

    Reading claims the device for a moment: with v4l2loopback 0.14 and newer another program might find it busy.
    """
    try:
        device = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        while _reads(device):
            pass
        until_s = time.monotonic() + _DELIVERS_S
        while time.monotonic() < until_s:
            time.sleep(0.02)
            if _reads(device):
                return True
    finally:
        os.close(device)
    return False


def _reads(device: int) -> bool:
    try:
        return bool(os.read(device, 1))
    except OSError:
        return False


def shows_a_format(path: Path) -> bool:
    """Return whether the capture side of v4l2loopback 0.12 has a format: a sender exists, or did and is still read."""
    form = bytearray(_FORMAT_BYTES)
    try:
        with _opened(path) as device:
            form = _format_of(device, _CAPTURE)
            ioctl(device, _TRY_FMT, form)
    except OSError:
        return False
    return True


def begin_output(path: Path) -> None:
    """Register the descriptors with which this process writes to a device as senders, by STREAMON.

    v4l2loopback 0.12 does not count a descriptor that only wrote as a sender, and no longer announces the output after
    it is closed. Newer versions detect senders themselves and return EINVAL.
    """
    for device in _writing_descriptors(path):
        with contextlib.suppress(OSError):
            ioctl(device, _STREAMON, bytearray(struct.pack("=I", _OUTPUT)))


def revive(path: Path) -> None:
    """Make v4l2loopback 0.12 announce the output of a stuck device again; see `begin_output`.

    The descriptor counts as a sender even if there is no format yet and the call fails; closing it frees the output.
    """
    with contextlib.suppress(OSError), _opened(path) as device:
        ioctl(device, _STREAMON, bytearray(struct.pack("=I", _OUTPUT)))


def written_by_us(path: Path) -> bool:
    """Return whether this process has the device open write-only, as a virtual camera's backend does."""
    return any(True for _ in _writing_descriptors(path))


def _writing_descriptors(path: Path) -> Iterator[int]:
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/self/fdinfo/{link.name}").read_text(encoding="ascii"))
            if link.readlink() == path and flags and int(flags[1], 8) & os.O_ACCMODE == os.O_WRONLY:
                yield int(link.name)


def count_viewers() -> int:
    """Count other programs that use the virtual camera this process writes to, as far as visible."""
    return sum(programs_at(path) for path in video_paths() if written_by_us(path))


def programs_at(path: Path) -> int:
    """Count other programs that have a device open; programs of other users are not visible."""
    with os.scandir("/proc") as entries:
        others = [entry.name for entry in entries if entry.name.isdecimal() and entry.name != str(os.getpid())]
    return sum(_holds(f"/proc/{number}/fd", str(path)) for number in others)


def _holds(folder: str, device: str) -> bool:
    """Return whether a descriptor in a folder is the device. Compares names only: there may be ten thousand."""
    with contextlib.suppress(OSError), os.scandir(folder) as descriptors:  # ended, or of another user
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(descriptor.path) == device:  # noqa: PTH115 - a Path takes three times as long
                    return True
    return False


def _format_of(device: int, kind: int) -> bytearray:
    form = bytearray(_FORMAT_BYTES)
    struct.pack_into("=I", form, 0, kind)
    ioctl(device, _G_FMT, form)
    return form


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield device
    finally:
        os.close(device)


def ioctl(device: int, request: int, data: bytearray) -> None:
    """Ask a driver; the answer is written into `data`. Raises OSError."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTTY, "only Linux has V4L2")
    import fcntl

    fcntl.ioctl(device, request, data, True)
