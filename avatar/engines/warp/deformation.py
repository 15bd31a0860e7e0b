"""Deformation of a portrait for any pose and expression; everything that does not change is precomputed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.base import Checkpoint, go_on
from avatar.engines.warp.beyond import Edges
from avatar.engines.warp.creep import Creep
from avatar.engines.warp.grid import Grid, give_way_below, invert, keep_from_folding
from avatar.engines.warp.look_up import Box, CellMap, FaceLookUp, LookUp
from avatar.engines.warp.relief import MESH_POINTS, Relief
from avatar.engines.warp.spread import Spread
from avatar.frames import FloatArray
from avatar.motion.head import HeadMotion
from avatar.tracking.face import Face
from avatar.tracking.regions import (
    EYES,
    LEFT_EYE,
    LOWER_LIP,
    LOWER_LIP_POINTS,
    RIGHT_EYE,
    UPPER_LIP,
    UPPER_LIP_POINTS,
    EyeRegion,
    Indices,
)

FINE_CELLS = 21  # cells per canonical unit: about 5 pixels for a face 250 pixels wide
COARSE_CELLS = 72  # cells along the longer side of the image


_Part = tuple[slice, slice]  # rows and columns of a grid


@dataclass(frozen=True, eq=False)
class _Sheet:
    """Grid points of a portrait with their depth and head-motion weights."""

    points: FloatArray  # (Q, 3)
    share: FloatArray  # (Q,) weight of the head motion in [0, 1]


class Deformation:
    """Deformation model of one portrait; not thread-safe."""

    def __init__(
        self, face: Face, size_px: tuple[int, int], edges: Callable[[], Edges], checkpoint: Checkpoint = go_on
    ) -> None:
        """Precompute the deformation of a portrait.

        Args:
            face: its face.
            size_px: its height and width.
            edges: returns those of its matte; called last, so that the matte may be made meanwhile.
            checkpoint: called between the steps; what it raises ends them.
        """
        self.height_px, self.width_px = size_px
        self.face = face
        self.relief = Relief.of(face)
        step = max(4, round(max(self.width_px, self.height_px) / COARSE_CELLS))
        self._coarse_step = step
        self._coarse = Grid.over_cells(0, 0, self.width_px, self.height_px, step)
        self._fine_step = max(2, round(self.relief.unit_px / FINE_CELLS))
        self._fine = self._face_grid()
        self._eyelids = (self._eyelid_part(RIGHT_EYE), self._eyelid_part(LEFT_EYE))
        # Lids and lips open, so the region between eyes and mouth moves separately from the region around it. Each of
        # the two motions is smooth, because each leaves out the landmarks on the edges of the other.
        upper_lids = np.concatenate([eye.upper for eye in EYES])
        lower_lids = np.concatenate([eye.lower for eye in EYES])
        left_out = [np.concatenate([lower_lids, UPPER_LIP_POINTS]), np.concatenate([upper_lids, LOWER_LIP_POINTS])]
        self._spread = self._expression(left_out)
        self._creep = Creep(face)
        checkpoint()
        depths = self._depths(self._coarse, self._fine)
        self.relief = self.relief.held(edges())
        checkpoint()
        self._background_sheet, self._face_sheet = (
            _Sheet(points, self.relief.share(points[:, :2])) for points in depths
        )
        self._landmark_share = self.relief.share(face.landmarks[:, :2])

    def landmarks(self, expression_px: FloatArray, motion: HeadMotion) -> FloatArray:
        """Compute the portrait's landmarks in the output frame: (478, 3) pixels; z is rotated only.

        Args:
            expression_px: (478, 3) displacements of the landmarks in the portrait's own pose, pixels.
            motion: the head motion, relative to the portrait's own pose.
        """
        face = self.face.landmarks
        placed = face + expression_px
        turned = (placed - self.relief.centre_px) @ (motion.zoom * motion.rotation.T) + self.relief.centre_px
        turned += motion.shift_px
        return np.asarray(placed + self._landmark_share[:, None] * (turned - placed), np.float32)

    def backward_map(
        self, expression_px: FloatArray, motion: HeadMotion, target: FloatArray, *, creep: bool = True
    ) -> LookUp:
        """Compute the backward map from output pixels to the portrait.

        Args:
            expression_px: (478, 3) displacements of the landmarks in the portrait's own pose, pixels.
            motion: the head motion, relative to the portrait's own pose.
            target: (478, 3), from `landmarks`.
            creep: False keeps lips and skin to the landmarks.
        """
        image = Box(0, 0, self.width_px, self.height_px)
        moved = self._moved(self._background_sheet, self._coarse, np.zeros((1, 3), np.float32), motion)
        coarse = invert(self._coarse, moved, self._coarse)
        whole = CellMap(image, self._coarse_step, coarse)

        displaced = expression_px[:MESH_POINTS]
        if creep:
            displaced = displaced + self._creep.of(expression_px)
        outside, inside = self._spread.interpolate(displaced)
        around = self._moved(self._face_sheet, self._fine, outside, motion, self._eyelids)
        middle = self._moved(self._face_sheet, self._fine, inside, motion)
        rim = np.concatenate([around[[0, -1]].reshape(-1, 2), around[:, [0, -1]].reshape(-1, 2)])  # nothing folds
        face = Box.around(rim, self.width_px, self.height_px)
        if face.empty:
            return LookUp(whole, None)
        outer = self._inverse_on_face(around, face, coarse)
        outline = _middle_outline(target)
        box = Box.around(outline, self.width_px, self.height_px).within(face)
        if box.empty:
            return LookUp(whole, FaceLookUp(outer, outer, box, np.zeros((0, 0), np.uint8)))
        cells = face.cells_around(box, self._fine_step)
        inner = self._inverse_on_face(middle, cells, coarse)
        return LookUp(whole, FaceLookUp(outer, inner, box, _soft_polygon(outline, box)))

    def _inverse_on_face(self, moved: FloatArray, box: Box, coarse: FloatArray) -> CellMap:
        """Invert the motion of the face's grid, and let it go over into that of the whole at the grid's border.

        Args:
            moved: (rows, columns, 2), the images of the points of the face's grid.
            box: where to invert it.
            coarse: (rows, columns, 2), the backward map of the whole on the coarse grid.
        """
        cells = Grid.over_cells(box.left, box.top, box.width, box.height, self._fine_step)
        found, rigid = invert(self._fine, moved, cells), self._coarse.sample(coarse, cells.points())
        within = self._fine.inside(found)[..., None]
        return CellMap(box, self._fine_step, rigid + within * (found - rigid))

    def _moved(
        self, sheet: _Sheet, grid: Grid, expression: FloatArray, motion: HeadMotion, lids: tuple[_Part, ...] = ()
    ) -> FloatArray:
        """Move the points of a sheet.

        Args:
            sheet: the points, on `grid`.
            grid: the grid of the sheet.
            expression: (Q, 3) or (1, 3) displacements of the points by expression.
            motion: the head motion.
            lids: parts of the grid in which upper lids may close.
        Returns:
            (rows, columns, 2) pixels.
        """
        moved = self.relief.move(sheet.points, sheet.share, expression, motion)
        moved = moved.reshape(grid.rows, grid.columns, 2)
        for part in lids:  # when the head looks up, `keep_from_folding` lets the lower side win and would stop the lids
            moved[part] = give_way_below(moved[part], grid.step)
        near = -motion.rotation[:, 2]  # direction in which the nose moves
        return keep_from_folding(moved, grid.step, (float(near[0]), float(near[1])))

    def _face_grid(self) -> Grid:
        """Create the fine grid that covers the face oval, scaled by 1.75."""
        ring = self.relief.ring(1.75)
        step = self._fine_step
        low, high = np.floor(ring.min(axis=0)), np.ceil(ring.max(axis=0))
        columns, rows = np.ceil((high - low) / step).astype(int) + 1
        return Grid(float(low[0]), float(low[1]), step, int(columns), int(rows))

    def _eyelid_part(self, eye: EyeRegion) -> _Part:
        """Return the rows and columns of the fine grid from the brow to the cheek below an eye."""
        points = self.face.landmarks[:, :2]
        low, high = points[eye.contour].min(axis=0), points[eye.contour].max(axis=0)
        reach = 0.6 * float((high - low).max())
        beside, brow = 0.2 * reach, points[eye.brow, 1].min()
        corners = np.array([[low[0] - beside, brow], [high[0] + beside, high[1] + reach]])
        grid = self._fine
        (left, top), (right, bottom) = np.rint((corners - (grid.left, grid.top)) / grid.step).astype(int).tolist()
        return slice(max(top, 0), max(bottom, 1)), slice(max(left, 0), max(right, 1))

    def _depths(self, *grids: Grid) -> list[FloatArray]:
        """Return the points of grids with their depths, (rows * columns, 3) each; the depths come of one spline."""
        points = [grid.points().reshape(-1, 2) for grid in grids]
        everywhere = np.concatenate(points)
        spatial = np.concatenate([everywhere, self.relief.depth(everywhere)[:, None]], axis=1)
        return np.split(spatial, np.cumsum([len(each) for each in points])[:-1])

    def _expression(self, left_out: list[Indices]) -> Spread:
        """Compute how landmark displacements spread over the points of the face's sheet.

        Args:
            left_out: for each of the two motions, the indices (M,) of the landmarks without influence on it.
        """
        still = np.concatenate([self.relief.ring(scale) for scale in (1.6, 1.75, 2.0)])
        known = np.concatenate([self.face.landmarks[:MESH_POINTS, :2], still])
        return Spread.of(self._fine, known, left_out, zeros=len(still), stiffness=1e-4)


def _middle_outline(target: FloatArray) -> FloatArray:
    """Return the (N, 2) outline of the region between the lid lines and the lip line for (478, 3) landmarks."""
    # A closed upper lid overlaps the lower one (LID_OVERLAP), mostly to hide the lower lid's wet rim.
    lids = [0.8 * target[eye.upper, :2] + 0.2 * target[eye.lower, :2] for eye in (RIGHT_EYE, LEFT_EYE)]
    lips = 0.5 * (target[UPPER_LIP[3], :2] + target[LOWER_LIP[3], :2])
    corner = target[:, :2]
    return np.concatenate(
        [
            corner[[127, RIGHT_EYE.outer]], lids[0], corner[[RIGHT_EYE.inner, 168, LEFT_EYE.inner]], lids[1][::-1],
            corner[[LEFT_EYE.outer, 356, 361, 291, 308]], lips[::-1], corner[[78, 61, 132]],
        ]
    )  # fmt: skip


def _soft_polygon(outline: FloatArray, box: Box) -> npt.NDArray[np.uint8]:
    """Rasterise an (N, 2) outline with a soft edge of about one pixel; (box.height, box.width), 255 inside."""
    mask = np.zeros((box.height, box.width), np.uint8)
    fixed_point = np.round((outline - [box.left, box.top]) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed_point], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0))
