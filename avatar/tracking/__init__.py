"""Face tracking: landmarks, expression, head pose."""

from __future__ import annotations

from avatar.frames import RgbImage
from avatar.system.devices import usable_cores
from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face, HeadPose
from avatar.tracking.tracker import FaceTracker

__all__ = ["BLENDSHAPES", "Face", "FaceTracker", "HeadPose", "canonical_face", "find_faces", "open_tracker", "pose_of"]

LIVE_THREADS = 2


def find_faces(rgb: RgbImage, tracker: FaceTracker) -> list[Face]:
    """Return all faces in a still image, largest first.

    Falls back to FAN, where its weights have been fetched (`models pull fan`), when the tracker finds none; faces
    from FAN have a presence below 1 and no expression.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        tracker: its tracking state is not used or changed.
    """
    from avatar.tracking.fan import open_fan

    if (faces := tracker.detect(rgb)) or (fan := open_fan()) is None:
        return faces
    face = fan.find(rgb, tracker.guess_boxes(rgb))
    return [] if face is None else [face]


def open_tracker(*, smoothing: bool = False, live: bool = False) -> FaceTracker:
    """Open a tracker on the face model in the user's cache; see `FaceTracker`.

    Raises:
        WeightsError: the model has not been fetched yet, or is damaged.
    """
    from avatar.weights import model_path

    # A live frame waits for its face. Offline, rendering, decoding and encoding need the other cores.
    threads = min(LIVE_THREADS, usable_cores()) if live else 1
    return FaceTracker(model_path("face-landmarker"), smoothing=smoothing, live=live, threads=threads)
