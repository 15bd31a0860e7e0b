"""State of v4l2loopback, the kernel module for virtual cameras on Linux, and remedies for what is missing."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from avatar.errors import OutputError
from avatar.system import v4l2
from avatar.system.foreign_text import shown
from avatar.system.message import Message
from avatar.system.v4l2 import CARD_LABEL, JOIN_GROUP, VideoNode

OPTIONS = f'v4l2loopback video_nr=10 exclusive_caps=1 card_label="{CARD_LABEL}"'
LOAD = f"sudo modprobe {OPTIONS}"
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"

_MODULE = Path("/sys/module/v4l2loopback")
_ONE_SENDER = (0, 14)  # from this version on the module admits only one sender
_SETTLES_S = 0.05  # at another program's first frame a device has neither capability for an instant
_INSTALLERS = {  # commands by package manager
    "apt-get": "sudo apt install v4l2loopback-dkms",
    "dnf": "sudo dnf install akmod-v4l2loopback (from RPM Fusion)",
    "pacman": "sudo pacman -S v4l2loopback-dkms",
    "zypper": "sudo zypper install v4l2loopback-kmp-default",
}


class Use(Enum):
    """Availability of a device for sending."""

    FREE = "nobody sends to it"
    TAKEN = "another program sends to it"
    STUCK = "nobody sends to it, and nobody can until the module is loaded again"


@dataclass(frozen=True)
class Loopback:
    """The state of this machine."""

    installed: bool  # for the running kernel
    loaded: bool
    devices: tuple[VideoNode, ...]
    forbidden: int  # number of video devices without permission

    @property
    def exclusive(self) -> bool | None:
        """True if calling apps see our device as a camera; None if there is none, or it is unknown."""
        ours = _ours_first(self.devices)
        return is_exclusive(ours[0]) if ours else None

    @property
    def remedy(self) -> str:
        """Command for the first missing requirement; empty if there is none."""
        if not self.loaded and not self.devices:
            if self.installed:
                return Message("Type: {command}", command=LOAD)
            return Message("Type: {first}, then: {second}", first=_how_to_install(), second=LOAD)
        if not self.devices:
            if self.forbidden:
                return Message("Type: {command}, then log out and in again.", command=JOIN_GROUP)
            return Message("Type: {command}", command=RELOAD)
        if self.exclusive is False:
            return Message("Close the programs that use it and type: {command}", command=RELOAD)
        return ""


def look() -> Loopback:
    """Query the kernel and release stuck devices; never fails."""
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
    """Return the device to write to: a free one with our name, else the first free one."""
    return next((node.path for node in _ours_first(devices) if use_of(node) is Use.FREE), None)


def names() -> tuple[str, ...]:
    """Return the names of the devices that frames can be sent to, each once, ours first; empty on other systems."""
    return tuple(named(look().devices))


def named(devices: tuple[VideoNode, ...]) -> dict[str, VideoNode]:
    """Return the devices by name, ours first; of several with one name, all but the first have their path added."""
    found: dict[str, VideoNode] = {}
    for node in _ours_first(devices):
        name = shown(node.name)  # from the driver
        found[f"{name} ({node.path})" if name in found else name] = node
    return found


def find(devices: tuple[VideoNode, ...], wanted: str) -> Path:
    """Return the device of a name of `named`, or of a path. Raises OutputError: there is none, or it is not free."""
    by_name = named(devices)
    node = by_name.get(wanted) or next((node for node in devices if str(node.path) == wanted), None)
    if node is None:
        known = (
            Message("There are: {names}.", names=", ".join(by_name))
            if by_name
            else Message("Type: {command}", command=LOAD)
        )
        raise OutputError(Message("There is no virtual camera called {name}.", name=wanted), remedy=known)
    use = use_of(node)
    if use is Use.STUCK:
        raise stuck(node.path)
    if use is Use.TAKEN:
        raise OutputError(
            Message("Another program already sends to the virtual camera {name}.", name=wanted),
            remedy="Close that program, or choose another device.",
        )
    return node.path


def use_of(node: VideoNode) -> Use:
    """Determine whether a device is free, taken by another sender, or stuck.

    With `exclusive_caps` its capabilities tell, except for two cases of v4l2loopback 0.12: a reader that stays open
    keeps it announced as a camera, and a stuck device looks taken as long as it is read. Without it, only 0.14 and
    newer refuse a second sender. In the remaining cases this waits half a second for frames.
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
    """Build the error for a stuck device."""
    return OutputError(
        Message(
            "The virtual camera {path} is stuck: it neither captures nor accepts frames, and no program sends to it.",
            path=path,
        ),
        remedy=Message("Close the programs that have it open and reload the module: {command}", command=RELOAD),
    )


def is_exclusive(node: VideoNode) -> bool | None:
    """Return whether a device has only one capability at a time; otherwise many programs do not list it as a camera.

    None if unknown: v4l2loopback 0.12 reports both for an exclusive device without a sender that is still being read.
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
    """Return the version of the loaded module; empty before 0.13, which does not report it; if unseen, a new one."""
    if not _MODULE.is_dir():  # for example in a container
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
