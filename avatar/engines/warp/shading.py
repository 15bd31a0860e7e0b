"""Shading of a smile: folds beside the nose, paler lips, brighter cheeks; and its reverse as a smile relaxes.

A warp takes along the light that the skin has in the portrait. How light changes with a smile was measured on pairs of
photographs (`tools.fit_shading`): one field of log gains over the mean face per unit of smile, one for the reverse; and
how the portrait's own contrast changes there, for a face that smiles has its own folds, which go with the smile.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.grid import Grid
from avatar.engines.warp.look_up import Box, CellMap, LookUp
from avatar.engines.warp.matting.scattered import thin_plate_values
from avatar.engines.warp.relief import MESH_POINTS
from avatar.engines.warp.scene import Scene
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.canonical import canonical_face
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, FACE_OVAL, LOWER_LIP, UPPER_LIP, Indices

STEP = 1 / 64  # spacing of the fields, canonical units
LEFT, TOP = -50 * STEP, -42 * STEP  # their first column and row
COLUMNS, ROWS = 101, 113
LEAST, MOST = 0.02, 1.8  # of a smile, as a multiple of the average one: less is not seen, more is not trusted
OWN_SMILE = 0.54  # blendshape of a portrait that smiles by one unit
ACROSS = 0.08  # width over which the two sides of the face blend, canonical units
FINE, WIDE = 0.016, 0.094  # standard deviations of what counts as detail and as surroundings, canonical units
MOST_CONTRAST = 0.6  # log gain: more is a feature, not a fold
DARKEST = 10.0  # levels added before the logarithm, against noise in the dark
_COARSE = 3  # every n-th point of the texture is mapped to the mean face exactly
_COARSER = 1.5  # the gains are smooth: at points that many steps apart, frames agree to 63 dB with those at one
_SMILES = [BLENDSHAPES.index(name) for name in ("mouthSmileRight", "mouthSmileLeft")]


@dataclass(frozen=True, eq=False)
class SmileFields:
    """Measure of a smile, and the change of the light with it."""

    points: tuple[Indices, Indices]  # (N,) landmarks around the mouth's right and left corner (of the person)
    directions: tuple[FloatArray, FloatArray]  # (N, 3) their displacement by one unit, canonical frame
    smiling: FloatArray  # (ROWS, COLUMNS, 3) log gains of R, G, B per unit
    relaxing: FloatArray  # the same per unit of a smile that goes
    smiling_contrast: FloatArray  # (ROWS, COLUMNS, 1) further log gain per unit, and per unit of `own_contrast`
    relaxing_contrast: FloatArray  # the same for a smile that goes

    def amounts(self, expression: FloatArray) -> FloatArray:
        """Return (2,) units of smile on the right and the left, of (478, 3) displacements in the canonical frame."""
        return np.array(
            [
                float(np.sum(expression[at] * unit)) / float(np.sum(unit**2))
                for at, unit in zip(self.points, self.directions, strict=True)
            ],
            np.float32,
        )

    def of_portrait(self, face: Face, expression_px: FloatArray) -> FloatArray:
        """Return (2,) units of smile, limited to what is trusted: a portrait's smile relaxes no further than it is.

        Args:
            face: of the portrait.
            expression_px: (478, 3) displacements of its landmarks in its own pose, pixels.
        """
        own = np.clip(face.blendshapes[_SMILES] / OWN_SMILE, 0, MOST)
        moved = expression_px @ face.pose.rotation / np.float32(face.pose.scale_px)
        return np.asarray(np.clip(self.amounts(moved), -own, MOST), np.float32)


@functools.cache
def smile_fields() -> SmileFields:
    """Load the fields that ship with the program.

    Raises:
        WeightsError: this copy of the program lacks them.
    """
    from safetensors.numpy import load

    from avatar.weights import own_weights

    held = load(own_weights("smile-shading").read_bytes())
    points, direction = held["points"].astype(np.intp), held["direction"].astype(np.float32)
    right = canonical_face().points[points, 0] < 0
    return SmileFields(
        (points[right], points[~right]),
        (direction[right], direction[~right]),
        *(held[name].astype(np.float32) for name in ("smiling", "relaxing", "smiling_contrast", "relaxing_contrast")),
    )


def mean_face_positions(landmarks: FloatArray, queries: FloatArray) -> FloatArray:
    """Return where on the mean face (Q, 2) points of an image lie, by the face's (478, 3) landmarks; (Q, 2)."""
    mean = canonical_face().points[:MESH_POINTS, :2]
    return thin_plate_values(landmarks[:MESH_POINTS, :2], mean, queries, stiffness=1e-4)


