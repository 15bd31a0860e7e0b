"""A camera, opened and read on its own thread because drivers may hang; only the newest frame is kept."""

from __future__ import annotations

import collections
import sys
import threading
import time
from pathlib import Path
from typing import Any

from avatar.cv import cv2
from avatar.errors import CameraError
from avatar.frames import Frame, LatestFrame, RgbImage
from avatar.sources.base import SourceFacts
from avatar.sources.camera_list import CameraInfo
from avatar.system import v4l2
from avatar.system.message import Message, together

USUAL_SIZE = (1280, 720)  # requested unless another is chosen
FIRST_S = 6.0  # limit from opening to the first frame; slow cameras take three
SILENT_S = 2.0  # limit between two frames
BLACK_S = 3.0  # limit of black frames; cameras begin with a few
_BLACK = 4.0  # mean level below which a frame is black; a dark room is brighter
_SIGNAL_S = 1.0  # interval of checks of inputs that can lose their signal
_FAILING_S = 0.5  # limit of failed reads; single damaged frames are tolerated
_RATED_OVER = 45  # number of frames over which the rate is measured
_RAW_BYTES_PER_S = 40e6  # capacity of USB 2; above it JPEG is needed
_BACKENDS = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
_SHARED = "Close other programs that use it (a call, a browser tab, another Masque), or choose another camera."


class Camera:
    """One camera. Construction returns at once; `read` reports errors."""

    def __init__(self, info: CameraInfo, *, size: tuple[int, int] = USUAL_SIZE, rate: int = 30) -> None:
        """Start opening the camera.

        Args:
            info: the camera.
            size: requested width and height; the camera may deliver another size.
            rate: requested frames per second.
        """
        self.name, self._info = info.name, info
        self._asked = (*size, rate)
        self._size = size
        self._times_ns: collections.deque[int] = collections.deque(maxlen=_RATED_OVER)
        self._inbox = LatestFrame()
        self._stopping = threading.Event()
        self._error: CameraError | None = None
        self._notes: tuple[str, ...] = ()
        self._seen, self._bright = False, False  # whether a frame has arrived, and one that is not black
        self._dark_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="masque-camera", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> SourceFacts:
        """Size, measured rate, and notes on what was requested in vain; before the first frames the request itself."""
        times_ns = list(self._times_ns)
        rate = (len(times_ns) - 1) * 1e9 / (times_ns[-1] - times_ns[0]) if len(times_ns) >= 10 else None
        return SourceFacts(*self._size, rate, self._notes)

    def read(self) -> Frame:
        """Wait for the newest unread frame.

        Raises:
            CameraError: the camera is missing, forbidden, busy or unplugged; it has no signal, sends no frames, or
                only black ones.
        """
        while True:
            frame = self._inbox.take(SILENT_S if self._seen else FIRST_S)
            if frame is None:
                raise self._error or self._silence()
            self._seen = True
            if self._shows_something(frame.rgb):
                return frame

    def interrupt(self) -> None:
        """Interrupt a `read` that waits; thread-safe, returns at once."""
        self._stopping.set()
        self._inbox.close()

    def close(self) -> None:
        """Release the device, once its driver returns if it hangs; safe to call twice."""
        self.interrupt()
        self._thread.join(1.0)

    def _shows_something(self, rgb: RgbImage) -> bool:
        """Return whether to deliver (H, W, 3) uint8 RGB. Black is delivered only for a while after a bright frame."""
        now_s = time.monotonic()
        if rgb[::16, ::16].mean() >= _BLACK:
            self._dark_since_s, self._bright = None, True
            return True
        self._dark_since_s = self._dark_since_s or now_s
        if now_s - self._dark_since_s > BLACK_S:
            raise CameraError(
                Message("{name} sends only black pictures.", name=self.name),
                remedy="Open its shutter or cover, switch it on with the keyboard's camera key, or turn on a light.",
            )
        return self._bright

    def _silence(self) -> CameraError:
        if self._stopping.is_set():
            return CameraError(Message("{name} was closed.", name=self.name), remedy="Choose it again.")
        if not _is_plugged_in(self._info):
            return CameraError(
                Message("{name} was unplugged.", name=self.name), remedy="Plug it in again, or choose another camera."
            )
        if not self._seen:
            return CameraError(
                Message("{name} opened but sent no picture for {seconds:.0f} s.", name=self.name, seconds=FIRST_S),
                remedy=_SHARED,
            )
        return CameraError(
            Message("{name} stopped sending.", name=self.name),
            remedy="Masque keeps trying; if it does not come back, unplug it and plug it back in.",
        )

    def _run(self) -> None:
        try:
            capture = _open(self._info, *self._asked)
            try:
                self._grab(capture)
            finally:
                capture.release()
        except CameraError as error:
            self._error = error
        except Exception as error:  # raised again on the reading thread
            self._error = CameraError(Message("{name} failed: {error}.", name=self.name, error=error), remedy=_SHARED)
        finally:
            self._inbox.close()

    def _missed(self, told_rate: float) -> tuple[str, ...]:
        """Return a note if the camera delivers another size than requested, or by what its driver says a lower rate."""
        *asked, rate = self._asked
        width, height = self._size
        if (width, height) != tuple(asked):
            if tuple(asked) == USUAL_SIZE:  # nobody asked for it
                return ()
            return (
                Message(
                    "{name} has no {asked_width} x {asked_height}; it sends {width} x {height}.",
                    name=self.name, asked_width=asked[0], asked_height=asked[1], width=width, height=height,
                ),
            )  # fmt: skip
        if 0 < told_rate < 0.9 * rate and sys.platform == "linux":  # elsewhere drivers state no rate
            return (
                Message(
                    "{name} sends at most {rate:.0f} frames per second at {width} x {height}, not {asked}.",
                    name=self.name, rate=told_rate, width=width, height=height, asked=rate,
                ),
            )  # fmt: skip
        return ()

    def _grab(self, capture: Any) -> None:
        sequence, failing_since_s = 0, None
        watched, looked_s = _check_signal(self._info), time.monotonic()
        while not self._stopping.is_set():
            if watched and time.monotonic() - looked_s > _SIGNAL_S:
                _check_signal(self._info)
                looked_s = time.monotonic()
            grabbed = capture.grab()
            captured_ns = time.monotonic_ns()
            done, bgr = capture.retrieve() if grabbed else (False, None)
            if not done or bgr is None:
                now_s = time.monotonic()
                failing_since_s = failing_since_s or now_s
                if now_s - failing_since_s > _FAILING_S:
                    raise self._silence()
                self._stopping.wait(0.01)
                continue
            failing_since_s = None
            self._size = (bgr.shape[1], bgr.shape[0])
            if sequence == 0:
                self._notes = self._missed(float(capture.get(cv2.CAP_PROP_FPS)))
            self._times_ns.append(captured_ns)
            self._inbox.put(Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), sequence, captured_ns))
            sequence += 1


