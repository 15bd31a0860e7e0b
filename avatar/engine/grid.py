"""Forward motion known on a regular grid, turned into the backward map that `remap` wants.

Coordinates are pixels; pixel centres are integers (align_corners=True in the terms of the paper's model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray

STEEPEST = 0.25  # least local stretch (determinant of the forward map) that is believed; below it the map folds
NEWTON_STEPS = 4


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
        """Centres of the step x step cells that cover a rectangle of whole pixels (see `to_pixels`)."""
        half = 0.5 * (step - 1)
        return Grid(left + half, top + half, step, -(-width // step), -(-height // step))

    def points(self) -> FloatArray:
        """(rows, columns, 2)."""
        x = self.left + self.step * np.arange(self.columns, dtype=np.float32)
        y = self.top + self.step * np.arange(self.rows, dtype=np.float32)
        return np.stack(np.meshgrid(x, y), axis=-1)

    def sample(self, values: FloatArray, at: FloatArray) -> FloatArray:
        """Bilinear values of a (rows, columns, C <= 4) field at (h, w, 2) positions; the border's beyond it."""
        where = self._cell(at)
        sampled = cv2.remap(values, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled)

    def inside(self, at: FloatArray) -> FloatArray:
        """1 well inside the grid, falling to 0 over the last two cells; (h, w)."""
        where = self._cell(at)
        last = np.array([self.columns - 1, self.rows - 1], np.float32)
        return np.asarray(np.clip(0.5 * np.minimum(where, last - where).min(axis=-1), 0.0, 1.0), np.float32)

    def _cell(self, at: FloatArray) -> FloatArray:
        """Positions in steps from the first point."""
        return np.asarray((at - np.array([self.left, self.top], np.float32)) * np.float32(1 / self.step))


def invert(grid: Grid, moved: FloatArray, cells: Grid) -> FloatArray:
    """For each point of another grid, the point that `moved` sends there, by Newton's method from a scattered guess.

    Args:
        grid: where the forward map is known.
        moved: (rows, columns, 2), where the grid's points go; see `keep_from_folding`.
        cells: the points asked about.
    Returns:
        (cells.rows, cells.columns, 2) positions p with moved(p) = point.
    """
    points, targets = grid.points(), cells.points()
    offset = moved - points
    inverse = _inverse_jacobian(offset, grid.step)
    at = _scattered_guess(points, moved, cells)
    for _ in range(NEWTON_STEPS):
        miss = targets - at - grid.sample(offset, at)
        j = grid.sample(inverse, at)
        step = np.empty_like(at)
        step[..., 0] = j[..., 0] * miss[..., 0] + j[..., 1] * miss[..., 1]
        step[..., 1] = j[..., 2] * miss[..., 0] + j[..., 3] * miss[..., 1]
        at = at + step
    return at


def _scattered_guess(points: FloatArray, moved: FloatArray, cells: Grid) -> FloatArray:
    """Where each cell came from, roughly: the mean of the points that landed in it or, failing that, near it."""
    cell = np.rint(cells._cell(moved)).astype(np.intp).reshape(-1, 2)
    landed = ((cell >= 0) & (cell < [cells.columns, cells.rows])).all(axis=1)
    index = cell[landed, 1] * cells.columns + cell[landed, 0]
    size = cells.rows * cells.columns
    back = (points - moved).reshape(-1, 2)[landed]
    sums = [np.bincount(index, weights, size) for weights in (back[:, 0], back[:, 1], np.ones(len(back)))]
    layer = np.stack(sums, axis=-1).reshape(cells.rows, cells.columns, 3).astype(np.float32)
    wide = layer
    for reach in (3, 9, 33):  # fill what is empty from ever further away; zero motion where nothing is near at all
        wide = cv2.blur(wide, (reach, reach), borderType=cv2.BORDER_REPLICATE)
        layer = np.where(layer[..., 2:] > 1e-6, layer, wide)
    return np.asarray(cells.points() + layer[..., :2] / np.maximum(layer[..., 2:], 1e-6), np.float32)


def keep_from_folding(moved: FloatArray, step: float, towards: tuple[float, float]) -> FloatArray:
    """Squeeze what a turning head hides behind its own edge into a thin strip instead of letting the map fold.

    Args:
        moved: (rows, columns, 2), where the points of a grid with this `step` go.
        towards: the direction (x, y) in which the near side of the head travels; what it travels over is hidden.
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


def _never_back(values: FloatArray, *, axis: int, forward: bool) -> FloatArray:
    if forward:
        return np.asarray(np.maximum.accumulate(values, axis=axis))
    backwards = np.flip(values, axis=axis)
    return np.flip(np.minimum.accumulate(backwards, axis=axis), axis=axis)


def _inverse_jacobian(offset: FloatArray, step: float) -> FloatArray:
    """Inverse of the forward map's derivative, (rows, columns, 4) as [[a, b], [c, d]], tamed where it folds."""
    down, across = np.gradient(offset, step, axis=0), np.gradient(offset, step, axis=1)
    a, b = 1 + across[..., 0], down[..., 0]
    c, d = across[..., 1], 1 + down[..., 1]
    determinant = a * d - b * c
    scale = 1 / np.maximum(determinant, STEEPEST)
    return np.stack([d * scale, -b * scale, -c * scale, a * scale], axis=-1).astype(np.float32)


def to_pixels(coarse: FloatArray, step: int, width: int, height: int) -> FloatArray:
    """Spread values at the centres of step x step cells (`Grid.over_cells`) over the pixels; (height, width, C)."""
    rows, columns = coarse.shape[:2]
    fine = cv2.resize(coarse, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[:height, :width])
