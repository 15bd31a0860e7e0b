"""The small networks that correct keypoints: stitching, and retargeting of eyes and lips."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class PointNetwork(nn.Module):
    """A multilayer perceptron with ReLU."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, wider in pairwise((inputs, *hidden)):
            layers += [nn.Linear(wide, wider), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network: (B, inputs) to (B, outputs)."""
        shifts: Tensor = self.mlp(x)
        return shifts
