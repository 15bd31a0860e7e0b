"""The thread of one output: takes the newest avatar frame and sends it, at the output's own pace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from avatar.errors import AvatarError, OutputError
from avatar.frames import Frame, Latest, LatestFrame
from avatar.live.events import Event, OutputFailed, OutputRefused, OutputStarted
from avatar.live.gate import Gate
from avatar.live.statistics import OutputStatistics, Window
from avatar.live.worker import Worker
from avatar.outputs.base import CanvasOutput, ChangeRefusedError, Output, PacedOutput
from avatar.settings import CanvasSettings

logger = logging.getLogger(__name__)

STALE_NS = 500_000_000


class OutputThread(Worker):
    """Opens one output, feeds it and closes it."""

    def __init__(
        self,
        name: str,
        open_output: Callable[[], Output],
        inbox: LatestFrame,
        report: Callable[[Event], None],
        gate: Gate,
        before: OutputThread | None = None,
    ) -> None:
        """Get ready.

        Args:
            name: for events.
            open_output: is called on this thread.
            inbox: a mailbox of its own, closed at the stop.
            report: is told when it is open and when it broke.
            gate: asked at the last moment, so that a frame that may no longer be seen is neither sent nor repeated.
            before: the output of that name before, already asked to stop: two of them may share one device.
        """
        super().__init__(f"masque-output-{name}", before)
        self._canvas: Latest[CanvasSettings] = Latest()  # asked for and not in use yet
        self.name, self._open_output, self.inbox = name, open_output, inbox
        self._report, self._gate = report, gate
        self.latency, self.calls, self.send_ms = Window(), Window(), Window()
        self.sent = self.repeated = 0
        self.oldest_ms = 0.0
        self._opened_ns = 0
        self._sequence = -1  # of the newest frame that was sent
        self._last: Frame | None = None  # what a paced output repeats
        self.failed = False

    def statistics(self) -> OutputStatistics:
        """What it did so far."""
        return OutputStatistics(
            self.latency.timing(), self.calls.rate(), self.sent, self.inbox.replaced, self.repeated
        )

    def use_canvas(self, canvas: CanvasSettings) -> None:
        """Have the output compose on another canvas from one of the next frames on; from any thread."""
        self._canvas.put(canvas)

    def _wake(self) -> None:
        self.inbox.close()

    def _run(self) -> None:
        output: Output | None = None
        try:
            if not self._wait_for_turn():
                return
            output = self._open_output()
            self._opened_ns = time.monotonic_ns()
            self._report(OutputStarted(self.name, str(getattr(output, "facts", ""))))
            if isinstance(output, PacedOutput):
                self._feed_at_pace(output)
            else:
                self._feed(output)
        except Exception as error:  # outermost frame of the thread: nothing above would see it
            if output is not None or not self._stopping.is_set():  # else it is wanted no more
                self._tell_failed(error)
        finally:
            self.inbox.close()
            self._close(output)

    def _feed(self, output: Output) -> None:
        while not self._stopping.is_set():
            self._change_canvas(output)
            frame = self.inbox.take(timeout_s=0.5)
            if frame is not None and not self._is_stale(frame):  # a recording would begin with seconds of it
                self._send(output, frame)

    def _feed_at_pace(self, output: PacedOutput) -> None:
        period_s = 1 / output.rate
        ends_s = time.monotonic() + period_s
        while not self._stopping.is_set():
            frame = self.inbox.take(timeout_s=max(0.0, ends_s - time.monotonic()))
            if self._stopping.is_set():
                return
            self._change_canvas(output)
            if frame is None or not self._send(output, frame):
                self._repeat(output)
            now_s = time.monotonic()
            if now_s > ends_s + period_s:  # the machine slept, or the device did
                ends_s = now_s
            self._stopping.wait(max(0.0, ends_s - now_s))
            ends_s += period_s

    def _repeat(self, output: PacedOutput) -> None:
        """Send the last frame again, or what is shown in its place if it may no longer be seen."""
        if self._last is not None and (instead := self._gate.in_place_of(self._last)) is not self._last:
            self._last = instead
            output.send(instead)
        else:
            output.repeat()
        self.repeated += 1
        self.calls.add()

    def _change_canvas(self, output: Output) -> None:
        canvas = self._canvas.take(timeout_s=0)
        if canvas is None or not isinstance(output, CanvasOutput):
            return
        facts = output.facts
        try:
            output.use_canvas(canvas)
        except ChangeRefusedError as error:
            self._report(OutputRefused(self.name, error, canvas, output.canvas))
        if output.facts != facts:
            self._report(OutputStarted(self.name, output.facts))

    def _send(self, output: Output, frame: Frame) -> bool:
        if not self._gate.may_send(frame):
            return False
        began_ns = time.monotonic_ns()
        age_ms = (began_ns - frame.captured_ns) * 1e-6
        self._last = frame
        output.send(frame)
        ended_ns = time.monotonic_ns()
        self.sent += 1
        self.calls.add()
        self.send_ms.add((ended_ns - began_ns) * 1e-6)
        # Else it only covers what may no longer be seen, or stands in until the engine works again.
        if frame.sequence > self._sequence and not self._is_stale(frame):
            self._sequence = frame.sequence
            self.latency.add((ended_ns - frame.captured_ns) * 1e-6)
            self.oldest_ms = max(self.oldest_ms, age_ms)
        return True

    def _is_stale(self, frame: Frame) -> bool:
        """Whether it waited for the output to open, and nothing newer came."""
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
            error = OutputError(f"{self.name} failed: {error}.", remedy="Start it again.")
        self._report(OutputFailed(self.name, error))
