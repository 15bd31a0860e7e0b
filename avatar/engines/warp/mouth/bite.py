"""The edge of the upper row of teeth between a portrait's lips, and detection of a lower row below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray

Mask = npt.NDArray[np.bool_]

ROWS_MM = 4.0  # range above and below a dividing line in which the rows' brightness is measured
LEAST_UPPER_MM, LEAST_LOWER_MM = 2.5, 1.2  # minimum height of a visible row
VALLEY = 0.05  # minimum contrast of a line between two rows
SHORT_MM, LONG_MM = 1.0, 2.5  # limits of an edge's distance above and below the parabola through all edges
GAP_MM = 0.9  # gap between teeth and lower lip from which the teeth's own edge is visible
HIDDEN_MM, TALL_MM = 1.5, (5.0, 9.0)  # height that the lip hides of short crowns; none of tall ones
RISE_MM, SIDE_MM = 1.5, 20.0  # rise of an upper row's edge at this distance from the middle


@dataclass(frozen=True, eq=False)
class Bite:
    """The line along the upper teeth's edges, on a raster."""

    line: FloatArray  # (W,) rows of the raster
    lower: bool  # whether there are teeth below the line


def find_bite(luma: FloatArray, teeth: Mask, inside: Mask, mm: float) -> Bite | None:
    """Find the line; where the lower lip hides it, it is estimated.

    Args:
        luma: (H, W) of the mouth, 0 to 255.
        teeth: (H, W), the teeth of both rows.
        inside: (H, W), the region between the lips.
        mm: pixels per millimetre.
    Returns:
        The line; None where there are hardly any teeth.
    """
    tall = teeth.sum(axis=0)
    columns = np.flatnonzero(tall >= max(1.0 * mm, 2))
    if len(columns) < 6 * mm:
        return None
    edge = _edges(teeth, inside, columns, mm)
    parted = _valley(luma, teeth, mm, columns)
    if parted is not None:
        edge = np.where(np.isfinite(parted), parted, edge)
    return Bite(_arc(edge[columns], columns, teeth.shape[1], mm), lower=parted is not None)


def _edges(teeth: Mask, inside: Mask, columns: npt.NDArray[np.intp], mm: float) -> FloatArray:
    """Return the (W,) rows at which the teeth of each column end: as visible, or estimated below the edge of the lip.

    Args:
        teeth, inside: (H, W), as in `find_bite`.
        columns: (M,) indices of the columns with teeth.
        mm: pixels per millimetre.
    """
    height, width = teeth.shape
    bottom = (height - np.argmax(teeth[::-1], axis=0)).astype(np.float32)
    floor = height - np.argmax(inside[::-1], axis=0)
    third = len(columns) // 3
    middle = columns[third : len(columns) - third]
    tall = teeth.sum(axis=0)
    sliver = tall < 0.6 * float(np.median(tall[middle]))  # a short column: only the lit part of a tooth is visible
    seen = (floor - bottom > GAP_MM * mm) & ~sliver
    lowest = float(np.median(bottom[middle]))
    if np.mean(seen[middle]) < 0.5:
        crown_mm = float(np.median(tall[middle])) / mm
        lowest += HIDDEN_MM * mm * float(np.clip((TALL_MM[1] - crown_mm) / (TALL_MM[1] - TALL_MM[0]), 0, 1))
    off_mm = (np.arange(width) - float(np.median(columns))) / mm
    usual = lowest - RISE_MM * mm * (off_mm / SIDE_MM) ** 2
    return np.asarray(np.where(seen, bottom, np.maximum(bottom, usual)), np.float32)


def _valley(luma: FloatArray, teeth: Mask, mm: float, columns: npt.NDArray[np.intp]) -> FloatArray | None:
    """Find the darkest path between two bright rows of teeth.

    Args:
        luma, teeth: (H, W), as in `find_bite`.
        mm: pixels per millimetre.
        columns: (M,) indices of the columns with teeth.
    Returns:
        (W,) rows, NaN in columns without; None: there is only one row.
    """
    height, width = luma.shape
    even = cv2.GaussianBlur(luma, (0, 0), sigmaX=1.5 * mm, sigmaY=max(0.3 * mm, 0.6))
    reach = max(int(ROWS_MM * mm), 2)
    kernel = np.ones((reach + 1, 1), np.uint8)
    enamel = np.where(teeth, even, 0).astype(np.float32)  # lips are bright, too
    above = cv2.dilate(enamel, kernel, anchor=(0, reach))
    below = cv2.dilate(enamel, kernel, anchor=(0, 0))
    depth = (np.minimum(above, below) - even) / max(float(np.percentile(luma[teeth], 75)), 1.0)
    rows = np.arange(height)[:, None]
    top, bottom = np.argmax(teeth, axis=0), height - np.argmax(teeth[::-1], axis=0)
    allowed = (rows > top + LEAST_UPPER_MM * mm) & (rows < bottom - LEAST_LOWER_MM * mm)
    wide = allowed[:, columns].any(axis=0)
    if wide.mean() < 0.4:
        return None
    cost = np.where(allowed, -depth, 0.2).astype(np.float32)
    path = _cheapest_path(cost)
    along = np.arange(width)
    seen = allowed[path, along]
    if seen.sum() < 0.35 * len(columns) or float(np.median(depth[path, along][seen])) < VALLEY:
        return None
    return np.where(seen, path + 0.5, np.nan).astype(np.float32)


def _cheapest_path(cost: FloatArray) -> npt.NDArray[np.intp]:
    """Return the (W,) rows of the path of least total cost (H, W) from left to right, by steps of at most one row."""
    total = cost.copy()
    for column in range(1, cost.shape[1]):
        total[:, column] += cv2.erode(total[:, column - 1].reshape(-1, 1), np.ones((3, 1), np.uint8))[:, 0]
    path = np.empty(cost.shape[1], np.intp)
    path[-1] = int(np.argmin(total[:, -1]))
    for column in range(cost.shape[1] - 2, -1, -1):
        low = max(path[column + 1] - 1, 0)
        path[column] = low + int(np.argmin(total[low : path[column + 1] + 2, column]))
    return path


def _arc(found: FloatArray, columns: npt.NDArray[np.intp], width: int, mm: float) -> FloatArray:
    """Fit a line near a parabola to the edges found, robustly, and extrapolate it.

    Args:
        found: (M,) rows of the edges.
        columns: (M,) their columns.
        width: columns of the raster, W.
        mm: pixels per millimetre.
    Returns:
        (W,) rows.
    """
    middle = 0.5 * (columns[0] + columns[-1])
    half = max(0.5 * (columns[-1] - columns[0]), 1.0)
    weight = np.ones(len(columns))
    for _ in range(5):  # edges hidden by a lip, or a gap, are outliers
        curve = np.polyfit((columns - middle) / half, found, 2, w=weight)
        off = np.abs(np.polyval(curve, (columns - middle) / half) - found)
        weight = 1 / (1 + (off / (1.0 * mm)) ** 2)
    along = np.arange(width)
    arc = np.polyval(curve, np.clip((along - middle) / half, -1.15, 1.15))
    line = np.interp(along, columns, found)
    line = np.clip(line, arc - SHORT_MM * mm, arc + LONG_MM * mm)
    known = np.interp(along, columns, np.ones(len(columns)), left=0, right=0)
    line = arc + known * (line - arc)
    return np.asarray(cv2.GaussianBlur(line[None].astype(np.float32), (0, 0), max(0.4 * mm, 0.5))[0], np.float32)
