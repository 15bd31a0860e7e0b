"""Conversion of a checkpoint to a small .safetensors: float16, without training state or executable content."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from avatar.errors import UsageError
from avatar.fomm.checkpoint import load_checkpoint
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import to_layout
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.weight_files import CONFIG_KEY
from avatar.system.message import Message
from avatar.weights.state_files import BATCH_COUNT, save_tensors

SUFFIX = ".safetensors"


def convert_checkpoint(path: Path, target: Path, config: str | Path | ModelConfig | None = None) -> int:
    """Write the part of a checkpoint that animation needs to a .safetensors, with its config in the metadata.

    Args:
        path: any file that `load_checkpoint` accepts, with the same checks.
        target: the file to write, atomically.
        config: as for `load_checkpoint`.
    Returns:
        The size of the file in bytes.
    Raises:
        WeightsError: the checkpoint cannot be used.
        UsageError: `target` does not end in .safetensors, or there is no such config.
        OutputError: the file cannot be written.
    """
    if target.suffix != SUFFIX:
        raise UsageError(
            Message("{target} is not a name for the result.", target=target),
            remedy=Message("Choose a name that ends in {suffix}.", suffix=SUFFIX),
        )
    return save_model(load_checkpoint(path, config), target)


def save_model(model: FirstOrderModel, target: Path) -> int:
    """Write a model to a .safetensors as `convert_checkpoint` does; returns its size. Raises OutputError."""
    state = model.state_dict()
    weights = {name: _compact(x.detach().cpu()) for name, x in state.items() if not name.endswith(BATCH_COUNT)}
    metadata = {"format": "pt", "model": "First Order Motion Model", CONFIG_KEY: json.dumps(to_layout(model.config))}
    return save_tensors(weights, target, metadata)


def _compact(x: Tensor) -> Tensor:
    """Convert (out, in, k, k) kernels of convolutions to float16, which make up nearly all of the file.

    Batch-norm's running variances, and kernels outside the range of float16, are kept in their precision.
    """
    half = x.to(torch.float16)
    is_kernel = x.ndim == 4 and x.shape[1] > 1  # the anti-aliasing kernels have one input channel
    return half.contiguous() if is_kernel and bool(torch.isfinite(half).all()) else x.contiguous()
