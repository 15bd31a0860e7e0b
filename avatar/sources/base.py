"""The common interface of all driving sources: a camera, a file played as one, a still, the idle motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from avatar.frames import Frame


@dataclass(frozen=True)
class SourceFacts:
    """Facts about a source that delivers frames."""

    width_px: int
    height_px: int
    rate: float | None  # measured frames per second; None: unknown
    notes: tuple[str, ...] = ()  # notes for the user


class FrameSource(Protocol):
    """A source of driving frames, with the same interface for all kinds.

    Opened, read and closed on one thread; `interrupt` is called on another.
    """

    name: str  # for the user: "Integrated Camera", "clip.mp4"

    @property
    def facts(self) -> SourceFacts:
        """Facts about the source known so far."""
        ...

    def read(self) -> Frame:
        """Wait for one frame; `captured_ns` is `time.monotonic_ns()` of its delivery.

        Raises:
            CameraError: it stopped delivering; the caller closes it and opens it again later.
        """
        ...

    def interrupt(self) -> None:
        """Interrupt a `read` that waits, with an error; thread-safe, returns at once. Only `close` may follow."""

    def close(self) -> None:
        """Release the device; safe to call twice."""
