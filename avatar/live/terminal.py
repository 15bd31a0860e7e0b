"""Terminal output of a live session: events on lines of their own, and a status line."""

from __future__ import annotations

import sys
import threading

from avatar.live import events
from avatar.live.config import IDLE
from avatar.live.events import Event
from avatar.live.statistics import LiveStatistics
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown


class Terminal:
    """Terminal with events on lines of their own and, below them, a status line that is updated every second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # events arrive on any thread
        self._live = sys.stderr.isatty()
        self._width = 0

    def tell(self, event: Event) -> None:
        """Print an event, if it concerns the user."""
        if text := as_text(event):
            self._print(shown(text, MOST_OF_SENTENCE))

    def show(self, statistics: LiveStatistics) -> None:
        """Write the status line, on a terminal."""
        if self._live:
            with self._lock:
                line = status_line(statistics)
                sys.stderr.write(f"\r{line:<{self._width}}")
                sys.stderr.flush()
                self._width = len(line)

    def end(self) -> None:
        """End the status line."""
        if self._width:
            sys.stderr.write("\n")
            self._width = 0

    def _print(self, text: str) -> None:
        with self._lock:
            if self._width:
                sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
            self._width = 0


def status_line(statistics: LiveStatistics) -> str:
    """Format the statistics as one line."""
    if not statistics.drawn:
        return f"preparing {shown(statistics.avatar)}"
    parts = [f"{shown(statistics.avatar)} by {statistics.engine}", f"{statistics.engine_rate:.0f} frames/s"]
    if statistics.latency is not None:
        parts.append(f"{statistics.latency.p50_ms:.0f} ms behind (95 %: {statistics.latency.p95_ms:.0f})")
    if (network := statistics.stages.get("network")) is not None:
        parts.append(f"network {network.p50_ms:.0f} ms")
    if statistics.source != IDLE:
        parts.append(f"camera {statistics.camera_rate:.0f}/s")
        parts.append("face" if statistics.face else "no face")
    lost = {"replaced": statistics.replaced, "skipped": statistics.skipped, "repeated": statistics.repeated}
    parts += [f"{count} {name}" for name, count in lost.items() if count]
    return "  ".join(parts)


def slow_text(engine: str, frame_s: float | None) -> str:
    """Say that an engine is too slow here, and what is not."""
    takes = "seconds" if frame_s is None else f"{frame_s:.1f} s"
    way_out = "Other programs keep the processor busy." if engine == "warp" else "--engine warp draws in real time."
    return f"{engine} takes {takes} for a frame on this device. {way_out}"


def as_text(event: Event) -> str:
    """Describe an event; empty for events that the status line shows."""
    text = ""
    match event:
        case events.SourceLost(what, remedy):
            text = f"{what} {remedy}".strip()
        case events.SourceBack(name, facts):
            text = f"Camera: {name}, {facts.width_px} x {facts.height_px}."
        case events.AvatarReady(notes=notes):
            text = " ".join(notes)
        case events.SourceNote(note):
            text = note
        case events.AvatarRefused(name, error):
            text = f"{name}: {error}"
        case events.EngineReady(engine, device, _, why):
            text = f"{engine} draws on the {device}: {why.rstrip('.')}." if why else ""
        case events.EngineFailed(error, fallback):
            text = f"{error} Going on with {fallback}." if fallback else str(error)
        case events.EngineSlow(engine, frame_s):
            text = slow_text(engine, frame_s)
        case events.OutputStarted(name, facts):
            text = f"{name.capitalize()}: {facts}." if facts else ""
        case events.OutputFailed(_, error) | events.OutputRefused(_, error) | events.OutputLacks(_, error):
            text = str(error)
        case events.CalibrationRefused(why):
            text = why
        case events.DriftHint():
            text = "You have moved away from where you sat at first."
    return text
