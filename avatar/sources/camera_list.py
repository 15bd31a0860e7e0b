"""The cameras of this machine, with readable names and stable ids.

Tested on Linux. Windows (DirectShow's names through FFmpeg) and macOS (system_profiler's, in the order in which OpenCV
sorts them) follow their documentation and are untested; where they return nothing, the first indices are offered.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.system import v4l2
from avatar.system.foreign_text import shown
from avatar.system.media import load_av
from avatar.system.v4l2_modes import CameraMode, camera_modes

logger = logging.getLogger(__name__)

_BY_ID = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))
_SYSFS = Path("/sys/class/video4linux")
_OUR_OUTPUTS = frozenset({"OBS Virtual Camera", "Unity Video Capture"})
_GUESSES = 4  # number of indices offered if no names are available


@dataclass(frozen=True)
class CameraInfo:
    """One camera."""

    id: str  # stable across restarts and, if the system can identify cameras, across sockets
    name: str  # unique in a list
    index: int  # OpenCV's current number
    is_virtual: bool = False  # its frames come from another program, perhaps ours
    has_signal: bool = True  # False: an input, such as HDMI, without a signal
    modes: tuple[CameraMode, ...] = ()  # sizes and rates that it offers, smallest first; empty: unknown


def list_cameras(timeout_s: float = 3.0) -> tuple[CameraInfo, ...]:
    """List the cameras, except our own virtual camera and metadata nodes.

    If a driver hangs for `timeout_s`, nothing is returned. Must not be called on the UI thread.
    """
    found: list[CameraInfo] = []
    asking = threading.Thread(target=lambda: found.extend(_named_apart(_ask())), name="masque-cameras", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if asking.is_alive():
        logger.warning("The cameras could not be listed within %.0f s.", timeout_s)
        return ()
    return tuple(found)


def usual_camera(cameras: Iterable[CameraInfo]) -> CameraInfo | None:
    """Return the default camera: the first real one, preferably with a signal.

    Virtual cameras must be chosen explicitly: they show other programs' images, perhaps our own.
    """
    real = [camera for camera in cameras if not camera.is_virtual]
    return min(real, key=lambda camera: not camera.has_signal, default=None)


def _ask() -> Iterable[CameraInfo]:
    try:
        ask = {"win32": _windows, "darwin": _macos}.get(sys.platform, _linux)
        return [camera for camera in ask() if camera.name not in _OUR_OUTPUTS]
    except Exception as error:  # outermost frame of the thread; cameras can be used without names
        logger.warning("The cameras' names cannot be had: %s", error)
        return [CameraInfo(str(index), f"Camera {index}", index) for index in range(_GUESSES)]


def _linux() -> Iterator[CameraInfo]:
    stable = {link.resolve(): link.name for folder in reversed(_BY_ID) for link in sorted(folder.glob("*"))}
    for path in v4l2.video_paths():
        camera = CameraInfo(stable.get(path, path.name), "", int(path.name.removeprefix("video")))
        try:
            node = v4l2.query_node(path)
        except PermissionError:  # listed nevertheless, because opening it explains what to do
            if (name := _name_in_sysfs(path.name)) and name != v4l2.CARD_LABEL:
                yield replace(camera, name=name, is_virtual=_is_virtual_in_sysfs(path.name))
            continue
        except OSError:
            continue
        ours = node.is_loopback and (node.name == v4l2.CARD_LABEL or v4l2.written_by_us(path))
        if node.captures and not ours:
            yield replace(
                camera, name=node.name, is_virtual=node.is_loopback,
                has_signal=v4l2.has_signal(path) is not False, modes=camera_modes(path),
            )  # fmt: skip


def _name_in_sysfs(number: str) -> str | None:
    """Return the name of a camera's first node, the one that captures video."""
    try:
        is_first = (_SYSFS / number / "index").read_text(encoding="ascii").strip() == "0"
        return (_SYSFS / number / "name").read_text(encoding="utf-8", errors="replace").strip() if is_first else None
    except (OSError, ValueError):
        return None


def _is_virtual_in_sysfs(number: str) -> bool:
    """Return whether sysfs shows no hardware behind the camera."""
    return "/devices/virtual/" in (_SYSFS / number).resolve().as_posix()


def _windows() -> Iterator[CameraInfo]:
    """List cameras by DirectShow, in the order of OpenCV's CAP_DSHOW."""
    load_av()
    import av

    devices = [device for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
    for index, device in enumerate(devices):
        yield CameraInfo(device.name, device.description or device.name, index)


def _macos() -> Iterator[CameraInfo]:
    """List cameras on macOS, sorted by unique id like OpenCV's AVFoundation backend."""
    command = ["system_profiler", "-json", "SPCameraDataType"]
    done = subprocess.run(command, capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL)
    devices = json.loads(done.stdout)["SPCameraDataType"]
    for index, device in enumerate(sorted(devices, key=lambda each: str(each["spcamera_unique-id"]))):
        yield CameraInfo(str(device["spcamera_unique-id"]), str(device["_name"]), index)


def _named_apart(cameras: Iterable[CameraInfo]) -> Iterator[CameraInfo]:
    """Append a number to the names of cameras that share a name, from the second one."""
    seen: Counter[str] = Counter()
    for camera in cameras:
        name = shown(camera.name)  # from the driver
        seen[name] += 1
        yield replace(camera, name=name if seen[name] == 1 else f"{name} ({seen[name]})")
