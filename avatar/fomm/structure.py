"""Derivation of a model's structure from its weights, and comparison of weights with a config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avatar.fomm.config import VOX, HourglassConfig, ModelConfig
from avatar.fomm.model import FirstOrderModel
from avatar.system.foreign_text import quoted
from avatar.system.message import Message, together
from avatar.weights.state_files import BATCH_COUNT

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


def _dimensions(name: str, x: Tensor) -> Message:
    """Describe a tensor that is not (out, in, k, k)."""
    return Message("{name} has {found} dimensions instead of 4", name=name, found=x.ndim)


def structure_of(weights: Weights) -> ModelConfig:
    """Derive a config from the weights.

    The softmax temperature and the padding of the heat maps cannot be derived and are taken from the published models.

    Raises:
        ValueError: they are not the weights of a First Order Motion Model; the message is meant for users.
    """
    if missing := [name for name in _NEEDED if name not in weights]:
        raise ValueError(summary([Message("{name} is missing", name=name) for name in missing]))
    if flat := [name for name in _NEEDED if weights[name].ndim != 4]:
        raise ValueError(summary([_dimensions(name, weights[name]) for name in flat]))
    num_kp = weights[f"{DETECTOR}.kp.weight"].shape[0]
    jacobian = weights.get(f"{DETECTOR}.jacobian.weight")
    if jacobian is not None and jacobian.ndim != 4:
        raise ValueError(_dimensions(f"{DETECTOR}.jacobian.weight", jacobian))
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
    """Compare weights with a config; returns one clause per difference, none if they fit."""
    with torch.device("meta"):  # shapes without data
        wanted = {name: tuple(value.shape) for name, value in FirstOrderModel(config).state_dict().items()}
    return clauses_of({name: tuple(value.shape) for name, value in weights.items()}, wanted)


def clauses_of(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Compare shapes by name with the wanted ones; returns one clause per difference. Counters are ignored."""
    names = [name for name in dict.fromkeys((*wanted, *found)) if not name.endswith(BATCH_COUNT)]
    clauses: list[str] = []
    for name in names:
        if name not in found:
            clauses.append(Message("{name} is missing", name=name))
        elif name not in wanted:
            clauses.append(Message("{name} does not belong there", name=quoted(name)))
        elif found[name] != wanted[name]:
            clauses.append(
                Message("{name} is {found} instead of {wanted}", name=name, found=found[name], wanted=wanted[name])
            )
    return clauses


def summary(clauses: Sequence[str]) -> str:
    """Join the first few clauses into a message, with the number of the others."""
    rest = len(clauses) - SHOWN_KEYS
    more = Message("and {rest} more", rest=rest) if rest > 0 else ""
    return together(*clauses[:SHOWN_KEYS], more, between="; ")


def scale_of(kernel: Tensor) -> float:
    """Derive the scale of a (C, 1, k, k) anti-aliasing kernel from the fall-off of its Gaussian.

    Raises:
        ValueError: it is not such a kernel.
    """
    side = kernel.shape[-1]
    middle = side // 2
    if side < 3 or side % 2 == 0 or kernel.shape[-2] != side or kernel.numel() == 0:
        raise ValueError(Message("an anti-aliasing kernel has the shape {shape}", shape=tuple(kernel.shape)))
    peak, beside = float(kernel[0, 0, middle, middle]), float(kernel[0, 0, middle, middle + 1])
    if not math.inf > peak > beside > 0 or not (fall := math.log(peak / beside)) > 0:
        raise ValueError("an anti-aliasing kernel is no Gaussian")
    return 1 / round(1 + 2 * math.sqrt(1 / (2 * fall)))


def _hourglass(weights: Weights, name: str, kernel: str) -> HourglassConfig:
    levels = _count(weights, f"{name}.encoder.down_blocks.")
    last = weights.get(f"{name}.decoder.up_blocks.{levels - 1}.conv.weight")
    if last is None or last.ndim == 0:
        raise ValueError(Message("{name} has no decoder that fits its {levels} levels", name=name, levels=levels))
    expansion = last.shape[0]
    return HourglassConfig(expansion, _widest(weights, f"{name}.encoder", expansion), levels, scale_of(weights[kernel]))


def _count(weights: Weights, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return max((int(found[1]) + 1 for name in weights if (found := pattern.match(name))), default=0)


def _widest(weights: Weights, prefix: str, at_least: int) -> int:
    names = [name for name in weights if name.startswith(prefix) and name.endswith("conv.weight")]
    return max([at_least, *(weights[name].shape[0] for name in names if weights[name].ndim)])
