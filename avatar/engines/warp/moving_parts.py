"""The parts of a frame that motion changes; everything else is as in the portrait at rest and only copied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.grid import Grid
from avatar.engines.warp.look_up import Box, LookUp

STILL_PX = 1 / 128  # shifts below this are invisible: the look-up is rounded to 1/64 pixel
PART_ROWS_PX = 64  # height of a part: its maps and layers together stay in a core's second-level cache
_BLOCK_PX = 8  # resolution at which it is known where the person is
_REACH = 1.25  # look-ups of a cell lie within this many cells of that of its centre,
_TORN = _REACH / 0.75  # if those of the centres around it do within this many: bilinear weights of others sum to 3/4

_Uint8 = npt.NDArray[np.uint8]


class MovingParts:
    """Finds the boxes of a frame in which the person moves, from the backward map on its coarse grid."""

    def __init__(self, alpha: _Uint8, shown: Box) -> None:
        """Note where the person is.

        Args:
            alpha: (H, W), 0 where there is background alone.
            shown: the part of the portrait's plane that it shows; it may reach beyond the portrait.
        """
        self._corner = np.array([shown.left, shown.top], np.float32)
        height, width = alpha.shape
        padded = cv2.copyMakeBorder(alpha, 0, -height % _BLOCK_PX, 0, -width % _BLOCK_PX, cv2.BORDER_CONSTANT, value=0)
        blocks = padded.reshape(padded.shape[0] // _BLOCK_PX, _BLOCK_PX, padded.shape[1] // _BLOCK_PX, _BLOCK_PX)
        self._person = np.ascontiguousarray(blocks.max(axis=(1, 3)))  # (ceil(H / 8), ceil(W / 8))
        self._near: _Uint8 | None = None  # the same, and around it as far as neighbouring look-ups may lie apart
        self._cells: Grid | None = None  # of the look-ups seen last, and what does not change from one to the next:
        self._at_rest = np.zeros((0, 0, 2), np.float32)  # (rows, columns, 2), their positions without motion
        self._seen_at_rest = np.zeros((0, 0), np.bool_)  # (rows, columns), whether the person is there

    def of(self, look_up: LookUp) -> list[Box]:
        """Return the parts of the frame to draw, from top to bottom, none overlapping another."""
        whole = look_up.whole
        step, box = whole.step, whole.box
        self._adapt(Grid.over_cells(box.left, box.top, box.width, box.height, step), step)
        shift = cv2.absdiff(whole.positions, self._at_rest)
        moves = np.maximum(shift[..., 0], shift[..., 1]) > STILL_PX
        shown = self._seen(whole.positions) | self._seen_at_rest | _torn(whole.positions, _TORN * step)
        if look_up.face is not None:  # it moves by expression too, which the whole knows nothing of
            face = look_up.face.around.box
            rows = slice((face.top - box.top) // step + 1, -(-(face.bottom - box.top) // step) + 1)
            columns = slice((face.left - box.left) // step + 1, -(-(face.right - box.left) // step) + 1)
            moves[rows, columns] = shown[rows, columns] = True
        beside = cv2.dilate(
            moves.astype(np.uint8), np.ones((3, 3), np.uint8)
        )  # pixels lie between the centres of cells
        return _bands((beside & shown)[1:-1, 1:-1], box, step)

    def _adapt(self, cells: Grid, step: int) -> None:
        """Compute what depends on the grid of the look-ups alone."""
        if cells == self._cells:
            return
        reach = 2 * round(_REACH * step / _BLOCK_PX + 0.5) + 1
        self._near = np.asarray(cv2.dilate(self._person, np.ones((reach, reach), np.uint8)))
        self._cells, self._at_rest = cells, cells.points()
        self._seen_at_rest = self._seen(self._at_rest)

    def _seen(self, positions: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Return (rows, columns): whether the person may be near positions (rows, columns, 2) of the portrait."""
        assert self._near is not None
        blocks = (positions - (self._corner + np.float32(0.5 * (_BLOCK_PX - 1)))) * np.float32(1 / _BLOCK_PX)
        found = cv2.remap(self._near, blocks, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found > 0)


def _torn(positions: npt.NDArray[np.float32], limit_px: float) -> npt.NDArray[np.bool_]:
    """Return (rows, columns): whether positions (rows, columns, 2) are farther than a limit from one beside them."""
    beside = np.ones((3, 3), np.uint8)
    farthest = np.maximum(cv2.dilate(positions, beside) - positions, positions - cv2.erode(positions, beside))
    return np.asarray(np.maximum(farthest[..., 0], farthest[..., 1]) > limit_px)


def _bands(drawn: _Uint8, box: Box, step: int) -> list[Box]:
    """Cover the cells to draw, (rows, columns) of `step` pixels in `box`, by one part for every few rows of them."""
    together = max(1, round(PART_ROWS_PX / step))
    parts = []
    for row in range(0, len(drawn), together):
        columns = np.flatnonzero(drawn[row : row + together].any(axis=0))
        if len(columns):
            left, right = box.left + int(columns[0]) * step, box.left + (int(columns[-1]) + 1) * step
            top = box.top + row * step
            parts.append(Box(left, top, right, top + together * step).within(box))
    return parts
