"""Turns a checkpoint into a small .safetensors: no training state, half precision, nothing that could be run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from avatar.atomic import replacing
from avatar.errors import OutputError, UsageError
from avatar.fomm.checkpoint import load_checkpoint
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import to_layout
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.weight_files import CONFIG_KEY
from avatar.state_files import BATCH_COUNT

SUFFIX = ".safetensors"


def convert_checkpoint(path: Path, target: Path, config: str | Path | ModelConfig | None = None) -> int:
    """Write what animation needs of a checkpoint to a .safetensors, with its config in the metadata.

    Args:
        path: any file that `load_checkpoint` takes; checked as it does.
        target: the file to write; takes its name only when it is complete.
        config: as for `load_checkpoint`.
    Returns:
        its size in bytes.
    Raises:
        WeightsError: the checkpoint cannot be used.
        UsageError: `target` does not end in .safetensors, or there is no such config.
        OutputError: the file cannot be written.
    """
    if target.suffix != SUFFIX:
        raise UsageError(f"{target} is not a name for the result.", remedy=f"Let it end in {SUFFIX}.")
    return save_model(load_checkpoint(path, config), target)


def save_model(model: FirstOrderModel, target: Path) -> int:
    """Write a model to a .safetensors as `convert_checkpoint` does; returns its size. Raises OutputError."""
    from safetensors.torch import save_file

    state = model.state_dict()
    weights = {name: _compact(x.detach().cpu()) for name, x in state.items() if not name.endswith(BATCH_COUNT)}
    metadata = {"format": "pt", "model": "First Order Motion Model", CONFIG_KEY: json.dumps(to_layout(model.config))}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            save_file(weights, part, metadata)
        return target.stat().st_size
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror or error}.", remedy="Choose another place for the result."
        ) from error


def _compact(x: Tensor) -> Tensor:
    """Half precision for the kernels of convolutions, which are nearly all of the file.

    Batch-norm's running variances span more than float16 can, and so might a kernel: they stay as they are.
    """
    half = x.to(torch.float16)
    is_kernel = x.ndim == 4 and x.shape[1] > 1  # the anti-aliasing kernels have one input channel
    return half.contiguous() if is_kernel and bool(torch.isfinite(half).all()) else x.contiguous()
