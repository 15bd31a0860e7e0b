"""One-Euro filter: steady when things are still, quick when they move.

Casiez, Roussel, Vogel 2012 (1 Euro Filter): a low-pass filter whose cut-off rises with the speed of the signal.
"""

from __future__ import annotations

import math

import numpy as np

from avatar.frames import FloatArray

DERIVATIVE_CUTOFF_HZ = 1.0  # the paper's choice


class OneEuroFilter:
    """Filters arrays of one shape over time."""

    def __init__(
        self,
        min_cutoff_hz: float | FloatArray,
        beta: float | FloatArray,
        derivative_cutoff_hz: float = DERIVATIVE_CUTOFF_HZ,
    ) -> None:
        """Set what is constant.

        Args:
            min_cutoff_hz: cut-off of a signal at rest; less is steadier. A scalar, or an array that broadcasts.
            beta: how fast the cut-off rises, in Hz per (unit of the signal per second), after `unit` below.
            derivative_cutoff_hz: cut-off of the speed itself.
        """
        self._min_cutoff_hz, self._beta = min_cutoff_hz, beta
        self._derivative_cutoff_hz = derivative_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next values pass unchanged."""
        self._time_s: float | None = None
        self._raw: FloatArray | None = None
        self._value: FloatArray | None = None
        self._speed: FloatArray | None = None

    def filter(self, values: FloatArray, time_s: float, unit: float = 1.0) -> FloatArray:
        """The filtered values at `time_s`.

        Args:
            values: float32, always of one shape.
            time_s: of these values; a time that does not advance changes nothing and returns the last result.
            unit: length in `values` that counts as 1 for the speed, such as the size of a face in pixels.
        """
        if self._time_s is None or self._raw is None or self._value is None or self._speed is None:
            self._time_s, self._raw, self._value, self._speed = time_s, values, values, np.zeros_like(values)
            return values
        step_s = time_s - self._time_s
        if step_s <= 0:
            return self._value
        raw_speed = (values - self._raw) / np.float32(unit * step_s)
        self._speed = self._speed + _alpha(self._derivative_cutoff_hz, step_s) * (raw_speed - self._speed)
        cutoff_hz = self._min_cutoff_hz + self._beta * np.abs(self._speed)
        self._value = self._value + _alpha(cutoff_hz, step_s) * (values - self._value)
        self._time_s, self._raw = time_s, values
        return self._value


def _alpha(cutoff_hz: float | FloatArray, step_s: float) -> FloatArray:
    """Weight of the newest value in an exponential filter (paper, Eq. 3 and 4)."""
    turns = np.asarray(cutoff_hz, np.float32) * np.float32(2 * math.pi * step_s)
    return np.asarray(turns / (turns + 1))
