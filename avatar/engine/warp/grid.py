"""Forward motion known on a regular grid, turned into the backward map that `remap` wants.

Coordinates are pixels; pixel centres are integers (align_corners=True in the terms of the paper's model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray

STEEPEST = 0.25  # least local stretch (determinant of the forward map) that is believed; below it the map folds
NEWTON_STEPS = 4
CLOSE_PX = 0.03  # of the worst point: nearer there is nothing to see
LONGEST_STEP = 4.0  # in steps of the grid; a longer one is a sign of a fold and would lead astray


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
        """Centres of the step x step cells that cover a rectangle of whole pixels, and of a rim of cells around them.

        See `to_pixels`, which needs the rim: pixels near the border lie between two centres like all others.
        """
        half = 0.5 * (step - 1)
        return Grid(left + half - step, top + half - step, step, -(-width // step) + 2, -(-height // step) + 2)

    def points(self) -> FloatArray:
        """(rows, columns, 2)."""
        x = self.left + self.step * np.arange(self.columns, dtype=np.float32)
        y = self.top + self.step * np.arange(self.rows, dtype=np.float32)
        return np.stack(np.meshgrid(x, y), axis=-1)

    def sample(self, values: FloatArray, at: FloatArray) -> FloatArray:
        """Bilinear values of a (rows, columns, C <= 4) field at (h, w, 2) positions; the border's beyond it."""
        x = (at[..., 0] - np.float32(self.left)) / np.float32(self.step)
        y = (at[..., 1] - np.float32(self.top)) / np.float32(self.step)
        return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def inside(self, at: FloatArray) -> FloatArray:
        """1 well inside the grid, falling to 0 over the last two cells; (h, w)."""
        x = (at[..., 0] - np.float32(self.left)) / np.float32(self.step)
        y = (at[..., 1] - np.float32(self.top)) / np.float32(self.step)
        to_edge = np.minimum(np.minimum(x, self.columns - 1 - x), np.minimum(y, self.rows - 1 - y))
        return np.asarray(np.clip(0.5 * to_edge, 0.0, 1.0), np.float32)


def invert(grid: Grid, moved: FloatArray, cells: Grid) -> FloatArray:
    """For each point of another grid, the point that `moved` sends there, by Newton's method from a scattered guess.

    Args:
        grid: where the forward map is known.
        moved: (rows, columns, 2), where the grid's points go; see `keep_from_folding`.
        cells: the points asked about.
    Returns:
        (cells.rows, cells.columns, 2) positions p with moved(p) = point; where the method does not settle, what the
        points around suggest.
    """
    step = np.float32(grid.step)
    offset = (moved - grid.points()) / step  # from here on all in steps of `grid`
    field = np.concatenate([offset, _inverse_jacobian(offset)], axis=-1)
    targets = cells.points()
    target_x = (targets[..., 0] - np.float32(grid.left)) / step
    target_y = (targets[..., 1] - np.float32(grid.top)) / step
    guess = _scattered_offset(moved, offset, cells)
    guess_x, guess_y = target_x - guess[..., 0], target_y - guess[..., 1]
    x, y = guess_x, guess_y
    for step_number in range(NEWTON_STEPS + 1):
        found, miss_x, miss_y = _miss(field, x, y, target_x, target_y)
        worst = cv2.max(cv2.absdiff(miss_x, 0.0), cv2.absdiff(miss_y, 0.0))
        if step_number == NEWTON_STEPS or worst.max() < CLOSE_PX / step:
            break
        x = x + np.clip(found[2] * miss_x + found[3] * miss_y, -LONGEST_STEP, LONGEST_STEP)
        y = y + np.clip(found[4] * miss_x + found[5] * miss_y, -LONGEST_STEP, LONGEST_STEP)
    settled = np.clip(2 - worst, 0.0, 1.0)
    if settled.min() < 1:  # beside a lid that comes far down the guess may lie across the fold
        around_x, around_y = _from_neighbours(x - target_x, y - target_y, settled, guess)
        x, y = x + (1 - settled) * (target_x + around_x - x), y + (1 - settled) * (target_y + around_y - y)
    return np.stack([x * step + np.float32(grid.left), y * step + np.float32(grid.top)], axis=-1)


