"""The model optimised for a stream of driving frames: several times faster, equal within rounding.

The source is encoded once, with its keypoints; batch-norms are folded; memory layouts suit the convolutions; the
source is sampled through K + 1 grids without K + 1 copies; the generator and the mask are computed in float16 or
bfloat16 where that is faster. Keypoints and positions are computed in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.errors import EngineError, ShapeError
from avatar.fomm.blocks import ResidualBlock
from avatar.fomm.dense_motion import DenseMotion, blend, gaussians, sparse_motion
from avatar.fomm.fast_layers import (
    CHANNELS_AT_ONCE,
    FastHourglass,
    FastResidual,
    Layer,
    Target,
    block_kernel,
    can_fuse,
    can_pack,
    convolution,
    doubling_convolution,
    kernel_of,
    wider,
)
from avatar.fomm.generator import IMAGE_KERNEL, Generator, move
from avatar.fomm.grids import identity_grid, look_up
from avatar.fomm.keypoint_detector import KeypointDetector, centres, heat_maps, mean_jacobians
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.moving import can_move_rows, move_rows
from avatar.fomm.precision import cuda_arithmetic, faster_precision
from avatar.motion.keypoints import Keypoints
from avatar.system.message import Message


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """Precomputed tensors of a source image."""

    features: Tensor  # (1, c, h, w), channels_last; float32, or the generator's precision with `KernelOptions.rows`
    small: Tensor  # (1, C, h, w) float32: the source at the dense motion network's resolution
    grid: Tensor  # (h, w, 2): `identity_grid` at that resolution
    heat: Tensor  # (1, K, h, w): the source's heat maps, its term of Eq. 6
    keypoints: Keypoints


@dataclass(frozen=True)
class KernelOptions:
    """Device-dependent optimisations; `usual` gives the defaults for a device."""

    packed: bool = False  # prepack the weights for oneDNN
    fused: bool = False  # let cuDNN fuse bias and ReLU into the convolution
    rows: bool = False  # warp the features row by row, see `moving`
    transposed: bool = True  # compute upsampling convolutions as transposed convolutions
    aligned: bool = False  # zero-pad channels to the alignment of tensor cores
    # TF32 has 10 bits of mantissa: it moves the keypoints of a trained detector by 0.01 pixels at most (bfloat16, with
    # 7 bits, by 0.4).
    tf32: bool = False  # allow TF32 in float32 convolutions, which is torch's default on CUDA

    @staticmethod
    def usual(precision: torch.dtype, device: torch.device) -> KernelOptions:
        """Enable everything that this torch supports on the device and that is faster.

        With a float16 generator the rounding of TF32 keypoints does not show: on an H200, TF32 saves 1.3 ms of 3.1 ms
        per frame, at a PSNR of 57.7 dB instead of 58.6 dB to the plain model.
        """
        return KernelOptions(
            packed=can_pack(precision, device),
            fused=can_fuse(precision, device),
            rows=can_move_rows(precision, device),
            aligned=device.type == "cuda" and precision != torch.float32,
            tf32=device.type == "cuda" and precision != torch.float32,
        )


class FastModel:
    """An optimised FirstOrderModel for one portrait at a time; used from one thread."""

    def __init__(
        self, model: FirstOrderModel, *, precision: torch.dtype | None = None, kernels: KernelOptions | None = None
    ) -> None:
        """Prepare a model on its device.

        Args:
            model: is not changed, and is used to encode the sources.
            precision: dtype of the generator and the mask; None takes the fastest one that is accurate enough.
            kernels: None takes `KernelOptions.usual`.
        """
        device = model.generator.final.weight.device
        self.device = device
        self.precision = faster_precision(device) if precision is None else precision
        self.kernels = KernelOptions.usual(self.precision, device) if kernels is None else kernels
        target = self._target(self.precision, self.kernels.packed, self.kernels.fused)
        # The softmax of the heat maps amplifies errors of the hourglass by 10: in bfloat16, keypoints jitter by pixels.
        precise = self._target(torch.float32, self.kernels.packed and can_pack(torch.float32, device), fused=False)
        self.config = config = model.config
        self._model = model
        with torch.inference_mode(), self.arithmetic():
            size = config.frame_size
            self.detector = FastDetector(model.kp_detector, precise, target, round(size * config.detector.scale_factor))
            self.motion = FastDenseMotion(
                model.generator, target, round(size * config.motion.scale_factor), aligned=self.kernels.aligned
            )
            self.decoder = FastDecoder(model.generator, target, size >> config.num_down_blocks)
        self._source: EncodedSource | None = None

    def arithmetic(self) -> AbstractContextManager[None]:
        """Set CUDA's arithmetic for this model in a block; the methods do so, callers of the three networks must."""
        return cuda_arithmetic(tf32=self.kernels.tf32) if self.device.type == "cuda" else nullcontext()

    @torch.inference_mode()
    def set_source(self, source: Tensor) -> Keypoints:
        """Set the source image, (1, C, H, W) in [0, 1], and return its keypoints. Raises ShapeError."""
        self._source = self.encode(source)
        return self._source.keypoints

    @torch.inference_mode()
    def encode(self, source: Tensor) -> EncodedSource:
        """Encode a source image, (1, C, H, W) in [0, 1]. Raises ShapeError."""
        if len(source) != 1:
            raise ShapeError(
                Message("One avatar at a time, got {count} source images.", count=len(source)),
                remedy="Use a model for each.",
            )
        with self.arithmetic():
            keypoints = self._model.detect(source)
            generator = self._model.generator
            shrink = generator.dense_motion_network.down
            kept = self.precision if self.kernels.rows else torch.float32
            features = generator.encode(source).to(kept).contiguous(memory_format=torch.channels_last)
            small = source if shrink is None else shrink(source)
            grid = identity_grid(small.shape[2], small.shape[3], like=small)
            return EncodedSource(features, small, grid, gaussians(keypoints.value, grid), keypoints)

    @torch.inference_mode()
    def detect(self, image: Tensor) -> Keypoints:
        """Detect the keypoints of (B, C, H, W) driving frames, as `FirstOrderModel.detect`."""
        self._model.check_image(image)
        with self.arithmetic():
            return self.detector(image)

    @torch.inference_mode()
    def dense_motion(self, kp_norm: Keypoints, source: EncodedSource | None = None) -> DenseMotion:
        """Compute the dense motion for kp_norm (B, K, 2) and the current source, as `FirstOrderModel.dense_motion`."""
        with self.arithmetic():
            return self.motion(source or self._encoded(), kp_norm)

    @torch.inference_mode()
    def draw(self, motion: DenseMotion, source: EncodedSource | None = None) -> Tensor:
        """Generate the logits of the prediction, (B, C, H, W) float32, for the motion of B driving frames."""
        features = (source or self._encoded()).features
        with self.arithmetic():
            return self.decoder(self.move(features, motion))

    def generate(self, kp_norm: Keypoints) -> Tensor:
        """Generate the prediction, (B, C, H, W) float32 in [0, 1], from kp_norm of B driving frames: (B, K, 2)."""
        return torch.sigmoid(self.draw(self.dense_motion(kp_norm)))

    def move(self, features: Tensor, motion: DenseMotion) -> Tensor:
        """Warp features (1, c, h, w) to (B, c, h, w), as `generator.move`."""
        return move_rows(features, motion) if self.kernels.rows else move(features, motion)

    def _target(self, dtype: torch.dtype, packed: bool, fused: bool) -> Target:
        exact = self.device.type == "cuda" and dtype == torch.float32 and not self.kernels.tf32
        layout = torch.contiguous_format if exact else torch.channels_last
        return Target(dtype, self.device, packed, fused, layout, self.kernels.transposed)

    def _encoded(self) -> EncodedSource:
        if self._source is None:
            raise EngineError("No portrait was given to the model.", remedy="Call set_source first.")
        return self._source


