"""The engine thread: takes the newest camera frame with its face, and draws the avatar."""

from __future__ import annotations

import collections
import contextlib
import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from avatar.cv import cv2
from avatar.errors import AvatarError, EngineError
from avatar.frames import Frame, Latest, LatestFrame
from avatar.live.broadcast import Broadcast, Preview
from avatar.live.calibration import Calibration
from avatar.live.changes import Change, Need
from avatar.live.config import IDLE, LiveConfig
from avatar.live.crop import DrivingCrop
from avatar.live.crossfade import Crossfade
from avatar.live.engine_manager import EngineManager
from avatar.live.events import EngineFailed, Event, FaceFound, FaceLost, SourceNote
from avatar.live.gate import OutputGate
from avatar.live.mark import as_passed_through
from avatar.live.motion_source import MotionSource
from avatar.live.observation import Observation
from avatar.live.statistics import Window
from avatar.live.tools import LiveTools
from avatar.live.tracking_thread import TrackedFrame, TrackingSettings, TrackingThread
from avatar.live.voice_source import FaceFrame
from avatar.live.worker import Worker
from avatar.motion.idle import SIDE_PX, load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.track import scale_between
from avatar.system.message import Message

logger = logging.getLogger(__name__)

IDLE_S = 1 / 30  # frame interval without a camera
GAP_S = 0.5  # a camera that has sent nothing for this long counts as lost, and the avatar idles
_CUT = "The picture jumped to another view, as at a cut: the head's position and size are measured again."


