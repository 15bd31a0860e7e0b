"""Small First Order Motion Models with random weights, and their checkpoints in the authors' format."""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatar.fomm import FirstOrderModel, ModelConfig
from avatar.fomm.config import HourglassConfig
from avatar.fomm.random_model import random_model

SMALL = ModelConfig(
    HourglassConfig(4, 16, 5, 0.25),
    HourglassConfig(6, 24, 5, 0.25),
    block_expansion=8,
    max_features=32,
    num_bottleneck_blocks=2,
)
STRUCTURES = {  # config, side of its images
    "as published": (SMALL, 256),
    "at 128 px": (SMALL, 128),
    "no jacobian": (replace(SMALL, estimate_jacobian=False), 128),
    "single jacobian map": (replace(SMALL, single_jacobian_map=True), 128),
    "no occlusion map": (replace(SMALL, estimate_occlusion_map=False), 128),
    "other blocks": (
        replace(
            SMALL,
            detector=HourglassConfig(4, 64, 3, 0.25),
            motion=HourglassConfig(6, 24, 2, 0.5),
            num_down_blocks=3,
            num_bottleneck_blocks=4,
            num_kp=15,
        ),
        64,
    ),
    "one keypoint": (replace(SMALL, num_kp=1), 128),
    "at 512 px": (
        replace(SMALL, detector=HourglassConfig(4, 16, 5, 0.125), motion=HourglassConfig(6, 24, 5, 0.125)),
        512,
    ),
}


@functools.cache
def sample_model(name: str = "as published") -> FirstOrderModel:
    """Build a model of one of STRUCTURES."""
    return random_model(STRUCTURES[name][0], seed=3)


def authors_state(model: FirstOrderModel, *, pruned: bool = False) -> dict[str, Any]:
    """Return a checkpoint as the authors' training writes it: two state dicts and the training state."""
    state: dict[str, Any] = {
        "generator": OrderedDict(model.generator.state_dict()),
        "kp_detector": OrderedDict(model.kp_detector.state_dict()),
    }
    if not pruned:
        state |= {"epoch": 99, "discriminator": OrderedDict(w=torch.zeros(3)), "optimizer_generator": {"state": {}}}
    return state


def save_checkpoint(path: Path, state: dict[str, Any], *, legacy: bool = False) -> Path:
    """Write a .pth.tar; `legacy` as torch before 1.6 did, when the published ones were made."""
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def psnr_db(a: Tensor, b: Tensor) -> float:
    """Compute the peak signal-to-noise ratio of images in [0, 1]."""
    return float(-10 * torch.log10((a - b).square().mean()))
