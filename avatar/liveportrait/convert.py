"""Conversion of the five files to one .safetensors of half their size, without executable content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from avatar.errors import UsageError
from avatar.liveportrait.checkpoint import load_liveportrait
from avatar.liveportrait.model import LivePortraitModel
from avatar.system.message import Message
from avatar.weights.state_files import BATCH_COUNT, save_tensors

SUFFIX = ".safetensors"


def convert_liveportrait(folder_or_files: str | Path | Sequence[str | Path], target: Path) -> int:
    """Write all weights to one .safetensors: kernels in float16, spectral norms folded.

    Args:
        folder_or_files: as for `load_liveportrait`, with the same checks.
        target: the file to write, atomically; `load_liveportrait` reads it.
    Returns:
        The size of the file in bytes.
    Raises:
        WeightsError: the weights cannot be used.
        UsageError: `target` does not end in .safetensors.
        OutputError: the file cannot be written.
    """
    if target.suffix != SUFFIX:
        raise UsageError(
            Message("{target} is not a name for the result.", target=target),
            remedy=Message("Choose a name that ends in {suffix}.", suffix=SUFFIX),
        )
    return _save(load_liveportrait(folder_or_files), target)


def _save(model: LivePortraitModel, target: Path) -> int:
    """Write a model and return the size of the file. Raises OutputError."""
    state = model.state_dict()
    weights = {name: _compact(x.detach()) for name, x in state.items() if not name.endswith(BATCH_COUNT)}
    return save_tensors(weights, target, {"format": "pt", "model": "LivePortrait"})


def _compact(x: Tensor) -> Tensor:
    """Convert kernels and matrices, any shape of two dimensions or more, to float16 where it can hold them.

    Biases, statistics of batch norms and kernels outside the range of float16 keep their precision.
    """
    half = x.to(torch.float16)
    return half.contiguous() if x.ndim > 1 and bool(torch.isfinite(half).all()) else x.contiguous()
