"""What is known of a driving clip before its last frame has been seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from avatar.frames import Frame


@dataclass(frozen=True)
class DrivingFacts:
    """Size and timing of a driving clip, as it is meant to be shown: upright, with square pixels."""

    path: Path
    width_px: int
    height_px: int
    rate: Fraction  # frames per second, on average
    time_base: Fraction  # seconds; every frame's time is a whole number of these
    duration_s: float  # what the header says; 0 = it says nothing
    frames_estimate: int  # for progress only; 0 = unknown
    has_audio: bool
    origin_s: Fraction = Fraction(0)  # the file's own time at which `captured_ns` is 0
    stream_index: int = 0  # of the pictures, in the file


class DrivingVideo(Protocol):
    """A clip being read, frame by frame; closed at the end of a `with` block."""

    facts: DrivingFacts
    end_s: float  # when the last frame handed out so far stops being shown
    notes: list[str]  # sentences the user should read about the clip; complete when its last frame was handed out

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of their times; `captured_ns` is the time at which each is shown."""
        ...

    def rewind(self) -> bool:
        """Get ready to be read from the start again. False: it cannot be; open it afresh."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        ...
