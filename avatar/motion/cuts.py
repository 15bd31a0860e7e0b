"""Tells a cut from a movement."""

from __future__ import annotations

import math

from avatar.motion.head import pose_difference
from avatar.tracking.face import HeadPose

# Shift in head sizes (outer eye corners, some 9 cm) and log zoom. Over 2800 frames of people who talk and nod, the
# largest step from one frame to the next was 0.14 and 0.05.
CUT_SHIFT, CUT_ZOOM = 0.2, math.log(1.12)  # where the picture has changed as a whole
STEP, SPEED = 0.6, 12.0  # where it has not: what a head may do at once, and per second (about 1 m/s)
ZOOM_STEP, ZOOM_SPEED = math.log(1.35), 1.5
LONGEST_S = 1.0  # somebody out of sight for longer may have gone anywhere


def is_cut(before: HeadPose, after: HeadPose, elapsed_s: float, *, scene_changed: bool) -> bool:
    """Whether a head that was here and is there was seen by another camera in between.

    Args:
        before, after: the head when it was last seen, and now; pixels of pictures of one size.
        elapsed_s: between the two.
        scene_changed: the picture as a whole has changed meanwhile, from one frame to the next.
    """
    *_, across, down, zoom = pose_difference(before, after).tolist()
    shift, zoom = math.hypot(across, down), abs(zoom)
    if scene_changed:
        return shift > CUT_SHIFT or zoom > CUT_ZOOM
    if elapsed_s > LONGEST_S:
        return False
    return shift > STEP + SPEED * elapsed_s or zoom > ZOOM_STEP + ZOOM_SPEED * elapsed_s
