"""Single choke point before all outputs.

Blocks camera frames unless pass-through is on, and everything new while frozen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from avatar.frames import Frame, blank_image
from avatar.live.broadcast import Broadcast


class OutputGate:
    """Publishes avatar frames; any thread."""

    def __init__(self, tap: Broadcast[Frame], blank_size: tuple[int, int]) -> None:
        """Open, with pass-through off.

        Args:
            tap: the broadcast that outputs and windows subscribe to.
            blank_size: (width, height) of the grey image that is used before the first avatar frame.
        """
        self._tap, self._blank_size = tap, blank_size
        self._lock = threading.Lock()
        self._avatar: Frame | None = None  # the last frame that does not show the camera
        self._shown: Frame | None = None
        self._published = 0  # number of published frames
        self._passage = 0  # number of times that pass-through was switched on
        self._passing_since_ns = 0
        self.frozen = self.passing_through = False

    def publish(self, frame: Frame) -> None:
        """Publish a frame if it may be seen now; while frozen, the last frame at the new one's time.

        So a recording, with its sound, continues while frozen.
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
        """Hold the last avatar frame until `freeze(False)`. Ends a pass-through, whose last frame must not stay."""
        with self._lock:
            self.frozen = on
            if on:
                self.passing_through = False
                self._cover()
                self._end_crossfade()

    def pass_through(self, on: bool) -> None:
        """Let marked camera frames pass that are captured from now on; not while frozen."""
        with self._lock:
            on = on and not self.frozen
            if on and not self.passing_through:
                self._passage += 1
                self._passing_since_ns = time.monotonic_ns()
            self.passing_through = on
            if not on:
                self._cover()

    def use_blank_size(self, blank_size: tuple[int, int]) -> None:
        """Change the (width, height) of the grey image that stands in before the first avatar frame."""
        with self._lock:
            self._blank_size = blank_size

    def passes(self, captured_ns: int) -> bool:
        """Return whether a camera frame captured at this time may be published: only if pass-through was on by then."""
        with self._lock:
            return self._passes(captured_ns)

    def may_send(self, frame: Frame) -> bool:
        """Return whether a published frame may still be sent now."""
        with self._lock:
            return self._may_send(frame)

    def in_place_of(self, frame: Frame) -> Frame:
        """Return the frame itself if it may be shown now, otherwise the frame shown in its place."""
        with self._lock:
            return frame if self._shown is None or self._may_send(frame) else self._shown

    def cover(self) -> None:
        """Replace a camera frame, which outputs would otherwise repeat, by the last avatar frame.

        It gets the current time, because it is shown from now on and recordings cannot insert it in the past.
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

    def _end_crossfade(self) -> None:
        """Show the new avatar alone, so that no mixture of two stands still."""
        if self._shown is not None and self._shown.before is not None:
            self._show(replace(self._shown, before=None, captured_ns=time.monotonic_ns()))

    def _blank(self, like: Frame) -> Frame:
        return Frame(blank_image(*self._blank_size), like.sequence, like.captured_ns)

    def _show(self, frame: Frame) -> None:
        self._published += 1
        self._shown = frame = replace(frame, published=self._published)
        if not frame.passed_through:
            self._avatar = replace(frame, before=None)
        self._tap.put(frame)
