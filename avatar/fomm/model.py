"""The complete model, with checks of its inputs.

From image to prediction: `detect` both images, transfer the driver's keypoints to the source
(`avatar.motion.relative_keypoints`), `dense_motion`, then the generator's `encode` and `decode`; `generate` does the
last three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar.errors import ShapeError
from avatar.fomm.config import ModelConfig
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.generator import Generator
from avatar.fomm.keypoint_detector import KeypointDetector
from avatar.motion.keypoints import Keypoints, check_fit
from avatar.system.message import Message


class FirstOrderModel(nn.Module):
    """Siarohin et al. 2019, First Order Motion Model for Image Animation, without optimisations.

    Created by `avatar.fomm.load_checkpoint`. Images are RGB in [0, 1], of any size whose sides are multiples of
    `side_step`; the published models were trained at 256 x 256.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(config)
        self.generator = Generator(config)

    @property
    def side_step(self) -> int:
        """Number of pixels that the sides of an image must be multiples of, so that every level halves evenly."""
        return self.config.side_step

    @torch.no_grad()
    def detect(self, image: Tensor) -> Keypoints:
        """Detect the keypoints of (B, C, H, W) images in [0, 1]: value (B, K, 2), jacobian (B, K, 2, 2) or None.

        Raises:
            ShapeError: the model does not accept this shape or number of channels.
        """
        self.check_image(image)
        kp: Keypoints = self.kp_detector(image)
        return kp

    @torch.no_grad()
    def dense_motion(self, source: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> DenseMotion:
        """Compute the backward warp from the source to the prediction.

        Args:
            source: (1 or B, C, H, W) in [0, 1].
            kp_source: keypoints of the source, with the same batch size.
            kp_norm: keypoints of B driving frames, transferred to the source; `kp_driving` itself for absolute motion.
        Raises:
            ShapeError: the arguments do not fit the model or each other.
        """
        self.check_image(source)
        self._check_keypoints(len(source), kp_source, kp_norm)
        motion: DenseMotion = self.generator.dense_motion_network(source, kp_source, kp_norm)
        return motion

    @torch.no_grad()
    def generate(self, source: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> Tensor:
        """Generate the prediction: (B, C, H, W) in [0, 1]. Arguments and errors as in `dense_motion`."""
        motion = self.dense_motion(source, kp_source, kp_norm)
        return self.generator.decode(self.generator.encode(source), motion)

    def check_image(self, image: Tensor) -> None:
        """Raise ShapeError unless images are (B, C, H, W) float with sides in multiples of `side_step`."""
        channels, step = self.config.num_channels, self.side_step
        if image.ndim != 4 or image.shape[1] != channels:
            wanted = f"(B, {channels}, H, W)"
            raise ShapeError(
                Message("The model takes images of {wanted}, got {shape}.", wanted=wanted, shape=tuple(image.shape)),
                remedy="Pass RGB images, channels first." if channels == 3 else "",
            )
        if not image.is_floating_point():
            raise ShapeError(
                Message("The model takes float images in [0, 1], got {dtype}.", dtype=image.dtype),
                remedy="Divide by 255.",
            )
        if min(image.shape[2:]) < step or image.shape[2] % step or image.shape[3] % step:
            raise ShapeError(
                Message(
                    "The model takes images whose sides are multiples of {step} px, got {shape}.",
                    step=step,
                    shape=tuple(image.shape[2:]),
                ),
                remedy=Message("Resize them, best to {frame_size} x {frame_size}.", frame_size=self.config.frame_size),
            )

    def _check_keypoints(self, sources: int, kp_source: Keypoints, kp_norm: Keypoints) -> None:
        """Raise ShapeError unless kp_source is (sources, K, 2) and kp_norm fits it."""
        if len(kp_source) != sources:
            raise ShapeError(
                Message(
                    "{sources} source images have {count} sets of keypoints.", sources=sources, count=len(kp_source)
                )
            )
        if kp_norm.value.shape[1] != self.config.num_kp:
            raise ShapeError(
                Message(
                    "The model has {num_kp} keypoints, got {count}.",
                    num_kp=self.config.num_kp,
                    count=kp_norm.value.shape[1],
                )
            )
        check_fit(kp_source, kp_norm)
