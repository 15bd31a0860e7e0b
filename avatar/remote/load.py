"""Number of sessions that a host can draw for: measured, so that one too many is refused and not all slowed."""

from __future__ import annotations

import threading
import time

LEAST_RATE = 25  # frames per second that every session is to have
SHARE = 0.85  # of what sessions can use, so that one does not wait for another
CORES = 1.0  # that one process can use: sessions take turns at Python's lock, and a second core hardly holds more
_LEAST_FRAMES = 30  # for a new measurement
_WEIGHT = 0.4  # of a new measurement


class Load:
    """The cost of a frame on this machine; thread-safe."""

    def __init__(self, frame_ms: float, *, cores: float = CORES, chip_ms: float = 0.0) -> None:
        """Begin with a measurement.

        Args:
            frame_ms: processor time for a frame, over all cores.
            cores: that sessions can use.
            chip_ms: for a frame on a graphics chip, during which it draws nothing else; 0: there is none.
        """
        self._lock = threading.Lock()
        self._cores = cores
        self._frame_ms, self._chip_ms = frame_ms, chip_ms
        self._frames, self._left_out_s, self._since_s = 0, 0.0, time.process_time()

    @property
    def frame_ms(self) -> float:
        """Processor time for a frame, in ms."""
        return self._frame_ms

    @property
    def chip_ms(self) -> float:
        """Time of a graphics chip for a frame, in ms; 0: there is none."""
        return self._chip_ms

    def note_frame(self) -> None:
        """Count a drawn frame; from time to time this measures anew."""
        with self._lock:
            self._frames += 1
            if self._frames >= _LEAST_FRAMES:
                now_s = time.process_time()
                took_ms = 1000 * max(0.0, now_s - self._since_s - self._left_out_s) / self._frames
                self._frame_ms += _WEIGHT * (took_ms - self._frame_ms)
                self._frames, self._left_out_s, self._since_s = 0, 0.0, now_s

    def leave_out(self, processor_s: float) -> None:
        """Leave out processor time that no frame took, such as for preparing a portrait."""
        with self._lock:
            self._left_out_s += processor_s

    def sessions(self) -> int:
        """Return the number of sessions for which every one gets LEAST_RATE; at least one."""
        with self._lock:
            of_processor = LEAST_RATE * self._frame_ms / (1000 * self._cores)
            of_chip = LEAST_RATE * self._chip_ms / 1000
            return max(1, int(SHARE / max(of_processor, of_chip, 1e-6)))


class Budget:
    """A token bucket: an amount per second, with a reserve for bursts; used on one thread."""

    def __init__(self, per_s: float, reserve: float) -> None:
        self._per_s, self._reserve = per_s, reserve
        self._left, self._at_s = reserve, time.monotonic()

    def spend(self, amount: float) -> bool:
        """Take an amount; False if it is not there."""
        now_s = time.monotonic()
        self._left = min(self._reserve, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True
