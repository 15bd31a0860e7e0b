"""Conversion of irregularly timed frames to a constant rate."""

from __future__ import annotations


class SteadyRate:
    """Assigns each frame a place in a sequence of equally long ones.

    A frame that comes slightly early takes the next place instead of being lost; frames are dropped only if they come
    faster than the rate on average.
    """

    def __init__(self, rate: int) -> None:
        """Start a sequence of `rate` frames per second."""
        self._rate = rate
        self._origin_ns: int | None = None
        self._last = -1

    def place(self, captured_ns: int) -> int | None:
        """Return the place of a frame captured at this time; None if the frame is dropped."""
        if self._origin_ns is None:
            self._origin_ns = captured_ns
        exact = (captured_ns - self._origin_ns) * self._rate / 1e9
        place = round(exact)
        if place <= self._last:
            place = self._last + 1
            if place - exact >= 1:
                return None
        self._last = place
        return place

    def time_ns(self, place: int) -> int:
        """Return the start time of a place, on the clock of the frames; after the first frame."""
        return (self._origin_ns or 0) + round(place * 1e9 / self._rate)
