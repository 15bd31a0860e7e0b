"""A model of any structure with random weights that behave as trained ones do: for tests, and to measure speed.

Weights straight out of torch's initialisation would let the signal die on its way: every prediction would be the same
grey, and anything would seem close to it. Here every layer passes on as much as it gets, batch-norm knows the
statistics of what it sees, heat maps have peaks, masks choose, and the prediction uses the range it has and is about
as smooth as a photograph.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.blocks import gaussian_kernel
from avatar.fomm.config import ModelConfig
from avatar.fomm.model import FirstOrderModel

# Spread of what these layers put out, beside He's initialisation. The softmax of the heat maps multiplies by 10.
_GAINS = {"kp": 0.2, "jacobian": 0.05, "mask": 0.5, "occlusion": 0.5, "final": 1.0}


def random_model(config: ModelConfig, seed: int = 0) -> FirstOrderModel:
    """A FirstOrderModel in evaluation mode on the CPU; the same for the same seed."""
    random = torch.Generator().manual_seed(seed)
    model = FirstOrderModel(config).requires_grad_(False)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            _fill(module, _GAINS.get(name.rpartition(".")[2], 1.0), random)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.7, 1.3, generator=random)
            module.bias.normal_(0, 0.2, generator=random)
            module.momentum = None  # a plain mean over all that it sees
    _soften(model.generator.final)
    frames = model.kp_detector.jacobian
    if frames is not None and frames.bias is not None:
        frames.bias.view(-1, 4).copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    _measure_statistics(model, seed)
    return model.eval()


def random_picture(count: int, size: int, channels: int = 3, seed: int = 0) -> Tensor:
    """(count, channels, size, size) pictures in [0, 1] with detail at every scale, as photographs have."""
    random = torch.Generator().manual_seed(seed)
    picture, cells, height = torch.zeros(count, channels, size, size), 2, 1.0
    while cells < size:
        noise = torch.randn(count, channels, cells, cells, generator=random)
        picture += height * F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=True)
        cells, height = cells * 2, height * 0.6
    return torch.sigmoid(picture)


def _fill(conv: nn.Conv2d, gain: float, random: torch.Generator) -> None:
    fan_in = conv.in_channels * math.prod(conv.kernel_size)
    conv.weight.normal_(0, gain * math.sqrt(2 / fan_in), generator=random)
    if conv.bias is not None:
        conv.bias.normal_(0, 0.05, generator=random)


def _soften(conv: nn.Conv2d) -> None:
    """Let a convolution mix blurred channels, so that it draws areas and edges rather than noise."""
    mix = conv.weight.sum(dim=(2, 3), keepdim=True) / conv.kernel_size[0]  # as random as the kernel was
    conv.weight.copy_(mix * gaussian_kernel(1 / (1 + conv.kernel_size[0] // 2 / 2)))


def _measure_statistics(model: FirstOrderModel, seed: int) -> None:
    step = model.side_step
    size = step * max(2, math.ceil(model.config.frame_size / step))  # batch-norm wants more than one place
    pictures = random_picture(2, size, model.config.num_channels, seed=seed)
    source, driving = pictures[:1], pictures[1:]
    model.train()
    model.generate(source, model.detect(source), model.detect(driving))
