"""A tracked clip: what one face did, frame by frame, without the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.errors import FaceError, VideoError
from avatar.frames import FloatArray, Frame
from avatar.tracking import Face, FaceTracker, pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """One face over T frames; read-only."""

    landmarks: FloatArray  # (T, 478, 3) as in Face: pixels, z relative
    blendshapes: FloatArray  # (T, 52) in [0, 1], in the order of BLENDSHAPES
    presence: FloatArray  # (T,) in [0, 1]; 0 = no face in that frame, whose row then repeats the last good one
    times_s: npt.NDArray[np.float64]  # (T,), since the first frame, never falling
    width_px: int  # of the clip's pictures
    height_px: int
    name: str  # of the clip, for messages; may be empty

    def __post_init__(self) -> None:
        count = len(self.times_s)
        shapes = (self.landmarks.shape, self.blendshapes.shape, self.presence.shape)
        if count == 0 or shapes != ((count, LANDMARKS, 3), (count, len(BLENDSHAPES)), (count,)):
            raise ValueError(f"a track of {count} frames cannot have arrays of shape {shapes}")

    def __len__(self) -> int:
        return len(self.times_s)

    def face(self, index: int) -> Face:
        """The face of one frame; of a frame without one, the last good face with a presence of 0."""
        landmarks = self.landmarks[index]
        return Face(landmarks, self.blendshapes[index], float(self.presence[index]), pose_of(landmarks))


def track_frames(frames: Iterable[Frame], tracker: FaceTracker, *, name: str = "") -> MotionTrack:
    """Follow one face through a clip.

    Args:
        frames: in the order of their times, all of one size.
        tracker: is reset first, so that an earlier clip has no say.
        name: of the clip, for messages.
    Raises:
        VideoError: there is no frame at all.
        FaceError: no frame shows a face.
    """
    tracker.reset()
    faces: list[Face | None] = []
    times_ns: list[int] = []
    size = (0, 0)
    for frame in frames:
        size = (frame.width_px, frame.height_px) if not faces else size
        times_ns.append(frame.captured_ns)
        faces.append(tracker.track(frame.rgb, (frame.captured_ns - times_ns[0]) * 1e-9))
    clip = name or "The clip"
    if not faces:
        raise VideoError(f"{clip} holds no frames.", remedy="Choose a video that plays.")
    filled = _fill(faces)
    if not filled:
        raise FaceError(f"{clip} shows no face.", remedy="Choose a video in which one face looks at the camera.")
    return MotionTrack(
        landmarks=np.stack([face.landmarks for face in filled]),
        blendshapes=np.stack([face.blendshapes for face in filled]),
        presence=np.array([0.0 if face is None else face.presence for face in faces], np.float32),
        times_s=np.array([(time_ns - times_ns[0]) * 1e-9 for time_ns in times_ns]),
        width_px=size[0],
        height_px=size[1],
        name=name,
    )


def _fill(faces: list[Face | None]) -> list[Face]:
    """Every frame without a face takes the last good one; those before the first take the first."""
    known = next((face for face in faces if face is not None), None)
    filled: list[Face] = []
    for face in faces:
        known = face or known
        if known is not None:
            filled.append(known)
    return filled
