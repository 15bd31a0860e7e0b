"""Displacements spread over a grid as if every point had been computed by the splines themselves."""

from __future__ import annotations

import numpy as np

from avatar.engines.warp.grid import Grid
from avatar.engines.warp.matting.scattered import LeavingOut
from avatar.engines.warp.relief import MESH_POINTS, Relief
from avatar.engines.warp.spread import NEAR, Spread
from avatar.frames import FloatArray
from avatar.motion.expression import Expression
from avatar.motion.idle import load_idle
from avatar.tracking.regions import EYES

UNIT_PX = 140.0
STEP_PX = 7


def marked() -> tuple[Grid, FloatArray, list[FloatArray]]:
    """A grid over a face, its points with still ones around it, and displacements by strong expressions."""
    idle = load_idle()
    face = idle.face(0).scaled(UNIT_PX / idle.face(0).pose.scale_px)
    relief = Relief.of(face)
    still = np.concatenate([relief.ring(scale) for scale in (1.6, 1.75, 2.0)])
    low, high = np.floor(relief.ring(1.75).min(axis=0)), relief.ring(1.75).max(axis=0)
    columns, rows = (np.ceil((high - low) / STEP_PX).astype(int) + 1).tolist()
    shapes = [Expression.of(idle.face(number)).shape for number in range(0, len(idle), 11)]
    turned = np.float32(1.6 * UNIT_PX) * face.pose.rotation.T
    moved = [np.asarray((shape - shapes[0])[:MESH_POINTS] @ turned, np.float32) for shape in shapes[1:]]
    known = np.concatenate([face.landmarks[:MESH_POINTS, :2], still])
    return Grid(float(low[0]), float(low[1]), STEP_PX, columns, rows), known, moved


def both(left_out: list[np.ndarray]) -> tuple[Spread, LeavingOut, Grid, FloatArray, list[FloatArray]]:
    grid, known, moved = marked()
    ours = Spread.of(grid, known, left_out, zeros=len(known) - MESH_POINTS, stiffness=1e-4)
    theirs = LeavingOut.of(
        known, grid.points().reshape(-1, 2), left_out, zeros=len(known) - MESH_POINTS, stiffness=1e-4
    )
    return ours, theirs, grid, known, moved


def test_points_in_between_are_those_of_the_splines() -> None:
    lids = [np.concatenate([eye.upper for eye in EYES]), np.concatenate([eye.lower for eye in EYES])]
    ours, theirs, _, _, moved = both(lids)
    assert max(np.abs(values).max() for values in moved) > 10  # pixels, so that the agreement means something
    for values in moved:
        for one, other in zip(ours.interpolate(values), theirs.interpolate(values), strict=True):
            assert one.shape == other.shape and one.dtype == np.float32
            np.testing.assert_allclose(one, other, atol=0.03)


def test_points_near_landmarks_are_exact_and_half_of_the_weights_suffice() -> None:
    ours, theirs, grid, known, moved = both([np.arange(0)])
    at = grid.points().reshape(-1, 1, 2)
    near = np.flatnonzero((np.linalg.norm(at - known[:MESH_POINTS], axis=2) < 0.99 * NEAR * grid.step).any(axis=1))
    (one,), (other,) = ours.interpolate(moved[-1]), theirs.interpolate(moved[-1])
    np.testing.assert_allclose(one[near], other[near], atol=1e-3)
    assert len(near) > 1000 and len(ours.splines.weights) < 0.5 * len(theirs.weights)


def test_values_are_left_as_they_are() -> None:
    ours, _, _, _, moved = both([np.arange(0)])
    before = moved[-1].copy()
    first = [each.copy() for each in ours.interpolate(moved[-1])]
    np.testing.assert_array_equal(moved[-1], before)
    for one, other in zip(first, ours.interpolate(moved[-1]), strict=True):
        np.testing.assert_array_equal(one, other)
