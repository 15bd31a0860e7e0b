"""Lays blocks of sound beside the pictures by the time at which they were heard.

A picture reaches the recorder later than the sound of the same moment: tracking and drawing take their time. So blocks
wait here until their picture has come, and are placed by the clock rather than by the order of arrival.
"""

from __future__ import annotations

import collections

import numpy as np
import numpy.typing as npt

from avatar.outputs.microphone import RATE_HZ, SoundBlock, SoundSource

_LOOSE_S = 0.04  # blocks this close to their place are joined as they are: a cut would be heard, the shift not
_DEAD_S = 1.0  # a microphone silent for so long has died; the pictures go on with silence


class SoundLane:
    """Turns the blocks of one microphone into an unbroken line of samples that begins with the first picture."""

    def __init__(self, source: SoundSource) -> None:
        """Take over a microphone; `close` closes it."""
        self._source = source
        self._begun, self._origin_ns = False, 0
        self._placed = 0  # samples handed out
        self._waiting: collections.deque[SoundBlock] = collections.deque()

    def until(self, time_ns: int) -> npt.NDArray[np.float32]:
        """The samples that follow those handed out before, up to the blocks heard before `time_ns`.

        The first call tells when the first picture was taken.
        """
        if not self._begun:
            self._begun, self._origin_ns = True, time_ns
        self._waiting.extend(self._source.take())
        parts = []
        while self._waiting and self._waiting[0].heard_ns < time_ns:
            parts.append(self._fitted(self._waiting.popleft()))
            self._placed += len(parts[-1])
        missing = self._sample_at(time_ns) - self._placed
        if missing > _DEAD_S * RATE_HZ:
            parts.append(np.zeros(missing, np.float32))
            self._placed += missing
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def finish(self, length_s: float) -> npt.NDArray[np.float32]:
        """What is left, cut or filled up so that the whole line is as long as the pictures."""
        rest = self.until(self._origin_ns + round(length_s * 1e9))
        spare = self._placed - round(length_s * RATE_HZ)
        return rest[: max(0, len(rest) - spare)] if spare > 0 else np.pad(rest, (0, -spare))

    def close(self) -> None:
        """Close the microphone."""
        self._source.close()

    def _fitted(self, block: SoundBlock) -> npt.NDArray[np.float32]:
        """The block with silence before it or its beginning cut off, where it does not follow on the one before."""
        gap = self._sample_at(block.heard_ns) - self._placed
        if self._placed and abs(gap) <= _LOOSE_S * RATE_HZ:
            return block.samples
        return block.samples[-gap:] if gap < 0 else np.pad(block.samples, (gap, 0))

    def _sample_at(self, time_ns: int) -> int:
        return round((time_ns - self._origin_ns) * RATE_HZ / 1e9)
