"""Crossfade from one avatar to the next; both pictures are avatars."""

from __future__ import annotations

from dataclasses import replace

from avatar.frames import Frame
from avatar.motion.smoothstep import smoothstep


class Crossfade:
    """Adds the last frame of the previous avatar to the first ones of another. Used on the engine thread."""

    def __init__(self, length_ms: int) -> None:
        """Set the duration; 0: none."""
        self.length_ms = length_ms
        self._last: Frame | None = None  # as drawn
        self._before: Frame | None = None  # last frame of the avatar that is faded out
        self._began_s = 0.0

    def add(self, frame: Frame, now_s: float, period_s: float) -> Frame:
        """Return an avatar frame, with the frame that it is blended over while a crossfade is under way.

        Args:
            frame: as drawn, with layers that name the avatar.
            now_s: never earlier than before.
            period_s: time until the next frame; the first one already shows the new avatar in part.
        """
        last, self._last = self._last, frame
        if last is not None and last.layers and frame.layers and last.layers.avatar != frame.layers.avatar:
            self._before, self._began_s = last, now_s
        if self._before is None:
            return frame
        share = 1.0 if self.length_ms <= 0 else (now_s - self._began_s + period_s) / (self.length_ms / 1000)
        if share >= 1:
            self._before = None
            return frame
        return replace(frame, before=self._before, share=float(smoothstep(share)))

    def forget(self) -> None:
        """Blend nothing into the next frame, because the last one is not what is shown."""
        self._last = self._before = None
