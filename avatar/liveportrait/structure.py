"""Derivation of a model's structure from its weights, and folding of spectral norms."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from avatar.liveportrait.config import (
    AppearanceConfig,
    GeneratorConfig,
    LivePortraitConfig,
    MotionConfig,
    WarpingConfig,
)

Weights = Mapping[str, Tensor]  # "motion_extractor.detector.fc_kp.weight" and so on

_F, _M, _W, _G = "appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"
_MOTION = f"{_W}.dense_motion_network"


def structure_of(weights: Weights) -> LivePortraitConfig:
    """Derive a config from the weights.

    Raises:
        ValueError: they are not the weights of a LivePortrait model; the message is meant for users.
    """
    return LivePortraitConfig(
        appearance=_appearance(weights),
        motion=motion_of(weights),
        warping=_warping(weights),
        generator=_generator(weights),
        stitching=_hidden(weights, "stitching"),
        eyes=_hidden(weights, "eye_retargeting"),
        lips=_hidden(weights, "lip_retargeting"),
    )


def fold_spectral_norms(weights: Weights) -> dict[str, Tensor]:
    """Replace each weight_orig, weight_u, weight_v by the normalised weight: weight_orig / (u^T W v).

    Miyato et al. 2018 (Spectral Normalization for GANs), with the stored vectors u and v.
    """
    folded = {name: x for name, x in weights.items() if not re.search(r"\.weight_(orig|u|v)$", name)}
    for name in weights:
        if name.endswith(".weight_orig"):
            stem = name.removesuffix("_orig")
            original, left, right = _get(weights, name), _get(weights, f"{stem}_u"), _get(weights, f"{stem}_v")
            rows = original.flatten(1)
            if rows.shape != (left.numel(), right.numel()):
                raise ValueError(f"{stem}_u and {stem}_v do not fit {name}")
            norm = torch.dot(left.flatten(), rows @ right.flatten())
            if norm == 0 or not torch.isfinite(norm):
                raise ValueError(f"{stem}_u and {stem}_v give {name} no norm")
            folded[stem] = original / norm
    return folded


def _appearance(weights: Weights) -> AppearanceConfig:
    first, second = _get(weights, f"{_F}.first.conv.weight", 4), _get(weights, f"{_F}.second.weight", 4)
    channels = _get(weights, f"{_F}.resblocks_3d.3dr0.conv1.weight", 5).shape[0]
    if channels == 0 or second.shape[0] % channels:
        raise ValueError(f"a volume of {second.shape[0]} planes does not divide into {channels} channels")
    return AppearanceConfig(
        block_expansion=first.shape[0],
        max_features=max(first.shape[0], second.shape[1]),
        num_down_blocks=_count(weights, f"{_F}.down_blocks."),
        num_resblocks=_count(weights, f"{_F}.resblocks_3d.3dr"),
        reshape_channel=channels,
        reshape_depth=second.shape[0] // channels,
    )


def motion_of(weights: Weights) -> MotionConfig:
    """Derive the structure of the extractor M alone. Raises: ValueError: as `structure_of`."""
    detector = f"{_M}.detector"
    stages = _count(weights, f"{detector}.stages.")
    return MotionConfig(
        widths=tuple(_get(weights, f"{detector}.stages.{i}.0.dwconv.weight", 4).shape[0] for i in range(stages)),
        depths=tuple(_count(weights, f"{detector}.stages.{i}.") for i in range(stages)),
        num_kp=_get(weights, f"{detector}.fc_kp.weight", 2).shape[0] // 3,
        num_bins=_get(weights, f"{detector}.fc_pitch.weight", 2).shape[0],
    )


def _warping(weights: Weights) -> WarpingConfig:
    levels = _count(weights, f"{_MOTION}.hourglass.encoder.down_blocks.")
    expansion = _get(weights, f"{_MOTION}.hourglass.decoder.up_blocks.{levels - 1}.conv.weight", 5).shape[0]
    innermost = _get(weights, f"{_MOTION}.hourglass.encoder.down_blocks.{levels - 1}.conv.weight", 5).shape[0]
    return WarpingConfig(
        compress=_get(weights, f"{_MOTION}.compress.weight", 5).shape[0],
        block_expansion=expansion,
        max_features=max(expansion, innermost),
        num_blocks=levels,
        channels_out=_get(weights, f"{_W}.fourth.weight", 4).shape[0],
        estimate_occlusion_map=f"{_MOTION}.occlusion.weight" in weights,
    )


def _generator(weights: Weights) -> GeneratorConfig:
    fc = _get(weights, f"{_G}.fc.weight", 4)
    doublings = _count(weights, f"{_G}.up_")
    shuffles = f"{_G}.conv_img.0.weight" in weights
    last = _get(weights, f"{_G}.conv_img.0.weight" if shuffles else f"{_G}.conv_img.weight", 4)
    upscale = round((last.shape[0] / 3) ** 0.5)
    if 3 * upscale**2 != last.shape[0]:
        raise ValueError(f"an image cannot be made of {last.shape[0]} channels")
    return GeneratorConfig(
        channels=fc.shape[0],
        up_channels=tuple(_get(weights, f"{_G}.up_{i}.conv_1.weight", 4).shape[0] for i in range(doublings)),
        hidden=_get(weights, f"{_G}.G_middle_0.norm_0.mlp_shared.0.weight", 4).shape[0],
        num_middle_blocks=_count(weights, f"{_G}.G_middle_"),
        upscale=upscale,
    )


def _hidden(weights: Weights, network: str) -> tuple[int, ...]:
    """Return the widths of the hidden layers."""
    numbers = range(0, _count(weights, f"{network}.mlp."), 2)
    return tuple(_get(weights, f"{network}.mlp.{number}.weight", 2).shape[0] for number in numbers)[:-1]


def _get(weights: Weights, name: str, dimensions: int | None = None) -> Tensor:
    """Return a tensor of any shape by its name; raises ValueError if it is missing or not of `dimensions` axes."""
    if name not in weights:
        raise ValueError(f"{name} is missing")
    if dimensions is not None and weights[name].ndim != dimensions:
        raise ValueError(f"{name} has {weights[name].ndim} dimensions instead of {dimensions}")
    return weights[name]


def _count(weights: Weights, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d{1,6})\.")
    return max((int(found[1]) + 1 for name in weights if (found := pattern.match(name))), default=0)
