"""The fit of the canonical head, on faces generated from a known one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from avatar.tracking import canonical_face
from avatar.tracking.fit_canonical import find_mirror, fit, symmetric
from avatar.tracking.pose import rotation_from_angles

RNG = np.random.default_rng(4)


def seen(shape: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    scale = RNG.uniform(60, 200)
    noise = RNG.normal(0, 0.004, shape.shape)
    moved = (shape + noise) @ rotation_from_angles(yaw, pitch, roll).T * scale + RNG.uniform(0, 400, 3)
    return moved.astype(np.float32)


def smiling(shape: np.ndarray) -> np.ndarray:
    moved = shape.copy()
    moved[[61, 291], 1] -= 0.1
    moved[152, 1] += 0.1
    moved[[10, 338, 109]] += RNG.normal(0, 0.03, 3)  # a loose forehead should weigh less
    return moved


def test_fit_finds_the_head_behind_many_pictures() -> None:
    truth = canonical_face().points.astype(np.float64)
    turns = [RNG.normal(0, 6, 3) for _ in range(40)]
    level = np.mean([turn[1] for turn in turns])
    pairs = [(seen(truth, *turn), seen(smiling(truth), *turn)) for turn in turns]
    head = fit(pairs)
    expected = truth @ rotation_from_angles(0, level, 0).T  # level means: as the pictures are on average
    np.testing.assert_allclose(np.asarray(head["points"], float), expected, atol=0.02)
    np.testing.assert_array_equal(head["mirror"], canonical_face().mirror)
    weights = head["weights"]
    assert weights.sum() == pytest.approx(1, abs=1e-5) and weights.min() == 0
    assert weights[10] < 0.3 * weights[168]
    assert not weights[[61, 291, 13, 14, 152, 159, 386]].any()  # lips, chin and lids never count


def test_mirror_of_a_turned_face_is_found() -> None:
    turned = canonical_face().points @ rotation_from_angles(12, 5, -8).T
    np.testing.assert_array_equal(find_mirror(turned), canonical_face().mirror)


def test_crooked_face_becomes_symmetric() -> None:
    crooked = canonical_face().points @ rotation_from_angles(8, 0, 5).T
    crooked[61] += 0.1
    upright = symmetric(crooked, canonical_face().mirror.astype(np.int64))
    np.testing.assert_allclose(upright[canonical_face().mirror] * (-1, 1, 1), upright, atol=1e-9)


def test_noise_has_no_mirror() -> None:
    with pytest.raises(ValueError, match="too crooked"):
        find_mirror(RNG.normal(size=(478, 3)))
