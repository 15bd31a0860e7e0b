"""From frames that come when they come to a constant rate."""

from __future__ import annotations


class SteadyRate:
    """Gives each frame its place in a row of equally long ones.

    A frame that comes a little early takes the next place rather than be lost; only what comes faster than the rate, on
    the whole, is left out.
    """

    def __init__(self, rate: int) -> None:
        """Get ready for `rate` frames per second."""
        self._rate = rate
        self._origin_ns: int | None = None
        self._last = -1

    def place(self, captured_ns: int) -> int | None:
        """The number of the place at which a frame taken at this time belongs; None: there is none left for it."""
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
