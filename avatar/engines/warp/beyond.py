"""The person continued beyond the edges of a portrait that cut her off, so that something can move in from there.

A head that an edge cuts off beside or above the face is mirrored there; the mirror image is cut so that the outline
closes: above to a crown, beside along a line from where the edge begins to cut. Neck and shoulders give way to the
motion, so their edges are held instead; see `Relief`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.look_up import Box
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.motion.head import soft_limit

ROOM = 0.8  # of the distance between edge and face is mirrored: hair, and no forehead
LEAST, MOST = 0.03, 0.35  # limits of what is mirrored, as a fraction of the image's shorter side
CUT = 128  # of 255: a matte above it at the edge means that the edge cuts the person off
WIDENS = 1.0  # beside the portrait, what an edge cuts ends along a line with this slope: never as a second outline
_OUTLINE_PX = 3  # softness of that line
STRANDS = 0.12  # height over which hair beside the crown ends, as a fraction of its radius
SOFT = 0.05  # width of the crown's edge, as a fraction of its radius
FLATTER = 1.1  # radius of the crown over half the width of the head below it
LEAST_CONTRAST = 30.0  # levels between skin and what is at the edge, below which that is skin
CLEAR = 0.8  # of the height at which skin begins is taken for hair
_SAMPLED_PX = 3  # height at the edge of which the hair's colour is taken
_CLOSED_PX = 5  # gaps between strands up to this width are no outline
_WHOLE_PX = 8  # margins are multiples of this: `MovingParts` works in blocks of it

_Layer = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of a person's matte, in [0, 1]: 1 where she is cropped."""

    left: FloatArray  # (H,)
    right: FloatArray  # (H,)
    top: FloatArray  # (W,)
    bottom: FloatArray  # (W,)

    @staticmethod
    def of(matte: FloatArray) -> Edges:
        """Copy the edges of an (H, W) matte."""
        return Edges(matte[:, 0].copy(), matte[:, -1].copy(), matte[0].copy(), matte[-1].copy())

    @property
    def side_px(self) -> int:
        """The image's shorter side."""
        return min(len(self.left), len(self.top))


