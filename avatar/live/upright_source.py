"""Files that play as a camera, turned upright."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from avatar.errors import FaceError, WeightsError
from avatar.frames import Frame
from avatar.motion.upright_clip import settle_turn, turn_note, turn_of_clip
from avatar.sources.base import FrameSource, SourceFacts
from avatar.sources.playback import Clip, Still
from avatar.tracking import open_tracker
from avatar.tracking.upright import turned


class TurnedSource:
    """A source whose frames are turned by 90, 180 or 270 degrees."""

    def __init__(self, source: FrameSource, turn_deg: int) -> None:
        """Take a source over; `turn_deg` is clockwise."""
        self._source, self._turn_deg = source, turn_deg
        self.name = source.name

    @property
    def facts(self) -> SourceFacts:
        """What is known by now."""
        facts = self._source.facts
        size = (facts.width_px, facts.height_px)
        width_px, height_px = size[::-1] if self._turn_deg % 180 else size
        notes = (*facts.notes, turn_note(self.name, self._turn_deg))
        return replace(facts, width_px=width_px, height_px=height_px, notes=notes)

    def read(self) -> Frame:
        """Wait for the next frame. Raises: CameraError."""
        frame = self._source.read()
        return replace(frame, rgb=turned(frame.rgb, self._turn_deg))

    def interrupt(self) -> None:
        """End a `read` that waits; from any thread, at once."""
        self._source.interrupt()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._source.close()


def as_upright(source: FrameSource) -> FrameSource:
    """Turn a file in which a face is upside down or on its side; a camera stays as it is.

    Raises:
        FaceError: it cannot be told which way up the face is; the source is closed.
    """
    try:
        turn_deg = _turn_of(source)
    except BaseException:
        source.close()
        raise
    return TurnedSource(source, turn_deg) if turn_deg else source


def _turn_of(source: FrameSource) -> int:
    if not isinstance(source, Clip | Still):
        return 0
    try:
        tracker = open_tracker()
    except WeightsError:  # engines that follow no face do without
        return 0
    with contextlib.closing(tracker):
        if isinstance(source, Clip):
            return turn_of_clip(source.path, tracker)
        turn_deg = settle_turn([source.picture], tracker)
    if turn_deg is None:
        raise FaceError(
            f"It cannot be told which way up the face in {source.name} is.", remedy="Turn the picture upright first."
        )
    return turn_deg
