"""Random models of any structure that behave like trained ones, for tests and speed measurements.

As in `avatar.fomm.random_model`: every layer preserves the variance, batch-norms have matching statistics, masks are
decisive, keypoints move as those of a face do, and the image is about as smooth as a photograph.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from avatar.fomm.blocks import gaussian_kernel
from avatar.fomm.random_model import random_image
from avatar.liveportrait.config import LivePortraitConfig
from avatar.liveportrait.model import IMAGE_SIDE, LivePortraitModel

# Gains of these layers relative to He initialisation.
_GAINS = {
    "mask": 0.5, "occlusion": 0.5, "mlp_gamma": 0.3, "mlp_beta": 0.5, "conv_1": 0.5,
    "fc_kp": 0.3, "fc_exp": 0.05, "fc_t": 0.1, "fc_scale": 0.05,
}  # fmt: skip
_SCALE = 1.3  # mean of the extracted scales
_CONTRAST = 2.5  # of the image
_STITCHING_GAIN = 0.05  # of the last layers of stitching and retargeting: small shifts


def random_model(config: LivePortraitConfig | None = None, seed: int = 0) -> LivePortraitModel:
    """Build a random LivePortraitModel in evaluation mode on the CPU; deterministic for a seed."""
    random = torch.Generator().manual_seed(seed)
    config = config or LivePortraitConfig()
    with torch.device("meta"):  # saves torch's own initialisation of 130 million weights
        model = LivePortraitModel(config)
    model = model.to_empty(device="cpu").requires_grad_(False)
    for name, module in model.named_modules():
        _fill(name, module, random)
    last = model.spade_generator.conv_img
    _soften(last if isinstance(last, nn.Conv2d) else last[0], config.generator.upscale)
    model.motion_extractor.detector.fc_scale.bias.fill_(_SCALE)
    _measure_statistics(model, seed)
    return model.eval()


def _fill(name: str, module: nn.Module, random: torch.Generator) -> None:
    last = name.rpartition(".")[2]
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
        fan_in = math.prod(module.weight.shape[1:])
        heads = ("stitching", "eye_retargeting", "lip_retargeting")
        gain = _STITCHING_GAIN if name.startswith(heads) else _GAINS.get(last, 1.0)
        module.weight.normal_(0, gain * math.sqrt(2 / fan_in), generator=random)
        if module.bias is not None:
            module.bias.normal_(0, 0.05 * gain, generator=random)
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
        module.reset_running_stats()
        module.weight.uniform_(0.7, 1.3, generator=random)
        module.bias.normal_(0, 0.2, generator=random)
        module.momentum = None  # cumulative mean
    elif isinstance(module, nn.LayerNorm):
        module.reset_parameters()
    elif last == "grn":
        for parameter in module.parameters(recurse=False):
            parameter.normal_(0, 0.1, generator=random)


def _soften(conv: nn.Module, upscale: int) -> None:
    """Make the last convolution mix blurred channels, the same at all places of a pixel shuffle: areas, no noise."""
    assert isinstance(conv, nn.Conv2d)
    mix = conv.weight.sum(dim=(2, 3), keepdim=True) / conv.kernel_size[0]  # keeps the variance of the kernel
    conv.weight.copy_(_CONTRAST * mix * gaussian_kernel(1 / 1.5))  # 3 x 3
    for parameter in conv.parameters():
        first = parameter.view(3, upscale**2, *parameter.shape[1:])
        first.copy_(first[:, :1].clone().expand_as(first))


def _measure_statistics(model: LivePortraitModel, seed: int) -> None:
    """Let the batch-norms measure what they see for two portraits, each moved to the other's keypoints."""
    images = random_image(2, IMAGE_SIDE, seed=seed)
    keypoints = model.motion(images).transformed()
    model.train()
    model.warping_module(model.appearance(images), keypoints, keypoints.flip(0))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d) and module.num_batches_tracked is not None:
            module.num_batches_tracked.zero_()  # as in a loaded model
