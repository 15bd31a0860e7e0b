"""An output is an object with two methods; writing one takes no more than this."""

from __future__ import annotations

from typing import Protocol

from avatar.frames import Frame


class Output(Protocol):
    """Somewhere avatar frames go; opened, used and closed on one thread."""

    def send(self, frame: Frame) -> None:
        """Take one avatar frame of any size. Raises OutputError."""
        ...

    def close(self) -> None:
        """Finish and let go; safe to call twice."""
        ...
