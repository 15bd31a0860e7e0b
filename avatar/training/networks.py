"""Auxiliary networks used in training only: a landmark network and a patch discriminator."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LANDMARK_WIDTHS = (32, 64, 128, 192, 256)
PATCH_WIDTHS = (48, 96, 192, 256)


class LandmarkNetwork(nn.Module):
    """Landmark regressor for face crops, whose features also serve as a perceptual loss.

    It is trained on real images only, alongside the generator. A difference between its features for the prediction
    and for the driving frame indicates another expression. It replaces the features of a network trained on ImageNet,
    whose weights cannot be shipped.
    """

    def __init__(self, size: int, points: int) -> None:
        super().__init__()
        widths = (3, *LANDMARK_WIDTHS)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.SiLU(),
                nn.Conv2d(b, b, 3, padding=1), nn.GroupNorm(8, b), nn.SiLU(),
            )
            for a, b in pairwise(widths)
        )  # fmt: skip
        self.squeeze = nn.Conv2d(LANDMARK_WIDTHS[-1], 64, 1)
        self.head = nn.Linear(64 * (size >> len(LANDMARK_WIDTHS)) ** 2, 2 * points)

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the features of every stage, and (B, points, 2) landmarks in [-1, 1], for (B, 3, H, W) in [0, 1]."""
        features, x = [], 2 * image - 1
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        points = self.head(self.squeeze(x).flatten(1))
        return features, points.float().view(len(image), -1, 2)


class PatchDiscriminator(nn.Module):
    """Discriminator of real and predicted patches (Isola et al. 2017, PatchGAN)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *PATCH_WIDTHS)
        self.stages = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(widths))
        self.head = spectral_norm(nn.Conv2d(PATCH_WIDTHS[-1], 1, 3, padding=1))

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the features of every stage, and (B, 1, h, w) logits (1 real, 0 predicted), for (B, 3, H, W)."""
        features, x = [], 2 * image - 1
        for stage in self.stages:
            x = F.leaky_relu(stage(x), 0.2)
            features.append(x)
        return features, self.head(x)
