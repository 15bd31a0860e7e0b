"""The protocols of outputs: everything needed to add one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from avatar.errors import OutputError
from avatar.frames import Frame


class Output(Protocol):
    """Receiver of composed frames; opened, used and closed on its own thread."""

    def send(self, frame: Frame) -> None:
        """Send one frame. May block; frames that arrive meanwhile are dropped, except the newest.

        Args:
            frame: composed on the session's canvas, at its size; shared with other outputs.
        Raises:
            OutputError: it is gone, full or broken; it is closed and reported, and the session continues.
        """

    def close(self) -> None:
        """Finish and release the output; safe to call twice. Raises OutputError."""


@runtime_checkable
class PacedOutput(Output, Protocol):
    """An output that must be fed at a constant rate, such as a virtual camera.

    In every period of 1 / rate seconds there is exactly one call: `send` as soon as there is a new frame, or `repeat`
    at the period's end if there was none.
    """

    rate: float  # frames per second

    def repeat(self) -> None:
        """Send the last frame again; before the first one a test card. Raises: OutputError."""


@runtime_checkable
class TransparentOutput(Output, Protocol):
    """An output that may show transparency: its frames have `alpha`. Others get the avatar's own background instead."""

    transparent: bool  # whether this one can


@runtime_checkable
class SizedOutput(Output, Protocol):
    """An output with its own size: its frames are composed at that size instead of the canvas's."""

    size: tuple[int, int]  # current (width, height) in pixels


class ChangeRefusedError(OutputError):
    """A change is not possible now; the output continues as before."""


@runtime_checkable
class ResizableOutput(SizedOutput, Protocol):
    """An output that follows the size of the canvas while it is open."""

    facts: str

    def resize(self, size: tuple[int, int]) -> None:
        """Expect frames of another (width, height) from the next one on.

        Raises:
            ChangeRefusedError: the size is not possible; the old one stays.
            OutputError: it is gone.
        """
