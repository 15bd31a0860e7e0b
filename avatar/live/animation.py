"""The engine thread: takes the newest camera frame, follows the face in it, and draws the avatar."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable

from avatar.errors import AvatarError, EngineError
from avatar.frames import Frame, LatestFrame
from avatar.library import Library
from avatar.live.events import AvatarReady, EngineFailed, EngineReady, Event
from avatar.live.gate import Gate
from avatar.live.options import IDLE, LiveOptions
from avatar.live.stage import LiveEngine, LiveTools
from avatar.live.statistics import Window
from avatar.live.tap import Preview, Tap
from avatar.live.worker import Worker
from avatar.motion.idle import load_idle
from avatar.portrait_crop import Box
from avatar.portrait_source import read_portrait
from avatar.tracking import FaceTracker

logger = logging.getLogger(__name__)

IDLE_RATE = 30  # frames per second without a camera
GAP_S = 0.5  # a camera that sent nothing for so long counts as gone


class AnimationThread(Worker):
    """Owns tracker and engine."""

    def __init__(
        self,
        options: LiveOptions,
        tools: LiveTools,
        inbox: LatestFrame,
        gate: Gate,
        camera_frames: Tap[Preview],
        report: Callable[[Event], None],
    ) -> None:
        super().__init__("masque-engine")
        self.options = options
        self._tools, self._inbox, self._gate = tools, inbox, gate
        self._camera_frames, self._report = camera_frames, report
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.frames = Window()
        self.stages = {"track": Window(), "draw": Window()}
        self.drawn = 0
        self.face_seen = False

    def do(self, action: Callable[[], None]) -> None:
        """Have something done on this thread before the next frame."""
        self._todo.put(action)

    def _wake(self) -> None:
        self._inbox.close()

    def _run(self) -> None:
        try:
            with (
                contextlib.closing(self._tools.open_tracker(self.options.motion.smoothing)) as tracker,
                contextlib.closing(self._tools.open_engine(self.options)) as engine,
            ):
                self._report(EngineReady(self.options.engine, "cpu", "float32", ""))
                self._show_avatar(engine, tracker)
                self._animate(engine, tracker)
        except Exception as error:
            logger.exception("Animation stopped")
            known = isinstance(error, AvatarError)
            failure = error if known else EngineError(f"The engine failed: {error}.", remedy="Start again.")
            self._report(EngineFailed(failure, ""))  # type: ignore[arg-type]

    def _show_avatar(self, engine: LiveEngine, tracker: FaceTracker) -> None:
        began_s = time.monotonic()
        portrait = read_portrait(Library().resolve(self.options.avatar), tracker)
        face = portrait.faces[0] if portrait.faces else None
        engine.use_source(engine.prepare_source(Frame(portrait.rgb, 0, 0), face, portrait.alpha))
        tracker.reset()
        self._report(AvatarReady(self.options.avatar, 1000 * (time.monotonic() - began_s)))

    def _animate(self, engine: LiveEngine, tracker: FaceTracker) -> None:
        idle, started_s = load_idle(), time.monotonic()
        next_s = last_s = started_s
        while not self._stopping.is_set():
            while not self._todo.empty():
                self._todo.get()()
            frame = self._inbox.take(timeout_s=max(0.0, next_s - time.monotonic()))
            now_s = time.monotonic()
            next_s = max(next_s, now_s - 1 / IDLE_RATE) + 1 / IDLE_RATE
            if frame is not None:
                last_s = now_s
                with self._timed("track"):
                    face = tracker.track(frame.rgb, frame.captured_ns * 1e-9)
                self.face_seen = face is not None
                whole = Box(0, 0, frame.width_px, frame.height_px)
                self._camera_frames.put(Preview(frame, face.landmarks if face else None, whole))
                captured_ns = frame.captured_ns
            elif self.options.source == IDLE or now_s - last_s > GAP_S:
                face = idle.face(round((now_s - started_s) * IDLE_RATE) % len(idle))
                captured_ns = time.monotonic_ns()
            else:
                continue
            with self._timed("draw"):
                rgb = engine.animate_face(face, now_s)
            self._gate.publish(Frame(rgb, self.drawn, captured_ns))
            self.drawn += 1
            self.frames.add()

    @contextlib.contextmanager
    def _timed(self, stage: str):  # type: ignore[no-untyped-def]
        began_s = time.perf_counter()
        yield
        self.stages[stage].add(1000 * (time.perf_counter() - began_s))
