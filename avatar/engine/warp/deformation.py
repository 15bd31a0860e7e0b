"""Where every point of a portrait goes in any pose and expression; what stays the same is found out once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.grid import Grid, give_way_below, invert, keep_from_folding, to_pixels
from avatar.engine.warp.relief import MESH_POINTS, Relief
from avatar.engine.warp.scattered import thin_plate_matrix
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

FINE_CELLS = 21  # per canonical unit: about 5 pixels for a face 250 pixels wide
COARSE_CELLS = 72  # along the longer side of the picture


_Part = tuple[slice, slice]  # rows and columns of a grid


@dataclass(frozen=True, eq=False)
class _Sheet:
    """A grid of portrait points with what moves them: depth, share of the head's motion, weights of the expression."""

    points: FloatArray  # (Q, 3)
    share: FloatArray  # (Q,)
    weights: FloatArray | None  # (Q, N) for the N landmarks `used`; None: expression does not reach here
    used: Indices


class Deformation:
    """Moves the points of one portrait; not thread-safe."""

    def __init__(self, face: Face, matte: FloatArray) -> None:
        """Get ready for a portrait.

        Args:
            face: the one in it.
            matte: (H, W) in [0, 1], what of the picture is the person.
        """
        self.height_px, self.width_px = matte.shape
        self.face = face
        self.relief = Relief.of(face, matte)
        step = max(4, round(max(self.width_px, self.height_px) / COARSE_CELLS))
        self._coarse_step = step
        self._coarse = Grid.over_cells(0, 0, self.width_px, self.height_px, step)
        self._background_sheet = self._bare_sheet(self._coarse)
        self._fine_step = max(2, round(self.relief.unit_px / FINE_CELLS))
        self._fine = self._face_grid()
        self._eyelids = (self._eyelid_part(RIGHT_EYE), self._eyelid_part(LEFT_EYE))
        # The lids and lips part: what lies between eyes and mouth is moved apart from what lies around. Each of the
        # two motions is smooth, because each leaves out the edges that belong to the other.
        upper_lids = np.concatenate([eye.upper for eye in EYES])
        lower_lids = np.concatenate([eye.lower for eye in EYES])
        face_sheet = self._bare_sheet(self._fine)
        self._middle = self._expressive(face_sheet, np.concatenate([upper_lids, LOWER_LIP_POINTS]))
        self._around = self._expressive(face_sheet, np.concatenate([lower_lids, UPPER_LIP_POINTS]))
        self._landmark_share = self.relief.share(face.landmarks[:, :2])

    def landmarks(self, expression_px: FloatArray, motion: HeadMotion) -> FloatArray:
        """Where the portrait's landmarks go: (478, 3) pixels; z is only turned."""
        face = self.face.landmarks
        placed = face + expression_px
        turned = (placed - self.relief.centre_px) @ (motion.zoom * motion.rotation.T) + self.relief.centre_px
        turned += motion.shift_px
        return np.asarray(placed + self._landmark_share[:, None] * (turned - placed), np.float32)

    def backward_map(
        self, expression_px: FloatArray, motion: HeadMotion, target: FloatArray, texture_scale: int
    ) -> FloatArray:
        """Where each pixel of the frame looks in the portrait's texture.

        Args:
            expression_px: (478, 3) displacements of the landmarks in the portrait's own pose, pixels.
            motion: of the head, relative to the portrait's own pose.
            target: (478, 3), from `landmarks`.
            texture_scale: texture pixels per pixel of the portrait.
        Returns:
            (H, W, 2) texture pixels.
        """
        finer = np.float32(texture_scale)
        moved = self._moved(self._background_sheet, self._coarse, expression_px, motion)
        coarse = invert(self._coarse, moved, self._coarse)
        look_up = to_pixels(finer * coarse, self._coarse_step, self.width_px, self.height_px)

        around = self._moved(self._around, self._fine, expression_px, motion, self._eyelids)
        middle = self._moved(self._middle, self._fine, expression_px, motion)
        face = _Box.around(around.reshape(-1, 2), self.width_px, self.height_px)
        if face.empty:
            return look_up
        cells = Grid.over_cells(face.left, face.top, face.width, face.height, self._fine_step)
        rigid = self._coarse.sample(coarse, cells.points())
        outer, inner = invert(self._fine, around, cells), invert(self._fine, middle, cells)
        within = self._fine.inside(outer)[..., None]
        outer, inner = (finer * (rigid + within * (found - rigid)) for found in (outer, inner))
        look_up[face.rows, face.columns] = to_pixels(outer, self._fine_step, face.width, face.height)

        outline = _middle_outline(target)
        box = _Box.around(outline, self.width_px, self.height_px).within(face)
        if not box.empty:
            inner_px = to_pixels(inner, self._fine_step, face.width, face.height)
            change = inner_px[box.top - face.top :, box.left - face.left :][: box.height, : box.width]
            change -= look_up[box.rows, box.columns]
            change *= cv2.merge([_soft_polygon(outline, box)] * 2)
            look_up[box.rows, box.columns] += change
        return look_up

    def _moved(
        self, sheet: _Sheet, grid: Grid, expression_px: FloatArray, motion: HeadMotion, lids: tuple[_Part, ...] = ()
    ) -> FloatArray:
        """Where the points of a sheet go; (rows, columns, 2). In the parts `lids`, upper lids may come down."""
        expression = np.zeros((1, 3), np.float32)
        if sheet.weights is not None:  # a product per coordinate is twice as fast as one with three columns
            along = np.ascontiguousarray(expression_px[sheet.used].T)
            expression = np.stack([sheet.weights @ axis for axis in along], axis=1)
        moved = self.relief.move(sheet.points, sheet.share, expression, motion)
        moved = moved.reshape(grid.rows, grid.columns, 2)
        for part in lids:  # or a head that looks up would hold them up: there what is lower keeps its place
            moved[part] = give_way_below(moved[part], grid.step)
        near = -motion.rotation[:, 2]  # where the nose travels
        return keep_from_folding(moved, grid.step, (float(near[0]), float(near[1])))

    def _face_grid(self) -> Grid:
        ring = self.relief.ring(1.75)
        step = self._fine_step
        low, high = np.floor(ring.min(axis=0)), np.ceil(ring.max(axis=0))
        columns, rows = np.ceil((high - low) / step).astype(int) + 1
        return Grid(float(low[0]), float(low[1]), step, int(columns), int(rows))

    def _eyelid_part(self, eye: EyeRegion) -> _Part:
        """Rows and columns of the fine grid from the brow to the cheek below an eye."""
        points = self.face.landmarks[:, :2]
        low, high = points[eye.contour].min(axis=0), points[eye.contour].max(axis=0)
        reach = 0.6 * float((high - low).max())
        beside, brow = 0.2 * reach, points[eye.brow, 1].min()
        corners = np.array([[low[0] - beside, brow], [high[0] + beside, high[1] + reach]])
        grid = self._fine
        (left, top), (right, bottom) = np.rint((corners - (grid.left, grid.top)) / grid.step).astype(int).tolist()
        return slice(max(top, 0), max(bottom, 1)), slice(max(left, 0), max(right, 1))

    def _bare_sheet(self, grid: Grid) -> _Sheet:
        points = grid.points().reshape(-1, 2)
        spatial = np.concatenate([points, self.relief.depth(points)[:, None]], axis=1)
        return _Sheet(spatial, self.relief.share(points), None, np.arange(0))

    def _expressive(self, sheet: _Sheet, left_out: Indices) -> _Sheet:
        used = np.setdiff1d(np.arange(MESH_POINTS), left_out)
        still = np.concatenate([self.relief.ring(scale) for scale in (1.6, 1.75, 2.0)])
        known = np.concatenate([self.face.landmarks[used, :2], still])
        weights = thin_plate_matrix(known, sheet.points[:, :2], stiffness=1e-4)[:, : len(used)]
        return replace(sheet, weights=np.ascontiguousarray(weights), used=used)


