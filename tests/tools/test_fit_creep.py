"""The fit of a smile's creep."""

from __future__ import annotations

import numpy as np

from avatar.engines.warp.relief import MESH_POINTS
from avatar.frames import FloatArray
from avatar.tracking.canonical import canonical_face
from avatar.tracking.regions import EYES
from tools.fit_creep import Shift, fit, registered

MEAN = canonical_face()
BELOW_EYES = MEAN.points[:MESH_POINTS, 1] > 0.2


def shifts(towards: str, creep: FloatArray, noise: float) -> list[Shift]:
    """Build forty people who smile by 0.5 to 1.5."""
    rng = np.random.default_rng(3)
    return [
        Shift(towards, amount, np.asarray(amount * creep + rng.normal(0, noise, creep.shape), np.float32))
        for amount in np.linspace(0.5, 1.5, 40)
    ]


def test_the_fit_finds_the_creep_under_noise() -> None:
    side = np.sign(MEAN.points[:MESH_POINTS, 0])
    outwards, upwards = np.zeros((2, MESH_POINTS, 2), np.float32)
    outwards[:, 0], upwards[:, 1] = 0.01 * side, -0.01
    found = fit([*shifts("smiling", outwards, 0.01), *shifts("neutral", upwards, 0.01)])
    for name, truth in (("smiling", outwards), ("relaxing", upwards)):
        np.testing.assert_allclose(found[name][BELOW_EYES], truth[BELOW_EYES], atol=0.005)
        np.testing.assert_array_equal(found[name][np.concatenate([eye.upper for eye in EYES])], 0)


def test_the_flow_says_where_to_look_up_the_truth() -> None:
    rng = np.random.default_rng(5)
    from avatar.cv import cv2

    noise = cv2.GaussianBlur(rng.uniform(0, 255, (120, 120, 3)).astype(np.float32), (0, 0), 3)
    drawn = np.clip(128 + 6 * (noise - noise.mean()), 0, 255).astype(np.uint8)
    truth = np.roll(drawn, (1, -2), axis=(0, 1))  # truth[y, x] = drawn[y - 1, x + 2]
    flow = registered(truth, drawn)[30:-30, 30:-30].reshape(-1, 2)
    np.testing.assert_allclose(np.median(flow, axis=0), [2, -1], atol=0.2)
