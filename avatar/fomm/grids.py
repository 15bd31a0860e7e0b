"""Sampling grids: positions (x, y) in [-1, 1], where -1 and 1 are the centres of the outermost pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the (H, W, 2) grid of the identity warp, with dtype and device of `like`."""
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)


def look_up(image: Tensor, grid: Tensor) -> Tensor:
    """Warp an image backwards: sample it at the positions of `grid`, bilinear, with 0 outside.

    Args:
        image: (B, C, H, W).
        grid: (B, h, w, 2) in [-1, 1].
    Returns:
        (B, C, h, w).
    """
    # torch 2.13 samples large planes in half precision wrongly on a processor.
    half_on_processor = image.device.type == "cpu" and image.dtype in (torch.bfloat16, torch.float16)
    sampled, at = (image.float(), grid.float()) if half_on_processor else (image, grid)
    # align_corners=True: the published weights were trained when torch knew no other convention.
    found = F.grid_sample(sampled, at, mode="bilinear", padding_mode="zeros", align_corners=True)
    return found.to(image.dtype)


def resize_map(values: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, h, w) to (B, C, height, width), as the authors' networks do between resolutions.

    Uses align_corners=False, unlike `look_up`, because the published weights were trained so.
    """
    if values.shape[2:] == (height, width):
        return values
    return F.interpolate(values, size=(height, width), mode="bilinear", align_corners=False)


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, h, w, 2) positions to (B, height, width, 2), as `resize_map`."""
    return resize_map(grid.permute(0, 3, 1, 2), height, width).permute(0, 2, 3, 1)
