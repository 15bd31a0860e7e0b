"""Orientation of an image from its face, because cameras and chat programs lose the orientation metadata.

The landmark network fits an upright face to an upside-down one too, so one detection cannot tell. Faces are detected
in all four orientations: the true one gets the highest confidence, and a face on its side is found from several.

    turn_deg = how_turned(rgb, tracker)     # a still
    if turn_deg is None: ...                # ambiguous: treat the image as one without a face
    rgb = turned(rgb, turn_deg)

For a clip, average `weigh_turns` over some frames and pass the mean to `likeliest_turn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray, RgbImage
from avatar.tracking.face import Face
from avatar.tracking.tracker import FaceTracker

TURNS_DEG = (0, 90, 180, 270)
MAX_TILT_DEG = 60.0  # people tilt their heads by up to 45 degrees; only larger angles rotate the image
FAINT_TILT_DEG = 30.0  # low-confidence faces tilted further than this are false detections such as ears or collars
SURE = 8.0  # minimum weight for a rotation: wallpaper and ears reach 6
CERTAIN = 18.5  # above this one detection suffices: the maximum over 498 faces in a wrong orientation was 17.1
UPRIGHT_BONUS = 1.0  # prior in favour of leaving the image as it is
AGAIN = 0.5  # weight of every further detection of the same orientation


def how_turned(rgb: RgbImage, tracker: FaceTracker) -> int | None:
    """Determine the rotation that brings the largest face of a still upright.

    Args:
        rgb: (H, W, 3) uint8.
        tracker: its tracking state is not used or changed.
    Returns:
        0, 90, 180 or 270, degrees clockwise, for `turned`; 0 where no face is found in any orientation; None where
        a face that is not upright is found with too little confidence to rotate the image, so that a face detected
        without rotation would be a false one.
    """
    first = tracker.detect(rgb)
    if is_surely_upright(first):
        return 0
    found = likeliest_turn(weigh_turns(rgb, tracker, first))
    faint = bool(first) and _logit(first[0].presence) < SURE
    return None if found == 0 and faint and abs(first[0].pose.roll_deg) > FAINT_TILT_DEG else found


def is_surely_upright(faces: Sequence[Face]) -> bool:
    """Return whether the faces that `detect` found in an image leave no doubt that it is upright."""
    return bool(faces) and abs(faces[0].pose.roll_deg) < MAX_TILT_DEG and _logit(faces[0].presence) > CERTAIN


def weigh_turns(rgb: RgbImage, tracker: FaceTracker, upright: Sequence[Face] | None = None) -> FloatArray:
    """Compute the evidence for each of TURNS_DEG.

    Args:
        rgb: (H, W, 3) uint8.
        tracker: its tracking state is not used or changed.
        upright: the result of `detect` on the image without rotation, if known.
    Returns:
        (4,) float32 from 0 (none) to about 50 (no doubt).
    """
    found: list[list[float]] = [[] for _ in TURNS_DEG]
    for turn_deg in TURNS_DEG:
        known = upright if turn_deg == 0 else None
        faces = tracker.detect(turned(rgb, turn_deg)) if known is None else known
        if faces:
            face = faces[0]
            needed_deg = _needed(turn_deg - face.pose.roll_deg)
            found[TURNS_DEG.index(needed_deg)].append(_logit(face.presence))
    return np.array([_weight(logits) for logits in found], np.float32)


def likeliest_turn(weights: FloatArray) -> int | None:
    """Return the rotation, as in `how_turned`, with the most evidence in (4,) weights of `weigh_turns`."""
    best = int(np.argmax(weights))
    if weights[best] <= 0 or (weights[best] <= weights[0] + UPRIGHT_BONUS and weights[0] > 0):
        return 0
    return TURNS_DEG[best] if weights[best] >= SURE else None


def turned(values: npt.NDArray[np.uint8], turn_deg: int) -> npt.NDArray[np.uint8]:
    """Rotate (H, W) or (H, W, C) values clockwise by a multiple of 90 degrees."""
    return values if turn_deg % 360 == 0 else np.ascontiguousarray(np.rot90(values, -turn_deg // 90))


def _needed(degrees: float) -> int:
    """Round the rotation that brings a face upright to a multiple of 90; 0 for a tilt up to MAX_TILT_DEG."""
    rest = (degrees + 180) % 360 - 180
    return 0 if abs(rest) <= MAX_TILT_DEG else round(rest / 90) * 90 % 360


def _weight(logits: list[float]) -> float:
    best = max(logits, default=0.0)
    return best + AGAIN * (sum(logits) - best)


def _logit(presence: float) -> float:
    """Return the logit of a presence in [0, 1], at least 0.1."""
    share = min(max(presence, 1e-12), 1 - 1e-12)
    return max(math.log(share / (1 - share)), 0.1)
