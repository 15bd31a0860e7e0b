"""What every output has in common: all it takes to add one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.settings import CanvasSettings


class Output(Protocol):
    """Takes avatar frames; opened, used and closed on a thread of its own."""

    def send(self, frame: Frame) -> None:
        """Take one frame; may take its time: frames that come meanwhile are passed over but for the newest.

        Raises:
            OutputError: it is gone, full or broken; it is closed and reported, and the show goes on.
        """

    def close(self) -> None:
        """Finish and let go; safe to call twice. Raises: OutputError."""


@runtime_checkable
class PacedOutput(Output, Protocol):
    """An output that must be fed at a steady rate, as a camera that others look at.

    In every period of 1 / rate seconds there is exactly one call: `send` as soon as there is a new frame, or `repeat`
    at the period's end if there was none.
    """

    rate: float  # frames per second

    def repeat(self) -> None:
        """Send the last frame again; before the first one a test card. Raises: OutputError."""


class ChangeRefusedError(OutputError):
    """A change is not possible now; the output goes on as before."""


@runtime_checkable
class CanvasOutput(Output, Protocol):
    """An output whose canvas can be changed while it is open."""

    canvas: CanvasSettings  # in use now
    facts: str

    def use_canvas(self, canvas: CanvasSettings) -> None:
        """Compose on another canvas from the next frame on.

        Raises:
            ChangeRefusedError: its size cannot be had; the rest is taken over, and the output goes on at the old size.
            OutputError: it is gone.
        """
