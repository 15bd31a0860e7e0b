"""Small LivePortrait models with random weights, and their files in the authors' format."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar.liveportrait import LivePortraitConfig, LivePortraitModel, MotionParameters
from avatar.liveportrait.config import AppearanceConfig, GeneratorConfig, MotionConfig, WarpingConfig
from avatar.liveportrait.random_model import random_model

SMALL = LivePortraitConfig(
    AppearanceConfig(8, 32, 2, 2, 4, 16),
    MotionConfig((16, 24, 32, 48), (1, 1, 2, 1)),
    WarpingConfig(2, 8, 32, 3, 16),
    GeneratorConfig(32, (16, 8), 128),
)
STRUCTURES = {
    "as published, narrower": SMALL,
    "no occlusion map": replace(SMALL, warping=replace(SMALL.warping, estimate_occlusion_map=False)),
    "other depths": replace(
        SMALL,
        appearance=AppearanceConfig(4, 12, 2, 1, 3, 8),
        motion=MotionConfig((8, 12), (2, 1), 15, 50),
        warping=WarpingConfig(3, 4, 8, 2, 12),
        generator=GeneratorConfig(12, (6,), 16, 2),
        stitching=(16, 8),
        eyes=(8,),
        lips=(),
    ),
    "no pixel shuffle": replace(SMALL, generator=GeneratorConfig(16, (8, 8), 16, 1, 1)),
}

TINY = LivePortraitConfig(  # for jobs of many frames
    AppearanceConfig(4, 8, 3, 1, 2, 2),
    MotionConfig((4, 8), (1, 1)),
    WarpingConfig(1, 4, 8, 1, 8),
    GeneratorConfig(8, (4,), 8, 1),
    stitching=(8,),
    eyes=(8,),
    lips=(8,),
)


@functools.cache
def small_model(structure: str = "as published, narrower", seed: int = 0) -> LivePortraitModel:
    """A model whose signals neither die nor explode; the same for the same seed. Not to be changed."""
    return random_model(STRUCTURES[structure], seed)


@functools.cache
def tiny_model(seed: int = 0) -> LivePortraitModel:
    """The model with the least work. Not to be changed."""
    return random_model(TINY, seed)


def random_images(count: int, seed: int = 0) -> Tensor:
    """(count, 3, 256, 256) in [0, 1] with detail at several scales."""
    random, images = torch.Generator().manual_seed(seed), torch.zeros(count, 3, 256, 256)
    for cells in (2, 8, 32):
        noise = torch.randn(count, 3, cells, cells, generator=random)
        images += nn.functional.interpolate(noise, size=(256, 256), mode="bilinear", align_corners=True)
    return torch.sigmoid(images)


def random_motion(count: int, points: int = 21, seed: int = 0) -> MotionParameters:
    """Parameters as of real faces: angles within 20 degrees, small expressions."""
    random = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random)

    return MotionParameters(
        pitch=10 * noise(1), yaw=10 * noise(1), roll=10 * noise(1), translation=0.1 * noise(3),
        expression=0.05 * noise(points, 3), scale=1.2 + 0.1 * noise(1), keypoints=0.4 * noise(points, 3),
    )  # fmt: skip


def split(model: LivePortraitModel) -> dict[str, dict[str, Tensor]]:
    """The weights by the authors' files, with a spectral norm on every convolution that theirs has it on."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, x in model.state_dict().items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = x
    generator = parts["spade_generator"]
    for name in [name for name in generator if ".conv_" in name and name.endswith("weight")]:
        x = generator.pop(name)
        torch.manual_seed(len(name))
        left = nn.functional.normalize(torch.randn(x.shape[0]), dim=0)
        right = nn.functional.normalize(x.flatten(1).T @ left, dim=0)
        left /= left @ (x.flatten(1) @ right)  # so that folding gives x
        generator |= {f"{name}_orig": 3.0 * x, f"{name}_u": left, f"{name}_v": right}
    return parts


def write_files(model: LivePortraitModel, folder: Path) -> None:
    """Files named and laid out as the authors'."""
    parts = split(model)
    folder.mkdir(exist_ok=True)
    for name in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"):
        torch.save(parts[name], folder / f"{name}.pth")
    heads = {"retarget_shoulder": "stitching", "retarget_mouth": "lip_retargeting", "retarget_eye": "eye_retargeting"}
    stored = {head: {f"module.{key}": x for key, x in parts[ours].items()} for head, ours in heads.items()}
    torch.save(stored, folder / "stitching_retargeting_module.pth")
