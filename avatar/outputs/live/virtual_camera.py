"""The virtual camera for calls: v4l2loopback on Linux, OBS or UnityCapture on Windows, OBS on macOS.

It uses pyvirtualcam, whose Linux backend stops at the first device that may not be opened, prints write errors instead
of raising them, and ignores that a device refused a size. On Linux the device is therefore chosen and checked here.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from pathlib import Path
from typing import Any

from avatar.errors import OutputError
from avatar.frames import Frame, RgbImage
from avatar.outputs.base import ChangeRefusedError
from avatar.outputs.live import loopback
from avatar.outputs.live.card import draw_test_card
from avatar.system import v4l2
from avatar.system.message import Message
from avatar.system.program import how_to_install

_WATCH_S = 1.0  # interval of checks whether the device still exists
_LOOPBACK = "v4l2loopback"  # pyvirtualcam's name for its Linux backend
_PIXELS = "YU12"  # pyvirtualcam's output format for RGB
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


class VirtualCamera:
    """A PacedOutput: one call in every period, `send` for a new frame and `repeat` otherwise."""

    def __init__(
        self,
        size: tuple[int, int] = (1280, 720),
        *,
        rate: float = 30,
        device: str | None = None,
        backend: str | None = None,
        named: str = "",
    ) -> None:
        """Open the device.

        Args:
            size: (width, height) for other programs; both are even.
            rate: calls per second.
            device: /dev/videoN on Linux, a name elsewhere; None: the first suitable one, preferably ours.
            backend: one of pyvirtualcam's; None: the first that works.
            named: the device by a name of `loopback.named` or its path, on Linux; empty: any.
        Raises:
            OutputError: pyvirtualcam or a driver is missing; the device is missing, busy, forbidden or of another size.
        """
        self.size, self.rate = size, float(rate)
        self._backend = backend
        self._camera: Any = None
        self._shown: RgbImage | None = None  # last sent image; None: the test card
        _check_even(size)
        if named and sys.platform == "linux":
            device = str(loopback.find(loopback.look().devices, named))
        self._open(size, device)

    @property
    def facts(self) -> str:
        """Description of device, size and rate."""
        return Message(
            "{device}, {width} x {height} at {rate:g}",
            device=self._camera.device,
            width=self.size[0],
            height=self.size[1],
            rate=self.rate,
        )

    def send(self, frame: Frame) -> None:
        """Show a frame of the camera's size. Raises: OutputError."""
        self._shown = frame.rgb
        self.repeat()

    def repeat(self) -> None:
        """Show the last frame again, or the test card before the first. Raises: OutputError."""
        self._check_presence()
        self._camera.send(draw_test_card(*self.size) if self._shown is None else self._shown)

    def resize(self, size: tuple[int, int]) -> None:
        """Close the device and open it again at another size; it shows the test card until the next frame.

        Raises:
            ChangeRefusedError: the size is odd, or fixed by a program that reads; the old size and the last frame stay.
            OutputError: the device cannot be opened again.
        """
        before, device = self.size, self._camera.device
        try:
            _check_even(size)
        except OutputError as error:
            raise ChangeRefusedError(error.what, remedy=error.remedy) from error
        self._camera.close()  # first, because the device admits only one sender
        try:
            self._open(size, device)
        except OutputError as error:
            self._open(before, device)  # so only the new size was the problem
            raise ChangeRefusedError(
                _held(*before),
                remedy=Message(
                    "It stays at {width} x {height}. Close its picture there (the call, the browser tab), then "
                    "choose the size again.",
                    width=before[0],
                    height=before[1],
                ),
            ) from error
        self._shown = None

    def close(self) -> None:
        """Release the device; safe to call twice."""
        if self._camera is not None:
            self._camera.close()

    def _open(self, size: tuple[int, int], device: str | None) -> None:
        """Open the device and start sending at a size. Raises: OutputError, leaving nothing open."""
        camera = _open(*size, self.rate, device, self._backend)
        # to be checked for presence; only v4l2loopback's is a file
        self._device = Path(camera.device) if camera.backend == _LOOPBACK else None
        self._looked_s = time.monotonic()
        try:
            _check_format(self._device, size)
        except BaseException:
            camera.close()
            raise
        if self._device is not None:
            v4l2.begin_output(self._device)
        self._camera, self.size = camera, size

    def _check_presence(self) -> None:
        now_s = time.monotonic()
        if self._device is None or now_s - self._looked_s < _WATCH_S:
            return
        self._looked_s = now_s
        try:
            v4l2.query_node(self._device)
        except OSError as error:
            if error.errno in _GONE:
                raise OutputError(
                    Message("The virtual camera {device} is gone.", device=self._device),
                    remedy=loopback.look().remedy or "Start it again.",
                ) from error


def _check_even(size: tuple[int, int]) -> None:
    width, height = size
    if width % 2 or height % 2:
        raise OutputError(
            Message(
                "A virtual camera cannot be {width} x {height}: both sides must be even.",
                width=width,
                height=height,
            ),
            remedy=Message(
                "Choose an even size such as {width} x {height}.", width=width + width % 2, height=height + height % 2
            ),
        )


