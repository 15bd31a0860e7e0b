"""The eyeball between the lids of a moving portrait: its white, an iris that follows the gaze, and the shading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.eye.ball import EyeBall
from avatar.engines.warp.eye.iris import Iris, find_irises
from avatar.engines.warp.eye.lids import IRIS_CENTRE, SIDES, TABLE, Lids, Places, Side, read_lids
from avatar.engines.warp.eye.seam import REACH, Seam
from avatar.engines.warp.eye.texture import take_apart
from avatar.frames import FloatArray, RgbImage
from avatar.motion.smoothstep import smoothstep

_SURE_OF_IRIS = (0.16, 0.25)  # contrasts of its rim between which the weight of the separated parts rises from 0 to 1
_ALONG = np.linspace(0, 1, TABLE, dtype=np.float32)
_GLINT_FOLLOWS = 0.5  # a reflection in the cornea moves about half as far as the pupil


def irises_of(rgb: RgbImage, landmarks: FloatArray) -> dict[Side, Iris]:
    """Find both irises of a portrait (H, W, 3) uint8 with landmarks (478, 2 or 3), in pixels."""
    face, corner = _crop(rgb, [read_lids(landmarks, side) for side in SIDES], 0.5)
    return {side: iris.moved(corner) for side, iris in find_irises(face, landmarks[:, :2] - corner).items()}


class EyeLayer:
    """One eye of one portrait, separated into parts once and drawn into every frame."""

    def __init__(
        self, rgb: RgbImage, landmarks: FloatArray, side: Side, irises: Mapping[Side, Iris] | None = None
    ) -> None:
        """Separate the eye into parts.

        Args:
            rgb: (H, W, 3) uint8, the portrait.
            landmarks: (478, 2 or 3) float32, its face in pixels.
            side: which of the person's eyes.
            irises: both, from `irises_of`; None: they are looked for.
        """
        self._side = side
        irises = irises or irises_of(rgb, landmarks)
        iris = irises[side]
        plain = np.mean([[each.contrast] for each in irises.values()], axis=0)
        self._sure = float(smoothstep(plain, *_SURE_OF_IRIS)[0])  # weight of the parts, the same for both eyes
        eye, self._corner = _crop(rgb, [read_lids(landmarks, side)], 0.4)
        self._image = eye.astype(np.float32)
        self._iris = iris.moved(-self._corner)
        self._lids = read_lids(landmarks[:, :2] - self._corner, side)
        self._off_track = iris.centre - landmarks[IRIS_CENTRE[side], :2]  # error of the tracker
        self._ball = EyeBall.of(self._lids, iris.radius_px)
        self._texture = take_apart(eye, self._lids, self._iris)
        self._seam = Seam(self._image, self._lids)

    def draw(self, canvas: RgbImage, landmarks: FloatArray, iris_px: FloatArray, affine: FloatArray) -> None:
        """Draw the eye between its lids, in place.

        Args:
            canvas: (H, W, 3) uint8, the frame; changed within the eye's opening and, while it closes, along the lids.
            landmarks: (478, 2 or 3) float32, the landmarks of the moved portrait, canvas pixels.
            iris_px: (2,) target of the iris's centre, canvas pixels; limited to the range of the eyeball.
            affine: (2, 3) from portrait pixels to canvas pixels, for the eye socket, which is rigid.
        """
        lids = read_lids(landmarks, self._side)
        scale = max(float(lids.down @ affine[:, :2] @ self._lids.down), 1e-3)
        opening_px = lids.opening_px() / np.float32(scale)
        closing = self._seam.closing(opening_px)
        box = _Box.around(lids, canvas, REACH * lids.width_px if closing > 0 else 0)
        if box is None:
            return
        places = lids.places(box.x, box.y)
        at = self._beside_lids(places, scale)
        view = box.view(canvas)
        drawn = view.astype(np.float32)
        if closing > 0:
            self._seam.draw(drawn, at, places, closing)
        back = _inverse(affine)
        centre = self._ball.turn(self._iris.centre, _transform(iris_px, back) + self._off_track - self._corner)
        place = box.map(back) - self._corner  # positions in the crop for pixels that move with the socket
        ball = self._eyeball(at, place, centre, opening_px)
        if self._sure < 1:
            ball = ball * self._sure + self._pulled(at, places, centre) * (1 - self._sure)
        drawn += places.inside()[..., None] * (ball - drawn)
        view[...] = cv2.convertScaleAbs(np.maximum(drawn, 0))  # rounds, and saturates at 255

    def _beside_lids(self, places: Places, scale: float) -> FloatArray:
        """Compute the positions (h, w, 2) in the crop for pixels that move with the lids; `scale`: canvas over crop.

        Next to each lid, distances from it are as in the portrait; the region between is stretched.
        """
        upper, lower = self._lids.at(places.along)
        share = np.clip(places.depth(), 0, 1)
        from_upper = upper + places.below_px / np.float32(scale)
        from_lower = lower - places.above_px / np.float32(scale)
        return self._lids.points(places.along, from_upper + share * share * (3 - 2 * share) * (from_lower - from_upper))

    def _eyeball(self, at: FloatArray, place: FloatArray, centre: FloatArray, opening_px: FloatArray) -> FloatArray:
        """Draw the region between the lids.

        Args:
            at: (h, w, 2) positions in the crop for pixels that move with the lids.
            place: (h, w, 2) positions in the crop for pixels that move with the socket.
            centre: (2,) target of the iris, in the crop.
            opening_px: (TABLE,) height of the opening, at the portrait's scale.
        Returns:
            (h, w, 3) float32, 0 to 255 or slightly beyond.
        """
        own = self._iris.centre
        into = self._ball.foreshortening(own) @ np.linalg.inv(self._ball.foreshortening(centre))
        white = _sample(self._texture.white, at)
        disc = _sample(self._texture.iris, (place - centre) @ into.T.astype(np.float32) + own, bounded=True)
        iris, cover = disc[..., :3], disc[..., 3:]
        drawn = white[..., :3] + cover * (iris * white[..., 3:] - white[..., :3])
        shift = centre - own
        if self._texture.glint is not None:
            drawn += _sample(self._texture.glint, place - np.float32(_GLINT_FOLLOWS) * shift, bounded=True) * cover
        stillness = self._stillness(shift, opening_px)
        if stillness > 1e-3:
            drawn += np.float32(stillness) * _sample(self._texture.rest, at)
        return np.asarray(drawn, np.float32)

    def _stillness(self, shift: FloatArray, opening_px: FloatArray) -> float:
        """Return the weight, in [0, 1], of the details that fit the portrait's own gaze and opening only.

        Args:
            shift: (2,) displacement of the iris, pixels of the crop.
            opening_px: (TABLE,) height of the opening, at the portrait's scale.
        """
        opened = float(np.abs(opening_px - self._lids.opening_px()).max()) / self._iris.radius_px
        shifted = float(np.hypot(*shift)) / self._iris.radius_px
        return math.exp(-((shifted / 0.3) ** 2) - (opened / 0.5) ** 2)

    def _pulled(self, at: FloatArray, places: Places, centre: FloatArray) -> FloatArray:
        """Displace the portrait's own eye towards the gaze, for eyes that cannot be separated into parts.

        Args:
            at: (h, w, 2) positions in the crop for pixels that move with the lids.
            places: coordinates of the pixels between the lids.
            centre: (2,) target of the iris, in the crop.
        Returns:
            (h, w, 3) float32.
        """
        share = np.clip(places.depth(), 0, 1)
        pull = 4 * share * (1 - share) * smoothstep(places.along, 0, 0.3) * smoothstep(places.along, 1, 0.7)
        return _sample(self._image, at - pull[..., None] * (centre - self._iris.centre))


@dataclass(frozen=True, eq=False)
class _Box:
    """The canvas pixels around one eye."""

    x: FloatArray  # (w,) columns of the canvas
    y: FloatArray  # (h,) rows

    @staticmethod
    def around(lids: Lids, canvas: RgbImage, margin_px: float) -> _Box | None:
        """Return the bounding box of the opening with a margin, on an (H, W, 3) canvas; None if it lies outside."""
        edge = np.concatenate([lids.points(_ALONG, lids.upper), lids.points(_ALONG, lids.lower)])
        size = np.array([canvas.shape[1], canvas.shape[0]])
        left, top = np.clip(np.floor(edge.min(axis=0) - margin_px), 0, size).astype(int)
        right, bottom = np.clip(np.ceil(edge.max(axis=0) + margin_px) + 1, 0, size).astype(int)
        if right <= left or bottom <= top:
            return None
        return _Box(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))

    def view(self, canvas: RgbImage) -> RgbImage:
        """Return these pixels of the (H, W, 3) canvas as a writable (h, w, 3) view."""
        return canvas[int(self.y[0]) : int(self.y[-1]) + 1, int(self.x[0]) : int(self.x[-1]) + 1]

    def map(self, affine: FloatArray) -> FloatArray:
        """Apply an affine map (2, 3) to the positions of the pixels; (h, w, 2)."""
        mapped = self.x[None, :, None] * affine[:, 0] + self.y[:, None, None] * affine[:, 1] + affine[:, 2]
        return np.asarray(mapped, np.float32)


def _transform(point: FloatArray, affine: FloatArray) -> FloatArray:
    """Apply an affine map (2, 3) to a point (2,); (2,) float32."""
    return np.asarray(affine[:, :2] @ point + affine[:, 2], np.float32)


def _inverse(affine: FloatArray) -> FloatArray:
    """Invert an affine map (2, 3)."""
    return np.asarray(cv2.invertAffineTransform(np.asarray(affine, np.float32)))


def _sample(texture: FloatArray, at: FloatArray, *, bounded: bool = False) -> FloatArray:
    """Sample a texture (H, W, C) at (h, w, 2); outside, the border is replicated or, if `bounded`, the value is 0."""
    border = cv2.BORDER_CONSTANT if bounded else cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=border))


def _crop(rgb: RgbImage, eyes: list[Lids], margin: float) -> tuple[RgbImage, FloatArray]:
    """Crop (H, W, 3) to eyes with a margin, a fraction of their extent; the (h, w, 3) crop and its corner (2,)."""
    corners = np.stack([point for lids in eyes for point in (lids.origin, lids.origin + lids.axis * lids.width_px)])
    pad = margin * float(np.ptp(corners, axis=0).max())
    edges = np.concatenate([lids.points(_ALONG, lid) for lids in eyes for lid in (lids.upper, lids.lower)])
    room = 0.5 * pad  # a cartoon's eye may be as tall as it is wide
    low = np.minimum(corners.min(axis=0) - pad, edges.min(axis=0) - room)
    high = np.maximum(corners.max(axis=0) + pad, edges.max(axis=0) + room)
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(low), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(high), [left + 2, top + 2], [width, height]).astype(int)
    return rgb[top:bottom, left:right], np.array([left, top], np.float32)