@dataclass(frozen=True)
class _Box:
    """A rectangle of whole pixels."""

    left: int
    top: int
    right: int  # exclusive
    bottom: int

    @staticmethod
    def around(points: FloatArray, width_px: int, height_px: int) -> _Box:
        """The smallest one that holds (N, 2) points and a pixel's margin, cut to the picture."""
        low, high = np.floor(points.min(axis=0)) - 1, np.ceil(points.max(axis=0)) + 2
        return _Box(
            int(max(low[0], 0)), int(max(low[1], 0)), int(min(high[0], width_px)), int(min(high[1], height_px))
        )

    def within(self, other: _Box) -> _Box:
        """What both cover."""
        return _Box(
            max(self.left, other.left), max(self.top, other.top),
            min(self.right, other.right), min(self.bottom, other.bottom),
        )  # fmt: skip

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        return self.width < 2 or self.height < 2

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)


def _middle_outline(target: FloatArray) -> FloatArray:
    """The part of the face between the lines where lids meet and the line where the lips meet; (N, 2)."""
    # A closed upper lid reaches over the lower one (LID_OVERLAP): most of that hides the lower lid's wet rim.
    lids = [0.8 * target[eye.upper, :2] + 0.2 * target[eye.lower, :2] for eye in (RIGHT_EYE, LEFT_EYE)]
    lips = 0.5 * (target[UPPER_LIP[3], :2] + target[LOWER_LIP[3], :2])
    corner = target[:, :2]
    return np.concatenate(
        [
            corner[[127, RIGHT_EYE.outer]], lids[0], corner[[RIGHT_EYE.inner, 168, LEFT_EYE.inner]], lids[1][::-1],
            corner[[LEFT_EYE.outer, 356, 361, 291, 308]], lips[::-1], corner[[78, 61, 132]],
        ]
    )  # fmt: skip


def _soft_polygon(outline: FloatArray, box: _Box) -> FloatArray:
    """1 inside, 0 outside, a soft edge of about a pixel; (box.height, box.width)."""
    mask = np.zeros((box.height, box.width), np.uint8)
    fixed_point = np.round((outline - [box.left, box.top]) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed_point], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), np.float32) * np.float32(1 / 255)
