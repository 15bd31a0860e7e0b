"""Smooth interpolation of values known at scattered points, as one matrix per avatar.

A thin-plate spline (Bookstein 1989) is linear in the values it interpolates. The points do not move once an avatar is
set, so the whole solve is folded into a matrix, and a frame costs one product.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def thin_plate_matrix(
    points: npt.ArrayLike, queries: npt.ArrayLike, *, stiffness: float = 0.0
) -> npt.NDArray[np.float32]:
    """Weights that carry values from `points` to `queries`.

    Args:
        points: (N, 2), any unit, N >= 3 and not on one line.
        queries: (Q, 2), the same unit.
        stiffness: >= 0, how much bending is disliked beside missing the values (ridge on the kernel, for
            coordinates scaled to unit spread); 0 passes through every value.
    Returns:
        (Q, N) float32, rows sum to 1: `weights @ values` interpolates values of shape (N, ...).
    """
    system, centres, at = _system(points, queries, stiffness)
    to_coefficients = np.linalg.solve(system, np.eye(len(system))[:, : len(centres)])  # (N + 3, N)
    return np.asarray(_basis(at, centres) @ to_coefficients, np.float32)


def thin_plate_values(
    points: npt.ArrayLike, values: npt.ArrayLike, queries: npt.ArrayLike, *, stiffness: float = 0.0
) -> npt.NDArray[np.float32]:
    """`thin_plate_matrix(points, queries) @ values` for (N,) values that are asked for once: many times as fast."""
    system, centres, at = _system(points, queries, stiffness)
    coefficients = np.linalg.solve(system, np.concatenate([np.asarray(values, np.float64), np.zeros(3)]))
    return np.asarray(_basis(at, centres) @ coefficients, np.float32)


def _system(points: npt.ArrayLike, queries: npt.ArrayLike, stiffness: float) -> tuple[Float64, Float64, Float64]:
    """The equations (N + 3, N + 3) of the spline's coefficients, and both sets of points in its own unit."""
    points_in, queries_in = np.asarray(points, np.float64), np.asarray(queries, np.float64)
    origin, spread = points_in.mean(axis=0), points_in.std() + 1e-12
    centres, at = (points_in - origin) / spread, (queries_in - origin) / spread
    count = len(centres)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(centres, centres) + stiffness * np.eye(count)
    system[:count, count:] = _affine(centres)
    system[count:, :count] = _affine(centres).T
    return system, centres, at


def _basis(at: Float64, centres: Float64) -> Float64:
    return np.hstack([_kernel(at, centres), _affine(at)])


def _kernel(first: Float64, second: Float64) -> Float64:
    squared = first @ (-2.0 * second.T)
    squared += (first**2).sum(1)[:, None]
    squared += (second**2).sum(1)
    np.maximum(squared, 1e-12, out=squared)
    kernel = np.log(squared)
    kernel *= squared
    kernel *= 0.5
    return kernel  # r^2 log r


def _affine(points: Float64) -> Float64:
    return np.hstack([np.ones((len(points), 1)), points])
