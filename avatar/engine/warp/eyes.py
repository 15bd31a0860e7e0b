"""The eyeball between the lids of a moving portrait: the white, an iris that looks around, the light on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.eye_ball import EyeBall
from avatar.engine.warp.eye_iris import find_irises
from avatar.engine.warp.eye_lids import IRIS_CENTRE, SIDES, TABLE, Lids, Places, Side, read_lids
from avatar.engine.warp.eye_seam import REACH, Seam
from avatar.engine.warp.eye_texture import take_apart
from avatar.frames import FloatArray, RgbImage
from avatar.smoothstep import smoothstep

_SURE_OF_IRIS = (0.16, 0.25)  # contrast of its rim: below the first the eye is not taken apart, above the second it is
_ALONG = np.linspace(0, 1, TABLE, dtype=np.float32)
_GLINT_FOLLOWS = 0.5  # a light's image in the cornea moves about half as far as the pupil: it is before the pivot


class EyeLayer:
    """One eye of one portrait, taken apart once and drawn anew into each frame."""

    def __init__(self, rgb: RgbImage, landmarks: FloatArray, side: Side) -> None:
        """Take the eye apart.

        Args:
            rgb: (H, W, 3) uint8, the portrait.
            landmarks: (478, 2 or 3) float32, its face in pixels.
            side: which of the person's eyes.
        """
        self._side = side
        face, corner = _crop(rgb, [read_lids(landmarks, each) for each in SIDES], 0.5)
        irises = find_irises(face, landmarks[:, :2] - corner)
        iris = irises[side].moved(corner)
        plain = np.mean([[each.contrast] for each in irises.values()], axis=0)
        self._sure = float(smoothstep(plain, *_SURE_OF_IRIS)[0])  # how far to trust the parts; both eyes alike
        eye, self._corner = _crop(rgb, [read_lids(landmarks, side)], 0.4)
        self._picture = eye.astype(np.float32)
        self._iris = iris.moved(-self._corner)
        self._lids = read_lids(landmarks[:, :2] - self._corner, side)
        self._off_track = iris.centre - landmarks[IRIS_CENTRE[side], :2]  # the tracker's iris is not the picture's
        self._ball = EyeBall.of(self._lids, iris.radius_px)
        self._texture = take_apart(eye, self._lids, self._iris)
        self._seam = Seam(self._picture, self._lids)

    def draw(self, canvas: RgbImage, landmarks: FloatArray, iris_px: FloatArray, affine: FloatArray) -> None:
        """Draw the eye between its lids, in place.

        Args:
            canvas: (H, W, 3) uint8, the frame; only the eye's opening and, while it shuts, the lids' edges change.
            landmarks: (478, 2 or 3) float32, where the portrait's landmarks have gone, canvas pixels.
            iris_px: (2,) where the iris's centre is to go, canvas pixels; held within the eyeball's reach.
            affine: (2, 3) takes portrait pixels to canvas pixels, for what is rigid: the eye's socket.
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
        place = box.map(back) - self._corner  # where the pixels look if they stay in the socket
        ball = self._eyeball(at, place, centre, opening_px)
        if self._sure < 1:
            ball = ball * self._sure + self._pulled(at, places, centre) * (1 - self._sure)
        drawn += places.inside()[..., None] * (ball - drawn)
        view[...] = cv2.convertScaleAbs(np.maximum(drawn, 0))  # rounds, and ends at 255

    def _beside_lids(self, places: Places, scale: float) -> FloatArray:
        """Where in the crop (h, w, 2) pixels look that go with the lids.

        Next to each lid they are as far from it as in the portrait; what is between is stretched.
        """
        upper, lower = self._lids.at(places.along)
        share = np.clip(places.depth(), 0, 1)
        from_upper = upper + places.below_px / np.float32(scale)
        from_lower = lower - places.above_px / np.float32(scale)
        return self._lids.points(places.along, from_upper + share * share * (3 - 2 * share) * (from_lower - from_upper))

    def _eyeball(self, at: FloatArray, place: FloatArray, centre: FloatArray, opening_px: FloatArray) -> FloatArray:
        """What lies between the lids, (h, w, 3) in 0-255 or a little beyond.

        Args:
            at: (h, w, 2) where the pixels look in the crop if they go with the lids.
            place: (h, w, 2) where they look if they stay in the socket.
            centre: (2,) where the iris goes, in the crop.
            opening_px: (TABLE,) between the lids, in the portrait's scale.
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
        """1 where the eye looks and opens as in the portrait, falling to 0: how far the picture's details still fit."""
        opened = float(np.abs(opening_px - self._lids.opening_px()).max()) / self._iris.radius_px
        shifted = float(np.hypot(*shift)) / self._iris.radius_px
        return math.exp(-((shifted / 0.3) ** 2) - (opened / 0.5) ** 2)

    def _pulled(self, at: FloatArray, places: Places, centre: FloatArray) -> FloatArray:
        """The portrait's own eye, (h, w, 3), pulled towards where it looks: for eyes that cannot be taken apart."""
        share = np.clip(places.depth(), 0, 1)
        pull = 4 * share * (1 - share) * smoothstep(places.along, 0, 0.3) * smoothstep(places.along, 1, 0.7)
        return _sample(self._picture, at - pull[..., None] * (centre - self._iris.centre))


