"""The driver's motion parameters in an image: all that the rest of LivePortrait needs of it.

The extractor M alone finds them, so a machine that has no more than M can measure for another one that draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.engines import crop as crops
from avatar.engines.base import Driving
from avatar.engines.liveportrait.choice import choose_extractor
from avatar.engines.liveportrait.framing import DRIVER, INPUT_PX, eye_ratios, lip_ratio
from avatar.frames import FloatArray, RgbImage
from avatar.motion.parameters import Measured
from avatar.system.devices import choose_device
from avatar.system.message import Message
from avatar.system.program import require
from avatar.tracking.face import Face

if TYPE_CHECKING:
    import torch

    from avatar.liveportrait import MotionParameters
    from avatar.liveportrait.motion_extractor import MotionExtractor

MOST_IMAGES = 16  # maximum number of averaged images of one moment


class MotionMeter:
    """The extractor M on one device; used on one thread."""

    framing = DRIVER

    def __init__(
        self, model: str | Path | None = None, device: str = "auto", *, extractor: MotionExtractor | None = None
    ) -> None:
        """Load M.

        Args:
            model: as `choose_extractor` takes it.
            device: as `choose_device` takes it.
            extractor: a loaded one, for tests; the other arguments are then ignored.
        Raises:
            WeightsError: the weights are missing, damaged or of another model; with the command that fetches them.
            UsageError, EngineError: there is no such device.
        """
        require("torch", Message("The engine {name}", name="liveportrait"))
        from avatar.liveportrait.checkpoint import load_extractor
        from avatar.liveportrait.motion_extractor import digest_of

        self._extractor = extractor or load_extractor(choose_extractor(model), choose_device(device).name)
        self._device = next(self._extractor.parameters()).device
        self.points = self._extractor.detector.num_kp
        self.digest = digest_of(self._extractor)

    def measure(self, driving: Driving) -> Measured:
        """Measure the driver as the mean over the image and the others of its moment."""
        import torch

        from avatar.fomm.precision import cuda_arithmetic

        image = as_tensor(images_of_moment(driving), self._device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), cuda_arithmetic(tf32=False):
            return as_measured(self._extractor(image), driving.face)


def images_of_moment(driving: Driving) -> list[RgbImage]:
    """Return the image and at most MOST_IMAGES - 1 of its moment, (256, 256, 3) each."""
    assert driving.image is not None
    return [as_seen(each) for each in (driving.image, *_spread(driving.moment, MOST_IMAGES - 1))]


def as_seen(image: RgbImage) -> RgbImage:
    """Resize an (h, w, 3) image to the networks' size, (256, 256, 3)."""
    return crops.scaled(image, INPUT_PX, INPUT_PX)


def as_tensor(images: Sequence[RgbImage], device: torch.device) -> torch.Tensor:
    """Copy B images, (256, 256, 3) uint8, to a device as (B, 3, 256, 256) in [0, 1]."""
    import torch

    stacked = torch.from_numpy(np.stack(images)).to(device)
    return stacked.permute(0, 3, 1, 2).float() / 255


def as_measured(motions: MotionParameters, face: Face | None) -> Measured:
    """Return the mean parameters of B images of one face, which adds how far eyes and lips are open."""
    from avatar.engines.liveportrait.transfer_torch import mean_motion

    motion = mean_motion(motions)
    openings = (math.nan,) * 3 if face is None else (*eye_ratios(face), lip_ratio(face))
    return Measured(
        np.concatenate([as_array(motion.pitch), as_array(motion.yaw), as_array(motion.roll)]),
        as_array(motion.translation),
        as_array(motion.scale),
        as_array(motion.expression),
        np.array(openings, np.float32),
    )


def as_array(values: torch.Tensor) -> FloatArray:
    """Copy the first element of a batch (B, ...) to host memory as float32 (...)."""
    return np.asarray(values[0].detach().float().cpu().numpy())


def _spread(images: Sequence[RgbImage], most: int) -> list[RgbImage]:
    """Return at most `most` of the images, (h, w, 3) each, evenly spaced."""
    if len(images) <= most:
        return list(images)
    return [images[round(index)] for index in np.linspace(0, len(images) - 1, most)]
