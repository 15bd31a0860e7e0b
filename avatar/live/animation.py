"""The engine thread: takes the newest camera frame, follows the face in it, and has the avatar drawn."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from avatar.cv import cv2
from avatar.errors import AvatarError, EngineError
from avatar.frames import Frame, LatestFrame
from avatar.live.calibration import Calibration
from avatar.live.crop import DrivingCrop
from avatar.live.driver import Driver
from avatar.live.events import EngineFailed, Event, FaceFound, FaceLost, SourceNote
from avatar.live.gate import Gate
from avatar.live.mark import as_passed_through
from avatar.live.moment import Moment
from avatar.live.options import IDLE, LiveOptions
from avatar.live.stage import Stage
from avatar.live.statistics import Window
from avatar.live.tap import Preview, Tap
from avatar.live.tools import LiveTools
from avatar.live.turn_watch import TurnWatch
from avatar.live.worker import Worker
from avatar.motion.cuts import CutWatch
from avatar.motion.idle import SIDE_PX, load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.track import scale_between
from avatar.settings import CropSettings, MotionSettings
from avatar.tracking import Face, FaceTracker

logger = logging.getLogger(__name__)

IDLE_S = 1 / 30  # between two frames without a camera
GAP_S = 0.5  # a camera that sent nothing for so long counts as gone, and the avatar idles
_CUT = "The picture jumped to another view, as at a cut: the head's place and size are measured afresh."


class AnimationThread(Worker):
    """Owns the tracker, the calibration and the stage; others reach them through `do`."""

    def __init__(
        self,
        options: LiveOptions,
        tools: LiveTools,
        inbox: LatestFrame,
        gate: Gate,
        camera_frames: Tap[Preview],
        report: Callable[[Event], None],
    ) -> None:
        """Get ready; opens nothing.

        Args:
            inbox: camera frames; closed when this thread is asked to stop.
            gate: takes the avatar frames.
            camera_frames: takes what the user's own preview shows.
            report: is told what happens.
        """
        super().__init__("masque-engine")
        self._tools, self._inbox, self._gate = tools, inbox, gate
        self._camera_frames, self._report = camera_frames, report
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._tracker: FaceTracker | None = None
        self._smoothing = options.motion.smoothing
        self._source, self._mirror = options.source, options.mirror_driving
        self._camera_width_px = SIDE_PX
        self._since_ns = 0
        self._period_s = 1 / options.camera_rate
        self._camera_s = 0.0  # when the last camera frame was taken
        self._crop = DrivingCrop(options.crop)
        self._cuts, self._told_cut = CutWatch(), False
        self._turn = TurnWatch()
        self._camera_size = (0, 0)
        self.calibration = Calibration(
            report, search=options.calibration.search, drift_hint=options.calibration.drift_hint
        )
        idle = load_idle()
        self._driver = Driver(self.calibration, idle)
        self._stand_in = idle.face(neutral_frame(idle))  # for engines that animate whatever is in the picture
        self.stage = Stage(options, tools, self.do, report)
        self.frames = Window()
        self.stages = {name: Window() for name in ("wait", "track", "draw", "engine")}
        self.latency = Window()  # from capture to avatar frame
        self.drawn = self.lagged = self._published = 0
        self.first_frame_s: float | None = None
        self.following = False  # a face

    def do(self, action: Callable[[], None]) -> None:
        """Have something done on this thread before the next frame; any thread."""
        self._todo.put(action)

    def use_source(self, spec: str, since_ns: int) -> None:
        """Frames captured before `since_ns` are of the source before, and count no longer."""
        self._source, self._since_ns = spec, since_ns
        self._cuts.reset()
        self._told_cut = False
        self._camera_size = (0, 0)
        self._turn.reset()
        self._camera_s = time.monotonic()
        self.calibration.forget()

    def use_crop(self, crop: CropSettings) -> None:
        """Look at another part of the picture."""
        self._crop.change(crop)

    def use_motion(self, motion: MotionSettings) -> None:
        """Carry motion over in another way."""
        self.stage.set_motion(motion)
        if motion.smoothing != self._smoothing and self._tracker is not None:
            self._smoothing = motion.smoothing
            self._tracker.close()
            self._tracker = self._tools.open_tracker(motion.smoothing)

    def use_mirror(self, on: bool) -> None:
        """See the driver in a mirror."""
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
            self._tracker = self._tools.open_tracker(self._smoothing)
            with contextlib.closing(self.stage):
                self.stage.start()
                self._camera_s = next_s = time.monotonic()
                while not self._stopping.is_set():
                    frame = self._inbox.take(timeout_s=max(0.0, next_s - time.monotonic()))
                    self._catch_up()
                    now_s = time.monotonic()
                    next_s = max(next_s, now_s - IDLE_S) + IDLE_S
                    self._step(frame, now_s)
        except Exception as error:  # outermost frame of the thread: nothing above would see it
            logger.exception("Animation stopped")
            failure = error if isinstance(error, AvatarError) else EngineError(f"Animation stopped: {error}.")
            self._gate.cover()
            self._report(EngineFailed(failure, ""))
        finally:
            if self._tracker is not None:
                self._tracker.close()

    def _catch_up(self) -> None:
        """Do what others asked for."""
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
            self._gate.cover()  # the last frame of a camera that is gone, where the engine has nothing to put there
            self._animate(None, time.monotonic_ns(), now_s)
        else:
            self.calibration.pass_time(now_s)
        self.stage.look_after(now_s)

    def _follow(self, frame: Frame, now_s: float) -> None:
        """One camera frame."""
        self.stages["wait"].add(1000 * now_s - frame.captured_ns * 1e-6)
        if self._mirror:
            frame = Frame(np.asarray(cv2.flip(frame.rgb, 1)), frame.sequence, frame.captured_ns)
        self._note_size(frame)
        with self._timed("track"):
            face = self._track(frame) if self.stage.watches_faces else None
        self._watch_turn(frame, face, now_s)
        box = self._crop.box(face, frame.width_px, frame.height_px, now_s)
        self._camera_frames.put(Preview(frame, None if face is None else face.landmarks, box))
        seen = face if self.stage.needs_face else face or self._stand_in
        moment = None if seen is None else Moment.of(seen, frame.rgb, box)
        if self._gate.passes(frame.captured_ns):
            self._publish(as_passed_through(frame, self.stage.wanted.canvas))
            self.calibration.observe(moment, now_s)
        else:
            self._animate(moment, frame.captured_ns, now_s)

    def _track(self, frame: Frame) -> Face | None:
        assert self._tracker is not None
        time_s = frame.captured_ns * 1e-9
        if self._cuts.scene_changed(frame.rgb):
            self._tracker.reset()
        if self._crop.settings.auto:
            face = self._tracker.track(frame.rgb, time_s)
        else:
            box = self._crop.box(None, frame.width_px, frame.height_px, time_s)
            face = self._tracker.track(np.ascontiguousarray(box.of(frame.rgb)), time_s)
            face = None if face is None else face.shifted(box.left, box.top)
        if face is not None and self._cuts.is_cut(face, time_s):
            self.calibration.rebase(face)
            self._crop.start_afresh()
            if not self._told_cut:  # a film has hundreds
                self._told_cut = True
                self._report(SourceNote(_CUT))
        return face

    def _watch_turn(self, frame: Frame, face: Face | None, now_s: float) -> None:
        """Tell of a camera that is mounted upside down, once."""
        if self._tracker is None or not (self.stage.ready and self.stage.needs_face):
            return
        if (note := self._turn.note(frame.rgb, face, self._tracker, now_s)) is not None:
            self._report(SourceNote(note))

    def _note_size(self, frame: Frame) -> None:
        """Carry the reference frame over where a source goes on in another size, as calls and browsers do."""
        size = (frame.width_px, frame.height_px)
        if self._camera_size not in (size, (0, 0)):
            times = 1 / scale_between(size, self._camera_size)
            if times != 1:
                self.calibration.rescale(times)
                self._cuts.rescale(times)
        self._camera_size, self._camera_width_px = size, frame.width_px

    def _animate(self, moment: Moment | None, captured_ns: int, now_s: float) -> None:
        """Draw and publish one avatar frame, unless there is nothing to draw with."""
        self.calibration.observe(moment, now_s)
        drive = self._driver.drive(moment, now_s)
        if drive.following != self.following:
            self.following = drive.following
            self._report(FaceFound() if drive.following else FaceLost())
        if not self.stage.ready:
            return
        with self._timed("draw"):
            rgb = self.stage.draw(drive, self._camera_width_px, now_s)
        if rgb is None:
            return
        self._publish(Frame(rgb, 0, captured_ns))
        self.drawn += 1
        self.frames.add()
        done_s = time.monotonic()
        self.stages["engine"].add(1000 * (done_s - now_s))
        self.latency.add(1000 * done_s - captured_ns * 1e-6)
        self.first_frame_s = self.first_frame_s or done_s
        self.lagged += done_s - now_s > self._period_s

    def _publish(self, frame: Frame) -> None:
        """Hand on a frame under the next number."""
        self._gate.publish(replace(frame, sequence=self._published))
        self._published += 1

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.stages[stage].add(1000 * (time.perf_counter() - began_s))
