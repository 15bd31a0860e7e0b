"""Sampling grids: where to look in a picture, (x, y) in [-1, 1], -1 and 1 at the centres of the outermost pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2) positions that look straight ahead, with dtype and device of `like`."""
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)


def look_up(image: Tensor, grid: Tensor) -> Tensor:
    """Backward warp: what `image` shows at the positions of `grid`, bilinear, 0 outside.

    Args:
        image: (B, C, H, W).
        grid: (B, h, w, 2), see above.
    Returns:
        (B, C, h, w)
    """
    # The published weights were trained when this was the only convention.
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def resize_map(values: Tensor, height: int, width: int) -> Tensor:
    """(B, C, h, w) to (B, C, height, width), as the authors' networks do between their scales.

    align_corners=False here, though grids are read with True: the published weights know it so.
    """
    if values.shape[2:] == (height, width):
        return values
    return F.interpolate(values, size=(height, width), mode="bilinear", align_corners=False)


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """`resize_map` for (B, h, w, 2) positions."""
    return resize_map(grid.permute(0, 3, 1, 2), height, width).permute(0, 2, 3, 1)
