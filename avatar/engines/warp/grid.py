"""Inversion of a forward motion on a regular grid to the backward map that `cv2.remap` needs.

Coordinates are pixels; pixel centres are integers (align_corners=True in torch's terms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray

STEEPEST = 0.25  # lower bound of the forward map's determinant (local stretch); below it the map is about to fold
NEWTON_STEPS = 4
CLOSE_PX = 0.03  # maximum residual at which the iteration stops: a smaller one is invisible
LONGEST_STEP = 4.0  # limit of a Newton step in grid steps; a longer one indicates a fold
_SLOPE, _NONE = np.array([-0.5, 0, 0.5], np.float32), np.ones(1, np.float32)  # filters along an axis


@dataclass(frozen=True)
class Grid:
    """`columns` x `rows` points; point (j, i) lies at (left + j * step, top + i * step) pixels."""

    left: float
    top: float
    step: float
    columns: int
    rows: int

    @staticmethod
    def over_cells(left: int, top: int, width: int, height: int, step: int) -> Grid:
        """Create a grid of the centres of step x step cells that cover a rectangle, with a rim of cells around it.

        `to_pixels` needs the rim, so that pixels near the border lie between two centres like all others.
        """
        half = 0.5 * (step - 1)
        return Grid(left + half - step, top + half - step, step, -(-width // step) + 2, -(-height // step) + 2)

    def points(self) -> FloatArray:
        """Return the (rows, columns, 2) positions of the points."""
        points = np.empty((self.rows, self.columns, 2), np.float32)
        points[..., 0] = self.left + self.step * np.arange(self.columns, dtype=np.float32)
        points[..., 1] = (self.top + self.step * np.arange(self.rows, dtype=np.float32))[:, None]
        return points

    def axes(self, other: Grid) -> tuple[FloatArray, FloatArray]:
        """Return the columns and the rows of the points in steps of another grid, as views of (rows, columns) each."""
        shape = (self.rows, self.columns)
        step, first = self.step / other.step, ((self.left - other.left), (self.top - other.top))
        x = np.float32(step) * np.arange(self.columns, dtype=np.float32) + np.float32(first[0] / other.step)
        y = np.float32(step) * np.arange(self.rows, dtype=np.float32) + np.float32(first[1] / other.step)
        return np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)

    def sample(self, values: FloatArray, at: FloatArray) -> FloatArray:
        """Sample a field (rows, columns, C <= 4) bilinearly at (h, w, 2) positions, with border replication."""
        x = (at[..., 0] - np.float32(self.left)) / np.float32(self.step)
        y = (at[..., 1] - np.float32(self.top)) / np.float32(self.step)
        return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def inside(self, at: FloatArray) -> FloatArray:
        """Return (h, w) weights at (h, w, 2) positions: 1 inside the grid, falling to 0 over the last two cells."""
        x = (at[..., 0] - np.float32(self.left)) / np.float32(self.step)
        y = (at[..., 1] - np.float32(self.top)) / np.float32(self.step)
        to_edge = np.minimum(np.minimum(x, self.columns - 1 - x), np.minimum(y, self.rows - 1 - y))
        return np.asarray(np.clip(0.5 * to_edge, 0.0, 1.0), np.float32)


def invert(grid: Grid, moved: FloatArray, cells: Grid) -> FloatArray:
    """Invert a forward map at the points of another grid, by Newton's method from a scattered initial guess.

    Args:
        grid: the grid on which the forward map is known.
        moved: (rows, columns, 2), the images of the grid's points; see `keep_from_folding`.
        cells: the target points.
    Returns:
        (cells.rows, cells.columns, 2) positions p with moved(p) = point; where the iteration does not converge, an
        estimate from the neighbouring points.
    """
    step = np.float32(grid.step)
    offset = cv2.subtract(moved, grid.points()) / step  # from here on in steps of `grid`
    field = cv2.merge([*cv2.split(offset), *_inverse_jacobian(offset)])
    target_x, target_y = cells.axes(grid)
    guess = _scattered_offset(moved, offset, cells)
    x, y = target_x - guess[..., 0], target_y - guess[..., 1]
    worst = np.empty_like(x)  # the residual of each point
    part: tuple[slice, slice] = (slice(None), slice(None))  # where some points have not converged
    for step_number in range(NEWTON_STEPS + 1):
        found, miss_x, miss_y = _miss(field, x[part], y[part], target_x[part], target_y[part])
        worst[part] = np.maximum(np.abs(miss_x), np.abs(miss_y))
        if step_number == NEWTON_STEPS or not (far := worst[part] >= CLOSE_PX / step).any():
            break
        x[part] += _held(found[2] * miss_x + found[3] * miss_y)
        y[part] += _held(found[4] * miss_x + found[5] * miss_y)
        part = _around(far, part)
    settled = np.clip(2 - worst, 0.0, 1.0)
    if settled.min() < 1:  # near a closing lid the initial guess may lie on the other side of the fold
        around_x, around_y = _from_neighbours(x - target_x, y - target_y, settled, guess)
        x, y = x + (1 - settled) * (target_x + around_x - x), y + (1 - settled) * (target_y + around_y - y)
    return np.asarray(cv2.merge([x * step + np.float32(grid.left), y * step + np.float32(grid.top)]))


def _held(change: FloatArray) -> FloatArray:
    """Limit the (h, w) change of one Newton step."""
    return np.minimum(np.maximum(change, np.float32(-LONGEST_STEP)), np.float32(LONGEST_STEP))


def _around(far: npt.NDArray[np.bool_], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """Narrow a part of a grid to the box of those of its (h, w) points that are `far`; there is one at least."""
    bounds = []
    for axis, within in enumerate(part):
        at = np.flatnonzero(far.any(axis=1 - axis))
        start = within.start or 0
        bounds.append(slice(start + int(at[0]), start + int(at[-1]) + 1))
    return bounds[0], bounds[1]


def _from_neighbours(
    offset_x: FloatArray, offset_y: FloatArray, weight: FloatArray, guess: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Average the offsets of neighbouring points, weighted; falls back to the guess where all weights are 0.

    Args:
        offset_x, offset_y: (h, w).
        weight: (h, w) in [0, 1].
        guess: (h, w, 2).
    Returns:
        (h, w) offsets in x and in y.
    """
    sums = cv2.blur(cv2.merge([offset_x * weight, offset_y * weight, weight]), (5, 5))
    known = np.clip(8 * sums[..., 2], 0, 1)
    mean = sums[..., :2] / np.maximum(sums[..., 2:], 1e-6)
    return known * mean[..., 0] - (1 - known) * guess[..., 0], known * mean[..., 1] - (1 - known) * guess[..., 1]


