"""Which precision makes this machine's convolutions fast: measured, since names of processors say little."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

WORTH_IT = 0.7  # of float32's time; a smaller gain does not pay for the rounding
MATRIX_UNITS = (7, 0)  # the compute capability from which they are there
_CHANNELS, _SIDE, _REPEATS = 128, 32, 16


@functools.cache
def faster_precision(device: torch.device) -> torch.dtype:
    """float16 on GPUs that have matrix units for it, bfloat16 on a CPU that computes convolutions faster in it, else
    float32. Takes some 50 ms on a CPU, once. float16 has 8 times the resolution of bfloat16; it reaches no further than
    65504, so that whoever draws with it looks for NaN in the first picture.
    """
    if device.type == "cuda":
        return torch.float16 if torch.cuda.get_device_capability(device) >= MATRIX_UNITS else torch.float32
    if device.type != "cpu":
        return torch.float32
    single, half = _fastest_s((torch.float32, torch.bfloat16))
    return torch.bfloat16 if half < WORTH_IT * single else torch.float32


@torch.inference_mode()
def _fastest_s(precisions: tuple[torch.dtype, ...]) -> list[float]:
    """Seconds of a 3 x 3 convolution like those of the bottleneck, in turns, in each precision, on one core.

    The fastest of several: other programs make a convolution slower, never faster. On one core, because two wait for
    each other, and where another program holds one of them that wait is all that would be measured.
    """
    best = [float("inf")] * len(precisions)
    x, weight = torch.randn(1, _CHANNELS, _SIDE, _SIDE), torch.randn(_CHANNELS, _CHANNELS, 3, 3)
    layout = torch.channels_last
    inputs = [(x.to(dtype, memory_format=layout), weight.to(dtype, memory_format=layout)) for dtype in precisions]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(_REPEATS):  # the first ones also compile
            for index, (image, kernel) in enumerate(inputs):
                start = time.perf_counter()
                F.conv2d(image, kernel, padding=1)
                best[index] = min(best[index], time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return best


@contextlib.contextmanager
def cuda_arithmetic(*, tf32: bool) -> Iterator[None]:
    """In this block cuDNN looks for its fastest algorithms, and float32 means float32 unless `tf32` is set."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32 = True, tf32
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before
