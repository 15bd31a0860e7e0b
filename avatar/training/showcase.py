"""Evaluation on the held-out set during training: metrics and contact sheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.cv import cv2
from avatar.fomm.model import FirstOrderModel
from avatar.frames import FloatArray, RgbImage
from avatar.images.load import save_png
from avatar.motion.keypoints import relative_keypoints
from avatar.training.dataset import FrameDataset
from avatar.training.losses import warped_source
from avatar.training.pack import Pack
from avatar.training.trainer import Trainer

CELL_PX = 160
COLUMNS = ("source", "driving", "result", "keypoints", "warp alone", "occlusion")
MEASURED, SHOWN = 96, 8  # same-identity pairs in the metrics and on the sheet
CROSSED = 6  # cross-identity examples on the sheet
_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Example:
    """One row of a contact sheet."""

    source: Tensor  # (1, 3, H, W) in [0, 1]
    driving: Tensor  # (1, 3, H, W) in [0, 1]
    reference: Tensor | None  # (1, 3, H, W) reference frame for relative motion; None for absolute motion


class Showcase:
    """Evaluator on the held-out part of a pack."""

    def __init__(self, pack: Pack, dataset: FrameDataset, device: torch.device) -> None:
        """Select the examples, deterministically.

        Args:
            pack: the packed dataset.
            dataset: its held-out images.
            device: the trainer's device.
        """
        self._dataset, self._picks = dataset, dataset.every(MEASURED)
        clips = [g for g in pack.groups if g.held_out and g.kind == "clip" and g.count > 1]
        stills = [g for g in pack.groups if g.held_out and g.kind == "still"]

        def image(index: int) -> Tensor:
            """Return an image as (1, 3, H, W) in [0, 1]."""
            rgb = torch.from_numpy(pack.image(index)).to(device).permute(2, 0, 1)[None]
            return rgb.float() / 255

        self._crossed: list[Example] = []
        for number, still in enumerate(stills[:: max(1, len(stills) // CROSSED)][:CROSSED] if clips else []):
            clip = clips[number % len(clips)]
            place = clip.start + round((0.25 + 0.5 * number / CROSSED) * clip.count)
            self._crossed.append(Example(image(still.start), image(place), image(clip.start)))

    @torch.no_grad()
    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Compute the L1 to the driving frame and its ratio to that of the unchanged source, over MEASURED pairs."""
        ours, copied, points, known = [], [], [], []
        for at in range(0, len(self._picks), _AT_ONCE):
            batch = self._dataset.gather(self._picks[at : at + _AT_ONCE])
            prediction = trainer.predict(batch.source, batch.driving).prediction
            ours.append((prediction - batch.driving).abs().mean(dim=(1, 2, 3)))
            copied.append((batch.source - batch.driving).abs().mean(dim=(1, 2, 3)))
            if trainer.landmark_net is not None:
                seen, wanted = (trainer.landmark_net(image)[1] for image in (prediction, batch.driving))
                points.append((seen - wanted).norm(dim=2).mean(dim=1) * (self._dataset.size / 2))
                known.append(batch.known)
        if not ours:
            return {}
        found = {"held_out_l1": float(torch.cat(ours).mean()), "held_out_copy_l1": float(torch.cat(copied).mean())}
        found["held_out_ratio"] = found["held_out_l1"] / max(found["held_out_copy_l1"], 1e-9)
        if points:
            found["held_out_points_px"] = float(torch.cat(points).mean())
        return found

    @torch.no_grad()
    def sheet(self, trainer: Trainer, path: Path) -> None:
        """Write a contact sheet with one row per example; columns as in COLUMNS."""
        shown = self._picks[:: max(1, len(self._picks) // SHOWN)][:SHOWN]
        batches = [self._dataset.gather([pick]) for pick in shown]
        examples = [Example(b.source, b.driving, None) for b in batches] + self._crossed
        if examples:
            save_png(path, np.vstack([_header(), *(_row(trainer.ema, example) for example in examples)]))


def _row(net: FirstOrderModel, example: Example) -> RgbImage:
    """Draw one row of the sheet, (CELL_PX, CELL_PX * len(COLUMNS), 3) uint8."""
    kp_source, kp_driving = net.kp_detector(example.source), net.kp_detector(example.driving)
    kp_norm = kp_driving
    if example.reference is not None:
        kp_norm = relative_keypoints(kp_source, kp_driving, net.kp_detector(example.reference), adapt_scale=True)
    motion = net.generator.dense_motion_network(example.source, kp_source, kp_norm)
    result = net.generator.decode(net.generator.encode(example.source), motion)
    marked = _marked(_cell(example.driving), kp_driving.value[0].cpu().numpy())
    alone = _cell(warped_source(example.source, motion.deformation))
    seen = torch.ones_like(result[:, :1]) if motion.occlusion_map is None else motion.occlusion_map
    occlusion = _cell(seen.expand(-1, 3, -1, -1))
    return np.hstack([_cell(example.source), _cell(example.driving), _cell(result), marked, alone, occlusion])


def _cell(image: Tensor) -> RgbImage:
    """Convert (1, 3, H, W) in [0, 1] to (CELL_PX, CELL_PX, 3) uint8."""
    rgb = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(cv2.resize(rgb, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA))


def _marked(cell: RgbImage, value: FloatArray) -> RgbImage:
    """Draw (K, 2) keypoints in [-1, 1] as dots of different colours."""
    for number, (x, y) in enumerate((value + 1) / 2 * (CELL_PX - 1)):
        hue = np.array([[[180 * number // len(value), 255, 255]]], np.uint8)
        colour = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
        cv2.circle(cell, (round(float(x)), round(float(y))), 3, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(cell, (round(float(x)), round(float(y))), 2, colour, -1, cv2.LINE_AA)
    return cell


def _header() -> RgbImage:
    """Draw the header of the sheet, (18, CELL_PX * len(COLUMNS), 3) uint8."""
    strip = np.full((18, CELL_PX * len(COLUMNS), 3), 255, np.uint8)
    for number, name in enumerate(COLUMNS):
        place = (number * CELL_PX + 4, 13)
        cv2.putText(strip, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
