"""The fit of a smile's shading."""

from __future__ import annotations

import numpy as np

from avatar.engines.warp.shading import COLUMNS, ROWS
from avatar.frames import FloatArray
from avatar.tracking import canonical_face
from tools.fit_shading import POINTS, Change, fit


def smile(amount: float) -> FloatArray:
    """Corners that go outwards and up."""
    side = np.sign(canonical_face().points[POINTS, 0])
    return np.stack([0.04 * amount * side, np.full(len(POINTS), -0.05 * amount), 0 * side], axis=1).astype(np.float32)


def changes(towards: str, gains: FloatArray, noise: float = 0.0, own: float = 0.0) -> list[Change]:
    """Build forty people who smile by 0.5 to 1.5; of a fold that each has more or less, `own` is added per unit."""
    rng = np.random.default_rng(3)
    sign = 1 if towards == "smiling" else -1
    seen = np.ones((ROWS, COLUMNS), np.float32)
    seen[:20] = 0
    people = []
    for number, amount in enumerate(np.linspace(0.5, 1.5, 40)):
        contrast = np.full((ROWS, COLUMNS), 0.1 * (number % 3 - 1), np.float32)
        changed = amount * (gains + own * contrast[..., None]) + rng.normal(0, noise, gains.shape)
        known = np.where(seen[..., None] > 0, changed, 0).astype(np.float32)
        people.append(Change(towards, smile(sign * amount), known, seen, contrast * seen))
    return people


def test_the_fit_finds_the_change_of_light_under_noise() -> None:
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    bump = np.exp(-(((rows - 70) / 8) ** 2) - ((np.abs(columns - 50) - 20) / 8) ** 2)[..., None]
    brighter, darker = (
        np.asarray(bump * np.array(tint), np.float32) for tint in ([0.1, 0.08, 0.05], [-0.1, -0.12, -0.1])
    )
    found = fit([*changes("smiling", darker, 0.1), *changes("neutral", brighter, 0.1)])
    for name, truth in (("smiling", darker), ("relaxing", brighter)):
        field = found[name].astype(np.float32)
        np.testing.assert_allclose(field[70, 30], truth[70, 30], atol=0.03)
        np.testing.assert_allclose(field, field[:, ::-1], atol=1e-6)
        assert np.abs(field[100:]).max() < 0.03
        np.testing.assert_array_equal(field[:15], 0)  # where nobody was seen, nothing is claimed


def test_the_fit_finds_how_much_of_its_own_contrast_a_face_loses() -> None:
    even = np.full((ROWS, COLUMNS, 3), 0.05, np.float32)
    found = fit([*changes("smiling", even, 0.02, own=0.5), *changes("neutral", even, 0.02, own=-0.5)])
    for name, truth in (("smiling", 0.5), ("relaxing", -0.5)):
        np.testing.assert_allclose(found[f"{name}_contrast"][30:100].mean(), truth, atol=0.1)
        np.testing.assert_allclose(found[name][30:100].astype(np.float32).mean(), 0.05, atol=0.01)
        np.testing.assert_array_equal(found[f"{name}_contrast"][:15], 0)


def test_the_direction_is_a_smile_of_one_unit() -> None:
    nothing = np.zeros((ROWS, COLUMNS, 3), np.float32)
    found = fit([*changes("smiling", nothing), *changes("neutral", nothing)])
    np.testing.assert_allclose(found["direction"], smile(1.0), atol=1e-3)
