"""Facts about a driving clip that are known before its last frame."""

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
    time_base: Fraction  # seconds; every frame's time is a multiple of it
    duration_s: float  # from the header; 0 = unknown
    frames_estimate: int  # for progress only; 0 = unknown
    has_audio: bool
    origin_s: Fraction = Fraction(0)  # time in the file at which `captured_ns` is 0
    stream_index: int = 0  # index of the video stream in the file


class DrivingVideo(Protocol):
    """A clip being read, frame by frame; closed at the end of a `with` block."""

    facts: DrivingFacts
    end_s: float  # end of the last frame delivered so far
    notes: list[str]  # notes about the clip, for the user; complete after its last frame

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in the order of their times; `captured_ns` is their presentation time."""
        ...

    def rewind(self) -> bool:
        """Rewind to the start; False if the clip has to be opened again instead."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        ...
