"""What the weights themselves say about the networks they belong to, and whether they fit those of a config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from avatar.fomm.config import VOX, HourglassConfig, ModelConfig
from avatar.fomm.model import FirstOrderModel
from avatar.foreign_text import quoted
from avatar.state_files import BATCH_COUNT

Weights = Mapping[str, Tensor]  # "kp_detector.kp.weight" and so on

SHOWN_KEYS = 5

MOTION, DETECTOR = "generator.dense_motion_network", "kp_detector"
_NEEDED = (
    f"{DETECTOR}.kp.weight",
    f"{DETECTOR}.down.weight",
    f"{DETECTOR}.predictor.decoder.up_blocks.0.conv.weight",
    f"{MOTION}.mask.weight",
    f"{MOTION}.down.weight",
    f"{MOTION}.hourglass.decoder.up_blocks.0.conv.weight",
    "generator.first.conv.weight",
)


def structure_of(weights: Weights) -> ModelConfig:
    """Read a config off the weights. Two things leave no trace and are taken to be as in the published models: the
    softmax's temperature, and that heat maps are not padded.

    Raises:
        ValueError: they are not those of a First Order Motion Model; a sentence for people.
    """
    if missing := [name for name in _NEEDED if name not in weights]:
        raise ValueError(summary([f"{name} is missing" for name in missing]))
    if flat := [name for name in _NEEDED if weights[name].ndim != 4]:
        raise ValueError(summary([f"{name} has {weights[name].ndim} dimensions instead of 4" for name in flat]))
    num_kp = weights[f"{DETECTOR}.kp.weight"].shape[0]
    jacobian = weights.get(f"{DETECTOR}.jacobian.weight")
    if jacobian is not None and jacobian.ndim != 4:
        raise ValueError(f"{DETECTOR}.jacobian.weight has {jacobian.ndim} dimensions instead of 4")
    first = weights["generator.first.conv.weight"]
    return ModelConfig(
        detector=_hourglass(weights, f"{DETECTOR}.predictor", f"{DETECTOR}.down.weight"),
        motion=_hourglass(weights, f"{MOTION}.hourglass", f"{MOTION}.down.weight"),
        block_expansion=first.shape[0],
        max_features=_widest(weights, "generator.down_blocks", first.shape[0]),
        num_down_blocks=_count(weights, "generator.down_blocks."),
        num_bottleneck_blocks=_count(weights, "generator.bottleneck.r"),
        num_kp=num_kp,
        num_channels=first.shape[1],
        estimate_jacobian=jacobian is not None,
        single_jacobian_map=jacobian is not None and jacobian.shape[0] == 4 and num_kp > 1,
        estimate_occlusion_map=f"{MOTION}.occlusion.weight" in weights,
        temperature=VOX.temperature,
        heatmap_padding=VOX.heatmap_padding,
    )


def misfits(weights: Weights, config: ModelConfig) -> list[str]:
    """How the weights differ from those that a config asks for, one clause each; empty if they fit."""
    with torch.device("meta"):  # shapes without numbers
        wanted = {name: tuple(value.shape) for name, value in FirstOrderModel(config).state_dict().items()}
    return clauses_of({name: tuple(value.shape) for name, value in weights.items()}, wanted)


def clauses_of(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """How shapes by name differ from those that are wanted, one clause each; counters do not matter."""
    names = [name for name in dict.fromkeys((*wanted, *found)) if not name.endswith(BATCH_COUNT)]
    clauses = []
    for name in names:
        if name not in found:
            clauses.append(f"{name} is missing")
        elif name not in wanted:
            clauses.append(f"{quoted(name)} does not belong there")
        elif found[name] != wanted[name]:
            clauses.append(f"{name} is {found[name]} instead of {wanted[name]}")
    return clauses


def summary(clauses: list[str]) -> str:
    """The first few of a list for people, and how many more there are."""
    rest = len(clauses) - SHOWN_KEYS
    return "; ".join(clauses[:SHOWN_KEYS]) + (f"; and {rest} more" if rest > 0 else "")


def scale_of(kernel: Tensor) -> float:
    """The scale for which a (C, 1, k, k) anti-aliasing kernel was made, from how fast its Gaussian falls.

    Raises:
        ValueError: it is no such kernel.
    """
    side = kernel.shape[-1]
    middle = side // 2
    if side < 3 or side % 2 == 0 or kernel.shape[-2] != side or kernel.numel() == 0:
        raise ValueError(f"an anti-aliasing kernel has the shape {tuple(kernel.shape)}")
    peak, beside = float(kernel[0, 0, middle, middle]), float(kernel[0, 0, middle, middle + 1])
    if not math.inf > peak > beside > 0 or not (fall := math.log(peak / beside)) > 0:
        raise ValueError("an anti-aliasing kernel is no Gaussian")
    return 1 / round(1 + 2 * math.sqrt(1 / (2 * fall)))


def _hourglass(weights: Weights, name: str, kernel: str) -> HourglassConfig:
    levels = _count(weights, f"{name}.encoder.down_blocks.")
    last = weights.get(f"{name}.decoder.up_blocks.{levels - 1}.conv.weight")
    if last is None or last.ndim == 0:
        raise ValueError(f"{name} has no decoder that fits its {levels} levels")
    expansion = last.shape[0]
    return HourglassConfig(expansion, _widest(weights, f"{name}.encoder", expansion), levels, scale_of(weights[kernel]))


def _count(weights: Weights, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return max((int(found[1]) + 1 for name in weights if (found := pattern.match(name))), default=0)


def _widest(weights: Weights, prefix: str, at_least: int) -> int:
    names = [name for name in weights if name.startswith(prefix) and name.endswith("conv.weight")]
    return max([at_least, *(weights[name].shape[0] for name in names if weights[name].ndim)])
