"""The thread of one output: takes the newest avatar frame, composes it and sends it at the output's own pace."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

from avatar.errors import AvatarError, OutputError
from avatar.frames import Frame, LatestFrame
from avatar.live.composer import Composer
from avatar.live.events import Event, OutputFailed, OutputLacks, OutputRefused, OutputStarted
from avatar.live.gate import OutputGate
from avatar.live.statistics import OutputStatistics, Window
from avatar.live.worker import Worker
from avatar.outputs.base import (
    ChangeRefusedError,
    Output,
    PacedOutput,
    ResizableOutput,
    SizedOutput,
    TransparentOutput,
)
from avatar.settings import CanvasSettings
from avatar.system.message import Message

logger = logging.getLogger(__name__)

STALE_NS = 500_000_000


class OutputThread(Worker):
    """Thread that opens one output, feeds it and closes it."""

    def __init__(
        self,
        name: str,
        open_output: Callable[[], Output],
        inbox: LatestFrame,
        report: Callable[[Event], None],
        gate: OutputGate,
        composer: Composer,
        before: OutputThread | None = None,
    ) -> None:
        """Create the thread without starting it.

        Args:
            name: name of the output, for events.
            open_output: opens the output; called on this thread.
            inbox: its mailbox, closed when the thread is asked to stop.
            report: receives an event when the output is open and when it fails.
            gate: checked just before sending, so that a frame that may no longer be seen is neither sent nor repeated.
            composer: composes frames on the canvas, for all outputs.
            before: the previous output of that name, already asked to stop; both may use one device.
        """
        super().__init__(f"masque-output-{name}", before)
        self.name, self._open_output, self.inbox = name, open_output, inbox
        self._report, self._gate, self._composer = report, gate, composer
        self.latency, self.calls, self.send_ms = Window(), Window(), Window()
        self.sent = self.repeated = 0
        self.oldest_ms = 0.0
        self._opened_ns = 0
        self._sequence = -1  # sequence number of the newest frame sent
        self._last: Frame | None = None  # frame that a paced output repeats, as published by the gate
        self._last_canvas: CanvasSettings | None = None  # canvas of that frame
        self._asked_size: tuple[int, int] | None = None  # size that was last requested from the output
        self.failed = False

    def statistics(self) -> OutputStatistics:
        """Return the statistics since the output was opened."""
        return OutputStatistics(self.latency.timing(), self.calls.rate(), self.sent, self.inbox.replaced, self.repeated)

    def _wake(self) -> None:
        self.inbox.close()

    def _run(self) -> None:
        output: Output | None = None
        try:
            if not self._wait_for_turn():
                return
            output = self._open_output()
            self._opened_ns = time.monotonic_ns()
            self._report(OutputStarted(self.name, getattr(output, "facts", "")))
            if (problem := getattr(output, "problem", None)) is not None:
                self._report(OutputLacks(self.name, problem))
            if isinstance(output, PacedOutput):
                self._feed_at_pace(output)
            else:
                self._feed(output)
        except Exception as error:  # outermost frame of the thread: nothing above would see it
            if output is not None or not self._stopping.is_set():  # otherwise it is no longer needed
                self._tell_failed(error)
        finally:
            self.inbox.close()
            self._close(output)

    def _feed(self, output: Output) -> None:
        while not self._stopping.is_set():
            frame = self.inbox.take(timeout_s=0.5)
            self._follow_size(output)
            if frame is not None and not self._is_stale(frame):  # otherwise a recording would start with seconds of it
                self._send(output, frame)

    def _feed_at_pace(self, output: PacedOutput) -> None:
        period_s = 1 / output.rate
        ends_s = time.monotonic() + period_s
        while not self._stopping.is_set():
            frame = self.inbox.take(timeout_s=max(0.0, ends_s - time.monotonic()))
            if self._stopping.is_set():
                return
            self._follow_size(output)
            if frame is None or not self._send(output, frame):
                self._repeat(output)
            now_s = time.monotonic()
            if now_s > ends_s + period_s:  # the machine slept, or the device did
                ends_s = now_s
            self._stopping.wait(max(0.0, ends_s - now_s))
            ends_s += period_s

    def _repeat(self, output: PacedOutput) -> None:
        """Send the last frame again, replaced if it may no longer be seen, on the current canvas."""
        canvas = self._canvas_for(output)
        frame = None if self._last is None else self._gate.in_place_of(self._last)
        if frame is None or (frame is self._last and canvas == self._last_canvas):
            output.repeat()
        else:
            self._last, self._last_canvas = frame, canvas
            output.send(self._composer.compose(frame, canvas))
        self.repeated += 1
        self.calls.add()

    def _canvas_for(self, output: Output) -> CanvasSettings:
        """Return the session's canvas, as far as the output can have it: its size, its transparency."""
        canvas = self._composer.canvas
        shows_it = isinstance(output, TransparentOutput) and output.transparent
        if canvas.background == "transparent" and not shows_it:
            canvas = dataclasses.replace(canvas, background="own")
        return canvas.at_size(output.size) if isinstance(output, SizedOutput) else canvas

    def _follow_size(self, output: Output) -> None:
        """Ask an output that can be resized to adopt the canvas size, once per size."""
        canvas = self._composer.canvas
        if canvas.size == self._asked_size or not isinstance(output, ResizableOutput):
            return
        self._asked_size = canvas.size
        if output.size == canvas.size:
            return
        facts = output.facts
        try:
            output.resize(canvas.size)
        except ChangeRefusedError as error:
            self._report(OutputRefused(self.name, error, canvas, canvas.at_size(output.size)))
        if output.facts != facts:
            self._report(OutputStarted(self.name, output.facts))

    def _send(self, output: Output, frame: Frame) -> bool:
        began_ns = time.monotonic_ns()
        canvas = self._canvas_for(output)
        composed = self._composer.compose(frame, canvas)
        if not self._gate.may_send(frame):  # checked last, because composing takes time
            return False
        age_ms = (began_ns - frame.captured_ns) * 1e-6
        self._last, self._last_canvas = frame, canvas
        output.send(composed)
        ended_ns = time.monotonic_ns()
        self.sent += 1
        self.calls.add()
        self.send_ms.add((ended_ns - began_ns) * 1e-6)
        # Otherwise it only covers a frame that may no longer be seen, or bridges an engine failure.
        if frame.sequence > self._sequence and not self._is_stale(frame):
            self._sequence = frame.sequence
            self.latency.add((ended_ns - frame.captured_ns) * 1e-6)
            self.oldest_ms = max(self.oldest_ms, age_ms)
        return True

    def _is_stale(self, frame: Frame) -> bool:
        """Return whether a frame waited for the output to open, with no newer one since."""
        return frame.captured_ns < self._opened_ns - STALE_NS

    def _close(self, output: Output | None) -> None:
        if output is None:
            return
        try:
            output.close()
        except Exception as error:
            if not self.failed:
                self._tell_failed(error)

    def _tell_failed(self, error: Exception) -> None:
        self.failed = True
        if not isinstance(error, AvatarError):
            logger.exception("Output %s stopped", self.name, exc_info=error)
            error = OutputError(
                Message("{name} failed: {error}.", name=self.name, error=error), remedy="Start it again."
            )
        self._report(OutputFailed(self.name, error))
