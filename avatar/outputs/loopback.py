"""v4l2loopback, the kernel module that makes virtual cameras on Linux: what is there, and what to do if it is not."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from avatar import v4l2
from avatar.errors import OutputError
from avatar.v4l2 import CARD_LABEL, JOIN_GROUP, VideoNode

OPTIONS = f'v4l2loopback video_nr=10 exclusive_caps=1 card_label="{CARD_LABEL}"'
LOAD = f"sudo modprobe {OPTIONS}"
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"

_MODULE = Path("/sys/module/v4l2loopback")
_ONE_SENDER = (0, 14)  # from this version on the module itself lets only one program send
_SETTLES_S = 0.05  # at another program's first frame a device neither captures nor takes for an instant
_INSTALLERS = {  # by the program that installs packages there
    "apt-get": "sudo apt install v4l2loopback-dkms",
    "dnf": "sudo dnf install akmod-v4l2loopback (from RPM Fusion)",
    "pacman": "sudo pacman -S v4l2loopback-dkms",
    "zypper": "sudo zypper install v4l2loopback-kmp-default",
}


class Use(Enum):
    """What may be done with a device now."""

    FREE = "nobody sends to it"
    TAKEN = "another program sends to it"
    STUCK = "nobody sends to it, and nobody can until the module is loaded again"


@dataclass(frozen=True)
class Loopback:
    """The state of this machine."""

    installed: bool  # for the kernel that runs
    loaded: bool
    devices: tuple[VideoNode, ...]
    forbidden: int  # video devices that may not be opened

    @property
    def exclusive(self) -> bool | None:
        """Whether calls see the device that we would write to as a camera; None: there is none, or it is not known."""
        ours = _ours_first(self.devices)
        return is_exclusive(ours[0]) if ours else None

    @property
    def remedy(self) -> str:
        """What to type, by what is missing first; empty if nothing is."""
        if not self.loaded and not self.devices:
            if self.installed:
                return f"Type: {LOAD}"
            return f"Type: {_how_to_install()}, then: {LOAD}"
        if not self.devices:
            return f"Type: {JOIN_GROUP}, then log out and in again." if self.forbidden else f"Type: {RELOAD}"
        if self.exclusive is False:
            return f"Close the programs that use it and type: {RELOAD}"
        return ""


def look() -> Loopback:
    """Ask the kernel, and set devices free that are stuck; never fails."""
    nodes, forbidden = [], 0
    for path in v4l2.video_paths():
        try:
            nodes.append(_revived(v4l2.query_node(path)))
        except PermissionError:
            forbidden += 1
        except OSError:
            continue
    devices = tuple(node for node in nodes if node.is_loopback)
    return Loopback(_is_installed(), _MODULE.is_dir(), devices, forbidden)


def choose(devices: tuple[VideoNode, ...]) -> Path | None:
    """The device to write to: ours by its name, else the first that nobody writes to."""
    return next((node.path for node in _ours_first(devices) if use_of(node) is Use.FREE), None)


def use_of(node: VideoNode) -> Use:
    """Tell a device that another program sends to from a free one and from one that is stuck.

    With `exclusive_caps` the device says so itself, but for two cases of v4l2loopback 0.12: a reader that stays keeps
    it announced as a camera, and one that is stuck looks as if it were sent to as long as it is read. Without, only
    0.14 and newer refuse a second sender. Where nothing else tells, frames are waited for: half a second.
    """
    if node.is_stuck:
        return Use.STUCK
    if node.takes and not node.captures:
        return Use.FREE
    if node.takes:
        one_sender = _module_version() >= _ONE_SENDER
        taken = v4l2.is_busy(node.path, output=True) if one_sender else v4l2.delivers(node.path)
        return Use.TAKEN if taken else Use.FREE
    return Use.STUCK if not _module_version() and not v4l2.delivers(node.path) else Use.TAKEN


def stuck(path: Path) -> OutputError:
    """Return what to say of a device that is stuck."""
    return OutputError(
        f"The virtual camera {path} is stuck: it neither captures nor takes pictures, and nobody sends to it.",
        remedy=f"Close the programs that have it open and reload the module: {RELOAD}",
    )


def is_exclusive(node: VideoNode) -> bool | None:
    """Say whether a device is a camera or takes frames, never both at once: else many programs list it as no camera.

    None: v4l2loopback 0.12 says both of an exclusive one, too, that nobody sends to and somebody still looks at.
    """
    if not (node.captures and node.takes):
        return True
    return None if not _module_version() and v4l2.shows_a_format(node.path) else False


def _revived(node: VideoNode) -> VideoNode:
    if node.is_stuck:
        time.sleep(_SETTLES_S)
        node = v4l2.query_node(node.path)
    if node.is_stuck:
        v4l2.revive(node.path)
        node = v4l2.query_node(node.path)
    return node


def _ours_first(devices: tuple[VideoNode, ...]) -> list[VideoNode]:
    return sorted(devices, key=lambda node: (node.name != CARD_LABEL, node.number))


def _module_version() -> tuple[int, ...]:
    """Of the module that is loaded; empty before 0.13, which does not tell. Taken for a new one where none is seen."""
    if not _MODULE.is_dir():  # in a container, say
        return _ONE_SENDER
    try:
        text = (_MODULE / "version").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _is_installed() -> bool:
    folder = Path("/lib/modules") / platform.release()
    for name in ("modules.dep", "modules.builtin"):
        with contextlib.suppress(OSError):
            if "v4l2loopback" in (folder / name).read_text(encoding="utf-8", errors="replace"):
                return True
    return False


def _how_to_install() -> str:
    found = next((command for program, command in _INSTALLERS.items() if shutil.which(program)), "")
    return found or "the installation of v4l2loopback from github.com/v4l2loopback/v4l2loopback"