def _check_format(device: Path | None, size: tuple[int, int]) -> None:
    """Refuse a device that a reader holds in another format, in which images would arrive garbled."""
    if device is None:
        return
    with contextlib.suppress(OSError):
        width, height, pixels = v4l2.output_format(device)
        if (width, height, pixels) != (*size, _PIXELS):
            form = "" if pixels == _PIXELS else pixels
            raise OutputError(
                _held(width, height, form),
                remedy="Close its picture there (the call, the browser tab), start again, then open it there.",
            )


def _held(width_px: int, height_px: int, form: str = "") -> str:
    size = {"width": width_px, "height": height_px}
    if form:
        return Message(
            "The virtual camera is held at {width} x {height} in the format {form} by a program that reads it.",
            **size,
            form=form,
        )
    return Message("The virtual camera is held at {width} x {height} by a program that reads it.", **size)


def _open(width: int, height: int, rate: float, device: str | None, backend: str | None) -> Any:
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        raise OutputError(
            "The virtual camera needs the package pyvirtualcam.",
            remedy=how_to_install("pyvirtualcam"),
        ) from error
    if backend is not None and backend not in (known := pyvirtualcam.camera.BACKENDS):
        raise OutputError(
            Message("There is no kind of virtual camera called {backend} here.", backend=backend),
            remedy=Message("Choose one of: {names}.", names=", ".join(known)),
        )
    if device is None and backend is None and sys.platform == "linux":
        device = _free_device()
    try:
        return pyvirtualcam.Camera(width, height, rate, device=device, backend=backend)
    except (RuntimeError, ValueError) as error:
        raise explain(str(error), sys.platform) from error


def _free_device() -> str | None:
    """Return the device to send to; None if there is none, which pyvirtualcam then reports. Raises OutputError."""
    devices = loopback.look().devices
    chosen = loopback.choose(devices)
    if chosen is not None or not devices:
        return None if chosen is None else str(chosen)
    raise _why_none_is_free(devices)


def _why_none_is_free(devices: tuple[v4l2.VideoNode, ...]) -> OutputError:
    stuck = [node for node in devices if loopback.use_of(node) is loopback.Use.STUCK]
    if stuck:
        return loopback.stuck(stuck[0].path)
    return OutputError(
        "Another program already sends to the virtual camera.", remedy="Close it: OBS, or another Masque."
    )


def explain(said: str, system: str) -> OutputError:
    """Translate a backend's message into an error with a remedy for this system.

    Args:
        said: pyvirtualcam's message, a line for each backend that was tried.
        system: the value of `sys.platform`.
    """
    if system == "linux":
        return _explain_linux(said)
    if "could not be started" in said or "already in use" in said or "Multiple cameras" in said:
        return OutputError(
            "The virtual camera is in use by another program.",
            remedy="In OBS click Stop Virtual Camera, close other programs that send to it, and start again.",
        )
    if system == "darwin":
        return OutputError(
            "There is no virtual camera: OBS has not installed its own.",
            remedy="Install OBS 30 or later from obsproject.com, click Start Virtual Camera in it once, allow it in "
            "System Settings > General > Login Items & Extensions > Camera Extensions, and restart the Mac.",
        )
    return OutputError(
        "There is no virtual camera: neither OBS nor UnityCapture is installed.",
        remedy="Install OBS from obsproject.com, click Start Virtual Camera in it once, then Stop Virtual Camera, "
        "and start again.",
    )


def _explain_linux(said: str) -> OutputError:
    state = loopback.look()
    if "missing permissions" in said:
        return OutputError(
            "The virtual camera may not be opened by this user.",
            remedy=Message("Type: {command}, then log out and in again.", command=v4l2.JOIN_GROUP),
        )
    is_missing = "does not exist" in said or "No v4l2 loopback device" in said
    meant = tuple(node for node in state.devices if f"{node.path} " in said) or state.devices
    if meant and (is_missing or "not a video output" in said) and loopback.choose(meant) is None:
        return _why_none_is_free(meant)
    if is_missing:
        return OutputError(
            "There is no virtual camera.", remedy=state.remedy or Message("Type: {command}", command=loopback.LOAD)
        )
    if "busy" in said or "already in use" in said:
        return OutputError(
            "The virtual camera is in use by another program.",
            remedy="Close programs that send to it (OBS, another Masque) and those that read it, then start again.",
        )
    if "is not a" in said:
        return OutputError(
            "The chosen device is not a virtual camera.",
            remedy=Message("Leave the device out, or make one: {command}", command=loopback.LOAD),
        )
    line = said.splitlines()[-1].rstrip(".")
    return OutputError(
        Message("The virtual camera cannot be opened: {line}.", line=line),
        remedy=Message("Type: {command}", command=loopback.RELOAD),
    )