def smile_sides(across: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weights (...) of the right and the left amount of smile at positions (...) across the mean face."""
    left = np.clip(across / ACROSS + 0.5, 0, 1)
    return 1 - left, left


def face_grid(face: Face) -> Grid:
    """Return the points of a portrait, `STEP` of its face apart, over the oval of its face."""
    step = max(1.0, float(face.pose.scale_px) * STEP)  # pixels
    oval = face.landmarks[FACE_OVAL, :2]
    (left, top), (columns, rows) = (oval.min(axis=0) - step).tolist(), np.ceil(np.ptp(oval, axis=0) / step).astype(int)
    return Grid(left, top, step, int(columns) + 3, int(rows) + 3)


def own_contrast(rgb: RgbImage, face: Face, grid: Grid) -> FloatArray:
    """Compute how much lighter than its surroundings the skin of a portrait is, without eyes and the open mouth.

    Args:
        rgb: (H, W, 3) uint8, the portrait.
        face: its face.
        grid: the points of interest, see `face_grid`.
    Returns:
        (rows, columns, 1), differences of logarithms, 0 outside of the face.
    """
    low = np.array([grid.left, grid.top], np.float32)
    size = grid.step * np.array([grid.columns, grid.rows])
    first = np.maximum(np.floor(low - grid.step).astype(int), 0)
    last = np.minimum(np.ceil(low + size + grid.step).astype(int), rgb.shape[1::-1])
    if np.any(last - first < 1):  # the face is outside of the picture
        return np.zeros((grid.rows, grid.columns, 1), np.float32)
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[first[1] : last[1], first[0] : last[0]]), cv2.COLOR_RGB2GRAY)
    smaller = 1 / max(int(grid.step), 1)
    grey = cv2.resize(grey, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
    scale = np.array(grey.shape[::-1]) / (last - first)
    at = ((grid.points() - first + 0.5) * scale - 0.5).astype(np.float32)
    luma = np.log(cv2.remap(grey, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) + np.float32(DARKEST))

    on_grid = np.rint((face.landmarks[:, :2] - low) / grid.step).astype(np.int32)
    skin = np.zeros(luma.shape, np.uint8)
    cv2.fillConvexPoly(skin, cv2.convexHull(on_grid[FACE_OVAL]), 1)
    lips = np.concatenate([UPPER_LIP[3], LOWER_LIP[3][::-1]])
    for outline in (*(eye.contour for eye in EYES), lips):
        cv2.fillPoly(skin, [on_grid[outline]], 0)
    known = skin.astype(np.float32)
    units = float(face.pose.scale_px) / grid.step
    detail, surroundings = (_averaged(luma, known, sigma * units) for sigma in (FINE, WIDE))
    contrast = np.where(skin > 0, np.clip(detail - surroundings, -MOST_CONTRAST, MOST_CONTRAST), 0)
    return np.asarray(contrast[..., None], np.float32)


def _averaged(values: FloatArray, known: FloatArray, sigma: float) -> FloatArray:
    """Blur (h, w) values where they are known, by weights (h, w)."""
    sums = cv2.GaussianBlur(cv2.merge([values * known, known]), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-3), np.float32)


class SmileShading:
    """The shading of one portrait's smile."""

    def __init__(self, rgb: RgbImage, face: Face, *, colour: float = 1.0, weight: float = 1.0) -> None:
        """Carry the fields over to a portrait.

        Args:
            rgb: (H, W, 3) uint8, the portrait.
            face: of the portrait.
            colour: [0, 1], 0 for a grey image, which takes no colour.
            weight: [0, 1], of the shading: 0 for a drawing in flat colours.
        """
        fields, self._face = smile_fields(), face
        self._grid = grid = face_grid(face)
        at = self._on_mean_face(face.landmarks)
        sides = [weight * side for side in smile_sides(at[..., :1])]
        contrast = own_contrast(rgb, face, grid)
        self._smiling, self._relaxing = (
            tuple((_muted(_sampled(field, at), colour) + contrast * _sampled(change, at)) * side for side in sides)
            for field, change in (
                (fields.smiling, fields.smiling_contrast),
                (fields.relaxing, fields.relaxing_contrast),
            )
        )  # each (rows, columns, 3), for the right and the left

    def _on_mean_face(self, landmarks: FloatArray) -> FloatArray:
        """Return the (rows, columns, 2) positions of the grid's points on the mean face."""
        grid = self._grid
        rows, columns = -(-grid.rows // _COARSE) + 1, -(-grid.columns // _COARSE) + 1
        coarse = Grid(grid.left, grid.top, grid.step * _COARSE, columns, rows)
        found = mean_face_positions(landmarks, coarse.points().reshape(-1, 2))
        finer = np.array([[1 / _COARSE, 0, 0], [0, 1 / _COARSE, 0]], np.float32)
        return np.asarray(
            cv2.warpAffine(
                found.reshape(coarse.rows, coarse.columns, 2),
                finer,
                (grid.columns, grid.rows),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )

    def draw(self, canvas: RgbImage, scene: Scene) -> None:
        """Shade the face on the warped portrait, in place.

        Args:
            canvas: (H, W, 3) uint8, before eyes and mouth are drawn.
            scene: what the frame shows.
        """
        amounts = smile_fields().of_portrait(self._face, scene.expression_px)
        if scene.look_up.face is None or np.abs(amounts).max() < LEAST:
            return
        height, width = canvas.shape[:2]
        box = Box.around(scene.target[FACE_OVAL, :2], width, height).within(scene.look_up.face.around.box)
        if box.empty:
            return
        sides = (
            (self._smiling if amount > 0 else self._relaxing)[side] * abs(amount) for side, amount in enumerate(amounts)
        )
        gains = np.exp(sum(sides, np.float32(0)))
        grid = self._grid
        step = max(1, int(_COARSER * grid.step))
        origin = np.array([grid.left, grid.top], np.float32)
        at = (_positions(scene.look_up, box, step) - origin) * np.float32(1 / grid.step)
        seen = cv2.remap(gains, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(1, 1, 1))
        if step > 1:
            seen = cv2.resize(seen, (seen.shape[1] * step, seen.shape[0] * step), interpolation=cv2.INTER_LINEAR)
        part = box.view(canvas, Box(0, 0, width, height))
        part[:] = cv2.multiply(np.ascontiguousarray(part), seen[: box.height, : box.width], dtype=cv2.CV_8U)


def _positions(look_up: LookUp, box: Box, step: int) -> FloatArray:
    """Return positions in the portrait at the centres of step x step pixels of a box of the frame: (h, w, 2)."""
    face = look_up.face
    assert face is not None
    size = (-(-box.width // step), -(-box.height // step))
    first = np.array([box.left, box.top], np.float32) + np.float32(0.5 * (step - 1))
    at = _cells(face.around, first, step, size)
    if face.middle_box.empty:  # it has left the frame
        return at
    shift = (first - (face.middle_box.left, face.middle_box.top)).reshape(2, 1)
    to_weight = np.concatenate([step * np.eye(2), shift], axis=1).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    weight = cv2.warpAffine(face.weight, to_weight, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    change = _cells(face.middle, first, step, size) - at
    at += change * cv2.merge([weight * np.float32(1 / 255)] * 2)
    return at


def _cells(cells: CellMap, first: FloatArray, step: int, size: tuple[int, int]) -> FloatArray:
    """Interpolate a cell map at (h, w) points `step` pixels apart from (2,) `first` on; `size` is (w, h)."""
    grid = Grid.over_cells(cells.box.left, cells.box.top, cells.box.width, cells.box.height, cells.step)
    shift = ((first - (grid.left, grid.top)) / grid.step).reshape(2, 1)
    to_cells = np.concatenate([step / grid.step * np.eye(2), shift], axis=1).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(cells.positions, to_cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _sampled(field: FloatArray, at: FloatArray) -> FloatArray:
    """Sample a field (ROWS, COLUMNS, C) at (h, w, 2) positions on the mean face; (h, w, C), 0 outside."""
    x, y = ((at[..., axis] - np.float32(start)) / np.float32(STEP) for axis, start in ((0, LEFT), (1, TOP)))
    sampled = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(sampled, np.float32).reshape(*at.shape[:2], field.shape[2])


def _muted(gains: FloatArray, colour: float) -> FloatArray:
    """Return (h, w, 3) log gains with their differences between channels scaled by `colour`."""
    grey = gains.mean(axis=2, keepdims=True)
    return np.asarray(grey + np.float32(colour) * (gains - grey), np.float32)