def _miss(
    field: FloatArray, x: FloatArray, y: FloatArray, target_x: FloatArray, target_y: FloatArray
) -> tuple[Sequence[FloatArray], FloatArray, FloatArray]:
    """Sample the field at (x, y) and compute the residual to the target.

    Args:
        field: (rows, columns, 6): offset, then inverse jacobian.
        x, y, target_x, target_y: (h, w).
    Returns:
        Six (h, w) planes of the field, and the (h, w) residuals in x and in y.
    """
    found: Sequence[Any] = cv2.split(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return found, target_x - x - found[0], target_y - y - found[1]


def _scattered_offset(moved: FloatArray, offset: FloatArray, cells: Grid) -> FloatArray:
    """Estimate the offset of the points that land in each cell, as the mean over those that land in it or near it.

    Works on every second point and cell, since it is only the initial guess of Newton's method.

    Args:
        moved, offset: (rows, columns, 2).
        cells: the target cells.
    Returns:
        (cells.rows, cells.columns, 2).
    """
    half = Grid(cells.left, cells.top, 2 * cells.step, -(-cells.columns // 2), -(-cells.rows // 2))
    sparse, carried = moved[::2, ::2].reshape(-1, 2), offset[::2, ::2].reshape(-1, 2)
    column = np.rint((sparse[:, 0] - half.left) / half.step).astype(np.intp)
    row = np.rint((sparse[:, 1] - half.top) / half.step).astype(np.intp)
    landed = (column >= 0) & (column < half.columns) & (row >= 0) & (row < half.rows)
    index = (row * half.columns + column)[landed]
    size = half.rows * half.columns
    weights = (carried[landed, 0], carried[landed, 1], None)
    sums = [np.bincount(index, weight, size).astype(np.float32) for weight in weights]
    layer = np.stack(sums, axis=-1).reshape(half.rows, half.columns, 3)
    wide = layer
    for reach in (3, 5, 17):  # fill empty cells from an ever larger neighbourhood; zero motion if that is empty too
        if layer[..., 2].all():
            break
        wide = cv2.blur(wide, (reach, reach), borderType=cv2.BORDER_REPLICATE)
        layer = np.where(layer[..., 2:] > 1e-6, layer, wide)
    mean = layer[..., :2] / np.maximum(layer[..., 2:], 1e-6)
    return np.asarray(cv2.resize(mean, (cells.columns, cells.rows), interpolation=cv2.INTER_LINEAR))


def keep_from_folding(moved: FloatArray, step: float, towards: tuple[float, float]) -> FloatArray:
    """Compress the part that a turning head hides behind its own edge to a thin strip, so that the map does not fold.

    Args:
        moved: (rows, columns, 2), the images of the points of a grid.
        step: the step of that grid.
        towards: direction (x, y) in which the near side of the head moves; the part it covers is hidden.
    Returns:
        (rows, columns, 2), x rising along rows and y along columns by at least STEEPEST * step.
    """
    rows, columns = moved.shape[:2]
    least = np.float32(STEEPEST * step)
    rise_x = least * np.arange(columns, dtype=np.float32)[None, :]
    rise_y = least * np.arange(rows, dtype=np.float32)[:, None]
    x = _never_back(moved[..., 0] - rise_x, axis=1, forward=towards[0] >= 0) + rise_x
    y = _never_back(moved[..., 1] - rise_y, axis=0, forward=towards[1] >= 0) + rise_y
    return np.stack([x, y], axis=-1)


def give_way_below(moved: FloatArray, step: float) -> FloatArray:
    """Resolve folds in favour of the upper points: compress the points that they are moved down upon.

    Args:
        moved: (rows, columns, 2), the images of the points of a part of a grid.
        step: the step of that grid.
    """
    rise = np.float32(STEEPEST * step) * np.arange(moved.shape[0], dtype=np.float32)[:, None]
    down = _never_back(moved[..., 1] - rise, axis=0, forward=True) + rise
    return np.stack([moved[..., 0], down], axis=-1)


def _never_back(values: FloatArray, *, axis: int, forward: bool) -> FloatArray:
    """Make (rows, columns) values non-decreasing along an axis, by a running maximum or a reverse running minimum."""
    if forward:
        return np.asarray(np.maximum.accumulate(values, axis=axis))
    backwards = np.flip(values, axis=axis)
    return np.flip(np.minimum.accumulate(backwards, axis=axis), axis=axis)


def _inverse_jacobian(offset: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Compute the inverse jacobian of the forward map, bounded where it folds.

    Args:
        offset: (rows, columns, 2) in grid steps.
    Returns:
        a, b, c and d of [[a, b], [c, d]], (rows, columns) each.
    """
    across_x, across_y = cv2.split(cv2.sepFilter2D(offset, -1, _SLOPE, _NONE, borderType=cv2.BORDER_REPLICATE))
    down_x, down_y = cv2.split(cv2.sepFilter2D(offset, -1, _NONE, _SLOPE, borderType=cv2.BORDER_REPLICATE))
    a, d = 1 + across_x, 1 + down_y
    scale = 1 / np.maximum(a * d - down_x * across_y, STEEPEST)
    inverse = d * scale, -down_x * scale, -across_y * scale, a * scale
    # Beyond the border the offset is constant, so there the jacobian is the identity.
    for values, at_border in zip(inverse, (1, 0, 0, 1), strict=True):
        values[[0, -1]] = values[:, [0, -1]] = at_border
    return inverse


def to_pixels(coarse: FloatArray, step: int, width: int, height: int) -> FloatArray:
    """Interpolate values at the centres of step x step cells to all pixels.

    Args:
        coarse: (rows, columns, C) on a grid from `Grid.over_cells`.
        step: side of a cell, pixels.
        width, height: size of the result.
    Returns:
        (height, width, C).
    """
    rows, columns = coarse.shape[:2]
    fine = cv2.resize(coarse, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[step : step + height, step : step + width])
