"""Eq. 8 for one portrait on a GPU, as a weighted gather of rows.

`generator.move` samples 256 maps one after the other at the same positions. With channels_last features the four
pixels around a position are four contiguous rows, and their weighted sum, multiplied by the occlusion map, is a single
kernel: an embedding bag.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.generator import move
from avatar.fomm.grids import resize_grid, resize_map


def move_rows(features: Tensor, motion: DenseMotion) -> Tensor:
    """Warp the features of one source, as `generator.move`, in their precision; positions and weights in float32.

    Args:
        features: (1, c, h, w), channels_last.
        motion: the motion of B driving frames.
    Returns:
        (B, c, h, w), channels_last.
    """
    _, channels, height, width = features.shape
    grid = resize_grid(motion.deformation, height, width)  # (B, h, w, 2)
    x, x_share = _split(grid[..., 0], width)
    y, y_share = _split(grid[..., 1], height)
    weight = (y_share[..., :, None] * x_share[..., None, :]).flatten(-2)  # (B, h, w, 4)
    if motion.occlusion_map is not None:
        weight = weight * resize_map(motion.occlusion_map, height, width)[:, 0, :, :, None]
    index = (y[..., :, None] * width + x[..., None, :]).flatten(-2)
    rows = features.permute(0, 2, 3, 1).reshape(height * width, channels)
    moved = F.embedding_bag(
        index.reshape(-1, 4), rows, per_sample_weights=weight.reshape(-1, 4).to(rows.dtype), mode="sum"
    )
    return moved.reshape(len(grid), height, width, channels).permute(0, 3, 1, 2)


def _split(place: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the two pixels around each position and their interpolation weights, which are 0 outside.

    Args:
        place: (...,) in [-1, 1] along a line of `count` pixels.
    Returns:
        (..., 2) int64 indices and (..., 2) weights.
    """
    at = ((place + 1) * ((count - 1) / 2)).clamp(-2, count + 1)  # beyond this range all weights are 0 anyway
    first = at.floor()
    beside = torch.stack([first, first + 1], dim=-1)
    later = at - first
    share = torch.stack([1 - later, later], dim=-1) * ((beside >= 0) & (beside < count))
    return beside.long().clamp(0, count - 1), share  # clamped last: a NaN converts to any integer


def can_move_rows(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether this torch's embedding bag supports `move_rows` on this device, by a trial."""
    if device.type != "cuda":
        return False
    random = torch.Generator().manual_seed(0)
    features = torch.randn(1, 16, 8, 8, generator=random).to(device, dtype, memory_format=torch.channels_last)
    grid = torch.rand(1, 8, 8, 2, generator=random).mul(2.4).sub(1.2).to(device)
    motion = DenseMotion(grid, grid, torch.rand(1, 1, 8, 8, generator=random).to(device))
    try:
        got, wanted = move_rows(features, motion), move(features.float(), motion)
        return torch.allclose(got.float(), wanted, atol=0.05, rtol=0.02)
    except (NotImplementedError, RuntimeError, TypeError):
        return False
