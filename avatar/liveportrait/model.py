"""The complete model, with checks of its inputs.

For one frame: `motion` of source and driver, `relative_motion` or `absolute_motion`, `stitch`, then `render` with the
source's `appearance`, which is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avatar.errors import ShapeError
from avatar.liveportrait.appearance import AppearanceExtractor
from avatar.liveportrait.config import LivePortraitConfig
from avatar.liveportrait.generator import Generator
from avatar.liveportrait.motion import MotionParameters
from avatar.liveportrait.motion_extractor import MotionExtractor
from avatar.liveportrait.retargeting import PointNetwork
from avatar.liveportrait.warping import WarpingModule
from avatar.system.message import Message

IMAGE_SIDE = 256  # side of source and driving images in pixels, as in training
EYE_RATIOS, LIP_RATIOS = 3, 2  # left, right, target; source, target


@dataclass(frozen=True, eq=False)
class Rendering:
    """Result of `render` for B frames."""

    image: Tensor  # (B, 3, H, W) RGB in [0, 1]
    deformation: Tensor  # (B, D, h, w, 3) positions in the source's volume, (x, y, z) in [-1, 1]
    occlusion_map: Tensor | None  # (B, 1, h, w) in [0, 1]


class LivePortraitModel(nn.Module):
    """Guo et al. 2024, LivePortrait, without optimisations. Created by `load_liveportrait`."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        self.config = config
        points = 3 * config.motion.num_kp
        self.appearance_feature_extractor = AppearanceExtractor(config.appearance)
        self.motion_extractor = MotionExtractor(config.motion)
        self.warping_module = WarpingModule(config)
        self.spade_generator = Generator(config.generator, config.warping.channels_out)
        self.stitching = PointNetwork(2 * points, config.stitching, points + 2)
        self.eye_retargeting = PointNetwork(points + EYE_RATIOS, config.eyes, points)
        self.lip_retargeting = PointNetwork(points + LIP_RATIOS, config.lips, points)

    @torch.no_grad()
    def motion(self, image: Tensor) -> MotionParameters:
        """Extract pose, expression and keypoints of (B, 3, 256, 256) RGB images in [0, 1]. Raises ShapeError."""
        self._check_image(image)
        motion: MotionParameters = self.motion_extractor(image)
        return motion

    @torch.no_grad()
    def appearance(self, image: Tensor) -> Tensor:
        """Compute the feature volume (B, C, D, h, w) of (B, 3, 256, 256) RGB images in [0, 1]. Raises ShapeError."""
        self._check_image(image)
        volume: Tensor = self.appearance_feature_extractor(image)
        return volume

    @torch.no_grad()
    def stitch(self, x_s: Tensor, x_d: Tensor) -> Tensor:
        """Shift driving keypoints so that shoulders and neck stay where they are in the source (section 3.2).

        Args:
            x_s: (1 or B, K, 3) keypoints of the source.
            x_d: (B, K, 3) keypoints transferred from the driver.
        Returns:
            (B, K, 3).
        Raises:
            ShapeError: the arguments do not fit the model or each other.
        """
        x_s = self._beside(x_s, x_d)
        shifts = self.stitching(torch.cat([x_s.flatten(1), x_d.flatten(1)], dim=1))
        points = shifts[:, :-2].view_as(x_d)
        across = torch.nn.functional.pad(shifts[:, -2:], (0, 1))  # (t_x, t_y, 0), the same for all points
        stitched: Tensor = x_d + points + across[:, None]
        return stitched

    @torch.no_grad()
    def retarget_eyes(self, x_s: Tensor, ratios: Tensor) -> Tensor:
        """Compute (B, K, 3) shifts that open or close the source's eyes (section 3.3).

        Args:
            x_s: (B, K, 3) keypoints of the source.
            ratios: (B, 3): opening over width of the source's left and right eye, and the target ratio.
        Raises:
            ShapeError: the arguments do not fit the model or each other.
        """
        return self._retarget(self.eye_retargeting, x_s, ratios, EYE_RATIOS)

    @torch.no_grad()
    def retarget_lips(self, x_s: Tensor, ratios: Tensor) -> Tensor:
        """Compute (B, K, 3) shifts that open or close the source's lips (section 3.3).

        Args:
            x_s: (B, K, 3) keypoints of the source.
            ratios: (B, 2): gap of the inner lips over width of the source's mouth, and the target ratio.
        Raises:
            ShapeError: the arguments do not fit the model or each other.
        """
        return self._retarget(self.lip_retargeting, x_s, ratios, LIP_RATIOS)

    @torch.no_grad()
    def render(self, appearance: Tensor, x_s: Tensor, x_d: Tensor) -> Rendering:
        """Generate the image of the source with other keypoints.

        Args:
            appearance: (1 or B, C, D, h, w) feature volume of the source.
            x_s: (1 or B, K, 3) keypoints of the source.
            x_d: (B, K, 3) target keypoints.
        Raises:
            ShapeError: the arguments do not fit the model or each other.
        """
        x_s = self._beside(x_s, x_d)
        volume = self.config.appearance
        channels, depth, found = volume.reshape_channel, volume.reshape_depth, tuple(appearance.shape)
        if len(found) != 5 or found[1:3] != (channels, depth) or found[0] not in (1, len(x_d)):
            raise ShapeError(
                Message(
                    "The appearance should be (1 or {count}, {channels}, {depth}, h, w), got {found}.",
                    count=len(x_d),
                    channels=channels,
                    depth=depth,
                    found=found,
                )
            )
        warped = self.warping_module(appearance, x_s, x_d)
        return Rendering(self.spade_generator(warped.features), warped.deformation, warped.occlusion_map)

    def _retarget(self, network: nn.Module, x_s: Tensor, ratios: Tensor, count: int) -> Tensor:
        """Run a retargeting network on (B, K, 3) keypoints and (B, count) ratios; returns (B, K, 3) shifts."""
        self._check_points(x_s)
        if tuple(ratios.shape) != (len(x_s), count):
            raise ShapeError(
                Message(
                    "The ratios should be {wanted}, got {shape}.", wanted=(len(x_s), count), shape=tuple(ratios.shape)
                )
            )
        shifts: Tensor = network(torch.cat([x_s.flatten(1), ratios], dim=1))
        return shifts.view_as(x_s)

    def _beside(self, x_s: Tensor, x_d: Tensor) -> Tensor:
        """Broadcast the source's keypoints (1 or B, K, 3) to the driver's (B, K, 3)."""
        self._check_points(x_s)
        self._check_points(x_d)
        if len(x_s) not in (1, len(x_d)):
            raise ShapeError(
                Message(
                    "{count} sets of source keypoints do not fit {other} driving ones.", count=len(x_s), other=len(x_d)
                )
            )
        return x_s.expand_as(x_d)

    def _check_points(self, points: Tensor) -> None:
        """Raise ShapeError unless keypoints are (B, K, 3)."""
        count = self.config.motion.num_kp
        if points.ndim != 3 or tuple(points.shape[1:]) != (count, 3):
            raise ShapeError(
                Message(
                    "The model takes keypoints of (B, {count}, 3), got {shape}.", count=count, shape=tuple(points.shape)
                )
            )

    def _check_image(self, image: Tensor) -> None:
        """Raise ShapeError unless images are (B, 3, 256, 256) float."""
        wanted = (3, IMAGE_SIDE, IMAGE_SIDE)
        if image.ndim != 4 or tuple(image.shape[1:]) != wanted:
            raise ShapeError(
                Message(
                    "The model takes images of (B, 3, {image_side}, {image_side}), got {shape}.",
                    image_side=IMAGE_SIDE,
                    shape=tuple(image.shape),
                ),
                remedy="Pass RGB images, channels first, resized to that.",
            )
        if not image.is_floating_point():
            raise ShapeError(
                Message("The model takes float images in [0, 1], got {dtype}.", dtype=image.dtype),
                remedy="Divide by 255.",
            )
