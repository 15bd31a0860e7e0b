"""Eq. 8 for one avatar on a GPU: features that lie pixel by pixel are gathered row by row.

`generator.move` reads 256 maps one after the other at the same places. Where a pixel's features are neighbours in
memory, the four that a place lies between are four rows, and their weighted sum, faded by the occlusion map, is one
kernel that an embedding bag brings along.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.generator import move
from avatar.fomm.grids import resize_grid, resize_map


def move_rows(features: Tensor, motion: DenseMotion) -> Tensor:
    """`generator.move` for one source, in the precision of its features; positions and weights in float32.

    Args:
        features: (1, c, h, w), channels_last.
        motion: of B driving frames.
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
    """The two pixels beside each place in [-1, 1] of a line of `count`, and their shares: (..., 2) each; 0 outside."""
    at = ((place + 1) * ((count - 1) / 2)).clamp(-2, count + 1)  # whatever lies further out sees nothing either
    first = at.floor()
    beside = torch.stack([first, first + 1], dim=-1)
    later = at - first
    share = torch.stack([1 - later, later], dim=-1) * ((beside >= 0) & (beside < count))
    return beside.long().clamp(0, count - 1), share  # clamped last: NaN may become any number


def can_move_rows(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this torch's embedding bag does so on this GPU: tried, as in `fast_layers.can_pack`."""
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
