"""Smooth interpolation of values at scattered points, as one matrix per portrait.

A thin-plate spline (Bookstein 1989) is linear in the values it interpolates. Since the points of a portrait are fixed,
the solution is precomputed as a matrix, and a frame costs one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CHUNK = 256  # positions at a time, so that their kernel stays in the cache

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeavingOut:
    """One product for several splines through the same points, each of which leaves some points out.

    A spline that leaves points out is the one through all points whose values there are what the others predict: then
    the left-out points bend nothing.
    """

    weights: npt.NDArray[np.float32]  # (Q, N): `weights @ values` interpolates values of shape (N, ...)
    left_out: tuple[npt.NDArray[np.integer], ...]  # of each spline, the indices of the points that it leaves out
    predictions: tuple[npt.NDArray[np.float32], ...]  # (M, N) each: `prediction @ values` at those points

    @staticmethod
    def of(
        points: npt.ArrayLike,
        queries: npt.ArrayLike,
        left_out: Sequence[npt.NDArray[np.integer]],
        *,
        zeros: int = 0,
        stiffness: float = 0.0,
    ) -> LeavingOut:
        """Compute the weights.

        Args:
            points: (N + zeros, 2), any unit, at least 3 of them and not collinear.
            queries: (Q, 2), the same unit.
            left_out: for each spline the indices, below N, of the points that it leaves out.
            zeros: number of points at the end whose values are always 0; they have no column in the weights.
            stiffness: >= 0, the regularisation (ridge on the kernel, for coordinates scaled to unit standard
                deviation); 0 interpolates every value.
        """
        points_in = np.asarray(points, np.float64)
        count = len(points_in) - zeros
        # Stiffness is relative to the spread of a spline's own points, as if it were made without the others.
        own_spread = np.mean([np.delete(points_in, out, axis=0).std() for out in left_out])
        system, centres, at = _system(points_in, queries, stiffness * float(own_spread / points_in.std()) ** 2)
        inverse = np.linalg.inv(system)
        own = np.ascontiguousarray(inverse[:, :count])
        weights = np.empty((len(at), count), np.float32)
        for start in range(0, len(at), _CHUNK):
            weights[start : start + _CHUNK] = _basis(at[start : start + _CHUNK], centres) @ own
        predictions = []
        for out in left_out:
            rest = own[out]  # the coefficients of the left-out points, which have to vanish
            rest[:, out] = 0
            predictions.append(np.asarray(-np.linalg.solve(inverse[np.ix_(out, out)], rest), np.float32))
        return LeavingOut(weights, tuple(left_out), tuple(predictions))

    def interpolate(self, values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Interpolate (N, D) values by each spline; (Q, D) each."""
        return np.split(self.product(values), len(self.left_out), axis=1)

    def product(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Interpolate (N, D) values by all S splines; (Q, S * D), those of each spline side by side."""
        filled = []
        for out, prediction in zip(self.left_out, self.predictions, strict=True):
            each = values.copy()
            each[out] = prediction @ values
            filled.append(each)
        return self.weights @ np.concatenate(filled, axis=1)


def thin_plate_values(
    points: npt.ArrayLike, values: npt.ArrayLike, queries: npt.ArrayLike, *, stiffness: float = 0.0
) -> npt.NDArray[np.float32]:
    """Interpolate (N,) or (N, C) values at (N, 2) points once, at (Q, 2) queries; stiffness as in `LeavingOut.of`."""
    known = np.asarray(values, np.float64)
    system, centres, at = _system(points, queries, stiffness)
    coefficients = np.linalg.solve(system, np.concatenate([known, np.zeros((3, *known.shape[1:]))]))
    found = [_basis(at[start : start + _CHUNK], centres) @ coefficients for start in range(0, len(at), _CHUNK)]
    return np.asarray(np.concatenate(found), np.float32) if found else np.zeros((0, *known.shape[1:]), np.float32)


def _system(points: npt.ArrayLike, queries: npt.ArrayLike, stiffness: float) -> tuple[Float64, Float64, Float64]:
    """Return the (N + 3, N + 3) linear system of the spline, and (N, 2) points and (Q, 2) queries in its unit."""
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
    """Evaluate the (Q, N + 3) basis functions at (Q, 2) positions for (N, 2) centres."""
    basis = np.empty((len(at), len(centres) + 3))
    basis[:, :-3] = _kernel(at, centres)
    basis[:, -3:] = _affine(at)
    return basis


def _kernel(first: Float64, second: Float64) -> Float64:
    """Evaluate the (N, M) kernel r^2 log r between (N, 2) and (M, 2) points."""
    squared = first @ (-2.0 * second.T)
    squared += (first**2).sum(1)[:, None]
    squared += (second**2).sum(1)
    np.maximum(squared, 1e-12, out=squared)
    kernel = np.log(squared)
    kernel *= squared
    kernel *= 0.5
    return kernel  # r^2 log r


def _affine(points: Float64) -> Float64:
    """Return the (N, 3) affine basis of (N, 2) points."""
    return np.hstack([np.ones((len(points), 1)), points])
