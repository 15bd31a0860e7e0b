"""The live pipeline: capture -> engine -> outputs, each on its own threads, and the newest frame wins.

    capture thread -> LatestFrame -> engine thread -> gate -> Tap -> one LatestFrame and thread per output

No queue holds frames anywhere: an old one is replaced, never waited for. Each device is opened, used and closed by
one thread. Everything here may be called from any thread and returns at once.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from avatar.frames import Frame, LatestFrame
from avatar.live.animation import AnimationThread
from avatar.live.capture import CaptureThread
from avatar.live.delivery import OutputThread
from avatar.live.events import Event
from avatar.live.gate import Gate
from avatar.live.options import IDLE, LiveOptions
from avatar.live.statistics import LiveStatistics, Timing
from avatar.live.tap import Preview, Tap
from avatar.live.tools import LiveTools
from avatar.live.worker import Worker
from avatar.outputs.base import Output
from avatar.settings import CanvasSettings, CropSettings, MotionSettings
from avatar.sources.base import FrameSource

logger = logging.getLogger(__name__)

__all__ = ["LiveOptions", "LiveStatistics", "LiveTools", "Pipeline"]


class Pipeline:
    """One live session; start it once, stop it once."""

    def __init__(
        self,
        options: LiveOptions,
        *,
        on_event: Callable[[Event], None] = lambda _: None,
        tools: LiveTools | None = None,
    ) -> None:
        """Get ready; opens nothing.

        Args:
            options: how it starts.
            on_event: told what happens, on the thread where it happened; must return at once.
            tools: what it works with; None takes real devices.
        """
        self.options = options
        self._listener, self._tools = on_event, tools or LiveTools()
        self.avatar_frames: Tap[Frame] = Tap()
        self.camera_frames: Tap[Preview] = Tap()
        canvas = options.canvas
        self._gate = Gate(self.avatar_frames, (canvas.width_px, canvas.height_px))
        self._inbox: LatestFrame = LatestFrame()
        self._lock = threading.Lock()
        self._capture: CaptureThread | None = None
        self._outputs: dict[str, OutputThread] = {}
        self._leaving: list[Worker] = []  # asked to stop, and perhaps still closing their devices
        self._engine = AnimationThread(options, self._tools, self._inbox, self._gate, self.camera_frames, self._tell)
        self._calibration = self._engine.calibration  # belongs to the engine's thread
        self._started_s = 0.0
        self._stopped = False

    def start(self) -> None:
        """Start drawing; returns before anything is open."""
        self._started_s = time.monotonic()
        self._engine.start()
        with self._lock:
            self._capture_from(self.options, None)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Close everything: ask all threads, wake them, wait for them together.

        Returns:
            True: every thread ended. False: one hangs in a device; it ends with the process.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            self._stopped = True
            workers: list[Worker] = [self._engine, self._engine.stage.helper, *self._outputs.values(), *self._leaving]
            if self._capture is not None:
                workers.append(self._capture)
        for worker in workers:
            worker.ask_to_stop()
        ended = [worker.join(deadline_s - time.monotonic()) for worker in workers]
        return all(ended)

    def set_source(self, spec: str) -> None:
        """Drive by a camera (id or name), a video file, a folder of pictures, a still, or "idle"."""
        with self._lock:
            options = self.options = dataclasses.replace(self.options, source=spec)
            if self._stopped:
                return
            before, self._capture = self._capture, None
            if before is not None:
                self._dismiss(before)
            since_ns = time.monotonic_ns()
            self._engine.do(lambda: self._engine.use_source(spec, since_ns))
            self._capture_from(options, before)

    def set_avatar(self, name_or_path: str) -> None:
        """Show another portrait; it is prepared beside the running one and swapped between two frames."""
        self._engine.do(lambda: self._engine.stage.want(avatar=name_or_path))

    def set_motion(self, motion: MotionSettings) -> None:
        """Change how the driving motion is carried over."""
        self._engine.do(lambda: self._engine.use_motion(motion))

    def set_crop(self, crop: CropSettings) -> None:
        """Change which part of the camera's picture counts."""
        self._engine.do(lambda: self._engine.use_crop(crop))

    def set_mirror_driving(self, on: bool) -> None:
        """Mirror the driving signal."""
        self._engine.do(lambda: self._engine.use_mirror(on))

    def set_engine(self, name: str, model: str | None = None, device: str = "auto") -> None:
        """Draw with another engine; opened beside the running one and swapped between two frames."""
        self._engine.do(lambda: self._engine.stage.want(engine=name, model=model, device=device))

    def calibrate(self) -> None:
        """Take the driver's face as it is now as the reference frame."""
        self._engine.do(lambda: self._calibration.calibrate(time.monotonic()))

    def start_guided_calibration(self) -> None:
        """Count down from three, look for a second and a half, keep the most neutral moment; events tell."""
        self._engine.do(lambda: self._calibration.start_guided(time.monotonic()))

    def undo_calibration(self) -> None:
        """Go back to the reference frame before; ends a countdown."""
        self._engine.do(lambda: self._calibration.undo(time.monotonic()))

    def set_search(self, on: bool) -> None:
        """Keep looking for a more neutral moment than the reference frame."""
        self._engine.do(lambda: setattr(self._calibration, "search", on))

    def recentre(self) -> None:
        """Take where the driver sits now as straight ahead, over half a second."""
        self._engine.do(lambda: self._calibration.recentre(time.monotonic()))

    def freeze(self, on: bool) -> None:
        """Panic: the output stays as it is, at once. A pass-through ends with it."""
        self._gate.freeze(on)

    def pass_through(self, on: bool) -> None:
        """Show the camera's picture in place of the avatar, in a red frame; not while frozen."""
        self._gate.pass_through(on)

    def in_place_of(self, frame: Frame) -> Frame:
        """Return an avatar frame itself if it may be seen now, else what outputs show instead."""
        return self._gate.in_place_of(frame)

    def add_output(self, name: str, output: Callable[[], Output], *, at_once: bool = False) -> None:
        """Send avatar frames to one more output, which is opened, used and closed on a thread of its own.

        Args:
            name: for events and `remove_output`; an output of that name is replaced.
            output: opens it.
            at_once: do not wait until the output of that name before has closed: they share no device.
        """
        self.remove_output(name)
        with self._lock:
            if not self._stopped:
                inbox = self.avatar_frames.subscribe()
                before = None if at_once else self._leaving_output(name)
                self._outputs[name] = OutputThread(name, output, inbox, self._tell, self._gate, before)
                self._outputs[name].start()

    def set_canvas(self, name: str, canvas: CanvasSettings) -> None:
        """Have an open output compose on another canvas; it stays open, and goes on if it refuses."""
        with self._lock:
            if (thread := self._outputs.get(name)) is not None:
                thread.use_canvas(canvas)

    def remove_output(self, name: str) -> None:
        """Close an output; nothing happens if there is none of that name."""
        with self._lock:
            thread = self._outputs.pop(name, None)
            if thread is not None:
                self.avatar_frames.unsubscribe(thread.inbox)
                self._dismiss(thread)

    def statistics(self) -> LiveStatistics:
        """What was measured so far and over the last ten seconds."""
        with self._lock:
            threads, capture = list(self._outputs.values()), self._capture
        outputs = {thread.name: thread.statistics() for thread in threads}
        engine = self._engine
        shown = engine.stage.shown or engine.stage.wanted
        latencies = [value for thread in threads for value in thread.latency.values()] or engine.latency.values()
        sending = [value for thread in threads for value in thread.send_ms.values()]
        stages = {name: window.timing() for name, window in engine.stages.items()} | {"send": Timing.of(sending)}
        return LiveStatistics(
            running_s=time.monotonic() - self._started_s if self._started_s else 0.0,
            source=self.options.source,
            avatar=shown.avatar,
            engine=shown.engine,
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
            replaced=self._inbox.replaced,
            lagged=engine.lagged,
            oldest_sent_ms=max((thread.oldest_ms for thread in threads), default=0.0),
            skipped=sum(each.skipped for each in outputs.values()),
            repeated=sum(each.repeated for each in outputs.values()),
            outputs=outputs,
        )

    def _tell(self, event: Event) -> None:
        """Pass an event on; a listener that fails must not take a camera or an engine down with it."""
        try:
            self._listener(event)
        except Exception:
            logger.exception("A listener failed at %s", event)

    def _capture_from(self, options: LiveOptions, before: CaptureThread | None) -> None:
        if options.source == IDLE:
            return

        def open_source() -> FrameSource:
            return self._tools.open_source(options.source, options.camera_size, options.camera_rate)

        self._capture = CaptureThread(open_source, self._inbox, self._tell, before)
        self._capture.start()

    def _leaving_output(self, name: str) -> OutputThread | None:
        """The newest output of a name that was asked to stop: it may still be closing its device."""
        found = (each for each in reversed(self._leaving) if isinstance(each, OutputThread) and each.name == name)
        return next(found, None)

    def _dismiss(self, worker: Worker) -> None:
        """Have a thread end by itself; `stop` waits for it still."""
        worker.ask_to_stop()
        self._leaving = [*(each for each in self._leaving if not each.join(0)), worker]
