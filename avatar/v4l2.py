"""What Linux says about its video devices, asked without any package.

The numbers are of <linux/videodev2.h>.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/dev")
LOOPBACK_DRIVER = "v4l2 loopback"
CARD_LABEL = "Masque"  # what our own virtual camera is called
JOIN_GROUP = 'sudo usermod -aG video "$USER"'

_QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP
_G_FMT, _S_FMT = 0xC0D05604, 0xC0D05605  # VIDIOC_G_FMT, VIDIOC_S_FMT
_CAPTURE, _OUTPUT = 1, 2  # V4L2_CAP_VIDEO_CAPTURE and _OUTPUT; the buffer types have the same numbers
_CAPTURE_MPLANE = 0x1000
_HAS_DEVICE_CAPS = 0x80000000
_FORMAT_BYTES = 208  # struct v4l2_format


@dataclass(frozen=True)
class VideoNode:
    """One /dev/videoN."""

    path: Path
    name: str
    driver: str
    captures: bool  # pictures come out of it; False also for the metadata node that many cameras have besides
    takes: bool  # pictures go into it

    @property
    def number(self) -> int:
        """The N."""
        return int(self.path.name.removeprefix("video"))

    @property
    def is_loopback(self) -> bool:
        """Whether it is a virtual camera of v4l2loopback."""
        return self.driver == LOOPBACK_DRIVER


def video_paths() -> list[Path]:
    """Every /dev/videoN, by number; empty on other systems."""
    found = DEVICES.glob("video*") if sys.platform == "linux" else ()
    return sorted((path for path in found if re.fullmatch(r"video\d+", path.name)), key=lambda p: int(p.name[5:]))


def query_node(path: Path) -> VideoNode:
    """Ask one device what it is. Raises OSError: it cannot be opened, or is no video device."""
    answer = bytearray(104)  # struct v4l2_capability
    with _opened(path) as device:
        _ioctl(device, _QUERYCAP, answer)
    driver, card = (answer[start:end].split(b"\0")[0].decode("utf-8", "replace") for start, end in ((0, 16), (16, 48)))
    capabilities, device_caps = struct.unpack_from("=II", answer, 84)
    has = device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities
    return VideoNode(path, card, driver, bool(has & (_CAPTURE | _CAPTURE_MPLANE)), bool(has & _OUTPUT))


def output_size(path: Path) -> tuple[int, int]:
    """Width and height of the pictures that a loopback device takes now. Raises OSError."""
    with _opened(path) as device:
        wanted = _format_of(device, _OUTPUT)
    width, height = struct.unpack_from("=II", wanted, 8)
    return width, height


def is_busy(path: Path) -> bool:
    """Whether another program holds a camera: then its format can be read but not set."""
    try:
        with _opened(path) as device:
            _ioctl(device, _S_FMT, _format_of(device, _CAPTURE))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def written_by_us(path: Path) -> bool:
    """Whether this process has the device open for writing only, as a virtual camera's backend does."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/self/fdinfo/{link.name}").read_text(encoding="ascii"))
            if link.readlink() == path and flags and int(flags[1], 8) & os.O_ACCMODE == os.O_WRONLY:
                return True
    return False


def count_viewers() -> int:
    """How many other programs use the virtual camera that this process writes to, as far as may be seen."""
    return sum(programs_at(path) for path in video_paths() if written_by_us(path))


def programs_at(path: Path) -> int:
    """How many other programs have a device open; those of other users do not show theirs."""
    with os.scandir("/proc") as entries:
        others = [entry.name for entry in entries if entry.name.isdecimal() and entry.name != str(os.getpid())]
    return sum(_holds(f"/proc/{number}/fd", str(path)) for number in others)


def _holds(folder: str, device: str) -> bool:
    """Whether one of the descriptors in a folder is the device; by bare names, since there may be ten thousand."""
    with contextlib.suppress(OSError), os.scandir(folder) as descriptors:  # it ended, or is another user's
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(descriptor.path) == device:  # noqa: PTH115 - a Path takes three times as long
                    return True
    return False


def _format_of(device: int, kind: int) -> bytearray:
    form = bytearray(_FORMAT_BYTES)
    struct.pack_into("=I", form, 0, kind)
    _ioctl(device, _G_FMT, form)
    return form


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield device
    finally:
        os.close(device)


def _ioctl(device: int, request: int, data: bytearray) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOTTY, "only Linux has V4L2")
    import fcntl

    fcntl.ioctl(device, request, data, True)
