"""The warping module W, optimised: nothing is copied for each keypoint, and depth is a batch of 2-D maps.

The sparse motions are shifts of the whole volume. A volume sampled at a shifted regular grid is three products with
small matrices, one per axis, and a heat map is a product of three curves. As the masks of a cell add up to 1, blending
the sparse motions is a product of masks and shifts.

Volumes are (D, C, h, w) in channels_last: a 3-D convolution is a 2-D one over neighbouring slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.fast_layers import (
    CHANNELS_AT_ONCE,
    Kernel,
    Layer,
    Target,
    affine,
    convolution,
    doubling_convolution,
    folded,
    kernel_of,
    wider,
)
from avatar.liveportrait.blocks import ConvBlock3d, Hourglass3d
from avatar.liveportrait.fourier import FourierConvolution
from avatar.liveportrait.warping import LEAKY_SLOPE, VARIANCE, DenseMotionNetwork, Warped, WarpingModule, volume_grid

# Heat below this is set to 0. Around each point it passes through denormal numbers, of which a CPU multiplies one in
# the time of a hundred others.
_COLD = 1e-30
_WITH_BAGS = ("cpu", "cuda")  # devices whose embedding bag takes weights


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """Everything of W that depends on the portrait alone; float32."""

    x_s: Tensor  # (1, K, 3) keypoints
    cells: Tensor  # (D h w, C): the feature volume, one row a cell
    compressed: Tensor  # (c, D, h, w): the volume that the sparse motions warp
    still: Tensor  # (D, c, h, w): that volume warped by the background's motion, which is the identity
    curves: tuple[Tensor, Tensor, Tensor]  # (1, K, D), (1, K, h), (1, K, w): factors of the source's heat maps

    def copy_(self, other: PreparedPortrait) -> None:
        """Take another portrait's values into this one's memory."""
        for kept, new in zip(self._tensors(), other._tensors(), strict=True):
            kept.copy_(new)

    def _tensors(self) -> tuple[Tensor, ...]:
        """Return every tensor: (1, K, 3), (D h w, C) and so on, in the order above."""
        return self.x_s, self.cells, self.compressed, self.still, *self.curves


class FastWarping:
    """An optimised WarpingModule, one frame at a time."""

    def __init__(self, net: WarpingModule, target: Target, size: tuple[int, int, int]) -> None:
        """Prepare the module for volumes of `size`, (D, h, w)."""
        self._size = size
        self._grid = volume_grid(*size, like=torch.empty(0, device=target.device))
        self._motion = net.dense_motion_network
        self._seeing = _FastDenseMotion(net.dense_motion_network, target, size)
        depth, side = size[0], size[1]
        # Rounding that changes from frame to frame is flicker. At the end of W it costs most, and exactness little.
        self._last = replace(target, dtype=torch.float32) if target.dtype == torch.bfloat16 else target
        third = folded(net.third.conv, net.third.norm)
        wanted = _slices_first(third.weight, depth)  # slices first, then channels
        self._third = convolution(Kernel(wanted, third.bias), self._last, side, padding=1, relu=False)
        self._fourth = convolution(kernel_of(net.fourth), self._last, side, padding=0, relu=False)

    def prepare(self, appearance: Tensor, x_s: Tensor) -> PreparedPortrait:
        """Compute what depends on the portrait alone, from (1, C, D, h, w) and (1, K, 3) in float32."""
        net = self._motion
        compressed = F.relu(net.norm(net.compress(appearance)))[0]
        none = torch.zeros(1, 1, 3, dtype=x_s.dtype, device=x_s.device)
        return PreparedPortrait(
            x_s.clone(),
            appearance[0].flatten(1).T.contiguous(),
            compressed,
            self._shifted(compressed, none)[0].transpose(0, 1).contiguous(),
            self._curves(x_s),
        )

    def __call__(self, portrait: PreparedPortrait, x_d: Tensor) -> Warped:
        """Warp the portrait's volume for keypoints (1, K, 3)."""
        shifts = portrait.x_s - x_d
        mask, occlusion_map = self._seeing(self._seen(portrait, x_d, shifts))
        deformation = (self._grid + torch.einsum("dkhw,kx->dhwx", mask[:, 1:], shifts[0]))[None]
        moved = sample_cells(portrait.cells, deformation[0].permute(1, 2, 0, 3), self._size)  # (h, w, D, C)
        x = F.leaky_relu_(self._third(self._last.take(moved.flatten(2).permute(2, 0, 1)[None])), LEAKY_SLOPE)
        features = self._fourth(x)
        if occlusion_map is not None:
            features = features * occlusion_map.to(features.dtype)
        return Warped(features, deformation, occlusion_map)

    def _seen(self, portrait: PreparedPortrait, x_d: Tensor, shifts: Tensor) -> Tensor:
        """Return what the hourglass sees, (D, K + K c + c, h, w): heat maps, shifted volumes, the unshifted volume."""
        depth, height, width = self._size
        heat = _product(self._curves(x_d)) - _product(portrait.curves)  # (D, K, h, w); the background's is zero
        heat = F.hardshrink(heat, _COLD)
        deformed = self._shifted(portrait.compressed, shifts).permute(2, 0, 1, 3, 4)
        return torch.cat([heat, deformed.reshape(depth, -1, height, width), portrait.still], dim=1)

    def _curves(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the factors of the heat maps of (1, K, 3) points along z, y, x: (1, K, cells) each."""
        z, y, x = (
            (-(_line(count, points) - points[:, :, axis, None]).square() / (2 * VARIANCE)).exp()
            for axis, count in zip((2, 1, 0), self._size, strict=True)
        )
        return z, y, x

    def _shifted(self, volume: Tensor, shifts: Tensor) -> Tensor:
        """Sample a volume (c, D, h, w) at the grid moved by each of (1, K, 3) shifts: (K, c, D, h, w)."""
        along_z, along_y, along_x = (
            _sampling_matrix(_line(count, shifts) + shifts[0, :, axis, None])
            for axis, count in zip((2, 1, 0), self._size, strict=True)
        )
        moved = torch.einsum("cdhw,kvw->kcdhv", volume, along_x)
        moved = along_y[:, None, None] @ moved
        return torch.einsum("kcdhw,ked->kcehw", moved, along_z)


def _slices_first(weight: Tensor, depth: int) -> Tensor:
    """Reorder the input channels of a 2-D convolution of a flattened volume, (out, C D, k, k), to (out, D C, k, k)."""
    return weight.view(len(weight), -1, depth, *weight.shape[2:]).transpose(1, 2).flatten(1, 2)


def _line(count: int, like: Tensor) -> Tensor:
    """Return the (count,) positions of the cells along an axis, as `volume_grid`."""
    return torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device)


def _product(curves: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Multiply (1, K, D), (1, K, h), (1, K, w) to maps (D, K, h, w)."""
    z, y, x = curves
    return z[0].T[:, :, None, None] * (y[0, :, :, None] * x[0, :, None, :])


def _sampling_matrix(places: Tensor) -> Tensor:
    """Return the matrices that sample a line linearly at positions (K, n) in [-1, 1], with 0 outside: (K, n, n).

    Uses align_corners=False, as `warping.look_up`.
    """
    count = places.shape[1]
    at = ((places + 1) * count - 1) / 2
    cells = torch.arange(count, dtype=places.dtype, device=places.device)
    return (1 - (at[:, :, None] - cells).abs()).clamp_(min=0)


def sample_cells(cells: Tensor, positions: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Sample a volume trilinearly, with 0 outside, as `warping.look_up`.

    Args:
        cells: (D h w, C), one row a cell.
        positions: (..., 3), (x, y, z) in [-1, 1].
        size: (D, h, w).
    Returns:
        (..., C).
    """
    depth, height, width = size
    (x, x_share), (y, y_share), (z, z_share) = (
        _neighbours(positions[..., axis], count) for axis, count in enumerate((width, height, depth))
    )
    rows = (z[..., :, None] * height + y[..., None, :])[..., None] * width + x[..., None, None, :]  # (..., 2, 2, 2)
    shares = (z_share[..., :, None] * y_share[..., None, :])[..., None] * x_share[..., None, None, :]
    rows, shares = rows.flatten(0, -4).flatten(1), shares.flatten(0, -4).flatten(1)  # (N, 8)
    if cells.device.type in _WITH_BAGS and not torch.onnx.is_in_onnx_export():
        moved = F.embedding_bag(rows, cells, per_sample_weights=shares, mode="sum")
    else:
        moved = sum(
            (cells[rows[:, i]] * shares[:, i, None] for i in range(1, 8)), cells[rows[:, 0]] * shares[:, 0, None]
        )
    return moved.view(*positions.shape[:-1], cells.shape[1])


def _neighbours(places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the two cells around each position and their shares, which are 0 outside.

    Args:
        places: (...,) in [-1, 1] along a line of `count` cells.
    Returns:
        (..., 2) int64 and (..., 2).
    """
    at = (((places + 1) * count - 1) / 2).clamp(-2, count + 1)  # beyond, all shares are 0 anyway
    first = at.floor()
    beside = torch.stack([first, first + 1], dim=-1)
    later = at - first
    share = torch.stack([1 - later, later], dim=-1) * ((beside >= 0) & (beside < count))
    return beside.long().clamp(0, count - 1), share  # clamped last: a NaN converts to any integer


class _FastDenseMotion:
    """The learned part of a DenseMotionNetwork: masks and occlusion map from what the hourglass sees."""

    def __init__(self, net: DenseMotionNetwork, target: Target, size: tuple[int, int, int]) -> None:
        depth, side, _ = size
        seen = _seen_order(net.mask.out_channels - 1, net.compress.out_channels)
        self._target, self._extra = target, -len(seen) % CHANNELS_AT_ONCE
        self._hourglass = _FastHourglass(net.hourglass, target, side, seen, self._extra)
        extra = self._hourglass.channels_out - net.mask.in_channels
        self._mask = _mask_convolution(net.mask, target, size, extra)
        self._occlusion: _OcclusionConvolution | None = None
        if net.occlusion is not None:
            self._occlusion = _OcclusionConvolution(net.occlusion, target, depth, extra)

    def __call__(self, seen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the (D, K + 1, h, w) masks and the (1, 1, h, w) occlusion map, float32, from (D, C, h, w)."""
        prediction = self._hourglass(self._target.take(F.pad(seen, (0, 0, 0, 0, 0, self._extra))))
        mask = self._mask(prediction).softmax(dim=1)
        return mask, None if self._occlusion is None else self._occlusion(prediction).sigmoid()


def _seen_order(keypoints: int, channels: int) -> list[int]:
    """Return the published channel of each channel of `FastWarping._seen`.

    The published order is a heat map and its deformed volume for each motion, the background first. The heat map of the
    background is zero and left out.
    """
    step, motions = channels + 1, range(1, keypoints + 1)
    heat = [step * motion for motion in motions]
    return heat + [step * motion + 1 + channel for motion in (*motions, 0) for channel in range(channels)]


class _FastHourglass:
    """An optimised Hourglass3d whose input channels come in another order; its output is padded with zero channels."""

    def __init__(self, net: Hourglass3d, target: Target, side: int, seen: list[int], extra: int) -> None:
        """Prepare the network.

        Args:
            net: the plain one.
            target: where and how it runs.
            side: side of its input slices.
            seen: the published channel of each input channel.
            extra: number of unused input channels after those.
        """
        self._down: list[Layer] = []
        self._up: list[Layer] = []
        blocks = [_block_kernel(block) for block in (*net.encoder.down_blocks, *net.decoder.up_blocks)]
        levels = len(net.encoder.down_blocks)
        blocks[0] = _selected(blocks[0], seen, extra)
        for block in blocks[:levels]:
            self._down.append(convolution(_over_slices(block), target, side, padding=1))
            side //= 2
        for block in blocks[levels:]:
            self._up.append(doubling_convolution(_over_slices(block), target, side))
            side *= 2
        last = folded_3d(net.decoder.conv, net.decoder.norm)
        before = last.weight.shape[1] - (max(seen) + 1)  # channels of the innermost decoder block
        last = _selected(last, [*range(before), *(before + channel for channel in seen)], extra)
        unused = -len(last.weight) % CHANNELS_AT_ONCE
        last = Kernel(F.pad(last.weight, (0,) * 9 + (unused,)), F.pad(last.bias, (0, unused)))
        self.channels_out = len(last.weight)
        self._last = convolution(_over_slices(last), target, side, padding=1)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the network: (D, in, h, w) to (D, channels_out, h, w)."""
        levels = [x]
        for layer in self._down:
            levels.append(F.avg_pool2d(layer(_with_neighbours(levels[-1])), 2))
        *skips, x = levels
        for layer, skip in zip(self._up, reversed(skips), strict=True):
            x = torch.cat([layer(_with_neighbours(x)), skip], dim=1)
        return self._last(_with_neighbours(x))


def _block_kernel(block: nn.Module) -> Kernel:
    """Return the folded convolution of a ConvBlock3d; its weight is (out, in, 3, 3, 3)."""
    assert isinstance(block, ConvBlock3d)
    return folded_3d(block.conv, block.norm)


def folded_3d(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> Kernel:
    """Fold the batch-norm after a 3-D convolution into it; the weight is (out, in, k, k, k)."""
    gain, shift = affine(norm)
    bias = torch.zeros_like(shift) if conv.bias is None else conv.bias
    return Kernel(conv.weight * gain[:, None, None, None, None], bias * gain + shift)


def _selected(kernel: Kernel, channels: list[int], extra: int) -> Kernel:
    """Reorder the input channels of a 3-D kernel and append `extra` zero ones."""
    return Kernel(F.pad(kernel.weight[:, channels], (0,) * 7 + (extra,)), kernel.bias)


def _over_slices(kernel: Kernel) -> Kernel:
    """Convert a kernel (out, in, 3, 3, 3) to one over `_with_neighbours`: (out, 3 in, 3, 3)."""
    return Kernel(kernel.weight.transpose(1, 2).flatten(1, 2), kernel.bias)


def _with_neighbours(x: Tensor) -> Tensor:
    """Concatenate each slice of (D, C, h, w) with the ones before and after, zero at the ends: (D, 3 C, h, w)."""
    around = F.pad(x, (0,) * 6 + (1, 1))
    return torch.cat([around[:-2], x, around[2:]], dim=1)


def _mask_convolution(conv: nn.Conv3d, target: Target, size: tuple[int, int, int], extra: int) -> Layer:
    """Build the convolution from (D, in, h, w), with `extra` unused channels, to (D, K + 1, h, w) in float32."""
    if target.packed and target.dtype == torch.float32:  # packed: on a CPU, and not for export
        return FourierConvolution(Kernel(F.pad(conv.weight, (0,) * 7 + (extra,)), _bias(conv, target)), size[0])
    return _MaskConvolution(conv, target, size[1], extra)


class _MaskConvolution:
    """A 3-D convolution to few channels as a 2-D one to all its slices' channels, and a sum over slices.

    The few channels of the masks alone would leave vector registers and tensor cores half empty.
    """

    def __init__(self, conv: nn.Conv3d, target: Target, side: int, extra: int) -> None:
        """Prepare it for slices of `side` x `side` with `extra` unused channels."""
        self._channels, self._kernel = conv.out_channels, conv.kernel_size[0]
        weight = conv.weight.permute(2, 0, 1, 3, 4).flatten(0, 1)  # (slices x out, in, k, k)
        self._bias = _bias(conv, target)
        flat = wider(Kernel(weight, weight.new_zeros(len(weight))), extra, 0)
        self._layer = convolution(flat, target, side, padding=self._kernel // 2, relu=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (D, in, h, w) to (D, out, h, w) float32."""
        half, depth = self._kernel // 2, len(x)
        parts = self._layer(x).split_with_sizes([self._channels] * self._kernel, dim=1)
        total: Tensor = parts[half].float() + self._bias[:, None, None]
        for away in range(1, min(half, depth - 1) + 1):
            before, behind = parts[half - away][: depth - away], parts[half + away][away:]
            total += F.pad(before, (0,) * 6 + (away, 0))
            total += F.pad(behind, (0,) * 6 + (0, away))
        return total


class _OcclusionConvolution:
    """A 2-D convolution of all slices to one channel: a product with all its weights, and a sum over their places."""

    def __init__(self, conv: nn.Conv2d, target: Target, depth: int, extra: int) -> None:
        """Prepare it for volumes of `depth` slices with `extra` unused channels."""
        side = conv.kernel_size[0]
        weight = _slices_first(conv.weight, depth)[0].view(depth, -1, side * side)
        self._weight = F.pad(weight, (0, 0, 0, extra)).to(target.device, target.dtype)
        places = torch.eye(side * side, device=target.device).view(1, side * side, side, side)
        self._places, self._padding, self._bias = places, side // 2, _bias(conv, target)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (D, in, h, w) to (1, 1, h, w) float32."""
        height, width = x.shape[2:]
        maps = (x.permute(0, 2, 3, 1).flatten(1, 2) @ self._weight).float().sum(dim=0)  # (h w, k k)
        maps = maps.T.reshape(1, -1, height, width)
        return F.conv2d(maps, self._places, self._bias, padding=self._padding)


def _bias(conv: nn.Conv2d | nn.Conv3d, target: Target) -> Tensor:
    """Return the bias, (out,) float32, on the target's device."""
    return torch.zeros(conv.out_channels, device=target.device) if conv.bias is None else conv.bias.to(target.device)
