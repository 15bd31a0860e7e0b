"""Statistics of a running pipeline: meters that its threads feed, and a snapshot for readers."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WINDOW_S = 10.0  # time window of latencies, stages and rates
_MOST = 2500  # maximum number of samples: ten seconds at 240 per second


@dataclass(frozen=True)
class Timing:
    """Milliseconds over the last WINDOW_S seconds."""

    p50_ms: float
    p95_ms: float
    max_ms: float

    @staticmethod
    def of(samples_ms: Iterable[float]) -> Timing | None:
        """Summarise samples; None if there are none."""
        values = np.array(list(samples_ms))
        if not values.size:
            return None
        p50, p95 = np.quantile(values, (0.5, 0.95))
        return Timing(round(float(p50), 2), round(float(p95), 2), round(float(values.max()), 2))


@dataclass(frozen=True)
class OutputStatistics:
    """Statistics of one output since it was opened."""

    latency: Timing | None  # capture to send
    rate: float  # calls of send and repeat per second
    sent: int  # new frames
    skipped: int  # avatar frames that it missed
    repeated: int  # times the last frame was sent again because there was no newer one


@dataclass(frozen=True)
class LiveStatistics:
    """A snapshot of a running pipeline."""

    running_s: float = 0.0
    cores: float = 0.0  # that this process kept busy on average
    first_frame_s: float | None = None  # from the start to the first avatar frame
    source: str = ""
    avatar: str = ""
    engine: str = ""
    device: str = ""  # that the engine runs on, such as "cpu" or "gpu"
    why: str = ""  # reason for the choice of the device; may be empty
    face: bool = False  # a face is followed now
    frozen: bool = False
    passing_through: bool = False
    latency: Timing | None = None  # capture to send, over all outputs; without one, capture to avatar frame
    # "wait" (for the engine), "track", "draw", "engine" (from taking a frame to publishing it), "send"; with a host
    # that draws: "host" (drawing and encoding) and "network" (both ways)
    stages: dict[str, Timing] = field(default_factory=dict)
    camera_rate: float = 0.0  # frames per second
    engine_rate: float = 0.0
    output_rate: float = 0.0  # rate of the slowest working output
    captured: int = 0
    drawn: int = 0
    replaced: int = 0  # camera frames overwritten before the engine took them
    lagged: int = 0  # avatar frames that took longer than the camera's period
    skipped: int = 0  # avatar frames that outputs missed
    repeated: int = 0  # times an output sent its last frame again
    oldest_sent_ms: float = 0.0  # maximum age of a new frame when it was sent
    outputs: dict[str, OutputStatistics] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Convert the statistics to JSON values."""
        return dataclasses.asdict(self)


class Window:
    """Samples of the last WINDOW_S seconds; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: collections.deque[tuple[float, float]] = collections.deque(maxlen=_MOST)

    def add(self, value: float = 0.0, now_s: float | None = None) -> None:
        """Add a sample; without a value it counts an occurrence."""
        with self._lock:
            self._samples.append((time.monotonic() if now_s is None else now_s, value))

    def values(self) -> list[float]:
        """Return the values within the window, oldest first."""
        return [value for _, value in self._recent()]

    def timing(self) -> Timing | None:
        """Summarise the values as milliseconds."""
        return Timing.of(self.values())

    def rate(self) -> float:
        """Return the number of samples per second."""
        times = [time_s for time_s, _ in self._recent()]
        if len(times) < 2:
            return 0.0
        now_s = time.monotonic()
        mean_step = (times[-1] - times[0]) / (len(times) - 1)
        waiting = max(0.0, now_s - times[-1] - 2 * mean_step)  # without new samples the rate falls
        return round((len(times) - 1) / max(times[-1] - times[0] + waiting, 1e-6), 2)

    def _recent(self) -> list[tuple[float, float]]:
        since_s = time.monotonic() - WINDOW_S
        with self._lock:
            return [sample for sample in self._samples if sample[0] >= since_s]
