"""The virtual camera that calls pick: v4l2loopback on Linux, OBS or UnityCapture on Windows, OBS on macOS.

pyvirtualcam does the work. Its Linux backend gives up at the first device that it may not open, prints write errors
instead of raising them, and takes no notice of a size that the device refused; so there the device is chosen and
watched here.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatar import v4l2
from avatar.errors import OutputError
from avatar.frames import Frame, RgbImage
from avatar.outputs import loopback
from avatar.outputs.base import ChangeRefusedError
from avatar.outputs.canvas import CanvasOptions, compose_frame
from avatar.outputs.test_card import draw_test_card

_WATCH_S = 1.0  # between two looks whether the device is still there
_LOOPBACK = "v4l2loopback"  # pyvirtualcam's name for its Linux backend
_PIXELS = "YU12"  # what pyvirtualcam makes of RGB
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


class VirtualCamera:
    """A PacedOutput: one call in every period, `send` for a new frame and `repeat` where there is none."""

    def __init__(
        self,
        canvas: CanvasOptions | None = None,
        *,
        rate: float = 30,
        device: str | None = None,
        backend: str | None = None,
    ) -> None:
        """Open the device.

        Args:
            canvas: what other programs see; width and height are even.
            rate: calls per second.
            device: /dev/videoN on Linux, a name elsewhere; None: the first that fits, one named Masque before others.
            backend: one of pyvirtualcam's; None: whichever works.
        Raises:
            OutputError: pyvirtualcam or a driver is missing; the device is missing, busy, forbidden or of another size.
        """
        self.canvas, self.rate = canvas or CanvasOptions(), float(rate)
        self._backend = backend
        self._camera: Any = None
        self._frame: Frame | None = None  # sent last
        self._shown: RgbImage
        _check_even(self.canvas)
        self._open(self.canvas, device)

    @property
    def facts(self) -> str:
        """Device, size and rate."""
        return f"{self._camera.device}, {self.canvas.width_px} x {self.canvas.height_px} at {self.rate:g}"

    def send(self, frame: Frame) -> None:
        """Show an avatar frame. Raises: OutputError."""
        self._frame = frame
        self._shown = compose_frame(frame, self.canvas)
        self.repeat()

    def repeat(self) -> None:
        """Show the last frame again, or the test card before the first. Raises: OutputError."""
        self._check_presence()
        self._camera.send(self._shown)

    def use_canvas(self, canvas: CanvasOptions) -> None:
        """Compose on another canvas; only another size closes the device and opens it again.

        Raises:
            ChangeRefusedError: the size is odd or held by a program that looks; it goes on at the old size.
            OutputError: the device cannot be had any more.
        """
        before = self.canvas
        kept = replace(canvas, width_px=before.width_px, height_px=before.height_px)
        if canvas == kept:
            self._compose_on(canvas)
            return
        self._compose_on(kept)
        device = self._camera.device
        try:
            _check_even(canvas)
        except OutputError as error:
            raise ChangeRefusedError(error.what, remedy=error.remedy) from error
        self._camera.close()  # first: it is one device, and one program at a time feeds it
        try:
            self._open(canvas, device)
        except OutputError as error:
            self._open(kept, device)  # so nothing but the new size was in the way
            raise ChangeRefusedError(
                _held(kept.width_px, kept.height_px),
                remedy=f"It goes on at {kept.width_px} x {kept.height_px}. Close its picture there (the call, the "
                "browser tab), then choose the size again.",
            ) from error

    def close(self) -> None:
        """Let go of the device; safe to call twice."""
        if self._camera is not None:
            self._camera.close()

    def _open(self, canvas: CanvasOptions, device: str | None) -> None:
        """Open the device and begin to send at the size of a canvas. Raises: OutputError; then nothing is open."""
        camera = _open(canvas.width_px, canvas.height_px, self.rate, device, self._backend)
        # to be watched; only v4l2loopback's is a file
        self._device = Path(camera.device) if camera.backend == _LOOPBACK else None
        self._looked_s = time.monotonic()
        try:
            _check_format(self._device, canvas)
        except BaseException:
            camera.close()
            raise
        if self._device is not None:
            v4l2.begin_output(self._device)
        self._camera = camera
        self._compose_on(canvas)

    def _compose_on(self, canvas: CanvasOptions) -> None:
        self.canvas = canvas
        if self._frame is None:
            self._shown = draw_test_card(canvas.width_px, canvas.height_px)
        else:
            self._shown = compose_frame(self._frame, canvas)

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
                    f"The virtual camera {self._device} is gone.", remedy=loopback.look().remedy or "Start it again."
                ) from error


def _check_even(canvas: CanvasOptions) -> None:
    width, height = canvas.width_px, canvas.height_px
    if width % 2 or height % 2:
        raise OutputError(
            f"A virtual camera cannot be {width} x {height}: its colours come in squares of two by two.",
            remedy=f"Choose an even size such as {width + width % 2} x {height + height % 2}.",
        )


def _check_format(device: Path | None, canvas: CanvasOptions) -> None:
    """A reader may hold a loopback device in another format; pictures would arrive there in shreds."""
    if device is None:
        return
    with contextlib.suppress(OSError):
        width, height, pixels = v4l2.output_format(device)
        if (width, height, pixels) != (canvas.width_px, canvas.height_px, _PIXELS):
            form = "" if pixels == _PIXELS else f" in the format {pixels}"
            raise OutputError(
                _held(width, height, form),
                remedy="Close its picture there (the call, the browser tab), start again, then open it there.",
            )


def _held(width_px: int, height_px: int, form: str = "") -> str:
    return f"The virtual camera is held at {width_px} x {height_px}{form} by a program that looks at it."


def _open(width: int, height: int, rate: float, device: str | None, backend: str | None) -> Any:
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        raise OutputError(
            "The virtual camera needs the package pyvirtualcam.",
            remedy=f"Install it: {sys.executable} -m pip install pyvirtualcam",
        ) from error
    if backend is not None and backend not in (known := pyvirtualcam.camera.BACKENDS):
        raise OutputError(
            f"There is no kind of virtual camera called {backend} here.", remedy=f"Choose one of: {', '.join(known)}."
        )
    if device is None and backend is None and sys.platform == "linux":
        device = _free_device()
    try:
        return pyvirtualcam.Camera(width, height, rate, device=device, backend=backend)
    except (RuntimeError, ValueError) as error:
        raise explain(str(error), sys.platform) from error


def _free_device() -> str | None:
    """The device to send to; None: there is none, which pyvirtualcam then explains. Raises: OutputError."""
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
    """What a backend's message means, and the command or click that helps on this system.

    Args:
        said: pyvirtualcam's message, a line for each backend that was tried.
        system: as `sys.platform` has it.
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
            remedy=f"Type: {v4l2.JOIN_GROUP}, then log out and in again.",
        )
    is_missing = "does not exist" in said or "No v4l2 loopback device" in said
    meant = tuple(node for node in state.devices if f"{node.path} " in said) or state.devices
    if meant and (is_missing or "not a video output" in said) and loopback.choose(meant) is None:
        return _why_none_is_free(meant)
    if is_missing:
        return OutputError("There is no virtual camera.", remedy=state.remedy or f"Type: {loopback.LOAD}")
    if "busy" in said or "already in use" in said:
        return OutputError(
            "The virtual camera is in use by another program.",
            remedy="Close programs that send to it (OBS, another Masque) and those that look at it, then start again.",
        )
    if "is not a" in said:
        return OutputError(
            "The chosen device is not a virtual camera.", remedy=f"Leave the device out, or make one: {loopback.LOAD}"
        )
    line = said.splitlines()[-1].rstrip(".")
    return OutputError(f"The virtual camera cannot be opened: {line}.", remedy=f"Type: {loopback.RELOAD}")
