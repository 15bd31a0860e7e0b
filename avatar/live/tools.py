"""What a pipeline works with; tests put their own in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from avatar.live.options import LiveOptions
from avatar.live.performer import Performer, open_performer
from avatar.live.upright_source import as_upright
from avatar.sources.base import FrameSource
from avatar.sources.open import open_source
from avatar.tracking import FaceTracker, open_tracker


def _open_source(spec: str, size: tuple[int, int], rate: int) -> FrameSource:
    return as_upright(open_source(spec, size=size, rate=rate))


def _open_tracker(smoothing: bool) -> FaceTracker:
    return open_tracker(smoothing=smoothing, live=True)


@dataclass(frozen=True)
class LiveTools:
    """How a pipeline opens things."""

    open_source: Callable[[str, tuple[int, int], int], FrameSource] = _open_source  # spec, (width, height), rate
    open_tracker: Callable[[bool], FaceTracker] = _open_tracker  # with smoothing
    open_performer: Callable[[LiveOptions], Performer] = open_performer
