"""Memory and work per image, computed from a config, so that an untrusted file cannot demand too much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avatar.fomm.config import HourglassConfig, ModelConfig
from avatar.fomm.dense_motion import MASK_KERNEL
from avatar.fomm.generator import IMAGE_KERNEL
from avatar.fomm.keypoint_detector import SCORE_KERNEL
from avatar.system.limits import MAX_ACTIVATION_BYTES, MAX_MULTIPLICATIONS, megabytes
from avatar.system.message import Message


@dataclass(frozen=True)
class _Convolution:
    channels_in: int
    channels_out: int
    kernel: int
    side: int  # side of input and output, pixels

    @property
    def largest_bytes(self) -> int:
        """Bytes of the larger of input and output, in float32."""
        return 4 * max(self.channels_in, self.channels_out) * self.side**2

    @property
    def multiplications(self) -> int:
        return self.channels_in * self.channels_out * self.kernel**2 * self.side**2


@dataclass(frozen=True)
class Cost:
    """Cost of one image of the size that the model was made for."""

    largest_bytes: int  # largest input or output of a convolution, in float32
    multiplications: int  # over all convolutions


def cost_of(config: ModelConfig) -> Cost:
    """Compute the cost of a model without building it."""
    convolutions = [*_detector(config), *_motion(config), *_generator(config)]
    largest = max(each.largest_bytes for each in convolutions)
    return Cost(largest, sum(each.multiplications for each in convolutions))


def check_cost(config: ModelConfig) -> None:
    """Refuse a structure that is too expensive to run.

    Raises:
        ValueError: it exceeds the budget, or its levels do not halve evenly; the message is meant for users.
    """
    if config.frame_size % config.side_step:
        side, step = config.frame_size, config.side_step
        raise ValueError(
            Message(
                "it is for images of {side} x {side} pixels, and its halvings need a multiple of {step}",
                side=side,
                step=step,
            )
        )
    cost = cost_of(config)
    if cost.largest_bytes > MAX_ACTIVATION_BYTES:
        size, limit = megabytes(cost.largest_bytes), megabytes(MAX_ACTIVATION_BYTES)
        raise ValueError(
            Message("one image needs {size} for a single step, and the limit is {limit}", size=size, limit=limit)
        )
    if cost.multiplications > MAX_MULTIPLICATIONS:
        needed, limit = (f"{count / 1e9:,.0f}" for count in (cost.multiplications, MAX_MULTIPLICATIONS))
        raise ValueError(
            Message(
                "one image needs {needed} billion multiplications, and the limit is {limit}", needed=needed, limit=limit
            )
        )


def _detector(config: ModelConfig) -> Iterator[_Convolution]:
    side = round(config.frame_size * config.detector.scale_factor)
    yield from _hourglass(config.detector, config.num_channels, side)
    jacobian = 0 if not config.estimate_jacobian else 4 if config.single_jacobian_map else 4 * config.num_kp
    features = config.detector.block_expansion + config.num_channels
    yield _Convolution(features, config.num_kp + jacobian, SCORE_KERNEL, side)


def _motion(config: ModelConfig) -> Iterator[_Convolution]:
    side, motions = round(config.frame_size * config.motion.scale_factor), config.num_kp + 1
    seen = motions * (1 + config.num_channels)
    yield from _hourglass(config.motion, seen, side)
    yield _Convolution(config.motion.block_expansion + seen, motions + 1, MASK_KERNEL, side)


def _hourglass(net: HourglassConfig, channels_in: int, side: int) -> Iterator[_Convolution]:
    widths = [channels_in, *(net.channels(level + 1) for level in range(net.num_blocks))]
    for level in range(net.num_blocks):
        yield _Convolution(widths[level], widths[level + 1], 3, side >> level)
        joined = net.channels(level + 1) * (1 if level == net.num_blocks - 1 else 2)
        yield _Convolution(joined, net.channels(level), 3, side >> level)


def _generator(config: ModelConfig) -> Iterator[_Convolution]:
    side, downs = config.frame_size, config.num_down_blocks
    yield _Convolution(config.num_channels, config.channels(0), IMAGE_KERNEL, side)
    for level in range(downs):
        yield _Convolution(config.channels(level), config.channels(level + 1), 3, side >> level)
        yield _Convolution(config.channels(level + 1), config.channels(level), 3, side >> level)
    width = config.channels(downs)
    yield from [_Convolution(width, width, 3, side >> downs)] * (2 * config.num_bottleneck_blocks)
    yield _Convolution(config.channels(0), config.num_channels, IMAGE_KERNEL, side)