class FastDetector:
    """An optimised KeypointDetector.

    Jacobians are averaged over many cells and tolerate lower precision than keypoint positions.
    """

    def __init__(self, net: KeypointDetector, precise: Target, rough: Target, side: int) -> None:
        self._net, self._precise, self._rough = net, precise, rough
        self._hourglass = FastHourglass(net.predictor, precise, side)
        padding = cast(tuple[int, int], net.kp.padding)[0]
        self._logits = convolution(kernel_of(net.kp), precise, side, padding=padding, relu=False)
        self._grid: Tensor | None = None  # `identity_grid` of the last heat maps
        self._jacobian: Layer | None = None
        if net.jacobian is not None:
            self._jacobian = convolution(kernel_of(net.jacobian), rough, side, padding=padding, relu=False)

    def __call__(self, image: Tensor) -> Keypoints:
        """Detect the keypoints of (B, C, H, W) images."""
        small = image if self._net.down is None else self._net.down(image)
        features = self._hourglass(self._precise.take(small))
        heat = heat_maps(self._logits(features).contiguous(), self._net.temperature)
        if self._grid is None or self._grid.shape[:2] != heat.shape[2:]:
            self._grid = identity_grid(heat.shape[2], heat.shape[3], like=heat)
        value = centres(heat, self._grid)
        if self._jacobian is None:
            return Keypoints(value)
        maps = self._jacobian(self._rough.take(features)).float().contiguous()
        return Keypoints(value, mean_jacobians(maps, heat))