def _from_neighbours(
    offset_x: FloatArray, offset_y: FloatArray, weight: FloatArray, guess: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Offsets (h, w) as those around them say that have some weight; where none has, as `guess` (h, w, 2) says."""
    sums = cv2.blur(cv2.merge([offset_x * weight, offset_y * weight, weight]), (5, 5))
    known = np.clip(8 * sums[..., 2], 0, 1)
    mean = sums[..., :2] / np.maximum(sums[..., 2:], 1e-6)
    return known * mean[..., 0] - (1 - known) * guess[..., 0], known * mean[..., 1] - (1 - known) * guess[..., 1]


def _miss(
    field: FloatArray, x: FloatArray, y: FloatArray, target_x: FloatArray, target_y: FloatArray
) -> tuple[Sequence[FloatArray], FloatArray, FloatArray]:
    """The field's planes at (x, y), and how far what lies there lands from the target."""
    found: Sequence[Any] = cv2.split(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return found, target_x - x - found[0], target_y - y - found[1]


def _scattered_offset(moved: FloatArray, offset: FloatArray, cells: Grid) -> FloatArray:
    """How far, roughly, what lands in each cell has come: the mean over the points that land in it or near it.

    Works on every second point and cell, since it only has to be near enough for Newton's method.
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
    for reach in (3, 5, 17):  # fill what is empty from ever further away; zero motion where nothing is near at all
        wide = cv2.blur(wide, (reach, reach), borderType=cv2.BORDER_REPLICATE)
        layer = np.where(layer[..., 2:] > 1e-6, layer, wide)
    mean = layer[..., :2] / np.maximum(layer[..., 2:], 1e-6)
    return np.asarray(cv2.resize(mean, (cells.columns, cells.rows), interpolation=cv2.INTER_LINEAR))


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


def give_way_below(moved: FloatArray, step: float) -> FloatArray:
    """Let what comes down from above keep its place, and squeeze what it comes down upon.

    Args:
        moved: (rows, columns, 2), where the points of a part of a grid with this `step` go.
    """
    rise = np.float32(STEEPEST * step) * np.arange(moved.shape[0], dtype=np.float32)[:, None]
    down = _never_back(moved[..., 1] - rise, axis=0, forward=True) + rise
    return np.stack([moved[..., 0], down], axis=-1)


def _never_back(values: FloatArray, *, axis: int, forward: bool) -> FloatArray:
    if forward:
        return np.asarray(np.maximum.accumulate(values, axis=axis))
    backwards = np.flip(values, axis=axis)
    return np.flip(np.minimum.accumulate(backwards, axis=axis), axis=axis)


def _inverse_jacobian(offset: FloatArray) -> FloatArray:
    """Inverse of the forward map's derivative, (rows, columns, 4) as [[a, b], [c, d]], tamed where it folds."""
    down, across = np.gradient(offset, axis=0), np.gradient(offset, axis=1)
    a, b = 1 + across[..., 0], down[..., 0]
    c, d = across[..., 1], 1 + down[..., 1]
    scale = 1 / np.maximum(a * d - b * c, STEEPEST)
    inverse = np.stack([d * scale, -b * scale, -c * scale, a * scale], axis=-1)
    # Beyond the border its offset goes on unchanged, so there the derivative is the identity.
    inverse[[0, -1]] = inverse[:, [0, -1]] = np.array([1, 0, 0, 1], np.float32)
    return inverse


def to_pixels(coarse: FloatArray, step: int, width: int, height: int) -> FloatArray:
    """Spread values at the centres of step x step cells (`Grid.over_cells`) over the pixels; (height, width, C)."""
    rows, columns = coarse.shape[:2]
    fine = cv2.resize(coarse, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[step : step + height, step : step + width])
