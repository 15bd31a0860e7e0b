"""Cut detection: a jump of the head that no movement explains."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from avatar.frames import RgbImage
from avatar.motion.head import pose_difference
from avatar.tracking.face import Face, HeadPose
from avatar.tracking.scene import SceneWatch

# Shift in head sizes (outer eye corners, some 9 cm) and log zoom. Over 2800 frames of people who talk and nod, the
# largest changes between two frames were 0.14 and 0.05.
CUT_SHIFT, CUT_ZOOM = 0.2, math.log(1.12)  # thresholds where the scene has changed
STEP, SPEED = 0.6, 12.0  # thresholds where it has not: a constant, plus a speed per second (about 1 m/s)
ZOOM_STEP, ZOOM_SPEED = math.log(1.35), 1.5
LONGEST_S = 1.0  # after a longer absence the head may be anywhere


def is_cut(before: HeadPose, after: HeadPose, elapsed_s: float, *, scene_changed: bool) -> bool:
    """Return whether a head has moved further than it can without a cut.

    Args:
        before, after: the head when it was last seen, and now, in pixels of frames of the same size.
        elapsed_s: time between the two.
        scene_changed: a scene change was detected in between.
    """
    *_, across, down, zoom = pose_difference(before, after).tolist()
    shift, zoom = math.hypot(across, down), abs(zoom)
    if scene_changed:
        return shift > CUT_SHIFT or zoom > CUT_ZOOM
    if elapsed_s > LONGEST_S:
        return False
    return shift > STEP + SPEED * elapsed_s or zoom > ZOOM_STEP + ZOOM_SPEED * elapsed_s


class CutWatch:
    """Cut detector for a tracked face."""

    def __init__(self) -> None:
        self._scene = SceneWatch()
        self.reset()

    def reset(self) -> None:
        """Forget the past, for another clip or camera."""
        self._scene.reset()
        self._pose: HeadPose | None = None  # pose when the head was last seen
        self._seen_s = 0.0
        self._scene_changed = False  # since the head was last seen

    def rescale(self, times: float) -> None:
        """Scale the last pose: the frames that follow show the same view at `times` the size."""
        if self._pose is not None:
            pose = self._pose
            self._pose = replace(pose, centre_px=pose.centre_px * np.float32(times), scale_px=pose.scale_px * times)

    def scene_changed(self, rgb: RgbImage) -> bool:
        """Return whether the next (H, W, 3) frame shows another scene, so that a tracker should be reset."""
        changed = self._scene.changed(rgb)
        self._scene_changed = self._scene_changed or changed
        return changed

    def is_cut(self, face: Face | None, time_s: float) -> bool:
        """Return whether this frame's face is the first after a cut; None stands for no face.

        While frames are blank the decision is postponed to the next frame with content.
        """
        if face is None or self._scene.blank:
            return False
        before, elapsed_s = self._pose, time_s - self._seen_s
        cut = before is not None and is_cut(before, face.pose, elapsed_s, scene_changed=self._scene_changed)
        self._pose, self._seen_s, self._scene_changed = face.pose, time_s, False
        return cut