@dataclass(frozen=True)
class Beyond:
    """Widths of what continues a portrait beyond its edges, pixels; 0 where an edge does not cut off the head."""

    left: int
    top: int
    right: int
    crown: tuple[float, float, float] | None = None  # x and y of the middle of the head's upper end, and its radius
    hair_px: int = 0  # height of the hair at the upper edge, of which alone the crown is made; 0: not known

    @staticmethod
    def of(edges: Edges, oval_px: FloatArray) -> Beyond:
        """Measure where a person is cut off; `oval_px`, (N, 2), is the outline of the face."""
        height, width = len(edges.left), len(edges.top)
        low, high = oval_px.min(axis=0), oval_px.max(axis=0)
        rows, columns = _span(oval_px[:, 1], height), _span(oval_px[:, 0], width)
        sides = (edges.left, rows, low[0]), (edges.top, columns, low[1]), (edges.right, rows, width - 1 - high[0])
        left, top, right = (
            _reach_px(float(room), edges.side_px) if (255 * edge[head] > CUT).any() else 0 for edge, head, room in sides
        )
        return Beyond(left, top, right)

    def crowned(self, rgb: RgbImage, matte: FloatArray, oval_px: FloatArray) -> Beyond:
        """Return the same with the crown of a head that the upper edge cuts off.

        Args:
            rgb: (H, W, 3) uint8, the portrait.
            matte: (H, W) in [0, 1], 1 on the person.
            oval_px: (N, 2) outline of the face.
        """
        if not self.top:
            return self
        crown = _crown(matte, float(oval_px[:, 1].min()), _span(oval_px[:, 0], matte.shape[1]))
        return replace(self, crown=crown, hair_px=hair_px(rgb, oval_px))

    def bounded(self, shift_px: FloatArray) -> FloatArray:
        """Limit the shift (3,) of a head away from edges that crop it to what is continued there."""
        right, down, inwards = shift_px.tolist()
        if self.left and right > 0:
            right = soft_limit(right, self.left)
        if self.right and right < 0:
            right = soft_limit(right, self.right)
        if self.top and down > 0:
            down = soft_limit(down, self.top)
        return np.array([right, down, inwards], np.float32)

    def continued(self, layer: _Layer, box: Box, width_px: int) -> tuple[_Layer, Box]:
        """Continue a layer of which 0 is nothing.

        Args:
            layer: (h, w, ...), premultiplied if it has colours.
            box: the part of the portrait that it shows.
            width_px: width of the portrait.
        Returns:
            The layer, and the part of the plane that it shows, which reaches beyond the portrait.
        """
        left = self.left if box.left == 0 else 0
        right = self.right if box.right == width_px else 0
        top = self.top if box.top == 0 else 0
        if not left + top + right:
            return layer, box
        wider = np.asarray(cv2.copyMakeBorder(layer, top, 0, left, right, cv2.BORDER_REFLECT))
        if 0 < self.hair_px < top:
            up = np.arange(top)[::-1] % (2 * self.hair_px)
            wider[:top] = wider[top + np.minimum(up, 2 * self.hair_px - 1 - up)]
        if left:
            _end(wider[:, left - 1 :: -1], wider[:, left])
        if right:
            _end(wider[:, -right:], wider[:, -right - 1])
        grown = Box(box.left - left, -top if top else box.top, box.right + right, box.bottom)
        if top and self.crown is not None:
            kept = self._kept(grown, wider[top] if layer.ndim == 2 else wider[top, :, -1])
            weight = cv2.merge([kept] * layer.shape[2]) if layer.ndim == 3 else kept
            wider[:top] = cv2.multiply(wider[:top], weight, scale=1 / 255)
        return wider, grown

    def _kept(self, box: Box, at_edge: AlphaImage) -> AlphaImage:
        """Return the share of the mirror image above the portrait that is kept, (top, box.width), 0 to 255.

        Args:
            box: the part of the plane.
            at_edge: (box.width,) alpha along the upper edge of the portrait.
        """
        assert self.crown is not None
        x, y, radius = self.crown
        across = np.arange(box.left, box.right, dtype=np.float32) - np.float32(x)
        up = np.arange(-self.top, 0, dtype=np.float32)[:, None]
        inside = (np.float32(radius) - np.hypot(across, up - np.float32(y))) / np.float32(max(SOFT * radius, 1)) + 0.5
        beside = at_edge * (np.abs(across) > np.sqrt(max(radius**2 - y**2, 0))) * np.float32(1 / 255)
        strands = (1 + up / np.float32(max(STRANDS * radius, 1))) * beside
        return np.asarray(np.round(255 * np.clip(np.maximum(inside, strands), 0, 1)), np.uint8)


NOTHING_CUT = Beyond(0, 0, 0)


def _end(beside: _Layer, edge: _Layer) -> None:
    """Close the outline of what is mirrored beside an edge of the portrait, in place.

    Args:
        beside: (h, w, ...), from the edge outwards.
        edge: (h, ...), the portrait's last column.
    """
    alpha, at_edge = (beside[..., -1], edge[..., -1]) if beside.ndim == 3 else (beside, edge)
    column, reach = np.ascontiguousarray(at_edge[:, None]), alpha.shape[1]
    cut = np.repeat(cv2.medianBlur(column, _CLOSED_PX) > CUT, 3, axis=1).astype(np.uint8)
    # The portrait's own upper and lower edge end nothing: it is not known how she goes on there.
    inside = cv2.distanceTransform(cut, cv2.DIST_L2, 5)[:, 1:2]
    outline = 255 * np.clip((WIDENS * inside - np.arange(reach, dtype=np.float32)) / _OUTLINE_PX, 0, 1)
    haze = cv2.erode(column, np.ones((2 * reach + 1, 1), np.uint8))  # of the background, which a soft matte takes along
    closed = cv2.morphologyEx(np.ascontiguousarray(alpha), cv2.MORPH_CLOSE, np.ones((_CLOSED_PX, _CLOSED_PX), np.uint8))
    most = np.minimum(np.maximum(outline, haze), np.minimum.accumulate(closed, axis=1))
    share = np.round(np.minimum(255 * most / np.maximum(alpha, 1), 255)).astype(np.uint8)
    weight = cv2.merge([share] * beside.shape[2]) if beside.ndim == 3 else share
    beside[:] = cv2.multiply(np.ascontiguousarray(beside), weight, scale=1 / 255)