@dataclass(frozen=True, eq=False)
class _Box:
    """The canvas pixels around one eye."""

    x: FloatArray  # (w,) columns of the canvas
    y: FloatArray  # (h,) rows

    @staticmethod
    def around(lids: Lids, canvas: RgbImage, margin_px: float) -> _Box | None:
        """The opening's box with a margin, or None where it lies outside the canvas."""
        edge = np.concatenate([lids.points(_ALONG, lids.upper), lids.points(_ALONG, lids.lower)])
        size = np.array([canvas.shape[1], canvas.shape[0]])
        left, top = np.clip(np.floor(edge.min(axis=0) - margin_px), 0, size).astype(int)
        right, bottom = np.clip(np.ceil(edge.max(axis=0) + margin_px) + 1, 0, size).astype(int)
        if right <= left or bottom <= top:
            return None
        return _Box(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))

    def view(self, canvas: RgbImage) -> RgbImage:
        """These pixels of the canvas, (h, w, 3), to be changed in place."""
        return canvas[int(self.y[0]) : int(self.y[-1]) + 1, int(self.x[0]) : int(self.x[-1]) + 1]

    def map(self, affine: FloatArray) -> FloatArray:
        """Where an affine map (2, 3) takes the pixels, (h, w, 2)."""
        mapped = self.x[None, :, None] * affine[:, 0] + self.y[:, None, None] * affine[:, 1] + affine[:, 2]
        return np.asarray(mapped, np.float32)


def _transform(point: FloatArray, affine: FloatArray) -> FloatArray:
    return np.asarray(affine[:, :2] @ point + affine[:, 2], np.float32)


def _inverse(affine: FloatArray) -> FloatArray:
    return np.asarray(cv2.invertAffineTransform(np.asarray(affine, np.float32)))


def _sample(texture: FloatArray, at: FloatArray, *, bounded: bool = False) -> FloatArray:
    """Read a texture (H, W, C) at (h, w, 2); outside, it goes on as at its border or, if `bounded`, is 0."""
    border = cv2.BORDER_CONSTANT if bounded else cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=border))


def _crop(rgb: RgbImage, eyes: list[Lids], margin: float) -> tuple[RgbImage, FloatArray]:
    """Cut out eyes with a margin in shares of their extent; the cut and its upper left corner (2,)."""
    corners = np.stack([point for lids in eyes for point in (lids.origin, lids.origin + lids.axis * lids.width_px)])
    pad = margin * float(np.ptp(corners, axis=0).max())
    edges = np.concatenate([lids.points(_ALONG, lid) for lids in eyes for lid in (lids.upper, lids.lower)])
    room = 0.5 * pad  # a cartoon's eye may be as high as wide
    low = np.minimum(corners.min(axis=0) - pad, edges.min(axis=0) - room)
    high = np.maximum(corners.max(axis=0) + pad, edges.max(axis=0) + room)
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(low), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(high), [left + 2, top + 2], [width, height]).astype(int)
    return rgb[top:bottom, left:right], np.array([left, top], np.float32)
