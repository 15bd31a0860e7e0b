"""Evaluation of a trained face model on the held-out part of a packed dataset, with the face tracker.

    python -m avatar.training.judge MODEL PACK [--pairs N] [--json FILE]

Each identity's first image is driven by its other images. Two baselines are reported: the source returned unchanged,
and the driving frame downscaled to half size and upscaled again, which bounds the sharpness of plain upscaling.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from avatar.cv import cv2
from avatar.errors import AvatarError
from avatar.fomm.checkpoint import load_checkpoint
from avatar.fomm.model import FirstOrderModel
from avatar.frames import RgbImage
from avatar.training.pack import Pack, load_pack

PAIRS = 120


@dataclass(frozen=True)
class Verdict:
    """Means over the held-out pairs."""

    pairs: int
    l1: float  # mean absolute difference to the driving frame, in levels of 255
    copy_l1: float  # l1 of the source returned unchanged
    ratio: float  # l1 / copy_l1
    keypoints_px: float  # average keypoint distance (AKD) between result and driving frame, over 478 landmarks
    copy_keypoints_px: float
    lost: int  # results in which the tracker finds no face
    sharpness: float  # mean absolute Laplacian, relative to that of the driving frame
    half_sharpness: float  # sharpness of the driving frame downscaled to half size and upscaled again


def judge(model: FirstOrderModel, pack: Pack, most: int = PAIRS) -> Verdict:
    """Evaluate a model on the held-out groups of a pack. Raises WeightsError if the face model is missing."""
    from avatar.tracking import open_tracker

    rows: list[tuple[float, ...]] = []
    lost = 0
    groups = [group for group in pack.groups if group.held_out and group.count > 1]
    per = max(1, most // max(1, len(groups)))
    with contextlib.closing(open_tracker()) as tracker:
        for group in groups:
            source = pack.image(group.start)
            places = np.unique(np.linspace(1, group.count - 1, min(per, group.count - 1)).round().astype(int))
            for place in places:
                driving = pack.image(group.start + int(place))
                result = animate(model, source, driving)
                seen = [next(iter(tracker.detect(image)), None) for image in (result, driving, source)]
                if seen[0] is None or seen[1] is None or seen[2] is None:
                    lost += seen[0] is None and seen[1] is not None
                    continue
                points = [face.landmarks[:, :2] for face in seen if face is not None]
                sharp = _sharpness(driving)
                rows.append((
                    _l1(result, driving), _l1(source, driving),
                    float(np.linalg.norm(points[0] - points[1], axis=1).mean()),
                    float(np.linalg.norm(points[2] - points[1], axis=1).mean()),
                    _sharpness(result) / sharp, _sharpness(_halved(driving)) / sharp,
                ))  # fmt: skip
    mean = np.mean(rows, axis=0).tolist() if rows else [float("nan")] * 6
    return Verdict(len(rows), mean[0], mean[1], mean[0] / max(mean[1], 1e-9), mean[2], mean[3], lost, mean[4], mean[5])


def animate(model: FirstOrderModel, source: RgbImage, driving: RgbImage) -> RgbImage:
    """Animate (H, W, 3) uint8 images with absolute motion, as in training."""
    tensors = [torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255 for rgb in (source, driving)]
    prediction = model.generate(tensors[0], model.detect(tensors[0]), model.detect(tensors[1]))
    return np.ascontiguousarray((prediction[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


def _l1(one: RgbImage, other: RgbImage) -> float:
    """Compute the mean absolute difference of two (H, W, 3) uint8 images, in levels."""
    return float(np.abs(one.astype(np.float32) - other).mean())


def _sharpness(rgb: RgbImage) -> float:
    """Compute the mean absolute Laplacian of an (H, W, 3) uint8 image, in grey levels."""
    return float(np.abs(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F)).mean())


def _halved(rgb: RgbImage) -> RgbImage:
    """Downscale (H, W, 3) uint8 to half size and upscale it again."""
    small = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: evaluate a model."""
    parser = argparse.ArgumentParser(prog="python -m avatar.training.judge", description="Evaluate a trained model.")
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("pack", metavar="PACK", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"at most (default: {PAIRS})")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args(argv)
    try:
        verdict = judge(load_checkpoint(args.model), load_pack(args.pack), args.pairs)
    except AvatarError as error:
        raise SystemExit(str(error)) from error
    text = json.dumps(asdict(verdict), indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