def _span(values: FloatArray, size: int) -> slice:
    """Return the pixels of an axis of `size` between the least and the largest of (N,) values."""
    start, stop = np.clip([values.min(), values.max() + 1], 0, size).astype(int).tolist()
    return slice(start, stop)


def hair_px(rgb: RgbImage, oval_px: FloatArray) -> int:
    """Return how far down from the upper edge of an image (H, W, 3) the hair reaches; 0: to the face, or there is none.

    Args:
        rgb: (H, W, 3) uint8.
        oval_px: (N, 2) outline of the face.
    """
    low, high = oval_px.min(axis=0), oval_px.max(axis=0)
    third = (high[0] - low[0]) / 3
    left, right = np.clip([low[0] + third, high[0] - third], 0, rgb.shape[1]).astype(int).tolist()
    top, middle, below = (
        np.clip(low[1] + (high[1] - low[1]) * np.array([0, 0.4, 0.6]), 0, len(rgb)).astype(int).tolist()
    )
    if top < 2 * _SAMPLED_PX or right - left < 2 or below - middle < 2:
        return 0
    down = rgb[:top, left:right].mean(axis=1, dtype=np.float32)
    skin = np.median(rgb[middle:below, left:right], axis=(0, 1))  # nose and cheeks, which no fringe covers
    contrast = float(np.linalg.norm(down[:_SAMPLED_PX].mean(axis=0) - skin))
    is_skin = np.linalg.norm(down - skin, axis=1) < 0.5 * contrast
    if contrast < LEAST_CONTRAST or not is_skin.any():
        return 0
    return max(int(CLEAR * np.argmax(is_skin)), _SAMPLED_PX)


def _reach_px(room_px: float, side_px: int) -> int:
    """Return how far an edge is continued, by the room between it and the face and the image's shorter side."""
    reach = float(np.clip(ROOM * room_px, LEAST * side_px, MOST * side_px))
    return -(-int(np.ceil(reach)) // _WHOLE_PX) * _WHOLE_PX


def _crown(matte: FloatArray, room_px: float, columns: slice) -> tuple[float, float, float] | None:
    """Fit a circle to the head above the face: as wide as it is there, through both ends of the cut.

    Args:
        matte: (H, W) in [0, 1].
        room_px: distance of the face from the upper edge.
        columns: of the face.
    Returns:
        x and y of its middle, and its radius; None where the cut has no ends in the image.
    """
    above = 255 * matte[: max(int(room_px), 1)] > CUT
    start, stop = _run(above[0], columns)
    if start == 0 or stop == matte.shape[1]:
        return None
    widest = max(end - begin for begin, end in (_run(row, columns) for row in above))
    half = 0.5 * (stop - start)
    radius = FLATTER * max(0.5 * widest, half)
    return 0.5 * (start + stop - 1), float(np.sqrt(radius**2 - half**2)), radius


def _run(row: npt.NDArray[np.bool_], columns: slice) -> tuple[int, int]:
    """Return the bounds of the longest run of true pixels in a (W,) row that reaches into some columns; 0, 0: none."""
    padded = np.concatenate([[False], row, [False]]).astype(np.int8)
    ends = np.flatnonzero(np.diff(padded)).reshape(-1, 2)
    inside = ends[(ends[:, 1] > columns.start) & (ends[:, 0] < columns.stop)]
    if not len(inside):
        return 0, 0
    begin, end = inside[np.argmax(inside[:, 1] - inside[:, 0])].tolist()
    return int(begin), int(end)
