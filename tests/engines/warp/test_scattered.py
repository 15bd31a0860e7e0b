"""Thin-plate interpolation as a matrix: the properties of Bookstein 1989, for any scattering of points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.engines.warp.matting.scattered import LeavingOut, thin_plate_values


def thin_plate_matrix(points: npt.ArrayLike, queries: npt.ArrayLike, *, stiffness: float = 0.0) -> np.ndarray:
    """(Q, N) weights of the spline through all the points."""
    return LeavingOut.of(points, queries, [np.arange(0)], stiffness=stiffness).weights


def scattering(seed: int, count: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """(count, 2) points that keep apart: a jittered grid."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:count]
    return (grid + random.uniform(-0.35, 0.35, grid.shape)) * scale + shift


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(4, 60),
    scale=st.floats(0.01, 1000),
    shift=st.floats(-1000, 1000),
    stiffness=st.sampled_from([0.0, 1e-4, 2e-2, 10.0]),
)
def test_affine_functions_are_reproduced_everywhere(
    seed: int, count: int, scale: float, shift: float, stiffness: float
) -> None:
    points = scattering(seed, count, scale, shift * scale)
    queries = scattering(seed + 1, 30, 2 * scale, shift * scale - scale)
    weights = thin_plate_matrix(points, queries, stiffness=stiffness)
    assert weights.shape == (30, count) and weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-4)
    local, at = ((each / scale - shift) for each in (points, queries))
    slope = np.array([[0.3, -1.2], [2.0, 0.7]])
    np.testing.assert_allclose(weights @ (local @ slope + 3), at @ slope + 3, atol=5e-3)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), count=st.integers(4, 80))
def test_without_stiffness_it_passes_through_every_value(seed: int, count: int) -> None:
    points = scattering(seed, count)
    values = np.random.default_rng(seed).standard_normal((count, 2))
    np.testing.assert_allclose(thin_plate_matrix(points, points) @ values, values, atol=1e-4)


def test_stiffness_bends_less() -> None:
    points, queries = scattering(3, 49), scattering(4, 400, 0.3)
    values = np.random.default_rng(5).standard_normal(49)
    roughness = [
        float(np.std(thin_plate_matrix(points, queries, stiffness=stiffness) @ values))
        for stiffness in (0.0, 0.1, 1.0, 100.0)
    ]
    assert roughness == sorted(roughness, reverse=True)
    assert roughness[-1] < 0.5 * roughness[0]


def test_it_does_not_depend_on_the_unit() -> None:
    points, queries = scattering(1, 30), scattering(2, 50)
    for stiffness in (0.0, 0.02):
        here = thin_plate_matrix(points, queries, stiffness=stiffness)
        there = thin_plate_matrix(700 * points - 5000, 700 * queries - 5000, stiffness=stiffness)
        np.testing.assert_allclose(here, there, atol=1e-4)


def test_between_the_points_it_is_smooth() -> None:
    points = scattering(6, 36)
    line = np.stack([np.linspace(0.5, 4.5, 400), np.full(400, 2.2)], axis=1)
    values = thin_plate_matrix(points, line) @ np.sin(points[:, 0])
    assert np.abs(np.diff(values, 2)).max() < 1e-3
    assert np.abs(values - np.sin(line[:, 0])).max() < 0.35


@pytest.mark.parametrize("count", [3, 4])
def test_few_points_make_a_plane(count: int) -> None:
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)[:count]
    weights = thin_plate_matrix(points, [[0.25, 0.5]])
    assert weights @ (points @ [2.0, 3.0]) == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("stiffness", [0.0, 2e-2])
def test_values_asked_for_once_are_what_the_matrix_makes_of_them(stiffness: float) -> None:
    points, queries = scattering(8, 40), scattering(9, 30, 1.5)
    values = np.random.default_rng(10).standard_normal(40)
    expected = thin_plate_matrix(points, queries, stiffness=stiffness) @ values
    found = thin_plate_values(points, values, queries, stiffness=stiffness)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    stiffness=st.sampled_from([1e-4, 2e-2]),
    zeros=st.integers(0, 8),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=3),
)
def test_points_left_out_bend_nothing(seed: int, stiffness: float, zeros: int, sizes: list[int]) -> None:
    random = np.random.default_rng(seed)
    points, queries = scattering(seed, 40), scattering(seed + 1, 30, 1.4)
    count = len(points) - zeros
    left_out = [random.choice(count, size, replace=False) for size in sizes]
    splines = LeavingOut.of(points, queries, left_out, zeros=zeros, stiffness=stiffness)
    assert splines.weights.shape == (30, count)
    values = random.standard_normal((count, 3)).astype(np.float32)
    before = values.copy()
    found = splines.interpolate(values)
    np.testing.assert_array_equal(values, before)
    own_spread = np.mean([np.delete(points, out, axis=0).std() for out in left_out])
    for out, each in zip(left_out, found, strict=True):
        others = np.delete(points, out, axis=0)
        known = np.concatenate([np.delete(values, out, axis=0), np.zeros((zeros, 3), np.float32)])
        own = stiffness * float(own_spread / others.std()) ** 2
        expected = [thin_plate_values(others, axis, queries, stiffness=own) for axis in known.T]
        np.testing.assert_allclose(each, np.stack(expected, axis=1), atol=2e-3)
