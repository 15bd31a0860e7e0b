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
_HEADER = struct.Struct("<II")  # sequence, length of the colour in bytes
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
        try:
            self._feed(connection, inbox)
        except (ConnectionClosed, OSError):
            pass  # disconnected; an open page reconnects
        finally:
            with self._lock:
                self._viewers.pop(inbox, None)
            inbox.close()

    def _feed(self, connection: ServerConnection, inbox: Latest[_Packed]) -> None:
        flying: dict[int, int] = {}  # captured_ns by sequence
        while not self._closing:
            packed = None if len(flying) >= _IN_FLIGHT else inbox.take(timeout_s=_POLL_S)
            if packed is not None:
                sequence = packed.frame.published & 0xFFFFFFFF
                connection.send(packed.message())
                flying[sequence] = packed.frame.captured_ns
            self._take_answers(connection, flying)

    def _take_answers(self, connection: ServerConnection, flying: dict[int, int]) -> None:
        """Record which frames were drawn; block while too many are in flight. Raises: ConnectionClosed."""
        while flying:
            try:
                answer = connection.recv(timeout=_DRAW_TIMEOUT_S if len(flying) >= _IN_FLIGHT else 0)
            except TimeoutError:
                if len(flying) >= _IN_FLIGHT:
                    connection.close()
                return
            sequence = int.from_bytes(answer[:4], "little") if isinstance(answer, bytes) else -1
            captured_ns = flying.pop(sequence, None)
            if captured_ns is not None:
                now_s = time.monotonic()
                self._drawn_s.append(now_s)
                self._latencies_ms.append(1000 * now_s - captured_ns * 1e-6)
        if not flying:
            with contextlib.suppress(TimeoutError):
                connection.recv(timeout=0)  # raises if the viewer has disconnected


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
                frame = self.frame
                colour = _jpeg(frame.rgb[..., ::-1])
                alpha = b"" if frame.alpha is None else _jpeg(frame.alpha)
                self._message = _HEADER.pack(frame.published & 0xFFFFFFFF, len(colour)) + colour + alpha
            return self._message


def _jpeg(image: Any) -> bytes:
    """Encode an (H, W, 3) BGR or (H, W) uint8 image."""
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise OutputError("The picture could not be encoded as JPEG.", remedy="Choose a smaller size.")
    return bytes(coded.tobytes())


def _is_here(connection: ServerConnection) -> bool:
    """Check that a connection comes from this computer; always so, because the port listens on loopback only."""
    return str(connection.remote_address[0]).startswith("127.")
