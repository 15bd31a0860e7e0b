"""v4l2loopback, the kernel module that makes virtual cameras on Linux: what is there, and what to do if it is not."""

from __future__ import annotations

import contextlib
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from avatar import v4l2
from avatar.v4l2 import CARD_LABEL, JOIN_GROUP, VideoNode

OPTIONS = f'v4l2loopback video_nr=10 exclusive_caps=1 card_label="{CARD_LABEL}"'
LOAD = f"sudo modprobe {OPTIONS}"
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"

_MODULE = Path("/sys/module/v4l2loopback")
_INSTALLERS = {  # by the program that installs packages there
    "apt-get": "sudo apt install v4l2loopback-dkms",
    "dnf": "sudo dnf install akmod-v4l2loopback (from RPM Fusion)",
    "pacman": "sudo pacman -S v4l2loopback-dkms",
    "zypper": "sudo zypper install v4l2loopback-kmp-default",
}


@dataclass(frozen=True)
class Loopback:
    """The state of this machine."""

    installed: bool  # for the kernel that runs
    loaded: bool
    devices: tuple[VideoNode, ...]
    forbidden: int  # video devices that may not be opened
    exclusive: bool | None  # whether calls see the first device as a camera; None: not known

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
    """Ask the kernel; never fails."""
    nodes, forbidden = [], 0
    for path in v4l2.video_paths():
        try:
            nodes.append(v4l2.query_node(path))
        except PermissionError:
            forbidden += 1
        except OSError:
            continue
    devices = tuple(node for node in nodes if node.is_loopback)
    return Loopback(_is_installed(), _MODULE.is_dir(), devices, forbidden, _is_exclusive() if devices else None)


def choose(devices: tuple[VideoNode, ...]) -> Path | None:
    """The device to write to: ours by its name, else the first that nobody writes to."""
    free = sorted((node for node in devices if node.takes), key=lambda node: (node.name != CARD_LABEL, node.number))
    return free[0].path if free else None


def _is_installed() -> bool:
    folder = Path("/lib/modules") / platform.release()
    for name in ("modules.dep", "modules.builtin"):
        with contextlib.suppress(OSError):
            if "v4l2loopback" in (folder / name).read_text(encoding="utf-8", errors="replace"):
                return True
    return False


def _is_exclusive() -> bool | None:
    """The module's own answer, one letter for each device that may be."""
    try:
        letters = (_MODULE / "parameters" / "exclusive_caps").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return letters.strip()[:1] == "Y"


def _how_to_install() -> str:
    found = next((command for program, command in _INSTALLERS.items() if shutil.which(program)), "")
    return found or "the installation of v4l2loopback from github.com/v4l2loopback/v4l2loopback"
