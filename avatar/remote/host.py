"""The host: listens for clients, admits as many as it can draw for, and drains when it is to end.

Each connection has its own thread, from the WebSocket library; see `session` for the others. What it tells names
nobody: sessions are numbers.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from avatar.errors import OutputError
from avatar.remote.identity import Address
from avatar.remote.protocol import (
    ENGINES,
    MAX_UP_BYTES,
    NONCE_BYTES,
    VERSION,
    Challenge,
    Hello,
    ProtocolError,
    Refusal,
    Refused,
    RefusedError,
    Welcome,
    close_reason,
    encode,
    proof_of,
    read_from_client,
)
from avatar.remote.seats import Seated, Seats
from avatar.system.message import Message
from avatar.system.ports import quiet_logger, why_not_bound
from avatar.system.program import require

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import ServerConnection

HELLO_S = 5.0  # for TLS and the HTTP request, then for the first message
MOST_STRANGERS = 16  # connections that have not proved anything yet
PING_S = 5.0
_SEND_BUFFER_BYTES = 1024 * 1024  # holds what may be in flight, so that sending does not wait for a slow link
_REASONS = {
    Refusal.VERSION: "another version", Refusal.TOKEN: "a wrong token", Refusal.FULL: "no room",
    Refusal.MALFORMED: "a message that is none", Refusal.ORDER: "messages in a wrong order",
    Refusal.REPLAY: "a message that came twice", Refusal.RATE: "too much at a time", Refusal.SLOW: "too slow",
    Refusal.ENDING: "the host ends", Refusal.FAILED: "drawing failed",
    Refusal.SIZE: "a message that is too large",
}  # fmt: skip


class Host:
    """A listening host; thread-safe."""

    def __init__(
        self,
        address: Address,
        token: str,
        seats: Seats,
        *,
        tls: tuple[ssl.SSLContext, str] | None = None,
        most: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Bind the port and start the thread that listens.

        Args:
            address: to listen at; port 0 chooses a free one.
            token: that clients must know.
            seats: what draws for the sessions.
            tls: context and fingerprint of the certificate; None: in the clear, for this machine only.
            most: number of sessions at a time; None: as many as there are seats.
            tell: receives lines for the host's log.
        Raises:
            SetupError: the package `websockets` is missing.
            OutputError: the port is in use or not permitted.
        """
        require("websockets", "A host")
        from websockets.sync.server import serve

        if tls is None and not address.is_here:
            raise ValueError("beyond this machine a host needs a certificate")
        self._token, self._seats, self._tell = token, seats, tell
        context, self._fingerprint = tls or (None, "")
        self._most = most
        self._lock = threading.Lock()
        self._sessions: dict[int, Seated | None] = {}  # None: it is being given a seat
        self._numbers = self._strangers = 0
        self._heard: set[int] = set()  # threads whose connection got through the WebSocket handshake
        self._is_draining = False
        try:
            self._server = serve(
                self._serve, sock=listen(address), ssl=context, process_request=self._answer, compression=None,
                max_size=MAX_UP_BYTES, max_queue=32, open_timeout=HELLO_S, close_timeout=1, ping_interval=PING_S,
                ping_timeout=2 * PING_S, server_header=None, logger=quiet_logger(__name__),
            )  # fmt: skip
        except OSError as error:
            raise OutputError(
                Message("{address} cannot be listened at: {why}.", address=address, why=why_not_bound(error)),
                remedy="End the other program that uses it, or choose another with --listen.",
            ) from error
        self._inner, self._server.handler = self._server.handler, self._accept
        self.address = Address(address.host, int(self._server.socket.getsockname()[1]))
        self._thread = threading.Thread(target=self._server.serve_forever, name="masque-host", daemon=True)
        self._thread.start()

    @property
    def sessions(self) -> int:
        """Number of sessions at present."""
        with self._lock:
            return len(self._sessions)

    def room(self) -> int:
        """Return how many sessions this host holds at present speed."""
        found = self._seats.count()
        return found if self._most is None else min(found, self._most)

    def drain(self, timeout_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Refuse new sessions, and wait until the present ones end, `hurry` says so, or the time is up."""
        with self._lock:
            self._is_draining = True
        until_s = time.monotonic() + timeout_s
        while self.sessions and time.monotonic() < until_s and not hurry():
            time.sleep(0.05)

    def close(self) -> None:
        """End all sessions and release the port; safe to call twice."""
        with self._lock:
            self._is_draining = True
            sessions = [each for each in self._sessions.values() if each is not None]
        for session in sessions:
            session.end(Refusal.ENDING)
        self._server.shutdown()
        self._thread.join(5)

    def _accept(self, sock: socket.socket, address: Any) -> None:
        """Handle a new connection on its own thread, unless too many strangers are connected."""
        with self._lock:
            self._strangers += 1
            too_many = self._strangers - len(self._sessions) > MOST_STRANGERS
        try:
            if too_many:
                with self._server.lock:
                    self._server.handler_threads.discard(threading.current_thread())
                sock.close()
                return
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            self._inner(sock, address)
            if threading.get_ident() not in self._heard:
                self._tell("a connection: refused, because it did not ask in time, or as a client does")
        finally:
            with self._lock:
                self._strangers -= 1
                self._heard.discard(threading.get_ident())

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse web pages, which always name their origin, and other paths."""
        if request.path != "/" or "Origin" in request.headers:
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        return None

    def _serve(self, connection: ServerConnection) -> None:
        """Serve one client, on its own thread."""
        from websockets.exceptions import ConnectionClosed

        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._heard.add(threading.get_ident())
        try:
            hello, welcome = self._check(connection)
            if hello.only_asks:
                room = self.room()
                with self._lock:
                    self._check_room(room)
                connection.send(encode(welcome))
                return
            self._hold(connection, number, welcome)
        except TimeoutError:
            self._refuse(connection, number, Refusal.SLOW)
        except ProtocolError as error:
            self._refuse(connection, number, error.refusal)
        except (ConnectionClosed, OSError) as error:
            refusal = close_reason(error) if isinstance(error, ConnectionClosed) else None
            why = "left before it had said anything" if refusal is None else f"refused for {_REASONS[refusal]}"
            self._tell(f"connection {number}: {why}")

    def _check(self, connection: ServerConnection) -> tuple[Hello, Welcome]:
        """Check that the client knows the token. Raises: ProtocolError, TimeoutError, ConnectionClosed."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        connection.send(encode(Challenge(VERSION, nonce)))
        hello = read_from_client(connection.recv(HELLO_S))
        if not isinstance(hello, Hello):
            raise ProtocolError(Refusal.ORDER)
        nonces = nonce + hello.nonce
        if not hmac.compare_digest(hello.proof, proof_of(self._token, "client", nonces, self._fingerprint)):
            raise ProtocolError(Refusal.TOKEN)
        drawing = self._seats.drawing
        return hello, Welcome(
            proof_of(self._token, "host", nonces, self._fingerprint),
            ENGINES.index(drawing.engine), drawing.points, drawing.extractor, "",
        )  # fmt: skip

    def _hold(self, connection: ServerConnection, number: int, welcome: Welcome) -> None:
        """Hold a session. Raises: ProtocolError: there is no room."""
        room = self.room()
        with self._lock:
            self._check_room(room)
            self._sessions[number] = None
        try:
            session = self._take_seat(connection, number)
            with self._lock:
                self._sessions[number] = session
                is_late = self._is_draining
            try:
                if is_late:
                    raise ProtocolError(Refusal.ENDING)
                connection.send(encode(replace(welcome, device=session.device)))
            except BaseException:
                session.close()
                raise
            self._tell(f"session {number}: begins")
            began_s = time.monotonic()
            refusal = session.run()
            why = "the client left" if refusal is None else f"ended for {_REASONS[refusal]}"
            self._tell(f"session {number}: {why}, after {time.monotonic() - began_s:.0f} s and {session.drawn} frames")
        finally:
            with self._lock:
                self._sessions.pop(number, None)

    def _take_seat(self, connection: ServerConnection, number: int) -> Seated:
        """Give a client a seat. Raises: ProtocolError: there is none."""
        try:
            return self._seats.take(connection, number)
        except ProtocolError:
            raise
        except RefusedError as error:  # by another host, that was to draw
            raise ProtocolError(Refusal.FULL if error.refusal is Refusal.FULL else Refusal.FAILED) from error
        except Exception as error:
            logging.getLogger(__name__).debug("No seat", exc_info=True)
            raise ProtocolError(Refusal.FAILED) from error

    def _check_room(self, room: int) -> None:
        """Check that another session can be held, with the lock held. Raises: ProtocolError."""
        if self._is_draining:
            raise ProtocolError(Refusal.ENDING)
        if len(self._sessions) >= room:
            raise ProtocolError(Refusal.FULL)

    def _refuse(self, connection: ServerConnection, number: int, refusal: Refusal) -> None:
        self._tell(f"connection {number}: refused for {_REASONS[refusal]}")
        with contextlib.suppress(Exception):
            connection.send(encode(Refused(refusal)))


def listen(address: Address) -> socket.socket:
    """Bind a port. Raises: OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family)
