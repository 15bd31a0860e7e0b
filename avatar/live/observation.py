"""An observation of the driver in one camera frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.engines.crop import scaled
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.motion.blend import mirrored
from avatar.tracking.face import Face, HeadPose

IMAGE_PX = 256  # side of the images that are kept, as published models expect


@dataclass(frozen=True, eq=False)
class Observation:
    """A face, and the square crop of the camera frame for engines that draw from images."""

    face: Face
    image: RgbImage | None  # (IMAGE_PX, IMAGE_PX, 3); stays inside the program; None: of a voice
    moment: tuple[RgbImage, ...] = ()  # more images of the same look, where a guided calibration took several

    @staticmethod
    def of(face: Face, camera: RgbImage, box: Box) -> Observation:
        """Create an observation from an (H, W, 3) camera frame."""
        part = box.of(camera)
        if IMAGE_PX < box.width < 2 * IMAGE_PX:  # usually; takes a fifth of the time, with hardly any difference
            return Observation(face, np.asarray(cv2.resize(part, (IMAGE_PX, IMAGE_PX), interpolation=cv2.INTER_LINEAR)))
        return Observation(face, scaled(part, IMAGE_PX, IMAGE_PX))

    def placed(self, pose: HeadPose) -> Observation:
        """Return the observation with the face moved to the position and size of another pose."""
        own = self.face.pose
        times = pose.scale_px / max(own.scale_px, 1e-3)
        return replace(self, face=self.face.moved(own.centre_px, pose.centre_px, times))

    def scaled(self, times: float) -> Observation:
        """Return the observation for a camera frame scaled by `times`."""
        return replace(self, face=self.face.scaled(times))

    def mirrored(self, width_px: int) -> Observation:
        """Return the observation in a mirrored camera frame, which is `width_px` wide."""
        image = None if self.image is None else np.asarray(cv2.flip(self.image, 1))
        moment = tuple(np.asarray(cv2.flip(each, 1)) for each in self.moment)
        return Observation(mirrored(self.face, width_px), image, moment)