class EngineThread(Worker):
    """Thread that owns the calibration and the engine manager; others reach them through `do`."""

    def __init__(
        self,
        options: LiveConfig,
        tools: LiveTools,
        inbox: LatestFrame,
        gate: OutputGate,
        camera_frames: Broadcast[Preview],
        report: Callable[[Event], None],
    ) -> None:
        """Create the thread without opening anything.

        Args:
            options: the initial configuration.
            tools: functions that open the dependencies.
            inbox: camera frames; closed when the tracking thread is asked to stop.
            gate: receives the avatar frames.
            camera_frames: receives the frames of the user's own preview.
            report: receives events.
        """
        super().__init__("masque-engine")
        self._gate = gate
        self._camera_frames, self._report = camera_frames, report
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._found: Latest[TrackedFrame] = Latest()  # closed when this thread is asked to stop
        settings = TrackingSettings(0, options.mirror_driving, options.crop, options.motion.smoothing)
        self.tracking = TrackingThread(settings, tools, inbox, self._found, report, self._fail)
        self._threads, self._source = options.threads, options.source
        self._camera_width_px = SIDE_PX
        self._since_ns = 0
        self._period_s = 1 / options.camera_rate
        self._engine_ms: collections.deque[float] = collections.deque(maxlen=5)  # of the last frames
        self._camera_s = 0.0  # when the last camera frame was taken
        self._crop = DrivingCrop(options.crop)
        self._cuts: int | None = None  # of the frames so far; None: of another source
        self._told_cut = False
        self._crossfade = Crossfade(options.crossfade_ms)
        self._camera_size = (0, 0)
        self.calibration = Calibration(
            report, search=options.calibration.search, drift_hint=options.calibration.drift_hint
        )
        idle = load_idle()
        self._driver = MotionSource(self.calibration, idle)
        self._stand_in = idle.face(neutral_frame(idle))  # stands in for engines that animate whole images
        self.manager = EngineManager(options, tools, self.do, report)
        self.frames = Window()
        self.stages = {name: Window() for name in ("wait", "track", "draw", "network", "host", "engine")}
        self.latency = Window()  # latency from capture to avatar frame
        self.drawn = self.lagged = self._published = 0
        self.first_frame_s: float | None = None
        self.following = False  # a face is followed
        self._source_told = True  # the face in this source was reported

    @property
    def replaced(self) -> int:
        """Number of tracked frames that were overwritten before they were drawn."""
        return self._found.replaced

    def express(self, expression: Mapping[str, float], now_s: float) -> None:
        """Fade to an expression over the driver's own; on this thread."""
        self._driver.overlay.fade_to(expression, now_s)

    def current_expression(self) -> dict[str, float]:
        """Return what the driver's face shows more than the reference frame; {} without a face. On this thread."""
        return self._driver.expression(time.monotonic())

    def do(self, action: Callable[[], None]) -> None:
        """Schedule an action on this thread before the next frame; callable from any thread."""
        self._todo.put(action)

    def carry_out(self, change: Change, since_ns: int) -> None:
        """Apply another configuration, on this thread, between two frames.

        Args:
            change: the difference.
            since_ns: time at which a new source was opened; frames captured earlier come from the previous one.
        """
        config = change.config
        if Need.SOURCE in change.needs:
            self._use_source(config.source, since_ns)
        self._period_s = 1 / config.camera_rate
        if config.mirror_driving != self.tracking.settings.mirror:
            self.calibration.mirror(self._camera_width_px)
            self._cuts = None
        self._crop.change(config.crop)
        self._track_with(
            since_ns=self._since_ns, mirror=config.mirror_driving, crop=config.crop, smoothing=config.motion.smoothing
        )
        self.calibration.search, self.calibration.drift_hint = config.calibration.search, config.calibration.drift_hint
        self._use_threads(config.threads)
        self._crossfade.length_ms = config.crossfade_ms
        self.manager.carry_out(change)

    def _use_source(self, spec: str, since_ns: int) -> None:
        """Start again with a source, and drop frames captured before `since_ns`."""
        self._source, self._since_ns = spec, since_ns
        self._cuts, self._told_cut = None, False
        self._camera_size = (0, 0)
        self._camera_s = time.monotonic()
        self._source_told = False
        self.calibration.forget()

    def _track_with(self, **changes: Any) -> None:
        """Let the tracking thread go on with other settings; frames that it tracked before are not used any more."""
        settings = replace(self.tracking.settings, **changes)
        if settings != self.tracking.settings:
            self.tracking.settings = settings

    def _use_threads(self, count: int) -> None:
        """Limit OpenCV's thread pool, of which the process has one."""
        if count != self._threads:
            self._threads = count
            cv2.setNumThreads(count)

    def _wake(self) -> None:
        self._found.close()

    def _run(self) -> None:
        try:
            cv2.setNumThreads(self._threads)
            self.tracking.start()
            with contextlib.closing(self.manager):
                self.manager.start()
                self._camera_s = next_s = time.monotonic()
                while not self._stopping.is_set():
                    tracked = self._found.take(timeout_s=max(0.0, next_s - time.monotonic()))
                    self._catch_up()
                    now_s = time.monotonic()
                    next_s = max(next_s, now_s - IDLE_S) + IDLE_S
                    self._step(tracked, now_s)
                    if tracked is not None:
                        self.tracking.take_turn()
        except Exception as error:  # outermost frame of the thread: nothing above would see it
            logger.exception("Animation stopped")
            failure = (
                error
                if isinstance(error, AvatarError)
                else EngineError(Message("Animation stopped: {error}.", error=error))
            )
            self._gate.cover()
            self._report(EngineFailed(failure, ""))
        finally:
            self.tracking.ask_to_stop()

    def _fail(self, error: Exception) -> None:
        """End this thread with what ended the tracking thread; any thread."""

        def fail() -> None:
            raise error

        self.do(fail)

    def _catch_up(self) -> None:
        """Run the scheduled actions."""
        while True:
            try:
                self._todo.get_nowait()()
            except queue.Empty:
                return

    def _step(self, tracked: TrackedFrame | None, now_s: float) -> None:
        self._track_with(follows_faces=self.manager.follows_faces)
        self.tracking.watches_turn = self.manager.ready and self.manager.needs_face
        if tracked is not None and self._source != IDLE and tracked.settings == self.tracking.settings:
            self._camera_s = now_s
            self._follow(tracked, now_s)
        elif self._source == IDLE or now_s - self._camera_s > GAP_S:
            self._gate.cover()  # hides the last frame of a lost camera when the engine draws nothing
            self._animate(None, time.monotonic_ns(), now_s)
        else:
            self.calibration.pass_time(now_s)
        self.manager.look_after(now_s)

    def _follow(self, tracked: TrackedFrame, now_s: float) -> None:
        """Process one camera frame."""
        frame, face = tracked.frame, tracked.face
        self.stages["wait"].add(1000 * now_s - frame.captured_ns * 1e-6 - tracked.track_ms)
        self.stages["track"].add(tracked.track_ms)
        self._note_size(frame)
        self._note_cut(tracked)
        box = self._crop.box(face, frame.width_px, frame.height_px, now_s, self.manager.framing)
        self._camera_frames.put(Preview(frame, None if face is None else face.landmarks, box))
        seen = face if self.manager.needs_face else face or self._stand_in
        if face is not None and isinstance(frame, FaceFrame):
            observation: Observation | None = Observation(face, None)
        else:
            observation = None if seen is None else Observation.of(seen, frame.rgb, box)
        if self._gate.passes(frame.captured_ns):
            self._crossfade.forget()
            self._publish(as_passed_through(frame, self.manager.wanted.canvas))
            self.calibration.observe(observation, now_s)
        else:
            self._animate(observation, frame.captured_ns, now_s, tracked.track_ms)

    def _note_cut(self, tracked: TrackedFrame) -> None:
        """Measure the head's position and size again at the first face after a cut."""
        if self._cuts is None:
            self._cuts = tracked.cuts
        if self._cuts == tracked.cuts or tracked.face is None:  # the frame of the cut itself may have been replaced
            return
        self._cuts = tracked.cuts
        self.calibration.rebase(tracked.face)
        self._crop.start_afresh()
        if not self._told_cut:  # a film has hundreds of cuts
            self._told_cut = True
            self._report(SourceNote(_CUT))

    def _note_size(self, frame: Frame) -> None:
        """Rescale the reference frame if the source changes its frame size, as calls and browsers do."""
        size = (frame.width_px, frame.height_px)
        if self._camera_size not in (size, (0, 0)):
            times = 1 / scale_between(size, self._camera_size)
            if times != 1:
                self.calibration.rescale(times)
        self._camera_size, self._camera_width_px = size, frame.width_px

    def _tell_face(self, *, following: bool, seen: bool) -> None:
        """Report a face that is found or lost, and anew the first of another source, which may follow without a gap."""
        if following != self.following or (seen and not self._source_told):
            self.following = following
            self._report(FaceFound() if following else FaceLost())
        self._source_told |= seen

    def _animate(self, observation: Observation | None, captured_ns: int, now_s: float, track_ms: float = 0.0) -> None:
        """Draw and publish one avatar frame, if an engine is ready; its face took `track_ms` to find."""
        self.calibration.observe(observation, now_s)
        drive = replace(self._driver.drive(observation, now_s), captured_ns=captured_ns)
        self._tell_face(following=drive.following, seen=observation is not None)
        if not self.manager.ready:
            return
        began_s = time.monotonic()
        self.tracking.rest_until_s = now_s + 1e-3 * (min(self._engine_ms, default=0.0) - track_ms)
        rgb = self.manager.draw(drive, self._camera_width_px, now_s)
        self.stages["draw"].add(1000 * (time.monotonic() - began_s))
        if rgb is None:
            return
        if (arrival := self.manager.arrival) is not None:
            captured_ns = arrival.captured_ns
            if arrival.network_ms is not None and arrival.host_ms is not None:
                self.stages["network"].add(arrival.network_ms)
                self.stages["host"].add(arrival.host_ms)
        if self._gate.frozen:
            self._crossfade.forget()
        drawn = Frame(rgb, 0, captured_ns, layers=self.manager.layers)
        self._publish(self._crossfade.add(drawn, time.monotonic(), IDLE_S))
        self.drawn += 1
        self.frames.add()
        done_s = time.monotonic()
        engine_ms = 1000 * (done_s - now_s)
        self._engine_ms.append(engine_ms)
        self.stages["engine"].add(track_ms + engine_ms)
        self.latency.add(1000 * done_s - captured_ns * 1e-6)
        self.first_frame_s = self.first_frame_s or done_s
        self.lagged += max(engine_ms, track_ms) > 1000 * self._period_s  # the next face is tracked meanwhile

    def _publish(self, frame: Frame) -> None:
        """Publish a frame with the next number."""
        self._gate.publish(replace(frame, sequence=self._published))
        self._published += 1
