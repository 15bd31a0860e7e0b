"""Alignment of sound blocks with the video by the time at which they were captured.

A frame reaches the recorder later than the sound of the same moment, because tracking and drawing take time. Blocks
therefore wait here for their frame, and are placed by the clock instead of the order of arrival.
"""

from __future__ import annotations

import collections

import numpy as np
import numpy.typing as npt

from avatar.sources.microphone import RATE_HZ, SoundBlock, SoundSource

_LOOSE_S = 0.04  # blocks this close to their place are joined unchanged: a cut would be audible, the shift is not
_DEAD_S = 1.0  # after this time without blocks the microphone counts as lost, and silence is recorded


class SoundLane:
    """Converts the blocks of a microphone into a continuous line of samples that begins with the first frame."""

    def __init__(self, source: SoundSource) -> None:
        """Take ownership of a microphone."""
        self._source = source
        self._begun, self._origin_ns = False, 0
        self._placed = 0  # samples handed out
        self._waiting: collections.deque[SoundBlock] = collections.deque()

    def until(self, time_ns: int) -> npt.NDArray[np.float32]:
        """Return the next samples, (N,) in [-1, 1], from blocks captured before `time_ns`.

        The first call sets the time of the first frame.
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
        """Return the remaining samples (N,), cut or padded so that the track is as long as the video."""
        rest = self.until(self._origin_ns + round(length_s * 1e9))
        spare = self._placed - round(length_s * RATE_HZ)
        return rest[: max(0, len(rest) - spare)] if spare > 0 else np.pad(rest, (0, -spare))

    def close(self) -> None:
        """Close the microphone."""
        self._source.close()

    def _fitted(self, block: SoundBlock) -> npt.NDArray[np.float32]:
        """Pad a block (N,) with silence, or trim its start, so that it continues the previous one; (M,)."""
        gap = self._sample_at(block.heard_ns) - self._placed
        if self._placed and abs(gap) <= _LOOSE_S * RATE_HZ:
            return block.samples
        return block.samples[-gap:] if gap < 0 else np.pad(block.samples, (gap, 0))

    def _sample_at(self, time_ns: int) -> int:
        return round((time_ns - self._origin_ns) * RATE_HZ / 1e9)
