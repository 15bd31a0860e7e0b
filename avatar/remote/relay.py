"""A session that another process draws: whole messages are passed on unread, up and down."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from avatar.remote.identity import KnownHost
from avatar.remote.link import connected, hang_up
from avatar.remote.protocol import (
    Picture,
    ProtocolError,
    Refusal,
    Refused,
    close_reason,
    encode,
    is_kind,
    read_from_host,
)

if TYPE_CHECKING:
    from websockets.sync.server import ServerConnection


class Relay:
    """Passes a client's messages on to the replica that draws for it, and pictures back.

    The replica holds the limits of what a client may send. What ends here ends there; where a replica is lost or ends,
    the client's connection is cut without a word, so that it connects again at once and gets another one.
    """

    def __init__(
        self, connection: ServerConnection, number: int, replica: KnownHost, leave: Callable[[], None]
    ) -> None:
        """Connect to a replica.

        Args:
            connection: to the client.
            number: of the session.
            replica: the host that is to draw.
            leave: is called when the session is over.
        Raises:
            RefusedError, EngineError: the replica is full, or not there.
        """
        self._connection, self._number, self._leave = connection, number, leave
        self._connected = contextlib.ExitStack()
        self._replica, welcome = self._connected.enter_context(connected(replica, only_asks=False))
        self._device = welcome.device
        self._drawn = 0
        self._refusal: Refusal | None = None
        self._has_left = False  # the client has

    @property
    def device(self) -> str:
        """Device that draws."""
        return self._device

    @property
    def drawn(self) -> int:
        """Number of pictures that were passed on."""
        return self._drawn

    def run(self) -> Refusal | None:
        """Pass messages on until one side leaves; return why, None if the client left by itself."""
        from websockets.exceptions import ConnectionClosed

        down = threading.Thread(target=self._pass_down, name=f"masque-relay-{self._number}", daemon=True)
        down.start()
        refusal = None
        try:
            while True:
                self._replica.send(self._connection.recv())
        except ConnectionClosed as error:
            refusal = close_reason(error)
        except OSError:
            pass
        finally:
            self._refusal, self._has_left = self._refusal or refusal, True
            hang_up(self._replica)
            down.join()
            self.close()
        return self._refusal

    def end(self, refusal: Refusal) -> None:
        """End the session; callable from any thread."""
        self._refusal = self._refusal or refusal
        self._put(refusal)
        with contextlib.suppress(Exception):
            self._connection.close()

    def close(self) -> None:
        """Leave the replica."""
        self._connected.close()
        self._leave()

    def _pass_down(self) -> None:
        """Pass on what the replica sends, until it or the client leaves; on a thread of its own."""
        from websockets.exceptions import ConnectionClosed

        try:
            while (data := self._next_down()) is not None:
                self._connection.send(data)
                self._drawn += is_kind(data, Picture)
        except (ConnectionClosed, OSError):
            pass
        finally:
            with contextlib.suppress(Exception):
                self._connection.close()

    def _next_down(self) -> bytes | str | None:
        """Return the replica's next message; None: it is gone, or ends and the client is to look for another."""
        from websockets.exceptions import ConnectionClosed

        try:
            data = self._replica.recv()
        except (ConnectionClosed, OSError):
            self._refusal = self._refusal or (None if self._has_left else Refusal.FAILED)
            return None
        if is_kind(data, Refused):
            self._refusal = self._refusal or _refusal_in(data)
            return None if self._refusal is Refusal.ENDING else data
        return data

    def _put(self, refusal: Refusal) -> None:
        with contextlib.suppress(Exception):
            self._connection.send(encode(Refused(refusal)))


def _refusal_in(data: object) -> Refusal:
    try:
        message = read_from_host(data)
    except ProtocolError as error:
        return error.refusal
    return message.refusal if isinstance(message, Refused) else Refusal.MALFORMED
