"""Random models of any structure that behave like trained ones, for tests and speed measurements.

With torch's default initialisation the signal would vanish: every prediction would be the same grey, and any result
would be close to it. Here every layer preserves the variance, batch-norm has matching statistics, heat maps have
peaks, masks are decisive, and the prediction uses its full range and is about as smooth as a photograph.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.blocks import gaussian_kernel
from avatar.fomm.config import ModelConfig
from avatar.fomm.model import FirstOrderModel

# Gains of these layers relative to He initialisation. The softmax of the heat maps multiplies by 10.
_GAINS = {"kp": 0.2, "jacobian": 0.05, "mask": 0.5, "occlusion": 0.5, "final": 1.0}


def random_model(config: ModelConfig, seed: int = 0) -> FirstOrderModel:
    """Build a random FirstOrderModel in evaluation mode on the CPU; deterministic for a seed."""
    random = torch.Generator().manual_seed(seed)
    model = FirstOrderModel(config).requires_grad_(False)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            _fill(module, _GAINS.get(name.rpartition(".")[2], 1.0), random)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.7, 1.3, generator=random)
            module.bias.normal_(0, 0.2, generator=random)
            module.momentum = None  # cumulative mean
    _soften(model.generator.final)
    head = model.kp_detector.jacobian
    if head is not None and head.bias is not None:
        head.bias.view(-1, 4).copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    _measure_statistics(model, seed)
    return model.eval()


def random_image(count: int, size: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Generate (count, channels, size, size) images in [0, 1] with detail at every scale, as in photographs."""
    random = torch.Generator().manual_seed(seed)
    image, cells, height = torch.zeros(count, channels, size, size), 2, 1.0
    while cells < size:
        noise = torch.randn(count, channels, cells, cells, generator=random)
        image += height * F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=True)
        cells, height = cells * 2, height * 0.6
    return torch.sigmoid(image)


def _fill(conv: nn.Conv2d, gain: float, random: torch.Generator) -> None:
    fan_in = conv.in_channels * math.prod(conv.kernel_size)
    conv.weight.normal_(0, gain * math.sqrt(2 / fan_in), generator=random)
    if conv.bias is not None:
        conv.bias.normal_(0, 0.05, generator=random)


def _soften(conv: nn.Conv2d) -> None:
    """Make a convolution mix blurred channels, so that its output has areas and edges rather than noise."""
    mix = conv.weight.sum(dim=(2, 3), keepdim=True) / conv.kernel_size[0]  # keeps the variance of the kernel
    conv.weight.copy_(mix * gaussian_kernel(1 / (1 + conv.kernel_size[0] // 2 / 2)))


def _measure_statistics(model: FirstOrderModel, seed: int) -> None:
    step = model.side_step
    size = step * max(2, math.ceil(model.config.frame_size / step))  # batch-norm needs more than one position
    images = random_image(2, size, model.config.num_channels, seed=seed)
    source, driving = images[:1], images[1:]
    model.train()
    model.generate(source, model.detect(source), model.detect(driving))
