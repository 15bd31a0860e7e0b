"""Grids of forward motion and their inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.engines.warp.grid import STEEPEST, Grid, give_way_below, invert, keep_from_folding, to_pixels
from avatar.frames import FloatArray

DIRECTIONS = [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)]


def waves(points: FloatArray, seed: int, steepness: float, length: float) -> FloatArray:
    """A smooth displacement of (..., 2) points whose derivative stays below `steepness`, per direction."""
    random = np.random.default_rng(seed)
    moved = np.zeros_like(points)
    for _ in range(3):
        wave = random.uniform(-1, 1, 2)
        wave *= 2 * np.pi / length / max(float(np.linalg.norm(wave)), 1e-6)
        phase, direction = random.uniform(0, 2 * np.pi, 2)
        height = steepness / 3 / np.linalg.norm(wave) * np.sin(points @ wave + phase)
        moved += height[..., None] * np.array([np.cos(direction), np.sin(direction)])
    return np.asarray(moved, np.float32)


def test_points_lie_where_the_grid_says() -> None:
    grid = Grid(left=-3, top=5, step=4, columns=3, rows=2)
    assert grid.points().tolist() == [[[-3, 5], [1, 5], [5, 5]], [[-3, 9], [1, 9], [5, 9]]]


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_cells_cover_the_rectangle_and_their_centres_are_points(step: int) -> None:
    grid = Grid.over_cells(10, -4, 50, 33, step)
    columns, rows = grid.columns - 2, grid.rows - 2  # without the rim
    assert columns * step >= 50 > (columns - 1) * step
    assert rows * step >= 33 > (rows - 1) * step
    np.testing.assert_allclose(grid.points()[1, 1], [10 + (step - 1) / 2, -4 + (step - 1) / 2])


@settings(deadline=None, max_examples=40)
@given(x=st.floats(0, 1), y=st.floats(0, 1), step=st.sampled_from([1, 3, 5.5]))
def test_sampling_is_exact_for_what_rises_evenly(x: float, y: float, step: float) -> None:
    grid = Grid(-20, 30, step, 9, 7)
    at = np.array([[[-20 + 8 * step * x, 30 + 6 * step * y]]], np.float32)
    found = grid.sample(grid.points(), at)
    np.testing.assert_allclose(found, at, atol=0.04 * step)  # cv2 rounds positions to 1/32 of a cell


def test_beyond_the_grid_the_borders_value_goes_on() -> None:
    grid = Grid(0, 0, 2, 4, 3)
    outside = np.array([[[-50, 2], [100, 2], [2, 90]]], np.float32)
    np.testing.assert_allclose(grid.sample(grid.points(), outside), [[[0, 2], [6, 2], [2, 4]]], atol=0.07)


def test_inside_is_one_within_and_falls_to_zero_at_the_border() -> None:
    grid = Grid(10, 20, 5, 21, 11)
    at = np.array([[[60, 45], [10, 45], [110, 45], [60, 20], [60, 70], [15, 45], [0, 45], [60, 200]]], np.float32)
    np.testing.assert_allclose(grid.inside(at), [[1, 0, 0, 0, 0, 0.5, 0, 0]], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 100_000),
    steepness=st.floats(0, 0.45),
    length=st.floats(120, 600),
    cell=st.sampled_from([3, 4, 6]),
    shift=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
def test_a_map_and_its_inverse_are_the_identity(
    seed: int, steepness: float, length: float, cell: int, shift: tuple[float, float]
) -> None:
    grid = Grid.over_cells(0, 0, 240, 180, 4)
    moved = grid.points() + waves(grid.points(), seed, steepness, length) + np.array(shift, np.float32)
    cells = Grid.over_cells(20, 15, 200, 150, cell)
    found = invert(grid, moved, cells)
    assert found.shape == (cells.rows, cells.columns, 2)
    there = grid.sample(moved, found)
    x, y = found[..., 0], found[..., 1]
    known = (x > 2) & (x < 237) & (y > 2) & (y < 177)  # beyond the grid `moved` is not known
    # One look-up is good to 1/32 of a cell times the local change, so the true map is asked where it is known.
    exact = found + waves(found, seed, steepness, length) + np.array(shift, np.float32)
    assert np.abs(there - cells.points())[known].max(initial=0) < 0.05 + 4 / 32
    assert np.abs(exact - cells.points())[known].max(initial=0) < 0.05 + 0.1 * steepness


def test_a_shift_is_undone_to_a_twentieth_of_a_pixel_everywhere() -> None:
    grid = Grid.over_cells(0, 0, 200, 160, 5)
    moved = grid.points() + np.array([13.7, -8.2], np.float32)
    cells = Grid.over_cells(0, 0, 200, 160, 3)
    np.testing.assert_allclose(
        invert(grid, moved, cells), cells.points() - np.array([13.7, -8.2], np.float32), atol=0.05
    )


def test_standing_still_is_its_own_inverse() -> None:
    grid = Grid.over_cells(-7, 3, 90, 70, 4)
    cells = Grid.over_cells(0, 10, 50, 40, 2)
    np.testing.assert_allclose(invert(grid, grid.points(), cells), cells.points(), atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100_000), steepness=st.floats(0.3, 1.5), towards=st.sampled_from(DIRECTIONS))
def test_the_inverse_never_strays_further_than_anything_moves(
    seed: int, steepness: float, towards: tuple[float, float]
) -> None:
    grid = Grid.over_cells(0, 0, 240, 180, 4)
    moved = keep_from_folding(grid.points() + waves(grid.points(), seed, steepness, 200), 4, towards)
    cells = Grid.over_cells(0, 0, 240, 180, 3)
    strayed = np.abs(invert(grid, moved, cells) - cells.points()).max()
    assert strayed <= 1.25 * np.abs(moved - grid.points()).max() + 4


def lid(points: FloatArray, depth: float, below: float) -> FloatArray:
    """Where points go when a large eye shuts: its lid comes down by `depth`, over what is `below` its edge."""
    x, y = points[..., 0], points[..., 1]
    pulled, squeezed = np.clip((y - 90) / 60, 0, 1), np.clip((150 + below - y) / below, 0, 1)
    share = np.clip(1 - ((x - 200) / 60) ** 2, 0, 1) ** 0.5
    for part in (pulled, squeezed):
        share = share * part * part * (3 - 2 * part)
    return np.asarray(points + share[..., None] * depth * np.array([-0.15, 1]), np.float32)


@pytest.mark.parametrize("below", [15.0, 30.0])
def test_no_cell_is_lost_across_the_fold_of_a_lid(below: float) -> None:
    grid, cells = Grid(0, 0, 12, 33, 33), Grid.over_cells(0, 0, 380, 380, 12)
    moved = keep_from_folding(lid(grid.points(), 100, below), 12, (0.0, 0.0))
    back = invert(grid, moved, cells)
    missed = np.linalg.norm(grid.sample(moved, back) - cells.points(), axis=-1)
    assert missed[grid.inside(back) > 0.5].max() < 12  # less than a cell


@pytest.mark.parametrize("squeeze", [0.9, 0.5, 0.3])
def test_what_nothing_inside_moves_to_comes_from_outside(squeeze: float) -> None:
    """The far side of a turning head draws inwards; beside it no part of the face may appear a second time.

    Beyond the grid its border's motion goes on unchanged, so the derivative there is 1, not the border's own.
    """
    grid = Grid.over_cells(0, 0, 120, 90, 3)
    centre = np.array([59.5, 44.5], np.float32)
    share = np.array([squeeze, 1], np.float32)
    moved = centre + share * (grid.points() - centre)
    cells = Grid.over_cells(0, 0, 120, 90, 3)
    found = invert(grid, moved, cells)
    reached = (np.abs(cells.points() - centre) <= share * (centre - 2)).all(axis=-1)
    outside = (np.abs(found - centre) >= centre - 3).any(axis=-1)
    assert np.all(reached | outside)
    np.testing.assert_allclose(found[reached], (centre + (cells.points() - centre) / share)[reached], atol=0.1)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 100_000),
    strength=st.floats(0, 10),
    step=st.sampled_from([2.0, 4.0, 7.5]),
    towards=st.sampled_from(DIRECTIONS),
)
def test_after_unfolding_everything_rises(
    seed: int, strength: float, step: float, towards: tuple[float, float]
) -> None:
    grid = Grid(5, 6, step, 14, 11)
    noise = np.random.default_rng(seed).standard_normal((11, 14, 2)).astype(np.float32) * np.float32(strength * step)
    unfolded = keep_from_folding(grid.points() + noise, step, towards)
    least = STEEPEST * step - 1e-3
    assert np.diff(unfolded[..., 0], axis=1).min() >= least
    assert np.diff(unfolded[..., 1], axis=0).min() >= least
    np.testing.assert_allclose(keep_from_folding(unfolded, step, towards), unfolded, atol=1e-3)


def test_a_lid_comes_down_whichever_way_the_head_turns() -> None:
    grid = Grid(0, 0, 10, 5, 20)
    moved = grid.points()
    moved[5:9, 2, 1] += 60  # onto what lies below
    kept = give_way_below(moved, grid.step)
    np.testing.assert_allclose(kept[:9], moved[:9])
    np.testing.assert_allclose(kept[-1], moved[-1])  # far below nothing stirs
    assert np.all(np.diff(kept[..., 1], axis=0) >= STEEPEST * grid.step - 1e-3)
    for towards in DIRECTIONS:
        np.testing.assert_allclose(keep_from_folding(kept, grid.step, towards)[5:9, 2], moved[5:9, 2])


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_comes_down_nothing_gives_way(seed: int) -> None:
    grid = Grid(0, 0, 4, 30, 30)
    moved = grid.points() + waves(grid.points(), seed, 0.5, 60)
    np.testing.assert_allclose(give_way_below(moved, 4), moved, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 100_000), towards=st.sampled_from(DIRECTIONS))
def test_what_does_not_fold_is_left_alone(seed: int, towards: tuple[float, float]) -> None:
    grid = Grid.over_cells(0, 0, 200, 150, 5)
    moved = grid.points() + waves(grid.points(), seed, 0.6, 150)
    np.testing.assert_allclose(keep_from_folding(moved, 5, towards), moved, atol=1e-3)


@pytest.mark.parametrize("towards", DIRECTIONS)
def test_the_near_side_stays_and_the_far_side_gives_way(towards: tuple[float, float]) -> None:
    grid = Grid(0, 0, 4, 20, 5)
    moved = grid.points().copy()
    moved[:, 8:12, 0] += 60 * towards[0]  # a nose that travels over the cheek in front of it
    unfolded = keep_from_folding(moved, 4, towards)
    ahead = slice(12, None) if towards[0] > 0 else slice(None, 8)
    np.testing.assert_allclose(unfolded[:, 8:12], moved[:, 8:12], atol=1e-3)
    assert np.all(np.abs(unfolded[:, ahead, 0] - moved[:, ahead, 0]).max(axis=1) > 10)


@pytest.mark.parametrize(("width", "height", "step"), [(60, 42, 6), (61, 45, 4), (35, 33, 3), (20, 20, 1)])
def test_cells_spread_over_pixels_say_the_same(width: int, height: int, step: int) -> None:
    """A map known at the cells' centres and spread over the pixels is still that map, up to the very border."""
    grid = Grid.over_cells(0, 0, width, height, step)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    spread = to_pixels(grid.points(), step, width, height)
    assert spread.shape == (height, width, 2)
    np.testing.assert_allclose(spread, np.stack([x, y], axis=-1), atol=1e-3)
