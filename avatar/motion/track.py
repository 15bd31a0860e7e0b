"""A tracked clip: landmarks and blendshapes of one face for every frame, without the images."""

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
from avatar.system.message import Message
from avatar.tracking import Face, FaceTracker, pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

SAME_SHAPE = 0.02  # relative difference in aspect ratio below which two frames show the same view


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """One face over T frames; read-only. The arrays of a long clip are memory-mapped, see `rows`."""

    landmarks: FloatArray  # (T, 478, 3) as in Face: pixels, z relative
    blendshapes: FloatArray  # (T, 52) in [0, 1], in the order of BLENDSHAPES
    presence: FloatArray  # (T,) in [0, 1]; 0 = no face in that frame, whose row then repeats the last tracked one
    times_s: npt.NDArray[np.float64]  # (T,), since the first frame, non-decreasing
    width_px: int  # size of the clip's frames
    height_px: int
    name: str  # name of the clip, for messages; may be empty
    cuts: tuple[int, ...] = ()  # indices of the first frame with a face after each cut, increasing

    def __post_init__(self) -> None:
        count = len(self.times_s)
        shapes = (self.landmarks.shape, self.blendshapes.shape, self.presence.shape)
        if count == 0 or shapes != ((count, LANDMARKS, 3), (count, len(BLENDSHAPES)), (count,)):
            raise ValueError(f"a track of {count} frames cannot have arrays of shape {shapes}")

    def __len__(self) -> int:
        return len(self.times_s)

    def face(self, index: int) -> Face:
        """Return the face of one frame; for a frame without one, the last tracked face with a presence of 0."""
        landmarks, blendshapes = self.landmarks[index], self.blendshapes[index]
        if is_mapped(self.landmarks):
            landmarks, blendshapes = landmarks.copy(), blendshapes.copy()
            self.let_go()
        return Face(landmarks, blendshapes, float(self.presence[index]), pose_of(landmarks))

    def seen_landmarks(
        self, start: int = 0, end: int | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray]]:
        """Yield the indices (N,) and landmarks (N, 478, 3) of the frames with a face, some hundred at a time."""
        for part in chunks((len(self) if end is None else end) - start):
            here = slice(start + part.start, start + part.stop)
            seen = np.flatnonzero(self.presence[here] > 0)
            if seen.size:
                yield here.start + seen, self.landmarks[here][seen]
            self.let_go()

    def let_go(self) -> None:
        """Release the resident pages of memory-mapped arrays."""
        let_go(self.landmarks)
        let_go(self.blendshapes)


def track_frames(frames: Iterable[Frame], tracker: FaceTracker, *, name: str = "") -> MotionTrack:
    """Track one face through a clip; memory hardly grows with its length.

    Args:
        frames: in the order of their times. Landmarks are in pixels of the first frame's size, even if a later frame
            has another size with the same aspect ratio.
        tracker: is reset at the start and at cuts.
        name: name of the clip, for messages.
    Raises:
        VideoError: there is no frame at all.
        FaceError: no frame shows a face.
        OutputError: the disk has no room for the motion of a long clip.
    """
    tracker.reset()
    recorder, cuts = _Recorder(), CutWatch()
    for frame in frames:
        if cuts.scene_changed(frame.rgb):
            tracker.reset()
        recorder.note(frame)
        recorder.add(tracker.track(frame.rgb, recorder.time_s), cuts)
    return recorder.finish(name)


def record_faces(faces: Iterable[tuple[int, Face]], size: tuple[int, int], *, name: str = "") -> MotionTrack:
    """Collect faces that were made rather than tracked; memory hardly grows with their number.

    Args:
        faces: time in nanoseconds and face of each frame, in order.
        size: width and height of the image they are in.
        name: for messages.
    Raises:
        VideoError: there are none.
        OutputError: the disk has no room for the motion of a long recording.
    """
    recorder = _Recorder(size)
    for time_ns, face in faces:
        recorder.note_time(time_ns)
        recorder.add(face)
    return recorder.finish(name)


def scale_between(size: tuple[int, int], first: tuple[int, int]) -> float:
    """Return the scale from a frame (width, height) to the first one; 1 if their aspect ratios differ."""
    same_shape = abs(size[0] * first[1] / (size[1] * first[0]) - 1) < SAME_SHAPE
    return first[0] / size[0] if same_shape else 1.0


class _Recorder:
    """Builder of a MotionTrack, one frame at a time."""

    def __init__(self, size: tuple[int, int] = (0, 0)) -> None:
        self._landmarks, self._blendshapes = Rows((LANDMARKS, 3)), Rows((len(BLENDSHAPES),))
        self._presence, self._times_ns = array("f"), array("q")
        self._size = size  # (0, 0): of the first frame
        self._scale = 1.0  # from this frame's pixels to those of the first
        self._known: Face | None = None  # the last tracked face
        self._cuts: list[int] = []

    @property
    def time_s(self) -> float:
        """The time of the frame noted last."""
        return (self._times_ns[-1] - self._times_ns[0]) * 1e-9

    def note(self, frame: Frame) -> None:
        """Record time and size of the next frame."""
        if not self._times_ns:
            self._size = (frame.width_px, frame.height_px)
        self.note_time(frame.captured_ns)
        self._scale = scale_between((frame.width_px, frame.height_px), self._size)

    def note_time(self, time_ns: int) -> None:
        """Record the time of the next frame."""
        self._times_ns.append(time_ns)

    def add(self, face: Face | None, cuts: CutWatch | None = None) -> None:
        """Record the face in that frame, and a cut before it where they are watched for."""
        number = len(self._presence)
        self._presence.append(0.0 if face is None else face.presence)
        if face is not None:
            face = face if self._scale == 1 else face.scaled(self._scale)
            if cuts is not None and cuts.is_cut(face, self.time_s):
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
        """Build the track. Raises VideoError, FaceError as `track_frames`."""
        clip = name or Message("The clip")
        if not self._times_ns:
            raise VideoError(Message("{clip} holds no frames.", clip=clip), remedy="Choose a video that plays.")
        if self._known is None:
            raise FaceError(
                Message("{name} shows no face.", name=clip),
                remedy="Choose a video in which one face looks at the camera.",
            )
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
