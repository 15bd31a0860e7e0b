"""The whole model, with the checks that a caller's tensors deserve.

One frame, from image to prediction: `detect` both images, carry the driver's keypoints over to the source
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


class FirstOrderModel(nn.Module):
    """Siarohin et al. 2019, First Order Motion Model for Image Animation; plain, as in the paper.

    Made by `avatar.fomm.load_checkpoint`. Images are RGB in [0, 1], of any size whose sides are multiples of
    `side_step`; the published models were trained at 256 x 256.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(config)
        self.generator = Generator(config)

    @property
    def side_step(self) -> int:
        """What the sides of an image must be multiples of, pixels: all halvings must come out even."""
        return self.config.side_step

    @torch.no_grad()
    def detect(self, image: Tensor) -> Keypoints:
        """Keypoints of (B, C, H, W) images in [0, 1]: value (B, K, 2), jacobian (B, K, 2, 2) or None.

        Raises:
            ShapeError: the images have another shape or number of channels than the model takes.
        """
        self.check_image(image)
        kp: Keypoints = self.kp_detector(image)
        return kp

    @torch.no_grad()
    def dense_motion(self, source: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> DenseMotion:
        """Where every pixel of the prediction looks in the source.

        Args:
            source: (1 or B, C, H, W) in [0, 1].
            kp_source: of the source, as many.
            kp_norm: of B driving frames, carried over to the source; `kp_driving` itself for absolute motion.
        Raises:
            ShapeError: these do not fit the model or each other.
        """
        self.check_image(source)
        self._check_keypoints(len(source), kp_source, kp_norm)
        motion: DenseMotion = self.generator.dense_motion_network(source, kp_source, kp_norm)
        return motion

    @torch.no_grad()
    def generate(self, source: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> Tensor:
        """The source, moved: (B, C, H, W) in [0, 1]. Arguments and errors as in `dense_motion`."""
        motion = self.dense_motion(source, kp_source, kp_norm)
        return self.generator.decode(self.generator.encode(source), motion)

    def check_image(self, image: Tensor) -> None:
        """Raise ShapeError unless the model takes such images."""
        channels, step = self.config.num_channels, self.side_step
        if image.ndim != 4 or image.shape[1] != channels:
            wanted = f"(B, {channels}, H, W)"
            raise ShapeError(
                f"The model takes images of {wanted}, got {tuple(image.shape)}.",
                remedy="Hand it RGB images, channels first." if channels == 3 else "",
            )
        if not image.is_floating_point():
            raise ShapeError(f"The model takes float images in [0, 1], got {image.dtype}.", remedy="Divide by 255.")
        if min(image.shape[2:]) < step or image.shape[2] % step or image.shape[3] % step:
            raise ShapeError(
                f"The model takes images whose sides are multiples of {step} px, got {tuple(image.shape[2:])}.",
                remedy=f"Resize them, best to {self.config.frame_size} x {self.config.frame_size}.",
            )

    def _check_keypoints(self, sources: int, kp_source: Keypoints, kp_norm: Keypoints) -> None:
        if len(kp_source) != sources:
            raise ShapeError(f"{sources} source images have {len(kp_source)} sets of keypoints.")
        if kp_norm.value.shape[1] != self.config.num_kp:
            raise ShapeError(f"The model knows {self.config.num_kp} keypoints, got {kp_norm.value.shape[1]}.")
        check_fit(kp_source, kp_norm)
