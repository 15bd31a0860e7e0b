"""Files that play as a camera, rotated upright."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from avatar.errors import FaceError, WeightsError
from avatar.frames import Frame
from avatar.motion.upright_clip import settle_turn, turn_note, turn_of_clip
from avatar.sources.base import FrameSource, SourceFacts
from avatar.sources.playback import Clip, Still
from avatar.system.message import Message
from avatar.tracking import open_tracker
from avatar.tracking.upright import turned


class TurnedSource:
    """A source whose frames are rotated by 90, 180 or 270 degrees."""

    def __init__(self, source: FrameSource, turn_deg: int) -> None:
        """Wrap a source and take ownership of it; `turn_deg` is clockwise."""
        self._source, self._turn_deg = source, turn_deg
        self.name = source.name

    @property
    def facts(self) -> SourceFacts:
        """Facts about the rotated source, as known so far."""
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
        """Interrupt a `read` that waits; thread-safe, returns at once."""
        self._source.interrupt()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._source.close()


def as_upright(source: FrameSource) -> FrameSource:
    """Rotate a file in which a face is upside down or on its side; a camera is returned unchanged.

    Raises:
        FaceError: the orientation of the face is ambiguous; the source is closed.
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
    except WeightsError:  # not needed by engines that do not follow faces
        return 0
    with contextlib.closing(tracker):
        if isinstance(source, Clip):
            return turn_of_clip(source.path, tracker)
        turn_deg = settle_turn([source.image], tracker)
    if turn_deg is None:
        raise FaceError(
            Message("It is unclear which way up the face in {name} is.", name=source.name),
            remedy="Turn the picture upright first.",
        )
    return turn_deg
