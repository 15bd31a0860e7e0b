"""The plain model and the fast one side by side on this machine, frame by frame in one run, with random weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.config import VOX, ModelConfig
from avatar.fomm.fast import FastModel
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.random_model import random_model, random_picture
from avatar.motion.keypoints import relative_keypoints

ROUND = 6  # frames

Step = Callable[[Tensor], Tensor]  # a driving frame (1, C, H, W) to a prediction


@dataclass(frozen=True)
class Speed:
    """How one way of computing the model did."""

    name: str
    precision: str
    median_ms: float  # per frame: keypoints, relative motion, prediction
    p95_ms: float
    psnr_db: float | None  # of all its predictions against the plain model's; None for the plain model itself


def compare_speeds(
    config: ModelConfig = VOX, *, frames: int = 20, seed: int = 0, device: str = "cpu", precision: str | None = None
) -> list[Speed]:
    """Measure the plain float32 model, as the paper's demo runs it, and FastModel.

    They take turns, ROUND frames each, so that a machine with other work slows them alike. The first frame of a round
    finds the other model's data in the caches, warms up and does not count.

    Args:
        config: what to build; the published faces' model by default.
        frames: how many count, at least; whole rounds.
        seed: of weights and pictures.
        device: where.
        precision: "float32", "bfloat16" or "float16" for the fast one; None: as FastModel chooses.
    """
    model = random_model(config, seed).to(device)
    fast = FastModel(model, precision=None if precision is None else getattr(torch, precision))
    source = random_picture(1, config.frame_size, config.num_channels, seed=seed + 1).to(device)
    rounds = -(-frames // (ROUND - 1))
    clip = random_clip(rounds * ROUND, config.frame_size, config.num_channels, seed=seed + 2).to(device)
    plain, quick = _Timed(_plain(model, source, clip[:1])), _Timed(_fast(fast, source, clip[:1]))
    squares = 0.0
    for frames_of_round in clip.split_with_sizes([ROUND] * rounds):
        wanted, got = plain.run(frames_of_round), quick.run(frames_of_round)
        squares += float((wanted - got).square().mean()) / rounds
    psnr_db = float(-10 * np.log10(max(squares, 1e-20)))
    return [plain.speed("plain", "float32", None), quick.speed("fast", str(fast.precision)[len("torch.") :], psnr_db)]


class _Timed:
    """One way of computing frames, and how long they took."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._times_ms: list[float] = []

    def run(self, frames: Tensor) -> Tensor:
        """Predictions for one round, on the CPU."""
        predictions = []
        for number, frame in enumerate(frames):
            start = time.perf_counter()
            predictions.append(self._step(frame[None]).cpu())
            if number > 0:
                self._times_ms.append((time.perf_counter() - start) * 1e3)
        return torch.cat(predictions)

    def speed(self, name: str, precision: str, psnr_db: float | None) -> Speed:
        times = self._times_ms
        return Speed(name, precision, float(np.median(times)), float(np.percentile(times, 95)), psnr_db)


def random_clip(count: int, size: int, channels: int, seed: int) -> Tensor:
    """(count, channels, size, size): one random picture that sways, as a head does."""
    picture = random_picture(1, size, channels, seed=seed)
    phase = torch.linspace(0, 2 * torch.pi, count)
    angle, zero = 0.2 * torch.sin(phase), torch.zeros(count)
    across, down = 0.15 * torch.sin(2 * phase), zero
    rows = [torch.stack([angle.cos(), -angle.sin(), across], 1), torch.stack([angle.sin(), angle.cos(), down], 1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), [count, channels, size, size], align_corners=True)
    everywhere = picture.expand(count, -1, -1, -1)
    return F.grid_sample(everywhere, grid, padding_mode="reflection", align_corners=True)


def _plain(model: FirstOrderModel, source: Tensor, reference: Tensor) -> Step:
    kp_source, kp_reference = model.detect(source), model.detect(reference)
    return lambda frame: model.generate(
        source, kp_source, relative_keypoints(kp_source, model.detect(frame), kp_reference)
    )


def _fast(model: FastModel, source: Tensor, reference: Tensor) -> Step:
    kp_source, kp_reference = model.set_source(source), model.detect(reference)
    return lambda frame: model.generate(relative_keypoints(kp_source, model.detect(frame), kp_reference))
