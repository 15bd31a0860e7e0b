"""Local web page that shows the avatar with transparency, for OBS's browser source."""

from __future__ import annotations

import collections
import contextlib
import hmac
import logging
import secrets
import struct
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.errors import OutputError
from avatar.frames import Frame, Latest
from avatar.system.message import Message
from avatar.system.ports import quiet_logger, why_not_bound
from avatar.system.program import require

if TYPE_CHECKING:
    from websockets.datastructures import Headers
    from websockets.http11 import Request, Response
    from websockets.sync.server import ServerConnection

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 8973
MOST_VIEWERS = 8
PATH_BYTES = 18  # random bytes in the address

_PAGE = Path(__file__).with_name("browser_page.html")
_JPEG_QUALITY = 90
_IN_FLIGHT = 2  # frames sent and not drawn yet: one in transit while the other is decoded
# Sequence, length of the colour in bytes, width and height of the frame, left and top of the part:
_HEADER = struct.Struct("<IIHHHH")
_INVISIBLE = 5  # alpha up to which the page draws nothing: JPEG adds as much to plain areas
_STEP = 64  # pixels in which the part that is sent grows, so that its size rarely changes
_DRAW_TIMEOUT_S = 10.0  # then the viewer is disconnected; its page reconnects
_POLL_S = 0.5
_SAMPLES = 300


def new_path() -> str:
    """Return an unguessable part of the address."""
    return secrets.token_urlsafe(PATH_BYTES)


class BrowserSource:
    """Server of the page; sends each viewer the newest frame once it has drawn the last ones.

    Anyone with the address sees the avatar, so the path is unguessable, and requests from other computers or from
    pages of another origin are rejected.
    """

    transparent = True

    def __init__(self, port: int = PORT, path: str = "") -> None:
        """Bind the port and start the server thread.

        Args:
            port: on 127.0.0.1; 0 chooses a free one.
            path: of the page, from `new_path`; empty: a new one.
        Raises:
            SetupError: the package `websockets` is missing.
            OutputError: the port is in use or not permitted.
        """
        require("websockets", "The browser source")
        from websockets.sync.server import serve

        self._path = path or new_path()
        self._lock = threading.Lock()
        self._viewers: dict[Latest[_Packed], ServerConnection] = {}
        self._shown: Frame | None = None  # for viewers that connect later
        self._latencies_ms: collections.deque[float] = collections.deque(maxlen=_SAMPLES)
        self._drawn_s: collections.deque[float] = collections.deque(maxlen=_SAMPLES)  # monotonic times of drawn frames
        self._closing = False
        try:
            self._server = serve(
                self._serve, HOST, port, process_request=self._answer, compression=None, max_size=64, open_timeout=5,
                close_timeout=1, server_header=None, logger=quiet_logger(__name__),
            )  # fmt: skip
        except OSError as error:
            raise OutputError(
                Message("Port {port} cannot be used: {why}.", port=port, why=why_not_bound(error)),
                remedy="Close the other program that uses it, or choose another port.",
            ) from error
        self._port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="masque-browser-source", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Address to enter in OBS."""
        return f"http://{HOST}:{self._port}/{self._path}/"

    @property
    def facts(self) -> str:
        """Address, as the description of this output."""
        return self.address

    @property
    def viewers(self) -> int:
        """Number of connected viewers."""
        with self._lock:
            return len(self._viewers)

    def rate(self) -> float:
        """Return the frames per second that all viewers together drew, over the last two seconds."""
        since_s = time.monotonic() - 2
        return sum(each >= since_s for each in list(self._drawn_s)) / 2

    def latency_ms(self, percent: float = 95) -> float | None:
        """Return a percentile of the time from capture until a viewer has drawn the frame; None before the first."""
        values = list(self._latencies_ms)
        return float(np.percentile(values, percent)) if values else None

    def send(self, frame: Frame) -> None:
        """Send a frame to all viewers; it is encoded once, and only if there are viewers."""
        with self._lock:
            self._shown = frame
            inboxes = list(self._viewers)
        if inboxes:
            packed = _Packed(frame)
            for inbox in inboxes:
                inbox.put(packed)

    def close(self) -> None:
        """Disconnect all viewers and release the port; safe to call twice."""
        with self._lock:
            self._closing = True
            viewers = dict(self._viewers)
        for inbox in viewers:
            inbox.close()
        self._server.shutdown()
        for connection in viewers.values():
            with contextlib.suppress(OSError):
                connection.close()
        self._thread.join(2)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Serve the page, accept the frames' connection of a page (None), or reject the request."""
        page, frames = f"/{self._path}/", f"/{self._path}/frames"
        given = request.path.partition("?")[0]
        wanted = next((each for each in (page, frames) if hmac.compare_digest(each.encode(), given.encode())), None)
        here = {f"{HOST}:{self._port}", f"localhost:{self._port}"}
        if wanted is None or request.headers.get("Host") not in here or not _is_here(connection):
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        if wanted == page:
            return self._page(connection)
        if request.headers.get("Origin") not in {f"http://{each}" for each in here}:
            return connection.respond(HTTPStatus.FORBIDDEN, "")
        with self._lock:
            if len(self._viewers) >= MOST_VIEWERS:
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        return None

    def _page(self, connection: ServerConnection) -> Response:
        nonce = secrets.token_urlsafe(12)
        response = connection.respond(HTTPStatus.OK, _PAGE.read_text(encoding="utf-8").replace("NONCE", nonce))
        headers: Headers = response.headers
        del headers["Content-Type"]
        headers["Content-Type"] = "text/html; charset=utf-8"
        headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            f"connect-src ws://{HOST}:{self._port} ws://localhost:{self._port}; frame-ancestors 'none'"
        )
        headers["Cache-Control"] = "no-store"
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    def _serve(self, connection: ServerConnection) -> None:
        """Serve one viewer, on its own thread."""
        from websockets.exceptions import ConnectionClosed

        inbox: Latest[_Packed] = Latest()
        with self._lock:
            if self._closing:
                return
            self._viewers[inbox] = connection
            if self._shown is not None:
                inbox.put(_Packed(self._shown))
        flight = _Flight()
        listening = threading.Thread(
            target=self._take_answers, args=(connection, flight), name="masque-browser-answers", daemon=True
        )
        listening.start()
        try:
            self._feed(connection, inbox, flight)
        except (ConnectionClosed, OSError):
            pass  # disconnected; an open page reconnects
        finally:
            with self._lock:
                self._viewers.pop(inbox, None)
            inbox.close()
            with contextlib.suppress(OSError):
                connection.close()  # which ends the other thread
            listening.join(2)

    def _feed(self, connection: ServerConnection, inbox: Latest[_Packed], flight: _Flight) -> None:
        """Send the newest frame whenever there is room for one. Raises: ConnectionClosed."""
        while not self._closing and flight.wait_for_room(_DRAW_TIMEOUT_S):
            packed = inbox.take(timeout_s=_POLL_S)
            if packed is not None:
                message = packed.message()
                flight.add(packed.frame.published & 0xFFFFFFFF, packed.frame.captured_ns)
                connection.send(message)

    def _take_answers(self, connection: ServerConnection, flight: _Flight) -> None:
        """Note which frames were drawn, as soon as the viewer says so; until it disconnects."""
        try:
            for answer in connection:
                sequence = int.from_bytes(answer[:4], "little") if isinstance(answer, bytes) else -1
                captured_ns = flight.remove(sequence)
                if captured_ns is not None:
                    now_s = time.monotonic()
                    self._drawn_s.append(now_s)
                    self._latencies_ms.append(1000 * now_s - captured_ns * 1e-6)
        except Exception as error:  # outermost frame of the thread; what a viewer sends may be anything
            logger.debug("A viewer's connection failed: %s", error)
        finally:
            flight.end()


