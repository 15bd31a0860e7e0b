"""Small training sets: procedural figures, and a pack of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from avatar.fomm.config import HourglassConfig, ModelConfig
from avatar.tracking.face import BLENDSHAPES, LANDMARKS
from avatar.training.config import LossConfig, TrainConfig
from avatar.training.figures import draw, random_figure
from avatar.training.pack import Group, Pack, encode_jpeg

SIZE = 32
SMALL = HourglassConfig(8, 32, 3, 0.5)
MODEL = ModelConfig(SMALL, SMALL, 8, 32, 1, 1, num_kp=4, heatmap_padding=3)
RECIPE = TrainConfig(
    "small", MODEL, size=SIZE, batch=8, steps=30, learning_rate=2e-3, warm_up=5, average=0.9, shares=(1, 0, 0), flip=0,
    jitter=0, zoom=0, loss=LossConfig(edges=0, equivariance_jacobian=1),
)  # fmt: skip


def figure_pack(clips: int = 2, frames: int = 6, size: int = SIZE, held_out: int = 0) -> Pack:
    """Build a pack of clips of figures; the last ones are held out."""
    pictures: list[npt.NDArray[np.uint8]] = []
    groups: list[Group] = []
    for number in range(clips):
        figure = random_figure(np.random.default_rng(number))
        out = number >= clips - held_out
        groups.append(Group(f"clip{number}", f"figure{number}", "clip", len(pictures), frames, out))
        pictures += [encode_jpeg(draw(figure, index / 4, size)) for index in range(frames)]
    landmarks, shapes = np.zeros((0, LANDMARKS, 3), np.float32), np.zeros((0, len(BLENDSHAPES)), np.float32)
    return Pack(size, tuple(groups), tuple(pictures), landmarks, shapes, (np.zeros(0, np.uint8),) * len(pictures))


def with_landmarks(pack: Pack, seed: int = 0) -> Pack:
    """Add random landmarks to a pack, as if a tracker had found a face in every image."""
    random = np.random.default_rng(seed)
    count = len(pack.images)
    landmarks = random.uniform(4, pack.size - 4, (count, LANDMARKS, 3)).astype(np.float32)
    return replace(pack, landmarks=landmarks, blendshapes=np.zeros((count, len(BLENDSHAPES)), np.float32))
