"""A scene's backward map as the shader's buffers; the layout is that of `shader.wgsl`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.engines.warp.look_up import Box, CellMap, LookUp
from avatar.frames import FloatArray

_CELLS = np.dtype(
    {
        "names": ["left", "top", "step", "columns", "first"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<u4"],
        "itemsize": 32,
    }
)
_FRAME = np.dtype(
    [
        ("cells", _CELLS, 3), ("size", "<f4", 2), ("texture_scale", "<f4"), ("weight_pitch", "<u4"),
        ("weight_corner", "<f4", 2), ("pad", "<f4", 2),
    ]
)  # fmt: skip
FRAME_BYTES = _FRAME.itemsize


@dataclass(frozen=True, eq=False)
class Packed:
    """Data of one frame that are uploaded to the chip."""

    frame: npt.NDArray[np.void]  # (1,)
    grids: FloatArray  # (N, 2), the positions of all maps, from the texture's corner
    weights: npt.NDArray[np.uint8]  # (h, pitch)
    boxes: FloatArray  # (M, 4), left, top, right and bottom of what is drawn
    passes: tuple[range, range, range]  # which of them lie outside the face's box, around the middle, and in it


def pack(look_up: LookUp, texture_scale: int, parts: list[Box], person: Box) -> Packed:
    """Pack a backward map for some parts of the frame, which do not overlap.

    Args:
        look_up: of the frame.
        texture_scale: texture pixels per pixel of the portrait.
        parts: what is drawn.
        person: the part of the portrait that the texture shows.
    """
    image, face = look_up.whole.box, look_up.face
    frame = np.zeros(1, _FRAME)
    maps = [look_up.whole] if face is None else [look_up.whole, face.around, face.middle]
    grids = _pack_maps(frame["cells"][0], maps) - np.array([person.left, person.top], np.float32)
    frame["size"], frame["texture_scale"] = (image.width, image.height), texture_scale
    weights = np.zeros((1, 4), np.uint8)
    regions: tuple[tuple[Box, ...], ...] = ((image,), (), ())
    if face is not None:
        around, middle = face.around.box, face.middle_box
        regions = _outside(image, around), (around,), ()
        if not middle.empty:
            regions = regions[0], _outside(around, middle), (middle,)
            weights = np.zeros((middle.height, -(-middle.width // 4) * 4), np.uint8)
            weights[:, : middle.width] = face.weight
            frame["weight_pitch"], frame["weight_corner"] = weights.shape[1], (middle.left, middle.top)
    boxes: list[tuple[int, int, int, int]] = []
    passes = []
    for region in regions:
        first = len(boxes)
        inside = [part.within(each) for part in parts for each in region]
        boxes += [(box.left, box.top, box.right, box.bottom) for box in inside if box.width > 0 and box.height > 0]
        passes.append(range(first, len(boxes)))
    packed_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Packed(frame, grids, weights, packed_boxes, (passes[0], passes[1], passes[2]))


def _pack_maps(cells: npt.NDArray[np.void], maps: list[CellMap]) -> FloatArray:
    """Fill in (3,) cells in place, and return the (N, 2) positions of all maps, one after the other."""
    first = 0
    for cell, each in zip(cells, maps, strict=False):
        rows, columns = each.positions.shape[:2]
        cell["left"], cell["top"], cell["step"] = each.box.left, each.box.top, each.step
        cell["columns"], cell["first"] = columns, first
        first += rows * columns
    return np.concatenate([each.positions.reshape(-1, 2) for each in maps]).astype(np.float32, copy=False)


def _outside(box: Box, hole: Box) -> tuple[Box, Box, Box, Box]:
    """Return what is left of a box around a hole in it: above, below, left and right; some may be empty."""
    return (
        Box(box.left, box.top, box.right, hole.top),
        Box(box.left, hole.bottom, box.right, box.bottom),
        Box(box.left, hole.top, hole.left, hole.bottom),
        Box(hole.right, hole.top, box.right, hole.bottom),
    )
