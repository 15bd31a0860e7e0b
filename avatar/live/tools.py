"""Dependencies of a pipeline, which tests replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from avatar.library.prepared import PreparedStore
from avatar.live.config import LiveConfig, is_voice, microphone_of
from avatar.live.live_engine import LiveEngine, open_live_engine
from avatar.live.upright_source import as_upright
from avatar.live.voice_source import VoiceSource
from avatar.sources.base import FrameSource
from avatar.sources.microphone import Microphone
from avatar.sources.open import open_source
from avatar.tracking import FaceTracker, open_tracker


def _open_source(spec: str, size: tuple[int, int], rate: int) -> FrameSource:
    if is_voice(spec):
        return VoiceSource(Microphone(microphone_of(spec), prompt=True))
    return as_upright(open_source(spec, size=size, rate=rate))


def _open_tracker(smoothing: bool) -> FaceTracker:
    return open_tracker(smoothing=smoothing, live=True)


@dataclass(frozen=True)
class LiveTools:
    """Functions with which a pipeline opens its dependencies."""

    open_source: Callable[[str, tuple[int, int], int], FrameSource] = _open_source  # spec, (width, height), rate
    open_tracker: Callable[[bool], FaceTracker] = _open_tracker  # with smoothing
    open_engine: Callable[[LiveConfig], LiveEngine] = open_live_engine
    open_store: Callable[[], PreparedStore | None] = lambda: None  # of prepared portraits; None: memory alone

    @staticmethod
    def real() -> LiveTools:
        """Return those of a program that somebody uses."""
        return LiveTools(open_store=PreparedStore)
