"""`detail.Composer` on a GPU: the same operations on tensors, so that they are part of the recorded frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.engines.crop import feather
from avatar.engines.fomm.detail import AGREE, SURE, between
from avatar.fomm.blocks import gaussian_kernel
from avatar.fomm.dense_motion import DenseMotion
from avatar.frames import RgbImage
from avatar.images.box import Box

MOTION_SIDE = 64  # resolution of the dense motion in all models, whose `frame_size` is chosen to give it


class TorchComposer:
    """Compositor that puts predictions back into one portrait on a GPU; a `stream.Finish`."""

    def __init__(self, portrait: RgbImage, box: Box, size: int, device: torch.device, *, detail: bool = True) -> None:
        """Copy the portrait to the device and precompute the weights.

        Args:
            portrait: (H, W, 3) uint8.
            box: the part of it that the model animates.
            size: side of the predictions.
            device: the model's device.
            detail: add the portrait's detail to predictions smaller than the box.
        """
        self._box, self._size = box, (size, size)
        self._portrait = torch.from_numpy(portrait.copy()).to(device)
        part = self._of_box(self._portrait).permute(2, 0, 1)[None].float()
        self._part = part.contiguous()  # (1, 3, h, w), 0 to 255
        self._new = torch.from_numpy(feather(box, portrait)).to(device)  # (h, w, 1)
        self._down = torch.from_numpy(between(box.height, MOTION_SIDE)).to(device)
        self._across = torch.from_numpy(between(box.width, MOTION_SIDE)).to(device)
        self._blur = gaussian_kernel(1 / 4)[None, None].to(device)  # sigma 1.5
        self._is_larger = box.width > size and box.height > size
        self._adds_detail = detail and self._is_larger

    def __call__(self, prediction: Tensor, motion: DenseMotion) -> Tensor:
        """Composite a (1, 3, size, size) prediction in [0, 1] into the portrait; (H, W, 3) uint8."""
        prediction = prediction * 255
        drawn = self._enlarged(prediction)
        if self._adds_detail:
            drawn = drawn + self._detail(prediction, motion)
        old = self._part[0].permute(1, 2, 0)
        mixed = old + (drawn[0].permute(1, 2, 0).clamp(0, 255) - old) * self._new
        whole = self._portrait.clone()
        self._of_box(whole).copy_((mixed + 0.5).to(torch.uint8))
        return whole

    def _detail(self, prediction: Tensor, motion: DenseMotion) -> Tensor:
        """Compute the (1, 3, h, w) detail to add, 0 to 255, for a (1, 3, size, size) prediction, 0 to 255."""
        places = self._down @ motion.deformation[0].permute(2, 0, 1) @ self._across.T  # (2, h, w)
        grid = places.permute(1, 2, 0)[None]
        moved = F.grid_sample(self._part, grid, mode="bilinear", padding_mode="border", align_corners=True)
        rough = F.interpolate(moved, self._size, mode="area")
        apart = F.conv2d((prediction - rough).abs().mean(dim=1, keepdim=True) / 255, self._blur, padding="same")
        trust = torch.exp2(-(apart / AGREE).square())
        if motion.occlusion_map is not None:
            shown = ((motion.occlusion_map - SURE[0]) / (SURE[1] - SURE[0])).clamp(0, 1)
            trust = trust * F.interpolate(shown, self._size, mode="bilinear")
        trust = F.interpolate(trust, self._part.shape[2:], mode="bilinear")
        return (moved - self._enlarged(rough)) * trust

    def _enlarged(self, image: Tensor) -> Tensor:
        """Resize (1, 3, size, size) to the part's (1, 3, h, w)."""
        target = self._part.shape[2:]
        if image.shape[2:] == target:
            return image
        if self._is_larger:
            return F.interpolate(image, target, mode="bicubic")
        return F.interpolate(image, target, mode="area")

    def _of_box(self, image: Tensor) -> Tensor:
        """Return the part (h, w, 3) of (H, W, 3), as a view."""
        box = self._box
        return image[box.top : box.top + box.height, box.left : box.left + box.width]
