"""Spread of landmark displacements over a grid: exact near landmarks, between every second point elsewhere.

Away from the landmarks splines are smooth, so half of the grid's points suffice there, and with them half of the
weights. With the strongest expressions, points in between are off by 0.02 pixels at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask
from avatar.engines.warp.grid import Grid
from avatar.engines.warp.matting.scattered import LeavingOut
from avatar.frames import FloatArray
from avatar.tracking.regions import Indices

NEAR = 2.5  # grid steps from a landmark within which every point is exact: at 2 the error reaches 0.05 pixels
_BETWEEN = np.array([-1, 0, 9, 16, 9, 0, -1], np.float32) / 16  # cubic interpolation half-way between points


@dataclass(frozen=True, eq=False)
class Spread:
    """Splines of displacements over the points of one grid; see `LeavingOut`."""

    shape: tuple[int, int]  # rows and columns of the grid
    near: Indices  # (N,) flat indices of the points near landmarks
    splines: LeavingOut  # at every second point of every second row, then at `near`

    @staticmethod
    def of(
        grid: Grid, points: FloatArray, left_out: Sequence[Indices], *, zeros: int = 0, stiffness: float = 0.0
    ) -> Spread:
        """Compute the splines' weights.

        Args:
            grid: where to interpolate.
            points: (N + zeros, 2) pixels, the landmarks and points that never move.
            left_out: for each spline the indices, below N, of the points that it leaves out.
            zeros: number of points at the end that never move.
            stiffness: as in `LeavingOut.of`.
        """
        at = grid.points()
        every_second = np.zeros(at.shape[:2], np.bool_)
        every_second[::2, ::2] = True
        near = np.flatnonzero(_near(grid, points[: len(points) - zeros]) & ~every_second)
        queries = np.concatenate([at[every_second], at.reshape(-1, 2)[near]])
        splines = LeavingOut.of(points, queries, left_out, zeros=zeros, stiffness=stiffness)
        return Spread((grid.rows, grid.columns), near, splines)

    def interpolate(self, values: FloatArray) -> list[FloatArray]:
        """Interpolate (N, 3) displacements of the landmarks by each spline; (rows * columns, 3) each."""
        found = self.splines.product(values)
        rows, columns = self.shape
        spread = np.zeros((rows, columns, found.shape[1]), np.float32)
        coarse = spread[::2, ::2]
        count = coarse.shape[0] * coarse.shape[1]
        coarse[:] = found[:count].reshape(coarse.shape)
        filled = cv2.sepFilter2D(spread, -1, _BETWEEN, _BETWEEN, borderType=cv2.BORDER_REFLECT_101)
        flat = np.asarray(filled, np.float32).reshape(rows * columns, -1)
        flat[self.near] = found[count:]
        return np.split(flat, len(self.splines.left_out), axis=1)


def _near(grid: Grid, points: FloatArray) -> Mask:
    """Return (rows, columns): whether one of (N, 2) points is within NEAR steps."""
    corner, per_step = np.array([grid.left, grid.top], np.float32), np.float32(1 / grid.step)
    at, to = (grid.points().reshape(-1, 2) - corner) * per_step, (points - corner) * per_step
    squared = (at**2).sum(axis=1, keepdims=True) - 2 * at @ to.T + (to**2).sum(axis=1)
    return np.asarray((squared.min(axis=1) < NEAR**2).reshape(grid.rows, grid.columns))
