"""A camera: opened and read on a thread of its own, because drivers hang, and only the newest frame is kept."""

from __future__ import annotations

import collections
import sys
import threading
import time
from pathlib import Path
from typing import Any

from avatar import v4l2
from avatar.cv import cv2
from avatar.errors import CameraError
from avatar.frames import Frame, LatestFrame, RgbImage
from avatar.sources.base import SourceFacts
from avatar.sources.camera_list import CameraInfo

FIRST_S = 6.0  # from opening to the first picture; slow ones warm up for three
SILENT_S = 2.0  # between two pictures
BLACK_S = 3.0  # of black pictures; cameras begin with a few
_BLACK = 4.0  # mean level below which a picture shows nothing; a dark room is brighter
_SIGNAL_S = 1.0  # between two looks whether an input that can lose its signal has one
_FAILING_S = 0.5  # of refused reads: a damaged picture now and then is not the end
_RATED_OVER = 45  # frames
_RAW_BYTES_PER_S = 40e6  # what USB 2 carries; more pixels need JPEG
_BACKENDS = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
_SHARED = "Close other programs that use it (a call, a browser tab, another Masque), or choose another camera."


class Camera:
    """One camera. Returns at once; what is wrong with it is told by `read`."""

    def __init__(self, info: CameraInfo, *, size: tuple[int, int] = (1280, 720), rate: int = 30) -> None:
        """Begin to open it.

        Args:
            info: which one.
            size: width and height to ask for; the camera may have its own mind.
            rate: pictures per second to ask for.
        """
        self.name, self._info = info.name, info
        self._asked = (*size, rate)
        self._size = size
        self._times_ns: collections.deque[int] = collections.deque(maxlen=_RATED_OVER)
        self._inbox = LatestFrame()
        self._stopping = threading.Event()
        self._error: CameraError | None = None
        self._seen, self._bright = False, False  # a picture so far; one that shows something
        self._dark_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="masque-camera", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> SourceFacts:
        """Size and measured rate; before the first pictures what was asked for, and None."""
        times_ns = list(self._times_ns)
        rate = (len(times_ns) - 1) * 1e9 / (times_ns[-1] - times_ns[0]) if len(times_ns) >= 10 else None
        return SourceFacts(*self._size, rate)

    def read(self) -> Frame:
        """Wait for the newest picture that was not read yet.

        Raises:
            CameraError: it is missing, forbidden, busy or unplugged; it has no signal; it sends nothing, nothing more,
                or black.
        """
        while True:
            frame = self._inbox.take(SILENT_S if self._seen else FIRST_S)
            if frame is None:
                raise self._error or self._silence()
            self._seen = True
            if self._shows_something(frame.rgb):
                return frame

    def interrupt(self) -> None:
        """End a `read` that waits; from any thread, at once."""
        self._stopping.set()
        self._inbox.close()

    def close(self) -> None:
        """Let go of the device; one whose driver hangs goes when the driver returns. Safe to call twice."""
        self.interrupt()
        self._thread.join(1.0)

    def _shows_something(self, rgb: RgbImage) -> bool:
        """Whether a picture is to be handed out: black ones only for a while, and none before the first other one."""
        now_s = time.monotonic()
        if rgb[::16, ::16].mean() >= _BLACK:
            self._dark_since_s, self._bright = None, True
            return True
        self._dark_since_s = self._dark_since_s or now_s
        if now_s - self._dark_since_s > BLACK_S:
            raise CameraError(
                f"{self.name} sends only black pictures.",
                remedy="Open its shutter or cover, switch it on with the keyboard's camera key, or turn on a light.",
            )
        return self._bright

    def _silence(self) -> CameraError:
        if self._stopping.is_set():
            return CameraError(f"{self.name} was closed.", remedy="Choose it again.")
        if not _is_plugged_in(self._info):
            return CameraError(f"{self.name} was unplugged.", remedy="Plug it in again, or choose another camera.")
        if not self._seen:
            return CameraError(f"{self.name} opened but sent no picture for {FIRST_S:.0f} s.", remedy=_SHARED)
        return CameraError(
            f"{self.name} stopped sending.",
            remedy="Masque goes on trying; if it does not come back, unplug it and plug it back in.",
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
        except Exception as error:  # outermost frame of the thread: handed to the one that reads
            self._error = CameraError(f"{self.name} failed: {error}.", remedy=_SHARED)
        finally:
            self._inbox.close()

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
            self._times_ns.append(captured_ns)
            self._inbox.put(Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), sequence, captured_ns))
            sequence += 1


def _open(info: CameraInfo, width: int, height: int, rate: int) -> Any:
    # OpenCV's warnings come in threes at every try, and say less than ours.
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
            f"{info.name} has no signal.",
            remedy="Switch on what is connected to it and check the cable, or choose another camera.",
        )
    return signal is not None


def _ask_for(capture: Any, width: int, height: int, rate: int) -> None:
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    capture.set(cv2.CAP_PROP_FPS, rate)


def _is_too_slow(capture: Any, width: int, height: int, rate: int) -> bool:
    """Whether raw pictures come too seldom or too small. Only V4L2 says how often; elsewhere the cable decides."""
    if sys.platform != "linux":
        return width * height * 2 * rate > _RAW_BYTES_PER_S
    told = float(capture.get(cv2.CAP_PROP_FPS))
    return 0 < told < 0.9 * rate or float(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) < width


def _path_of(info: CameraInfo) -> Path:
    return v4l2.DEVICES / f"video{info.index}"


def _is_plugged_in(info: CameraInfo) -> bool:
    """Whether the system still knows it; True where it cannot be asked in passing."""
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
    """Why a camera did not open."""
    what, remedy = f"{info.name} cannot be opened.", _SHARED
    if sys.platform == "darwin":
        remedy = f"Allow its use in System Settings > Privacy & Security > Camera. {_SHARED}"
    elif sys.platform == "win32":
        remedy = f"Allow desktop apps in Settings > Privacy & security > Camera. {_SHARED}"
    else:
        what, remedy = _refused_by_linux(info)
    return CameraError(what, remedy=remedy)


def _refused_by_linux(info: CameraInfo) -> tuple[str, str]:
    path = _path_of(info)
    try:
        v4l2.query_node(path)
    except FileNotFoundError:
        return f"{info.name} is not plugged in.", "Plug it in, or choose another camera."
    except PermissionError:
        return f"{info.name} may not be opened by this user.", f"Type: {v4l2.JOIN_GROUP}, then log out and in again."
    except OSError as error:
        return f"{info.name} cannot be opened: {error.strerror}.", _SHARED
    if v4l2.is_busy(path):
        return f"{info.name} is in use by another program.", _SHARED
    return (
        f"{info.name} opens but offers no pictures that can be read here.",
        "Choose another camera; some have two entries in the list, and one of them works.",
    )
