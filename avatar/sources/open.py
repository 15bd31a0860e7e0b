"""Opening of a source by the user's specification: a camera, a video, a folder of images or a still."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from avatar.errors import CameraError, UsageError
from avatar.images.load import SUFFIXES
from avatar.sources.animated_image import animation_format
from avatar.sources.base import FrameSource
from avatar.sources.camera import Camera
from avatar.sources.camera_list import CameraInfo, list_cameras
from avatar.sources.playback import Clip, Still
from avatar.system import v4l2
from avatar.system.message import Message, together


def open_source(spec: str, *, size: tuple[int, int] = (1280, 720), rate: int = 30) -> FrameSource:
    """Open a driving source.

    Args:
        spec: a camera's number, id, name or unique part of a name, or a path.
        size: width and height to request from a camera.
        rate: frames per second to request from a camera.
    Raises:
        CameraError: there is no such camera, nor a file of that name.
        VideoError, ImageError: the file cannot be used.
        UsageError: it is "idle", which is not a source: the pipeline generates the idle motion.
    """
    if spec == "idle":
        raise UsageError("The idle motion needs no source.", remedy="Leave the camera out.")
    path = _existing(spec)
    if path is None:
        return Camera(find_camera(spec, list_cameras()), size=size, rate=rate)
    return _open_path(path)


def check_source(spec: str, *, remembered: str = "") -> None:
    """Refuse an unusable file, and a name that matches neither a camera nor a file.

    Args:
        spec: as for `open_source`; "idle" and "voice" are allowed.
        remembered: the camera used last; accepted even if it is missing, because it may be plugged in again.
    Raises:
        CameraError: there is no such camera here, nor a file of that name.
        VideoError, ImageError: the file cannot be used.
    """
    if spec in ("idle", "voice"):
        return
    if (path := _existing(spec)) is not None:
        _open_path(path).close()
    elif spec != remembered or _is_path(spec):
        cameras = list_cameras()
        camera = find_camera(spec, cameras)
        # Only Linux lists all numbers; cameras that only OpenCV finds have a node there, too.
        if camera not in cameras and sys.platform == "linux" and not (v4l2.DEVICES / f"video{camera.index}").exists():
            raise CameraError(Message("There is no camera number {index}.", index=camera.index), remedy=_known(cameras))


def find_camera(spec: str, cameras: Sequence[CameraInfo]) -> CameraInfo:
    """Find a camera by number, id, name or part of a name.

    A number need not be in the list, because some virtual cameras are found by OpenCV only.

    Raises:
        CameraError: none matches, or several do.
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
        raise CameraError(
            Message("Several cameras are called {spec}.", spec=spec),
            remedy=together("Name one of them in full.", _known(cameras)),
        )
    raise CameraError(
        Message("There is no camera and no file called {spec!r}.", spec=spec),
        remedy=together(_known(cameras), "A video, a picture or idle motion works too."),
    )


def _known(cameras: Sequence[CameraInfo]) -> str:
    return (
        Message("Cameras here: {names}.", names=", ".join(camera.name for camera in cameras))
        if cameras
        else "No camera is plugged in."
    )


def _is_path(spec: str) -> bool:
    return len(Path(spec).parts) > 1 and not spec.startswith("/dev/video")


def _existing(spec: str) -> Path | None:
    """Return the file or folder of that name, if it exists; None for "" (this folder) and "0" (a camera)."""
    if not spec or spec.isdecimal() or spec.startswith("/dev/video"):
        return None
    with contextlib.suppress(OSError, RuntimeError):  # the name is too long, or the home folder is unknown
        path = Path(spec).expanduser()
        return path if path.is_file() or path.is_dir() else None
    return None


def _open_path(path: Path) -> FrameSource:
    is_still = path.is_file() and path.suffix.lower() in SUFFIXES and not animation_format(path)
    return Still(path) if is_still else Clip(path)
