"""Evaluation of unsupervised keypoints on the figures that `figures` renders.

    python -m avatar.training.judge_figures MODEL [--size PX]

The true joints are known. A linear map from keypoints to joints is fitted on some new figures and evaluated on others,
as in Thewlis, Bilen and Vedaldi, "Unsupervised learning of object landmarks by factorized spatial embeddings",
ICCV 2017. For a joint that the keypoints do not follow, the map is no better than the joint's mean position.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from avatar.errors import AvatarError
from avatar.fomm.checkpoint import load_checkpoint
from avatar.frames import FloatArray, RgbImage
from avatar.training.figures import RATE, draw, joints, random_figure

Places = npt.NDArray[np.float64]
SEED = 1  # recipes train on figures of seed 0
FITTED, ASKED, FRAMES = 80, 30, 12
RIDGE = 1e-3


@dataclass(frozen=True)
class JointVerdict:
    """Accuracy of one joint, predicted from the keypoints of figures that the map was not fitted on."""

    name: str
    error_px: float  # mean distance to the true joint
    mean_place_px: float  # the same for the joint's mean position
    follows: float  # correlation of predicted and true motion since the clip's first frame


def judge(detect: Callable[[RgbImage], FloatArray], size: int) -> list[JointVerdict]:
    """Evaluate every joint.

    Args:
        detect: maps an (H, W, 3) uint8 image to its keypoints, (K, 2) in [-1, 1].
        size: side of the images, pixels.
    """
    names: list[str] = []
    seen, drawn = [], []  # (figures, frames, 2 K) and (figures, frames, J, 2)
    for number in range(FITTED + ASKED):
        figure = random_figure(np.random.default_rng([SEED, number]))
        times = [frame / float(RATE) for frame in range(FRAMES)]
        seen.append([detect(draw(figure, time_s, size)).ravel() for time_s in times])
        places = [joints(figure, time_s) for time_s in times]
        names = list(places[0])
        drawn.append([[place[name] for name in names] for place in places])
    keypoints, true = np.asarray(seen, np.float64), np.asarray(drawn, np.float64) * size
    given = np.concatenate([keypoints, np.ones_like(keypoints[..., :1])], axis=-1)
    fit, answers = given[:FITTED].reshape(-1, given.shape[-1]), true[:FITTED].reshape(FITTED * FRAMES, -1)
    weights = np.linalg.solve(fit.T @ fit + RIDGE * np.eye(fit.shape[1]), fit.T @ answers)
    read, asked = (given[FITTED:] @ weights).reshape(true[FITTED:].shape), true[FITTED:]
    mean = true[:FITTED].mean(axis=(0, 1))
    return [
        JointVerdict(
            name,
            float(np.linalg.norm(read - asked, axis=-1)[..., joint].mean()),
            float(np.linalg.norm(asked - mean, axis=-1)[..., joint].mean()),
            _correlation(_motion(read[..., joint, :]), _motion(asked[..., joint, :])),
        )
        for joint, name in enumerate(names)
    ]


def _motion(places: Places) -> Places:
    """Flatten the displacements since the first frame of (N, FRAMES, 2) positions."""
    return (places - places[:, :1]).ravel()


def _correlation(one: Places, other: Places) -> float:
    """Return the correlation of two (N,) vectors; 0 if either is constant."""
    if one.std() < 1e-9 or other.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: evaluate a model and print a table."""
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m avatar.training.judge_figures", description=about)
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("--size", type=int, default=64, help="sides of the pictures it was trained on (default: 64)")
    args = parser.parse_args(argv)
    if not 16 <= args.size <= 1024:
        parser.error(f"--size {args.size} is out of range: give 16 to 1024")
    try:
        model = load_checkpoint(args.model)
    except AvatarError as error:
        raise SystemExit(str(error)) from error

    def detect(rgb: RgbImage) -> FloatArray:
        """Detect the keypoints, (K, 2) in [-1, 1], of an (H, W, 3) uint8 image."""
        tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        return np.asarray(model.detect(tensor).value[0])

    print(f"{'joint':16s} error px  mean place px  follows")
    for each in judge(detect, args.size):
        print(f"{each.name:16s} {each.error_px:8.2f}  {each.mean_place_px:13.2f}  {each.follows:7.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
