"""A tracked clip: what one face did, frame by frame, without the pictures."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.errors import FaceError, VideoError
from avatar.frames import FloatArray, Frame
from avatar.motion.cuts import CutWatch
from avatar.motion.rows import Rows, chunks, is_mapped, let_go
from avatar.tracking import Face, FaceTracker, pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

SAME_SHAPE = 0.02  # of width over height: pictures that differ by less show the same part of the scene


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """One face over T frames; read-only. The arrays of a long clip are mapped from a file: see `rows`."""

    landmarks: FloatArray  # (T, 478, 3) as in Face: pixels, z relative
    blendshapes: FloatArray  # (T, 52) in [0, 1], in the order of BLENDSHAPES
    presence: FloatArray  # (T,) in [0, 1]; 0 = no face in that frame, whose row then repeats the last good one
    times_s: npt.NDArray[np.float64]  # (T,), since the first frame, never falling
    width_px: int  # of the clip's pictures
    height_px: int
    name: str  # of the clip, for messages; may be empty
    cuts: tuple[int, ...] = ()  # rising; the first frames with a face after a cut to another view of it

    def __post_init__(self) -> None:
        count = len(self.times_s)
        shapes = (self.landmarks.shape, self.blendshapes.shape, self.presence.shape)
        if count == 0 or shapes != ((count, LANDMARKS, 3), (count, len(BLENDSHAPES)), (count,)):
            raise ValueError(f"a track of {count} frames cannot have arrays of shape {shapes}")

    def __len__(self) -> int:
        return len(self.times_s)

    def face(self, index: int) -> Face:
        """The face of one frame; of a frame without one, the last good face with a presence of 0."""
        landmarks, blendshapes = self.landmarks[index], self.blendshapes[index]
        if is_mapped(self.landmarks):
            landmarks, blendshapes = landmarks.copy(), blendshapes.copy()
            self.let_go()
        return Face(landmarks, blendshapes, float(self.presence[index]), pose_of(landmarks))

    def seen_landmarks(
        self, start: int = 0, end: int | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray]]:
        """Numbers (N,) and landmarks (N, 478, 3) of the frames with a face, some hundred at a time."""
        for part in chunks((len(self) if end is None else end) - start):
            here = slice(start + part.start, start + part.stop)
            seen = np.flatnonzero(self.presence[here] > 0)
            if seen.size:
                yield here.start + seen, self.landmarks[here][seen]
            self.let_go()

    def let_go(self) -> None:
        """Give back the memory that reading the arrays of a long clip took."""
        let_go(self.landmarks)
        let_go(self.blendshapes)


def track_frames(frames: Iterable[Frame], tracker: FaceTracker, *, name: str = "") -> MotionTrack:
    """Follow one face through a clip; memory hardly grows with its length.

    Args:
        frames: in the order of their times. Landmarks are in pixels of the first one's size, also where a later
            one has another size of the same shape.
        tracker: is reset first, so that an earlier clip has no say, and at cuts.
        name: of the clip, for messages.
    Raises:
        VideoError: there is no frame at all.
        FaceError: no frame shows a face.
        OutputError: a long clip finds no room for its motion on the disk.
    """
    tracker.reset()
    recorder, cuts = _Recorder(), CutWatch()
    for frame in frames:
        if cuts.scene_changed(frame.rgb):
            tracker.reset()
        recorder.note(frame)
        recorder.add(tracker.track(frame.rgb, recorder.time_s), cuts)
    return recorder.finish(name)


def scale_between(size: tuple[int, int], first: tuple[int, int]) -> float:
    """From pixels of a frame (width, height) to those of the first: 1 where they have not the same shape."""
    same_shape = abs(size[0] * first[1] / (size[1] * first[0]) - 1) < SAME_SHAPE
    return first[0] / size[0] if same_shape else 1.0


class _Recorder:
    """Writes down faces as they come."""

    def __init__(self) -> None:
        self._landmarks, self._blendshapes = Rows((LANDMARKS, 3)), Rows((len(BLENDSHAPES),))
        self._presence, self._times_ns = array("f"), array("q")
        self._size = (0, 0)
        self._scale = 1.0  # from pixels of this frame to those of the first
        self._known: Face | None = None  # as last seen
        self._cuts: list[int] = []

    @property
    def time_s(self) -> float:
        """Of the frame noted last."""
        return (self._times_ns[-1] - self._times_ns[0]) * 1e-9

    def note(self, frame: Frame) -> None:
        """Take down time and size of the next frame."""
        if not self._times_ns:
            self._size = (frame.width_px, frame.height_px)
        self._times_ns.append(frame.captured_ns)
        self._scale = scale_between((frame.width_px, frame.height_px), self._size)

    def add(self, face: Face | None, cuts: CutWatch) -> None:
        """Take down the face in that frame, and whether it comes after a cut."""
        number = len(self._presence)
        self._presence.append(0.0 if face is None else face.presence)
        if face is not None:
            face = face if self._scale == 1 else face.scaled(self._scale)
            if cuts.is_cut(face, self.time_s):
                self._cuts.append(number)
            for _ in range(1 if self._known else 1 + number):  # frames before the first face repeat it
                self._write(face)
            self._known = face
        elif self._known is not None:
            self._write(self._known)

    def _write(self, face: Face) -> None:
        self._landmarks.extend(face.landmarks[None])
        self._blendshapes.extend(face.blendshapes[None])

    def finish(self, name: str) -> MotionTrack:
        """Return the track. Raises VideoError, FaceError as `track_frames`."""
        clip = name or "The clip"
        if not self._times_ns:
            raise VideoError(f"{clip} holds no frames.", remedy="Choose a video that plays.")
        if self._known is None:
            raise FaceError(f"{clip} shows no face.", remedy="Choose a video in which one face looks at the camera.")
        times_ns = np.frombuffer(self._times_ns, np.int64)
        return MotionTrack(
            landmarks=self._landmarks.finish(),
            blendshapes=self._blendshapes.finish(),
            presence=np.array(self._presence, np.float32),
            times_s=(times_ns - times_ns[0]) * 1e-9,
            width_px=self._size[0],
            height_px=self._size[1],
            name=name,
            cuts=tuple(self._cuts),
        )
