"""Single choke point before all outputs.

Blocks camera frames unless pass-through is on, and everything new while frozen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from avatar.frames import Frame, blank_image
from avatar.live.tap import Tap


class Gate:
    """Publishes avatar frames; any thread."""

    def __init__(self, tap: Tap[Frame], blank_size: tuple[int, int]) -> None:
        """Open, with pass-through off.

        Args:
            tap: what outputs and windows subscribe to.
            blank_size: (width, height) of the grey image that stands in where there is no avatar frame yet.
        """
        self._tap, self._blank_size = tap, blank_size
        self._lock = threading.Lock()
        self._avatar: Frame | None = None  # the last one that shows no camera
        self._shown: Frame | None = None
        self._passage = 0  # counts the times that pass-through was switched on
        self._passing_since_ns = 0
        self.frozen = self.passing_through = False

    def publish(self, frame: Frame) -> None:
        """Hand a frame on, if it may be seen now; while frozen, the one that stays, at the new one's time.

        A recording goes on meanwhile, and its sound with it.
        """
        with self._lock:
            if self.frozen:
                if self._shown is not None:
                    self._show(replace(self._shown, sequence=frame.sequence, captured_ns=frame.captured_ns))
            elif not frame.passed_through:
                self._show(frame)
            elif self._passes(frame.captured_ns):
                self._show(replace(frame, passage=self._passage))

    def freeze(self, on: bool) -> None:
        """Keep the avatar as it is until `freeze(False)`. Ends a pass-through, whose last frame must not stay."""
        with self._lock:
            self.frozen = on
            if on:
                self.passing_through = False
                self._cover()

    def pass_through(self, on: bool) -> None:
        """Let marked camera frames pass that are taken from now on; not while frozen."""
        with self._lock:
            on = on and not self.frozen
            if on and not self.passing_through:
                self._passage += 1
                self._passing_since_ns = time.monotonic_ns()
            self.passing_through = on
            if not on:
                self._cover()

    def passes(self, captured_ns: int) -> bool:
        """Say whether a camera frame taken at this time may be published: not one taken before pass-through was on."""
        with self._lock:
            return self._passes(captured_ns)

    def may_send(self, frame: Frame) -> bool:
        """Whether a frame that was published may still be sent now."""
        with self._lock:
            return self._may_send(frame)

    def in_place_of(self, frame: Frame) -> Frame:
        """Return the frame itself if it may be shown now, else what is shown instead."""
        with self._lock:
            return frame if self._shown is None or self._may_send(frame) else self._shown

    def cover(self) -> None:
        """Put the last avatar frame in place of a camera frame, which outputs would otherwise repeat.

        It carries the present time: it is shown from now on, and recordings have no place for it in the past.
        """
        with self._lock:
            self._cover()

    def _passes(self, captured_ns: int) -> bool:
        return self.passing_through and captured_ns >= self._passing_since_ns

    def _may_send(self, frame: Frame) -> bool:
        if frame.passed_through:
            return self.passing_through and frame.passage == self._passage
        return not self.frozen or (self._shown is not None and frame.rgb is self._shown.rgb)

    def _cover(self) -> None:
        if self._shown is not None and self._shown.passed_through:
            self._show(replace(self._avatar or self._blank(self._shown), captured_ns=time.monotonic_ns()))

    def _blank(self, like: Frame) -> Frame:
        return Frame(blank_image(*self._blank_size), like.sequence, like.captured_ns)

    def _show(self, frame: Frame) -> None:
        self._shown = frame
        if not frame.passed_through:
            self._avatar = frame
        self._tap.put(frame)
