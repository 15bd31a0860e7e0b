"""A live session without a window: runs a pipeline until a stop request, a time limit or the failure of all outputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from avatar.errors import AvatarError
from avatar.live.events import AvatarRefused, EngineFailed, Event, OutputFailed
from avatar.live.pipeline import Pipeline
from avatar.live.statistics import LiveStatistics
from avatar.outputs.base import Output

LOOK_S = 0.1  # polling interval for the end of the session


@dataclass(frozen=True)
class SessionResult:
    """Result of a session."""

    statistics: LiveStatistics  # at its end
    seconds: float  # time since the first avatar frame
    cpu_cores: float  # CPU time over that time: 1 = one core fully used
    problems: tuple[AvatarError, ...]  # errors that ended an output or the session
    clean: bool  # every thread ended
    stop_s: float  # duration of the stop

    def as_json(self) -> dict[str, Any]:
        """Convert the result to JSON values."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_cores": round(self.cpu_cores, 3),
            "clean_stop": self.clean,
            "stop_s": round(self.stop_s, 3),
            "problems": [{"what": each.what, "remedy": each.remedy} for each in self.problems],
            "statistics": self.statistics.as_json(),
        }


@dataclass
class _Watch:
    """Event listener that decides when the session is over."""

    tell: Callable[[Event], None]
    outputs_left: int
    problems: list[AvatarError] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def notice(self, event: Event) -> None:
        """Process an event; called on any thread."""
        with self.lock:
            if isinstance(event, OutputFailed):
                self.problems.append(event.error)
                self.outputs_left -= 1
                if self.outputs_left == 0:
                    self.over.set()
            elif isinstance(event, AvatarRefused) or (isinstance(event, EngineFailed) and not event.fallback):
                self.problems.append(event.error)
                self.over.set()
        self.tell(event)


def run_session(
    pipeline_of: Callable[[Callable[[Event], None]], Pipeline],
    outputs: dict[str, Callable[[], Output]],
    *,
    seconds: float | None,
    asked_to_stop: Callable[[], bool],
    tell: Callable[[Event], None],
    each_second: Callable[[LiveStatistics], None],
) -> SessionResult:
    """Run a session to its end.

    Args:
        pipeline_of: creates the pipeline, given the receiver of its events.
        outputs: openers of the outputs by name; when all outputs have failed, the session is over.
        seconds: time limit, counted from the first avatar frame; None: until asked to stop.
        asked_to_stop: polled ten times a second.
        tell: receives every event, on any thread.
        each_second: receives the statistics once a second.
    """
    watch = _Watch(tell, len(outputs))
    pipeline = pipeline_of(watch.notice)
    for name, opens in outputs.items():
        pipeline.add_output(name, opens)
    pipeline.start()
    told_s, idle_cpu_s = 0.0, 0.0  # idle_cpu_s: CPU time before the first avatar frame
    try:
        while not (watch.over.wait(LOOK_S) or asked_to_stop()):
            statistics = pipeline.statistics()
            if statistics.first_frame_s is None:
                idle_cpu_s = time.process_time()
            elif seconds is not None and statistics.running_s - statistics.first_frame_s >= seconds:
                break
            if statistics.running_s - told_s >= 1:
                told_s = statistics.running_s
                each_second(statistics)
    finally:
        statistics, cpu_s = pipeline.statistics(), time.process_time() - idle_cpu_s
        stop_began_s = time.monotonic()
        clean = pipeline.stop()
    started_s = statistics.first_frame_s
    lasted_s = 0.0 if started_s is None else statistics.running_s - started_s
    return SessionResult(
        statistics=statistics,
        seconds=lasted_s,
        cpu_cores=cpu_s / lasted_s if lasted_s > 0 else 0.0,
        problems=tuple(watch.problems),
        clean=clean,
        stop_s=time.monotonic() - stop_began_s,
    )
