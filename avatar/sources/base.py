"""What every source of driving frames has in common, be it a camera, a file or a still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from avatar.frames import Frame


@dataclass(frozen=True)
class SourceFacts:
    """Size and rate of what a source sends."""

    width_px: int
    height_px: int
    rate: float | None  # frames per second as measured; None = not yet


class FrameSource(Protocol):
    """A camera, a file or a test pattern; callers cannot tell which."""

    name: str

    @property
    def facts(self) -> SourceFacts:
        """What is known of it by now."""
        ...

    def read(self) -> Frame:
        """Wait for one frame; its `captured_ns` is `time.monotonic_ns()` at its capture. Raises CameraError."""
        ...

    def close(self) -> None:
        """Let go of it and wake whoever waits in `read`; safe to call twice, and from another thread."""
        ...