def _open(info: CameraInfo, width: int, height: int, rate: int) -> Any:
    # OpenCV repeats its warnings at every attempt, and ours are more specific.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(info.index, _BACKENDS.get(sys.platform, cv2.CAP_ANY))
    if not capture.isOpened():
        capture.release()
        raise _refused(info)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    _ask_for(capture, width, height, rate)
    if _is_too_slow(capture, width, height, rate):
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        _ask_for(capture, width, height, rate)
    return capture


def _check_signal(info: CameraInfo) -> bool:
    """Raise CameraError for an input without a signal, which delivers noise; return whether it may lose one."""
    signal = v4l2.has_signal(_path_of(info)) if sys.platform == "linux" else None
    if signal is False:
        raise CameraError(
            Message("{name} has no signal.", name=info.name),
            remedy="Switch on what is connected to it and check the cable, or choose another camera.",
        )
    return signal is not None


def _ask_for(capture: Any, width: int, height: int, rate: int) -> None:
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    capture.set(cv2.CAP_PROP_FPS, rate)


def _is_too_slow(capture: Any, width: int, height: int, rate: int) -> bool:
    """Return whether raw video is too slow or too small. Only V4L2 states rates; elsewhere the USB speed decides."""
    if sys.platform != "linux":
        return width * height * 2 * rate > _RAW_BYTES_PER_S
    told = float(capture.get(cv2.CAP_PROP_FPS))
    return 0 < told < 0.9 * rate or float(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) < width


def _path_of(info: CameraInfo) -> Path:
    return v4l2.DEVICES / f"video{info.index}"


def _is_plugged_in(info: CameraInfo) -> bool:
    """Return whether the system still lists the camera; True where that cannot be checked cheaply."""
    if sys.platform != "linux":
        return True
    try:
        v4l2.query_node(_path_of(info))
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _refused(info: CameraInfo) -> CameraError:
    """Return the error, with its cause, for a camera that did not open."""
    what: str = Message("{name} cannot be opened.", name=info.name)
    remedy = _SHARED
    if sys.platform == "darwin":
        remedy = together("Allow its use in System Settings > Privacy & Security > Camera.", _SHARED)
    elif sys.platform == "win32":
        remedy = together("Allow desktop apps in Settings > Privacy & security > Camera.", _SHARED)
    else:
        what, remedy = _refused_by_linux(info)
    return CameraError(what, remedy=remedy)


def _refused_by_linux(info: CameraInfo) -> tuple[str, str]:
    path = _path_of(info)
    try:
        v4l2.query_node(path)
    except FileNotFoundError:
        return Message("{name} is not plugged in.", name=info.name), "Plug it in, or choose another camera."
    except PermissionError:
        what = Message("{name} may not be opened by this user.", name=info.name)
        return what, Message("Type: {command}, then log out and in again.", command=v4l2.JOIN_GROUP)
    except OSError as error:
        return Message("{name} cannot be opened: {why}.", name=info.name, why=error.strerror), _SHARED
    if v4l2.is_busy(path):
        return Message("{name} is in use by another program.", name=info.name), _SHARED
    return (
        Message("{name} opens but offers no pictures that can be read here.", name=info.name),
        "Choose another camera; some have two entries in the list, and one of them works.",
    )
