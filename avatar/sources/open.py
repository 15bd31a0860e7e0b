"""From what a user names to a source: a camera, a video, a folder of pictures or a still."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from avatar import v4l2
from avatar.errors import CameraError, UsageError
from avatar.images import SUFFIXES
from avatar.sources.animated_image import animation_format
from avatar.sources.base import FrameSource
from avatar.sources.camera import Camera
from avatar.sources.camera_list import CameraInfo, list_cameras
from avatar.sources.playback import Clip, Still


def open_source(spec: str, *, size: tuple[int, int] = (1280, 720), rate: int = 30) -> FrameSource:
    """Open what drives the avatar.

    Args:
        spec: a camera's number, id or name (or the only part of one that fits), or a path.
        size: width and height to ask a camera for.
        rate: pictures per second to ask a camera for.
    Raises:
        CameraError: there is no such camera, nor a file of that name.
        VideoError, ImageError: the file cannot be used.
        UsageError: it is "idle", which is no source: the pipeline makes the idle motion itself.
    """
    if spec == "idle":
        raise UsageError("The idle motion needs no source.", remedy="Leave the camera out.")
    path = _existing(spec)
    if path is None:
        return Camera(find_camera(spec, list_cameras()), size=size, rate=rate)
    return _open_path(path)


def check_source(spec: str, *, remembered: str = "") -> None:
    """Refuse what cannot drive an avatar: a file that cannot be used, and a name that fits neither a camera nor a file.

    Args:
        spec: as for `open_source`; "idle" is fine.
        remembered: the camera that was used before. It may be plugged in again, so its name is taken as it is.
    Raises:
        CameraError: there is no such camera here, nor a file of that name.
        VideoError, ImageError: the file cannot be used.
    """
    if (path := _existing(spec)) is not None and spec != "idle":
        _open_path(path).close()
    elif spec != "idle" and (spec != remembered or _is_path(spec)):
        cameras = list_cameras()
        camera = find_camera(spec, cameras)
        # Only Linux tells which numbers there are; cameras that OpenCV alone knows have a node there, too.
        if camera not in cameras and sys.platform == "linux" and not (v4l2.DEVICES / f"video{camera.index}").exists():
            raise CameraError(f"There is no camera number {camera.index}.", remedy=_known(cameras))


def find_camera(spec: str, cameras: Sequence[CameraInfo]) -> CameraInfo:
    """The camera that a number, an id, a name or a part of a name stands for.

    A number need not be in the list: some virtual cameras answer to OpenCV and to nobody else.

    Raises:
        CameraError: none fits, or several do.
    """
    if (number := spec.removeprefix("/dev/video")).isdecimal():
        index = int(number)
        return next((each for each in cameras if each.index == index), CameraInfo(spec, f"Camera {index}", index))
    wanted = spec.casefold()
    for same in ([c for c in cameras if spec == c.id], [c for c in cameras if wanted == c.name.casefold()]):
        if same:
            return same[0]
    partly = [camera for camera in cameras if wanted and wanted in camera.name.casefold()]
    if len(partly) == 1:
        return partly[0]
    if partly:
        raise CameraError(f"Several cameras are called {spec}.", remedy=f"Name one of them in full. {_known(cameras)}")
    raise CameraError(
        f"There is no camera and no file called {spec!r}.",
        remedy=f"{_known(cameras)} A video, a picture or idle will do too.",
    )


def _known(cameras: Sequence[CameraInfo]) -> str:
    return f"Cameras here: {', '.join(camera.name for camera in cameras)}." if cameras else "No camera is plugged in."


def _is_path(spec: str) -> bool:
    return len(Path(spec).parts) > 1 and not spec.startswith("/dev/video")


def _existing(spec: str) -> Path | None:
    """The file or folder of that name, if it can be meant: "" would be this folder, and "0" is a camera."""
    if not spec or spec.isdecimal() or spec.startswith("/dev/video"):
        return None
    with contextlib.suppress(OSError, RuntimeError):  # a name too long, a home nobody has
        path = Path(spec).expanduser()
        return path if path.is_file() or path.is_dir() else None
    return None


def _open_path(path: Path) -> FrameSource:
    is_still = path.is_file() and path.suffix.lower() in SUFFIXES and not animation_format(path)
    return Still(path) if is_still else Clip(path)