class FastDenseMotion:
    """An optimised DenseMotionNetwork."""

    def __init__(self, generator: Generator, target: Target, side: int, *, aligned: bool = False) -> None:
        net, self._target = generator.dense_motion_network, target
        heads = kernel_of(*([net.mask] if net.occlusion is None else [net.mask, net.occlusion]))
        self._motions, self._occludes = net.mask.out_channels, net.occlusion is not None
        seen = self._motions * (1 + generator.final.out_channels)
        extra = -seen % CHANNELS_AT_ONCE if aligned else 0
        self._hourglass = FastHourglass(net.hourglass, target, side, extra)
        self._heads = convolution(
            wider(heads, extra, -len(heads.bias) % CHANNELS_AT_ONCE if aligned else 0),
            target, side, padding=net.mask.kernel_size[0] // 2, relu=False,
        )  # fmt: skip
        self._extra = extra

    def __call__(self, source: EncodedSource, kp_norm: Keypoints) -> DenseMotion:
        """Compute the motion for kp_norm of B driving frames: value (B, K, 2)."""
        motions = sparse_motion(source.keypoints, kp_norm, source.grid)  # (B, K + 1, h, w, 2)
        heat = F.pad(gaussians(kp_norm.value, source.grid) - source.heat, (0, 0, 0, 0, 1, 0))  # (B, K + 1, h, w), Eq. 6
        seen = torch.cat([heat[:, :, None], deformed_source(source.small, motions)], dim=2).flatten(1, 2)
        if self._extra:
            seen = F.pad(seen, (0, 0, 0, 0, 0, self._extra))
        maps = self._heads(self._hourglass(self._target.take(seen))).float().contiguous()
        count = self._motions
        mask = torch.softmax(maps[:, :count], dim=1)
        occlusion = torch.sigmoid(maps[:, count : count + 1]) if self._occludes else None
        return DenseMotion(blend(motions, mask), mask, occlusion)


def deformed_source(small: Tensor, motions: Tensor) -> Tensor:
    """Warp one source by each local motion, as `dense_motion.deformed_sources`, with a single stacked grid.

    Args:
        small: (1, C, h, w).
        motions: (B, K + 1, h, w, 2).
    Returns:
        (B, K + 1, C, h, w)
    """
    batch, count, height, width, _ = motions.shape
    seen = look_up(small, motions.reshape(1, batch * count * height, width, 2))[0]  # (C, B (K + 1) h, w)
    return seen.reshape(len(seen), batch, count, height, width).permute(1, 2, 0, 3, 4)


class FastDecoder:
    """The optimised part of the Generator after the warped features."""

    def __init__(self, generator: Generator, target: Target, side: int) -> None:
        self._target = target
        self._layers: list[Layer] = [
            FastResidual(cast(ResidualBlock, block), target, side) for block in generator.bottleneck
        ]
        for block in generator.up_blocks:
            self._layers.append(doubling_convolution(block_kernel(block), target, side))
            side *= 2
        final = RowWise if target.device.type == "cpu" else Padded
        self._final: Layer = final(generator.final, target)

    def __call__(self, moved: Tensor) -> Tensor:
        """Decode (B, c, h, w) features to (B, C, H, W) float32 logits."""
        x = self._target.take(moved)
        for layer in self._layers:
            x = layer(x)
        return self._final(x)


class RowWise:
    """A 7 x 7 convolution to few channels, computed as seven 1 x 7 convolutions and a vertical sum.

    The seven are computed as one with 7 times the channels, because 3 output channels alone leave registers empty.
    """

    def __init__(self, conv: nn.Conv2d, target: Target) -> None:
        kernel = kernel_of(conv)
        self._channels, self._bias = len(kernel.weight), kernel.bias.to(target.device)[:, None, None]
        self._weight = target.take(kernel.weight.permute(2, 0, 1, 3).flatten(0, 1)[:, :, None])  # (7 out, in, 1, 7)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (B, in, H, W) to (B, out, H, W) float32."""
        half, height = IMAGE_KERNEL // 2, x.shape[2]
        # Padding in both directions at once would leave oneDNN's fast path: the sum below skips rows outside.
        rows = F.conv2d(x, self._weight, padding=(0, half)).contiguous()
        parts = rows.split_with_sizes([self._channels] * IMAGE_KERNEL, dim=1)
        total = parts[half].float() + self._bias
        for away in range(1, half + 1):
            left = max(0, height - away)
            total[:, :, away:] += parts[half - away][:, :, :left]
            total[:, :, :left] += parts[half + away][:, :, away:]
        return total


class Padded:
    """A 7 x 7 convolution to few channels, zero-padded to the channel alignment of tensor cores."""

    def __init__(self, conv: nn.Conv2d, target: Target) -> None:
        kernel = kernel_of(conv)
        self._channels = len(kernel.weight)
        more = wider(kernel, 0, -self._channels % CHANNELS_AT_ONCE)
        self._weight, self._bias = target.take(more.weight), kernel.bias.to(target.device)[:, None, None]

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (B, in, H, W) to (B, out, H, W) float32."""
        return F.conv2d(x, self._weight, padding=IMAGE_KERNEL // 2)[:, : self._channels].float() + self._bias
