"""Fit how a smile shifts lips and skin beyond the landmarks: `python -m tools.fit_creep FOLDER [--people tune|all]`.

FOLDER holds pairs of photographs as `tools.evaluate.pairs` takes them. Each photograph is drawn as the other, without
creep, and registered with the truth by optical flow; the flow around each landmark, outside of eyes and mouth, is
regressed on the amount of smile as the shading is (`tools.fit_shading`), which is fitted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.relief import MESH_POINTS
from avatar.engines.warp.shading import smile_fields
from avatar.frames import FloatArray, RgbImage
from avatar.motion.smoothstep import smoothstep
from avatar.tracking.canonical import canonical_face
from tools.fit_shading import RIDGE, Pair, openings, run

MOST = 0.05  # canonical units: a longer flow has lost its way
AROUND = 0.018  # standard deviation of the neighbourhood of a landmark whose flow counts, canonical units
FROM, OVER = 0.05, 0.12  # height on the mean face from which, and over which, the creep sets in: below the eyes
FINER = 2  # the images are enlarged so much for the flow
PATCH_PX, STRIDE_PX, REFINEMENTS = 8, 2, 10  # of the flow, in enlarged pixels


@dataclass(frozen=True, eq=False)
class Shift:
    """Shift that is left at the landmarks between one photograph drawn as another and the truth."""

    towards: str
    amount: float  # units of smile, >= 0
    creep: FloatArray  # (468, 2) canonical units


def shift(pair: Pair) -> Shift:
    """Draw one photograph as the other, without creep, and register it with the truth."""
    scene, drawn = pair.drawn(creep=False)
    pose, target = pair.face.pose, scene.target[:MESH_POINTS, :2]
    flow = registered(pair.truth_rgb, drawn)
    length = np.linalg.norm(flow, axis=2, keepdims=True)
    flow *= np.minimum(1, MOST * pose.scale_px / np.maximum(length, 1e-6))
    known = 1 - openings(scene.target, pair.truth.landmarks, drawn.shape).astype(np.float32)
    sums = cv2.GaussianBlur(
        cv2.merge([flow[..., 0] * known, flow[..., 1] * known, known]),
        (0, 0),
        AROUND * pose.scale_px,
        borderType=cv2.BORDER_CONSTANT,
    )
    at = cv2.remap(sums, target[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0]
    trusted = np.clip(3 * at[:, 2:], 0, 1) / np.maximum(at[:, 2:], 1e-3)
    left_px = np.concatenate([-at[:, :2] * trusted, np.zeros((MESH_POINTS, 1))], axis=1)
    creep = left_px @ (pair.motion.rotation @ pose.rotation) / pose.scale_px
    amount = abs(float(np.mean(smile_fields().amounts(pair.displacement))))
    return Shift(pair.towards, amount, creep[:, :2].astype(np.float32))


def registered(truth: RgbImage, drawn: RgbImage) -> FloatArray:
    """Return the flow (H, W, 2) in pixels by which to look up each pixel of the truth in what was drawn (H, W, 3)."""
    first, second = (
        cv2.resize(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), None, fx=FINER, fy=FINER, interpolation=cv2.INTER_CUBIC)
        for each in (truth, drawn)
    )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(PATCH_PX)
    search.setPatchStride(STRIDE_PX)
    search.setVariationalRefinementIterations(REFINEMENTS)
    flow = search.calc(first, second, np.zeros((*first.shape, 2), np.float32)) / FINER
    return np.asarray(cv2.resize(flow, drawn.shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)


def fit(found: Sequence[Shift]) -> dict[str, np.ndarray]:
    """Return what `creep_per_unit` reads: smiling, relaxing."""
    mean = canonical_face()
    mirror = np.asarray(mean.mirror)[:MESH_POINTS]
    below_eyes = smoothstep((mean.points[:MESH_POINTS, 1:2] - FROM) / OVER)
    fields = {}
    for name, towards in (("smiling", "smiling"), ("relaxing", "neutral")):
        weighted, mass = np.zeros((MESH_POINTS, 2)), 2 * RIDGE
        for each in found:
            if each.towards == towards:
                weighted += each.amount * (each.creep + each.creep[mirror] * [-1, 1])
                mass += 2 * each.amount**2
        fields[name] = (below_eyes * weighted / mass).astype(np.float32)
    return fields


def main(arguments: Sequence[str] | None = None) -> None:
    """Write models/smile-creep.safetensors."""
    run(lambda found: fit([shift(pair) for pair in found]), "models/smile-creep.safetensors", arguments)


if __name__ == "__main__":
    main()
