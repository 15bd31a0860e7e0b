"""Tells a cut from a movement."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from avatar.frames import RgbImage
from avatar.motion.head import pose_difference
from avatar.tracking.face import Face, HeadPose
from avatar.tracking.scene import SceneWatch

# Shift in head sizes (outer eye corners, some 9 cm) and log zoom. Over 2800 frames of people who talk and nod, the
# largest step from one frame to the next was 0.14 and 0.05.
CUT_SHIFT, CUT_ZOOM = 0.2, math.log(1.12)  # where the picture has changed as a whole
STEP, SPEED = 0.6, 12.0  # where it has not: what a head may do at once, and per second (about 1 m/s)
ZOOM_STEP, ZOOM_SPEED = math.log(1.35), 1.5
LONGEST_S = 1.0  # somebody out of sight for longer may have gone anywhere


def is_cut(before: HeadPose, after: HeadPose, elapsed_s: float, *, scene_changed: bool) -> bool:
    """Say whether a head that was here and is there was seen by another camera in between.

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


class CutWatch:
    """Looks for cuts while a face is followed."""

    def __init__(self) -> None:
        self._scene = SceneWatch()
        self.reset()

    def reset(self) -> None:
        """Forget the past: another clip or camera."""
        self._scene.reset()
        self._pose: HeadPose | None = None  # when the head was last seen
        self._seen_s = 0.0
        self._scene_changed = False  # since then

    def rescale(self, times: float) -> None:
        """Note that the pictures that follow are `times` as large and show the same."""
        if self._pose is not None:
            pose = self._pose
            self._pose = replace(pose, centre_px=pose.centre_px * np.float32(times), scale_px=pose.scale_px * times)

    def scene_changed(self, rgb: RgbImage) -> bool:
        """Look at the next picture. True: it shows another scene, so that a tracker had better start afresh."""
        changed = self._scene.changed(rgb)
        self._scene_changed = self._scene_changed or changed
        return changed

    def is_cut(self, face: Face | None, time_s: float) -> bool:
        """Say whether the picture's face is the first after a cut. None: no face is seen. One in the dark waits."""
        if face is None or self._scene.blank:
            return False
        before, elapsed_s = self._pose, time_s - self._seen_s
        cut = before is not None and is_cut(before, face.pose, elapsed_s, scene_changed=self._scene_changed)
        self._pose, self._seen_s, self._scene_changed = face.pose, time_s, False
        return cut
