"""Choice of the fastest precision for convolutions, by measurement, because CPU model names are unreliable."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

WORTH_IT = 0.7  # maximum time relative to float32; a smaller gain is not worth the rounding
MATRIX_UNITS = (7, 0)  # compute capability of the first GPUs with tensor cores
_CHANNELS, _SIDE, _REPEATS = 128, 32, 16


@functools.cache
def faster_precision(device: torch.device) -> torch.dtype:
    """Choose the precision of the generator: float16 on GPUs with tensor cores, bfloat16 where the CPU is faster in it.

    Otherwise float32. Takes some 50 ms on a CPU, once. float16 has 8 times the resolution of bfloat16 but overflows at
    65504, so callers must check the first image for NaN.
    """
    if device.type == "cuda":
        return torch.float16 if torch.cuda.get_device_capability(device) >= MATRIX_UNITS else torch.float32
    if device.type != "cpu":
        return torch.float32
    single, half = _fastest_s((torch.float32, torch.bfloat16))
    return torch.bfloat16 if half < WORTH_IT * single else torch.float32


@torch.inference_mode()
def _fastest_s(precisions: tuple[torch.dtype, ...]) -> list[float]:
    """Measure a 3 x 3 convolution as in the bottleneck, in seconds, in each precision, interleaved, on one core.

    Takes the minimum, because other programs can only slow it down. Uses one core, because with several the
    measurement would be dominated by waiting for a core that another program keeps busy.
    """
    best = [float("inf")] * len(precisions)
    x, weight = torch.randn(1, _CHANNELS, _SIDE, _SIDE), torch.randn(_CHANNELS, _CHANNELS, 3, 3)
    layout = torch.channels_last
    inputs = [(x.to(dtype, memory_format=layout), weight.to(dtype, memory_format=layout)) for dtype in precisions]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(_REPEATS):  # the first runs include compilation
            for index, (image, kernel) in enumerate(inputs):
                start = time.perf_counter()
                F.conv2d(image, kernel, padding=1)
                best[index] = min(best[index], time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return best


@contextlib.contextmanager
def cuda_arithmetic(*, tf32: bool) -> Iterator[None]:
    """Let cuDNN benchmark its algorithms in this block, and allow TF32 only if `tf32` is set."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32 = True, tf32
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before
