"""The engine thread: takes the newest camera frame, tracks the face in it and draws the avatar."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from avatar.cv import cv2
from avatar.errors import AvatarError, EngineError
from avatar.frames import Frame, LatestFrame
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
from avatar.live.turn_watch import TurnWatch
from avatar.live.voice_source import FaceFrame
from avatar.live.worker import Worker
from avatar.motion.cuts import CutWatch
from avatar.motion.idle import SIDE_PX, load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.track import scale_between
from avatar.system.message import Message
from avatar.tracking import Face, FaceTracker

logger = logging.getLogger(__name__)

IDLE_S = 1 / 30  # frame interval without a camera
GAP_S = 0.5  # a camera that has sent nothing for this long counts as lost, and the avatar idles
_CUT = "The picture jumped to another view, as at a cut: the head's position and size are measured again."


class EngineThread(Worker):
    """Thread that owns the tracker, the calibration and the engine manager; others reach them through `do`."""

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
            inbox: camera frames; closed when this thread is asked to stop.
            gate: receives the avatar frames.
            camera_frames: receives the frames of the user's own preview.
            report: receives events.
        """
        super().__init__("masque-engine")
        self._tools, self._inbox, self._gate = tools, inbox, gate
        self._camera_frames, self._report = camera_frames, report
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._tracker: FaceTracker | None = None
        self._smoothing, self._threads = options.motion.smoothing, options.threads
        self._source, self._mirror = options.source, options.mirror_driving
        self._camera_width_px = SIDE_PX
        self._since_ns = 0
        self._period_s = 1 / options.camera_rate
        self._camera_s = 0.0  # when the last camera frame was taken
        self._crop = DrivingCrop(options.crop)
        self._cuts, self._told_cut = CutWatch(), False
        self._turn = TurnWatch()
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
        self._use_mirror(config.mirror_driving)
        self._crop.change(config.crop)
        self._use_smoothing(config.motion.smoothing)
        self.calibration.search, self.calibration.drift_hint = config.calibration.search, config.calibration.drift_hint
        self._use_threads(config.threads)
        self._crossfade.length_ms = config.crossfade_ms
        self.manager.carry_out(change)

    def _use_source(self, spec: str, since_ns: int) -> None:
        """Start again with a source, and drop frames captured before `since_ns`."""
        self._source, self._since_ns = spec, since_ns
        self._cuts.reset()
        self._told_cut = False
        self._camera_size = (0, 0)
        self._turn.reset()
        self._camera_s = time.monotonic()
        self._source_told = False
        self.calibration.forget()

    def _use_smoothing(self, on: bool) -> None:
        if on != self._smoothing and self._tracker is not None:
            self._smoothing = on
            self._tracker.close()
            self._tracker = self._tools.open_tracker(on)

    def _use_threads(self, count: int) -> None:
        """Limit OpenCV's thread pool, of which the process has one."""
        if count != self._threads:
            self._threads = count
            cv2.setNumThreads(count)

    def _use_mirror(self, on: bool) -> None:
        """Mirror the driving signal, or stop mirroring it."""
        if on != self._mirror:
            self._mirror = on
            self._cuts.reset()
            self.calibration.mirror(self._camera_width_px)
            if self._tracker is not None:
                self._tracker.reset()

    def _wake(self) -> None:
        self._inbox.close()

    def _run(self) -> None:
        try:
            cv2.setNumThreads(self._threads)
            self._tracker = self._tools.open_tracker(self._smoothing)
            with contextlib.closing(self.manager):
                self.manager.start()
                self._camera_s = next_s = time.monotonic()
                while not self._stopping.is_set():
                    frame = self._inbox.take(timeout_s=max(0.0, next_s - time.monotonic()))
                    self._catch_up()
                    now_s = time.monotonic()
                    next_s = max(next_s, now_s - IDLE_S) + IDLE_S
                    self._step(frame, now_s)
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
            if self._tracker is not None:
                self._tracker.close()

    def _catch_up(self) -> None:
        """Run the scheduled actions."""
        while True:
            try:
                self._todo.get_nowait()()
            except queue.Empty:
                return

    def _step(self, frame: Frame | None, now_s: float) -> None:
        if frame is not None and self._source != IDLE and frame.captured_ns >= self._since_ns:
            self._camera_s = now_s
            self._follow(frame, now_s)
        elif self._source == IDLE or now_s - self._camera_s > GAP_S:
            self._gate.cover()  # hides the last frame of a lost camera when the engine draws nothing
            self._animate(None, time.monotonic_ns(), now_s)
        else:
            self.calibration.pass_time(now_s)
        self.manager.look_after(now_s)

    def _follow(self, frame: Frame, now_s: float) -> None:
        """Process one camera frame."""
        self.stages["wait"].add(1000 * now_s - frame.captured_ns * 1e-6)
        made = frame.face if isinstance(frame, FaceFrame) else None
        if self._mirror and made is None:
            frame = Frame(np.asarray(cv2.flip(frame.rgb, 1)), frame.sequence, frame.captured_ns)
        self._note_size(frame)
        with self._timed("track"):
            face = made or (self._track(frame) if self.manager.follows_faces else None)
        if made is None:
            self._watch_turn(frame, face, now_s)
        box = self._crop.box(face, frame.width_px, frame.height_px, now_s, self.manager.framing)
        self._camera_frames.put(Preview(frame, None if face is None else face.landmarks, box))
        seen = face if self.manager.needs_face else face or self._stand_in
        if made is not None:
            observation: Observation | None = Observation(made, None)
        else:
            observation = None if seen is None else Observation.of(seen, frame.rgb, box)
        if self._gate.passes(frame.captured_ns):
            self._crossfade.forget()
            self._publish(as_passed_through(frame, self.manager.wanted.canvas))
            self.calibration.observe(observation, now_s)
        else:
            self._animate(observation, frame.captured_ns, now_s)

    def _track(self, frame: Frame) -> Face | None:
        assert self._tracker is not None
        time_s = frame.captured_ns * 1e-9
        if self._cuts.scene_changed(frame.rgb):
            self._tracker.reset()
        if self._crop.settings.auto:
            face = self._tracker.track(frame.rgb, time_s)
        else:
            box = self._crop.box(None, frame.width_px, frame.height_px, time_s, self.manager.framing)
            face = self._tracker.track(np.ascontiguousarray(box.of(frame.rgb)), time_s)
            face = None if face is None else face.shifted(box.left, box.top)
        if face is not None and self._cuts.is_cut(face, time_s):
            self.calibration.rebase(face)
            self._crop.start_afresh()
            if not self._told_cut:  # a film has hundreds of cuts
                self._told_cut = True
                self._report(SourceNote(_CUT))
        return face

    def _watch_turn(self, frame: Frame, face: Face | None, now_s: float) -> None:
        """Report, once, a camera that is mounted upside down."""
        if self._tracker is None or not (self.manager.ready and self.manager.needs_face):
            return
        if (note := self._turn.note(frame.rgb, face, self._tracker, now_s)) is not None:
            self._report(SourceNote(note))

    def _note_size(self, frame: Frame) -> None:
        """Rescale the reference frame if the source changes its frame size, as calls and browsers do."""
        size = (frame.width_px, frame.height_px)
        if self._camera_size not in (size, (0, 0)):
            times = 1 / scale_between(size, self._camera_size)
            if times != 1:
                self.calibration.rescale(times)
                self._cuts.rescale(times)
        self._camera_size, self._camera_width_px = size, frame.width_px

    def _tell_face(self, *, following: bool, seen: bool) -> None:
        """Report a face that is found or lost, and anew the first of another source, which may follow without a gap."""
        if following != self.following or (seen and not self._source_told):
            self.following = following
            self._report(FaceFound() if following else FaceLost())
        self._source_told |= seen

    def _animate(self, observation: Observation | None, captured_ns: int, now_s: float) -> None:
        """Draw and publish one avatar frame, if an engine is ready."""
        self.calibration.observe(observation, now_s)
        drive = replace(self._driver.drive(observation, now_s), captured_ns=captured_ns)
        self._tell_face(following=drive.following, seen=observation is not None)
        if not self.manager.ready:
            return
        with self._timed("draw"):
            rgb = self.manager.draw(drive, self._camera_width_px, now_s)
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
        self.stages["engine"].add(1000 * (done_s - now_s))
        self.latency.add(1000 * done_s - captured_ns * 1e-6)
        self.first_frame_s = self.first_frame_s or done_s
        self.lagged += done_s - now_s > self._period_s

    def _publish(self, frame: Frame) -> None:
        """Publish a frame with the next number."""
        self._gate.publish(replace(frame, sequence=self._published))
        self._published += 1

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.stages[stage].add(1000 * (time.perf_counter() - began_s))
