"""Which precision makes this machine's convolutions fast: measured, since names of processors say little."""

from __future__ import annotations

import functools
import time
from statistics import median

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

WORTH_IT = 0.7  # of float32's time; a smaller gain does not pay for the rounding
_CHANNELS, _SIDE, _REPEATS = 128, 32, 7


@functools.cache
def faster_precision(device: torch.device) -> torch.dtype:
    """bfloat16 on a CPU that computes convolutions faster in it, else float32. Takes some 20 ms, once."""
    if device.type != "cpu":
        return torch.float32
    return torch.bfloat16 if _time_s(torch.bfloat16) < WORTH_IT * _time_s(torch.float32) else torch.float32


@torch.inference_mode()
def _time_s(dtype: torch.dtype) -> float:
    """Median seconds of one 3 x 3 convolution like those of the bottleneck."""
    x = torch.randn(1, _CHANNELS, _SIDE, _SIDE).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3).to(dtype, memory_format=torch.channels_last)
    times = []
    for _ in range(_REPEATS + 2):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return median(times[2:])  # the first ones compile
