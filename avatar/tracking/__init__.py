"""Faces in pictures: landmarks, expression, head pose."""

from __future__ import annotations

from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face, HeadPose
from avatar.tracking.tracker import FaceTracker

__all__ = ["BLENDSHAPES", "Face", "FaceTracker", "HeadPose", "canonical_face", "open_tracker", "pose_of"]


def open_tracker(*, smoothing: bool = False) -> FaceTracker:
    """A tracker on the face model in the user's cache.

    Raises:
        WeightsError: the model has not been fetched yet, or is damaged.
    """
    from avatar.weights import model_path

    return FaceTracker(model_path("face-landmarker"), smoothing=smoothing)
