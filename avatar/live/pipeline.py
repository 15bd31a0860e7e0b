"""The live pipeline: capture -> engine -> outputs, each on its own threads, and the newest frame wins.

    capture thread -> tracking thread -> engine thread -> gate -> Broadcast -> one thread per output

Between two threads stands a mailbox for one frame: a newer one replaces it, and no queue holds any. Output threads
share a composer, which composes each frame once. Windows take frames as the engine drew them. Each device is opened,
used and closed on one thread. All methods are thread-safe and return at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from avatar.frames import Frame, LatestFrame
from avatar.live.broadcast import Broadcast, Preview
from avatar.live.capture import CaptureThread
from avatar.live.changes import Change, Need, change_between
from avatar.live.composer import Composer
from avatar.live.config import IDLE, LiveConfig
from avatar.live.engine_thread import EngineThread
from avatar.live.events import Event, ExpressionCaught
from avatar.live.gate import OutputGate
from avatar.live.output_thread import OutputThread
from avatar.live.statistics import LiveStatistics, Timing
from avatar.live.tools import LiveTools
from avatar.live.worker import Worker
from avatar.motion.overlay import coefficients
from avatar.outputs.base import Output
from avatar.settings import CanvasSettings
from avatar.sources.base import FrameSource

logger = logging.getLogger(__name__)

__all__ = ["LiveConfig", "LiveStatistics", "LiveTools", "Pipeline"]


class Pipeline:
    """A live session; started once and stopped once."""

    def __init__(
        self,
        config: LiveConfig,
        *,
        on_event: Callable[[Event], None] = lambda _: None,
        tools: LiveTools | None = None,
    ) -> None:
        """Create the pipeline without opening anything.

        Args:
            config: the initial configuration.
            on_event: receives events, on the thread where they occur; must return at once.
            tools: functions that open the dependencies; None takes real devices.
        """
        self.config = config  # last requested configuration; if it failed, another one may be in use
        self._listener, self._tools = on_event, tools or LiveTools.real()
        self.avatar_frames: Broadcast[Frame] = Broadcast()
        self.camera_frames: Broadcast[Preview] = Broadcast()
        self._gate = OutputGate(self.avatar_frames, config.canvas.size)
        self._composer = Composer(config.canvas)
        self._inbox: LatestFrame = LatestFrame()
        self._lock = threading.Lock()
        self._capture: CaptureThread | None = None
        self._outputs: dict[str, OutputThread] = {}
        self._leaving: list[Worker] = []  # asked to stop; may still be closing their devices
        self._engine = EngineThread(config, self._tools, self._inbox, self._gate, self.camera_frames, self._tell)
        self._calibration = self._engine.calibration  # used on the engine thread
        self._started_s = self._used_s = 0.0  # monotonic time and processor time at the start
        self._stopped = False

    def start(self) -> None:
        """Start the threads; returns before anything is open."""
        with self._lock:
            self._started_s, self._used_s = time.monotonic(), time.process_time()
            self._engine.start()
            self._capture_from(self.config, None)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop all threads: ask them, wake them, and wait for them together.

        Returns:
            True if every thread has ended; False if one hangs in a device, which ends with the process.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            self._stopped = True
            workers: list[Worker] = [
                self._engine,
                self._engine.tracking,
                self._engine.manager.helper,
                *self._outputs.values(),
                *self._leaving,
            ]
            if self._capture is not None:
                workers.append(self._capture)
        for worker in workers:
            worker.ask_to_stop()
        ended = [worker.join(deadline_s - time.monotonic()) for worker in workers]
        return all(ended)

    def apply(self, config: LiveConfig) -> None:
        """Apply another configuration: do what its changes need according to `avatar.live.changes`, and no more.

        Slow changes are prepared in the background and swapped in between two frames.
        """
        with self._lock:
            change, self.config = change_between(self.config, config), config
            if self._stopped or not change.fields:
                return
            if Need.OUTPUTS in change.needs:
                self._gate.use_blank_size(config.canvas.size)
                self.set_canvas(config.canvas)
            if reopens := Need.SOURCE in change.needs and self._started_s > 0:
                before, self._capture = self._capture, None
                if before is not None:
                    self._dismiss(before)
            since_ns = time.monotonic_ns()
            self._engine.do(lambda: self._engine.carry_out(change, since_ns))
            if reopens:
                self._capture_from(config, before)

    def show_again(self) -> None:
        """Prepare the portrait again because its image has changed; a refused one is tried again."""
        change = Change(self.config, frozenset({"avatar"}), Need.PORTRAIT)
        self._engine.do(lambda: self._engine.manager.carry_out(change))

    def prepare_ahead(self, avatars: Sequence[str]) -> None:
        """Prepare portraits that may be wanted next, by name, while nothing else is to do."""
        self._engine.do(lambda: self._engine.manager.prepare_ahead(avatars))

    def calibrate(self) -> None:
        """Make the driver's current face the reference frame."""
        self._engine.do(lambda: self._calibration.calibrate(time.monotonic()))

    def start_guided_calibration(self) -> None:
        """Start a guided calibration: a countdown, then a sampling period whose most neutral frame is kept."""
        self._engine.do(lambda: self._calibration.start_guided(time.monotonic()))

    def undo_calibration(self) -> None:
        """Restore the previous reference frame and cancel a countdown."""
        self._engine.do(lambda: self._calibration.undo(time.monotonic()))

    def recentre(self) -> None:
        """Make the driver's current pose the neutral one, over half a second."""
        self._engine.do(lambda: self._calibration.recentre(time.monotonic()))

    def express(self, expression: Mapping[str, float]) -> None:
        """Fade to an expression over the driver's own: coefficients in [0, 1] by blendshape name; {} ends it.

        Raises ValueError: a name or value that cannot be.
        """
        coefficients(expression)  # here, where the caller hears it
        self._engine.do(lambda: self._engine.express(expression, time.monotonic()))

    def catch_expression(self) -> None:
        """Report the driver's present expression by `ExpressionCaught`."""
        self._engine.do(lambda: self._tell(ExpressionCaught(self._engine.current_expression())))

    def freeze(self, on: bool) -> None:
        """Hold the last avatar frame on all outputs at once; ends a pass-through."""
        self._gate.freeze(on)

    def pass_through(self, on: bool) -> None:
        """Show the camera image in place of the avatar, in a red frame; not while frozen."""
        self._gate.pass_through(on)

    def in_place_of(self, frame: Frame) -> Frame:
        """Return an avatar frame itself if it may be shown now, otherwise the frame that outputs show instead."""
        return self._gate.in_place_of(frame)

    def add_output(self, name: str, output: Callable[[], Output], *, at_once: bool = False) -> None:
        """Add an output, which is opened, used and closed on its own thread.

        Args:
            name: name for events and `remove_output`; an output of that name is replaced.
            output: opens the output.
            at_once: do not wait until the replaced output has closed, because they share no device.
        """
        self.remove_output(name)
        with self._lock:
            if not self._stopped:
                inbox = self.avatar_frames.subscribe()
                before = None if at_once else self._leaving_output(name)
                thread = OutputThread(name, output, inbox, self._tell, self._gate, self._composer, before)
                self._outputs[name] = thread
                thread.start()

    def set_canvas(self, canvas: CanvasSettings) -> None:
        """Compose on another canvas: at once for open outputs, which stay open, and for those opened later.

        An output that refuses the size keeps its own, and is reported by `OutputRefused`.
        """
        self._composer.canvas = canvas

    def remove_output(self, name: str) -> None:
        """Close an output, if there is one of that name."""
        with self._lock:
            thread = self._outputs.pop(name, None)
            if thread is not None:
                self.avatar_frames.unsubscribe(thread.inbox)
                self._dismiss(thread)

    def statistics(self) -> LiveStatistics:
        """Return the statistics so far and over the last ten seconds."""
        with self._lock:
            threads, capture = list(self._outputs.values()), self._capture
        outputs = {thread.name: thread.statistics() for thread in threads}
        engine = self._engine
        running_s = time.monotonic() - self._started_s if self._started_s else 0.0
        shown, runs_on = engine.manager.shown or engine.manager.wanted, engine.manager.runs_on
        latencies = [value for thread in threads for value in thread.latency.values()] or engine.latency.values()
        sending = [value for thread in threads for value in thread.send_ms.values()]
        stages = {name: window.timing() for name, window in engine.stages.items()} | {"send": Timing.of(sending)}
        return LiveStatistics(
            running_s=running_s,
            cores=(time.process_time() - self._used_s) / running_s if running_s else 0.0,
            source=self.config.source,
            avatar=shown.avatar,
            engine=shown.engine,
            device=runs_on.device if runs_on else "",
            why=runs_on.why if runs_on else "",
            face=engine.following,
            frozen=self._gate.frozen,
            passing_through=self._gate.passing_through,
            latency=Timing.of(latencies),
            stages={name: timing for name, timing in stages.items() if timing is not None},
            camera_rate=capture.frames.rate() if capture else 0.0,
            engine_rate=engine.frames.rate(),
            output_rate=min((thread.calls.rate() for thread in threads if not thread.failed), default=0.0),
            captured=capture.captured if capture else 0,
            drawn=engine.drawn,
            first_frame_s=None if engine.first_frame_s is None else engine.first_frame_s - self._started_s,
            replaced=self._inbox.replaced + engine.replaced,
            lagged=engine.lagged,
            oldest_sent_ms=max((thread.oldest_ms for thread in threads), default=0.0),
            skipped=sum(each.skipped for each in outputs.values()),
            repeated=sum(each.repeated for each in outputs.values()),
            outputs=outputs,
        )

    def _tell(self, event: Event) -> None:
        """Pass an event to the listener; its failure must not stop a camera or an engine."""
        try:
            self._listener(event)
        except Exception:
            logger.exception("A listener failed at %s", event)

    def _capture_from(self, config: LiveConfig, before: CaptureThread | None) -> None:
        if config.source == IDLE:
            return

        def open_source() -> FrameSource:
            return self._tools.open_source(config.source, config.camera_size, config.camera_rate)

        self._capture = CaptureThread(open_source, self._inbox, self._tell, before)
        self._capture.start()

    def _leaving_output(self, name: str) -> OutputThread | None:
        """Return the newest output of a name that was asked to stop, which may still be closing its device."""
        found = (each for each in reversed(self._leaving) if isinstance(each, OutputThread) and each.name == name)
        return next(found, None)

    def _dismiss(self, worker: Worker) -> None:
        """Ask a thread to stop without waiting; `stop` waits for it."""
        worker.ask_to_stop()
        self._leaving = [*(each for each in self._leaving if not each.join(0)), worker]
