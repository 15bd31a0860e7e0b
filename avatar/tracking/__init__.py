"""Faces in pictures: landmarks, expression, head pose."""

from __future__ import annotations

from avatar.frames import RgbImage
from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face, HeadPose
from avatar.tracking.tracker import FaceTracker

__all__ = ["BLENDSHAPES", "Face", "FaceTracker", "HeadPose", "canonical_face", "find_faces", "open_tracker", "pose_of"]


def find_faces(rgb: RgbImage, tracker: FaceTracker) -> list[Face]:
    """All faces of a still, largest first; of a picture where the tracker finds none, the second opinion's.

    The second opinion has a say only where the user has fetched it (`models pull fan`); its faces have a presence
    below 1 and no expression.
    """
    from avatar.tracking.fan import open_second_opinion

    if (faces := tracker.detect(rgb)) or (second := open_second_opinion()) is None:
        return faces
    face = second.find(rgb, tracker.guess_boxes(rgb))
    return [] if face is None else [face]


def open_tracker(*, smoothing: bool = False, live: bool = False) -> FaceTracker:
    """Open a tracker on the face model in the user's cache; see `FaceTracker`.

    Raises:
        WeightsError: the model has not been fetched yet, or is damaged.
    """
    from avatar.weights import model_path

    # One thread: drawing, decoding and encoding want the other cores, and waiting for a second one costs more here.
    return FaceTracker(model_path("face-landmarker"), smoothing=smoothing, live=live, threads=1)
