"""One look at the driver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.fomm.crop import scaled
from avatar.frames import RgbImage
from avatar.motion.blend import mirrored
from avatar.portrait_crop import Box
from avatar.tracking.face import Face, HeadPose

PICTURE_PX = 256  # side of the pictures that are kept: what published models see


@dataclass(frozen=True, eq=False)
class Moment:
    """A face, and the square of the camera's picture that engines see which work on pictures."""

    face: Face
    picture: RgbImage  # (PICTURE_PX, PICTURE_PX, 3); stays inside the program

    @staticmethod
    def of(face: Face, camera: RgbImage, box: Box) -> Moment:
        """From a camera's picture (H, W, 3)."""
        part = box.of(camera)
        if PICTURE_PX < box.width < 2 * PICTURE_PX:  # usually so; a fifth of the time, and hardly to be told apart
            return Moment(face, np.asarray(cv2.resize(part, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_LINEAR)))
        return Moment(face, scaled(part, PICTURE_PX, PICTURE_PX))

    def placed(self, pose: HeadPose) -> Moment:
        """Return the same look in the place and size of another pose."""
        own = self.face.pose
        times = pose.scale_px / max(own.scale_px, 1e-3)
        return Moment(self.face.moved(own.centre_px, pose.centre_px, times), self.picture)

    def scaled(self, times: float) -> Moment:
        """Return the same look at a camera's picture scaled by `times`."""
        return Moment(self.face.scaled(times), self.picture)

    def mirrored(self, width_px: int) -> Moment:
        """The same in a mirror; the camera's picture is `width_px` wide."""
        return Moment(mirrored(self.face, width_px), np.asarray(cv2.flip(self.picture, 1)))
