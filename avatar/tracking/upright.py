"""Which way up a picture is, by its face: cameras and chat programs lose the note that says how one was held.

The landmark network draws an upright face on a chin and a forehead too, so one look cannot tell. The picture is looked
at in all four positions: the true one is seen more surely, and a face that lies on its side is found from several.

    turn_deg = how_turned(rgb, tracker)     # a still
    if turn_deg is None: ...                # too little of a face that is not upright: do as if there were none
    rgb = turned(rgb, turn_deg)

For a clip, add up `weigh_turns` of some frames and ask `likeliest_turn` about the sum divided by their number.
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
MAX_TILT_DEG = 60.0  # people tilt their heads by up to 45 degrees; a picture is turned for more than this only
FAINT_TILT_DEG = 30.0  # what is seen faintly and tilted further than that is an ear or a collar
SURE = 8.0  # weight below which nothing is turned: wallpaper and ears reach 6
CERTAIN = 18.5  # above this one look is enough: of 498 faces seen the wrong way up the surest reached 17.1
UPRIGHT_BONUS = 1.0  # in doubt a picture is as it should be
AGAIN = 0.5  # what a look counts that is not the surest one


def how_turned(rgb: RgbImage, tracker: FaceTracker) -> int | None:
    """Say by how much a still has to be turned for its largest face to be upright.

    Args:
        rgb: (H, W, 3) uint8.
        tracker: what it follows is left alone.
    Returns:
        0, 90, 180 or 270, degrees clockwise, for `turned`; 0 where no face is found in any position; None: there
        are traces of one that is not upright, too faint to turn a picture for, and a face found in it as it is
        would be a false one.
    """
    first = tracker.detect(rgb)
    if is_surely_upright(first):
        return 0
    found = likeliest_turn(weigh_turns(rgb, tracker, first))
    faint = bool(first) and _logit(first[0].presence) < SURE
    return None if found == 0 and faint and abs(first[0].pose.roll_deg) > FAINT_TILT_DEG else found


def is_surely_upright(faces: Sequence[Face]) -> bool:
    """Say whether what `detect` found in a picture as it is leaves no doubt that it is upright."""
    return bool(faces) and abs(faces[0].pose.roll_deg) < MAX_TILT_DEG and _logit(faces[0].presence) > CERTAIN


def weigh_turns(rgb: RgbImage, tracker: FaceTracker, upright: Sequence[Face] | None = None) -> FloatArray:
    """Return what speaks for each of TURNS_DEG, as (4,) numbers from 0 (nothing) to about 50 (no doubt).

    Args:
        rgb: (H, W, 3) uint8.
        tracker: what it follows is left alone.
        upright: what `detect` found in the picture as it is, where that is known.
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
    """Return the turn, as in `how_turned`, that weights of `weigh_turns` speak for."""
    best = int(np.argmax(weights))
    if weights[best] <= 0 or (weights[best] <= weights[0] + UPRIGHT_BONUS and weights[0] > 0):
        return 0
    return TURNS_DEG[best] if weights[best] >= SURE else None


def turned(values: npt.NDArray[np.uint8], turn_deg: int) -> npt.NDArray[np.uint8]:
    """Turn (H, W) or (H, W, C) clockwise by a multiple of 90 degrees."""
    return values if turn_deg % 360 == 0 else np.ascontiguousarray(np.rot90(values, -turn_deg // 90))


def _needed(degrees: float) -> int:
    """The turn for a face that is upright after one by `degrees`."""
    rest = (degrees + 180) % 360 - 180
    return 0 if abs(rest) <= MAX_TILT_DEG else round(rest / 90) * 90 % 360


def _weight(logits: list[float]) -> float:
    best = max(logits, default=0.0)
    return best + AGAIN * (sum(logits) - best)


def _logit(presence: float) -> float:
    """How sure the network is, on a scale that does not end; at least a little more than nothing."""
    share = min(max(presence, 1e-12), 1 - 1e-12)
    return max(math.log(share / (1 - share)), 0.1)
