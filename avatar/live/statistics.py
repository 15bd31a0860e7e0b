"""What a running pipeline measures: a meter that its threads feed, and the snapshot that everybody reads."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WINDOW_S = 10.0  # what latencies, stages and rates are taken over
_MOST = 2500  # samples kept: ten seconds at 240 per second


@dataclass(frozen=True)
class Timing:
    """Milliseconds over the last WINDOW_S seconds."""

    p50_ms: float
    p95_ms: float
    max_ms: float

    @staticmethod
    def of(samples_ms: Iterable[float]) -> Timing | None:
        """Sum up; None without a sample."""
        values = np.array(list(samples_ms))
        if not values.size:
            return None
        p50, p95 = np.quantile(values, (0.5, 0.95))
        return Timing(round(float(p50), 2), round(float(p95), 2), round(float(values.max()), 2))


@dataclass(frozen=True)
class OutputStatistics:
    """One output since it was opened."""

    latency: Timing | None  # capture to send
    rate: float  # calls of send and repeat per second
    sent: int  # new frames
    skipped: int  # avatar frames it was too late for
    repeated: int  # times the last frame was sent again, because there was no newer one


@dataclass(frozen=True)
class LiveStatistics:
    """A snapshot of a running pipeline."""

    running_s: float = 0.0
    first_frame_s: float | None = None  # from the start to the first avatar frame
    source: str = ""
    avatar: str = ""
    engine: str = ""
    face: bool = False  # a face is followed now
    frozen: bool = False
    passing_through: bool = False
    latency: Timing | None = None  # capture to send, over all outputs; without one, capture to avatar frame
    # "wait" for the engine, "track", "draw", "engine": from taking a frame to handing it on, "send"
    stages: dict[str, Timing] = field(default_factory=dict)
    camera_rate: float = 0.0  # frames per second
    engine_rate: float = 0.0
    output_rate: float = 0.0  # of the slowest output that works
    captured: int = 0
    drawn: int = 0
    replaced: int = 0  # camera frames overwritten before the engine took them
    lagged: int = 0  # avatar frames that took longer than the camera's period
    skipped: int = 0  # avatar frames that outputs were too late for
    repeated: int = 0  # times an output sent its last frame again
    oldest_sent_ms: float = 0.0  # the greatest age at which a new frame was ever sent
    outputs: dict[str, OutputStatistics] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, texts and dictionaries."""
        return dataclasses.asdict(self)


class Window:
    """Samples of the last WINDOW_S seconds; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: collections.deque[tuple[float, float]] = collections.deque(maxlen=_MOST)

    def add(self, value: float = 0.0, now_s: float | None = None) -> None:
        """Note a value, or just that something happened."""
        with self._lock:
            self._samples.append((time.monotonic() if now_s is None else now_s, value))

    def values(self) -> list[float]:
        """The values that are recent enough, oldest first."""
        return [value for _, value in self._recent()]

    def timing(self) -> Timing | None:
        """The values as milliseconds."""
        return Timing.of(self.values())

    def rate(self) -> float:
        """How often per second something happened lately."""
        times = [time_s for time_s, _ in self._recent()]
        if len(times) < 2:
            return 0.0
        now_s = time.monotonic()
        mean_step = (times[-1] - times[0]) / (len(times) - 1)
        waiting = max(0.0, now_s - times[-1] - 2 * mean_step)  # it has stopped: the rate falls
        return round((len(times) - 1) / max(times[-1] - times[0] + waiting, 1e-6), 2)

    def _recent(self) -> list[tuple[float, float]]:
        since_s = time.monotonic() - WINDOW_S
        with self._lock:
            return [sample for sample in self._samples if sample[0] >= since_s]
