"""The tracking thread: follows the face in the newest camera frame.

Where there are enough cores it does so while the engine thread draws the frame before, otherwise in turns with it. With
two cores, free for both, overlapping raised the rate of a 60 Hz camera at 720p from 39 to 46 frames per second and the
latency from 39 to 47 ms; with one of them busy the rate fell from 28 to 17.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import Frame, Latest, LatestFrame
from avatar.live.crop import DrivingCrop
from avatar.live.events import Event, SourceNote
from avatar.live.tools import LiveTools
from avatar.live.turn_watch import TurnWatch
from avatar.live.voice_source import FaceFrame
from avatar.live.worker import Worker
from avatar.motion.cuts import CutWatch
from avatar.motion.track import scale_between
from avatar.settings import CropSettings
from avatar.system.devices import usable_cores
from avatar.tracking import Face, FaceTracker

CORES = 4  # from which a face is tracked while a frame is drawn; with fewer both take longer, and faces grow old
LONGEST_REST_S = 1.0


@dataclass(frozen=True)
class TrackingSettings:
    """Treatment of camera frames by the tracking thread."""

    since_ns: int  # when the source was opened; frames captured earlier are of another one
    mirror: bool
    crop: CropSettings  # one by hand is all that the tracker sees
    smoothing: bool
    follows_faces: bool = True  # False: the engine has no use for them


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A camera frame and the face in it."""

    frame: Frame  # mirrored if the driving signal is
    face: Face | None  # None: none is seen, or none was looked for
    track_ms: float
    cuts: int  # number of cuts up to this frame
    settings: TrackingSettings  # that it was tracked with


class TrackingThread(Worker):
    """Thread that owns the tracker; the engine thread replaces its settings as a whole."""

    def __init__(
        self,
        settings: TrackingSettings,
        tools: LiveTools,
        inbox: LatestFrame,
        found: Latest[TrackedFrame],
        report: Callable[[Event], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Create the thread without opening anything.

        Args:
            settings: the initial ones.
            tools: functions that open the dependencies.
            inbox: camera frames; closed when this thread is asked to stop.
            found: receives them with their faces.
            report: receives events.
            fail: receives what ends this thread.
        """
        super().__init__("masque-tracking")
        self.settings = settings  # replaced by the engine thread
        self.watches_turn = False  # likewise: a camera that is mounted upside down is reported
        self.rest_until_s = 0.0  # likewise: before then no frame is tracked, because its face would only become old
        self._overlaps = usable_cores() >= CORES
        self._turn = threading.Event()  # to track, if it does not overlap
        self._turn.set()
        self._used = settings
        self._tools, self._inbox, self._found = tools, inbox, found
        self._report, self._fail = report, fail
        self._tracker: FaceTracker | None = None
        self._crop = DrivingCrop(settings.crop)
        self._cuts, self._upright = CutWatch(), TurnWatch()
        self._cut_count = 0
        self._size = (0, 0)

    def take_turn(self) -> None:
        """Go on: the engine thread is done with a tracked frame; any thread."""
        self._turn.set()

    def _wake(self) -> None:
        self._inbox.close()
        self._turn.set()

    def _run(self) -> None:
        try:
            self._tracker = self._tools.open_tracker(self._used.smoothing)
            while not self._stopping.is_set():
                if self._overlaps:
                    self._stopping.wait(min(max(self.rest_until_s - time.monotonic(), 0), LONGEST_REST_S))
                else:
                    self._turn.wait()
                frame = self._inbox.take()
                if frame is not None and (tracked := self._tracked(frame)) is not None:
                    self._turn.clear()
                    self._found.put(tracked)
        except Exception as error:  # outermost frame of the thread: nothing above would see it
            self._fail(error)
        finally:
            if self._tracker is not None:
                self._tracker.close()

    def _tracked(self, frame: Frame) -> TrackedFrame | None:
        """Find the face in one camera frame; None: the frame is of a source that was left."""
        settings = self.settings
        self._adapt(settings)
        if frame.captured_ns < settings.since_ns:
            return None
        if isinstance(frame, FaceFrame):
            return TrackedFrame(frame, frame.face, 0.0, self._cut_count, settings)
        if settings.mirror:
            frame = Frame(np.asarray(cv2.flip(frame.rgb, 1)), frame.sequence, frame.captured_ns)
        began_s = time.perf_counter()
        face = self._track(frame) if settings.follows_faces else None
        track_ms = 1000 * (time.perf_counter() - began_s)
        if self.watches_turn:
            assert self._tracker is not None
            if (note := self._upright.note(frame.rgb, face, self._tracker, time.monotonic())) is not None:
                self._report(SourceNote(note))
        return TrackedFrame(frame, face, track_ms, self._cut_count, settings)

    def _adapt(self, settings: TrackingSettings) -> None:
        """Go over to other settings."""
        before, self._used = self._used, settings
        if settings is before:
            return
        assert self._tracker is not None
        if settings.smoothing != before.smoothing:
            self._tracker.close()
            self._tracker = self._tools.open_tracker(settings.smoothing)
        if settings.mirror != before.mirror:
            self._tracker.reset()
            self._cuts.reset()
        if settings.since_ns != before.since_ns:
            self._cuts.reset()
            self._upright.reset()
            self._size = (0, 0)
        self._crop.change(settings.crop)

    def _track(self, frame: Frame) -> Face | None:
        assert self._tracker is not None
        size, time_s = (frame.width_px, frame.height_px), frame.captured_ns * 1e-9
        if self._size not in (size, (0, 0)) and (times := 1 / scale_between(size, self._size)) != 1:
            self._cuts.rescale(times)  # calls and browsers change the size of their frames
        self._size = size
        if self._cuts.scene_changed(frame.rgb):
            self._tracker.reset()
        if self._used.crop.auto:
            face = self._tracker.track(frame.rgb, time_s)
        else:
            box = self._crop.box(None, *size, time_s)
            face = self._tracker.track(np.ascontiguousarray(box.of(frame.rgb)), time_s)
            face = None if face is None else face.shifted(box.left, box.top)
        self._cut_count += self._cuts.is_cut(face, time_s)
        return face
