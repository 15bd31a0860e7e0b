"""What every driving source has in common: a camera, a file that plays as one, a still, the idle motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from avatar.frames import Frame


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a source once it delivers."""

    width_px: int
    height_px: int
    rate: float | None  # pictures per second, as measured; None: not known yet
    notes: tuple[str, ...] = ()  # sentences the user should read


class FrameSource(Protocol):
    """Where driving frames come from; callers cannot tell which kind it is.

    Opened, read and closed on one thread; `interrupt` comes from another.
    """

    name: str  # for people: "Integrated Camera", "clip.mp4"

    @property
    def facts(self) -> SourceFacts:
        """What is known by now."""
        ...

    def read(self) -> Frame:
        """Wait for one frame; `captured_ns` is `time.monotonic_ns()` when it was handed over.

        Raises:
            CameraError: it stopped sending; the caller closes it and opens it again later.
        """
        ...

    def interrupt(self) -> None:
        """End a `read` that waits, with an error; from any thread, at once. Only `close` follows."""

    def close(self) -> None:
        """Let go of the device; safe to call twice."""
