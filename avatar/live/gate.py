"""The one way to the outputs. What may not be seen does not pass: the camera's picture unless asked for, and nothing
new while the output is frozen.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from avatar.frames import Frame
from avatar.live.tap import Tap

_BLANK = 40  # grey level of what is shown in place of the camera before there was any avatar frame


class Gate:
    """Publishes avatar frames; any thread."""

    def __init__(self, tap: Tap[Frame], blank_size: tuple[int, int]) -> None:
        """Open, with pass-through off.

        Args:
            tap: what outputs and windows subscribe to.
            blank_size: (width, height) of the grey picture that stands in where there is no avatar frame yet.
        """
        self._tap, self._blank_size = tap, blank_size
        self._lock = threading.Lock()
        self._avatar: Frame | None = None  # the last one that shows no camera
        self._shown: Frame | None = None
        self.frozen = self.passing_through = False

    def publish(self, frame: Frame) -> None:
        """Hand a frame on, if it may be seen now; while frozen, the one that stays, at the new one's time.

        A recording goes on meanwhile, and its sound with it.
        """
        with self._lock:
            if self.frozen:
                if self._shown is not None:
                    self._show(replace(self._shown, sequence=frame.sequence, captured_ns=frame.captured_ns))
            elif self.passing_through or not frame.passed_through:
                self._show(frame)

    def freeze(self, on: bool) -> None:
        """Keep the avatar as it is until `freeze(False)`. Ends a pass-through, whose last picture must not stay."""
        with self._lock:
            self.frozen = on
            if on:
                self.passing_through = False
                self._cover()

    def pass_through(self, on: bool) -> None:
        """Let marked camera pictures pass; not while frozen."""
        with self._lock:
            self.passing_through = on and not self.frozen
            if not on:
                self._cover()

    def may_send(self, frame: Frame) -> bool:
        """Whether a frame that was published may still be sent now."""
        with self._lock:
            if frame.passed_through:
                return self.passing_through
            return not self.frozen or (self._shown is not None and frame.rgb is self._shown.rgb)

    def _cover(self) -> None:
        """Put the last avatar frame in place of a camera picture, which outputs would otherwise repeat."""
        if self._shown is not None and self._shown.passed_through:
            self._show(self._avatar or self._blank(self._shown))

    def _blank(self, like: Frame) -> Frame:
        width, height = self._blank_size
        return Frame(np.full((height, width, 3), _BLANK, np.uint8), like.sequence, like.captured_ns)

    def _show(self, frame: Frame) -> None:
        self._shown = frame
        if not frame.passed_through:
            self._avatar = frame
        self._tap.put(frame)
