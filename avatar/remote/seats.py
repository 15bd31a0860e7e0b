"""Seats of a host's sessions: in this process, or in others that it passes messages on to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from avatar.engines.base import Engine
from avatar.remote.drivers import Drawing
from avatar.remote.load import Load
from avatar.remote.protocol import Refusal
from avatar.remote.session import KeptPortraits, Session

if TYPE_CHECKING:
    from websockets.sync.server import ServerConnection


class Seated(Protocol):
    """A session that was given a seat; `run` or `close` ends it."""

    @property
    def device(self) -> str:
        """Device that draws, for the client's user."""
        ...

    @property
    def drawn(self) -> int:
        """Number of frames until now."""
        ...

    def run(self) -> Refusal | None:
        """Serve the client until it leaves; return why it was refused, None if it left by itself."""
        ...

    def end(self, refusal: Refusal) -> None:
        """End the session; callable from any thread."""

    def close(self) -> None:
        """Give the seat up without having run."""


class Seats(Protocol):
    """The seats of a host; thread-safe."""

    @property
    def drawing(self) -> Drawing:
        """Engine of all of them."""
        ...

    def count(self) -> int:
        """Return the number of sessions that are drawn fast enough, all together; may take a moment."""
        ...

    def take(self, connection: ServerConnection, number: int) -> Seated:
        """Take a seat for a client, whose session has a number. Raises: ProtocolError, or whatever went wrong."""
        ...


class OwnSeats:
    """Sessions that this process draws, with an engine each."""

    def __init__(self, open_engine: Callable[[], Engine], load: Load, drawing: Drawing | None = None) -> None:
        """Draw with engines that `open_engine` opens, as many as `load` allows; `drawing`: what they are."""
        self._open_engine, self._load, self._kept = open_engine, load, KeptPortraits()
        self.drawing = drawing or Drawing()
        self._turn = threading.Lock() if self.drawing.points else None  # networks fill a device each by themselves

    def count(self) -> int:
        """Return for how many sessions this process is fast enough."""
        return self._load.sessions()

    def take(self, connection: ServerConnection, number: int) -> Session:
        """Open an engine for a client."""
        engine = self._open_engine()
        return Session(connection, number, engine, self._load, self._kept, self.drawing.points, self._turn)