class _Flight:
    """Frames that were sent to one viewer and not drawn yet; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._captured_ns: dict[int, int] = {}  # by sequence
        self._ended = False

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until another frame may be sent; False: the viewer draws none in that time, or is gone."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._captured_ns) < _IN_FLIGHT or self._ended, timeout_s)
            return len(self._captured_ns) < _IN_FLIGHT and not self._ended

    def add(self, sequence: int, captured_ns: int) -> None:
        """Note that a frame is sent."""
        with self._changed:
            self._captured_ns[sequence] = captured_ns

    def remove(self, sequence: int) -> int | None:
        """Note that a frame was drawn, and return when it was captured; None: it was not sent."""
        with self._changed:
            self._changed.notify()
            return self._captured_ns.pop(sequence, None)

    def end(self) -> None:
        """Note that the viewer is gone."""
        with self._changed:
            self._ended = True
            self._changed.notify()


class _Packed:
    """Frame as it is sent; encoded once, on first use, by any thread."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._lock = threading.Lock()
        self._message: bytes | None = None

    def message(self) -> bytes:
        """Return the bytes to send: header, colour and alpha."""
        with self._lock:
            if self._message is None:
                self._message = _coded(self.frame)
            return self._message


def _coded(frame: Frame) -> bytes:
    """Return header, colour and alpha of the part of a frame in which anything can be seen."""
    height, width = frame.rgb.shape[:2]
    left, top, right, bottom = (0, 0, width, height) if frame.alpha is None else _visible_part(frame.alpha)
    rgb = frame.rgb[top:bottom, left:right]
    colour = _jpeg(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    alpha = b"" if frame.alpha is None else _jpeg(frame.alpha[top:bottom, left:right])
    return _HEADER.pack(frame.published & 0xFFFFFFFF, len(colour), width, height, left, top) + colour + alpha


def _visible_part(alpha: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the part of an (H, W) matte that is not transparent, in steps."""
    height, width = alpha.shape
    x, y, across, down = cv2.boundingRect(cv2.compare(alpha, _INVISIBLE, cv2.CMP_GT))
    left, top = x // _STEP * _STEP, y // _STEP * _STEP
    right = min(width, -(-max(x + across, left + 1) // _STEP) * _STEP)
    bottom = min(height, -(-max(y + down, top + 1) // _STEP) * _STEP)
    return left, top, right, bottom


def _jpeg(image: Any) -> bytes:
    """Encode an (H, W, 3) BGR or (H, W) uint8 image."""
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise OutputError("The picture could not be encoded as JPEG.", remedy="Choose a smaller size.")
    return bytes(coded.tobytes())


def _is_here(connection: ServerConnection) -> bool:
    """Check that a connection comes from this computer; always so, because the port listens on loopback only."""
    return str(connection.remote_address[0]).startswith("127.")
