"""The eyeball between the lids of a moving portrait: the white, an iris that looks around, the light on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.eye_ball import EyeBall
from avatar.engine.eye_iris import find_irises
from avatar.engine.eye_lids import IRIS_CENTRE, Lids, Side, read_lids
from avatar.engine.eye_seam import Seam
from avatar.engine.eye_texture import take_apart
from avatar.engine.eye_white import smoothstep
from avatar.frames import FloatArray, RgbImage

_SURE_OF_IRIS = (0.16, 0.25)  # contrast of its rim: below the first the eye is not taken apart, above the second it is
_GLINT_FOLLOWS = 0.5  # a light's image in the cornea moves about half as far as the pupil: it sits near the cornea's centre


@dataclass(frozen=True, eq=False)
class _Patch:
    """The pixels of one drawn eye."""

    left: int
    top: int
    points: FloatArray  # (h, w, 2) x, y in the canvas
    along: FloatArray  # (h, w)
    across: FloatArray  # (h, w)

    @staticmethod
    def around(lids: Lids, canvas: RgbImage, margin_px: float) -> _Patch | None:
        """The opening's box with a margin, or None where it lies outside the canvas."""
        places = np.linspace(0, lids.width_px, len(lids.upper), dtype=np.float32)[:, None] * lids.axis + lids.origin
        edge = np.concatenate([places + table[:, None] * lids.down for table in (lids.upper, lids.lower)])
        height, width = canvas.shape[:2]
        left, top = (max(int(v), 0) for v in np.floor(edge.min(axis=0) - margin_px))
        right, bottom = (min(int(v), limit) for v, limit in zip(np.ceil(edge.max(axis=0) + margin_px) + 1, (width, height), strict=True))
        if right <= left or bottom <= top:
            return None
        x, y = np.arange(left, right, dtype=np.float32)[None], np.arange(top, bottom, dtype=np.float32)[:, None]
        points = np.empty((bottom - top, right - left, 2), np.float32)
        points[..., 0], points[..., 1] = x, y
        dx, dy = x - lids.origin[0], y - lids.origin[1]
        along = (dx * lids.axis[0] + dy * lids.axis[1]) / lids.width_px
        return _Patch(left, top, points, along, dy * lids.axis[0] - dx * lids.axis[1])

    def view(self, canvas: RgbImage) -> RgbImage:
        """These pixels of the canvas, to be changed in place."""
        height, width = self.along.shape
        return canvas[self.top : self.top + height, self.left : self.left + width]


class EyeLayer:
    """One eye of one portrait, taken apart once and drawn anew into each frame."""

    def __init__(self, rgb: RgbImage, landmarks: FloatArray, side: Side) -> None:
        """Take the eye apart.

        Args:
            rgb: (H, W, 3) uint8, the portrait.
            landmarks: (478, 3) float32, its face in pixels.
            side: which of the person's eyes.
        """
        self._side = side
        face, corner = _crop(rgb, [read_lids(landmarks, each) for each in ("right", "left")], 0.5)
        irises = find_irises(face, landmarks[:, :2] - corner)
        iris = irises[side].moved(corner)
        plain = float(np.mean([each.contrast for each in irises.values()]))
        self._sure = float(smoothstep(*_SURE_OF_IRIS, np.float32(plain)))  # how far to trust the parts; both eyes alike
        eye, corner = _crop(rgb, [read_lids(landmarks, side)], 0.4)
        self._corner = corner  # of the eye's crop in the portrait
        self._iris = iris.moved(-corner)
        self._lids = read_lids(landmarks[:, :2] - corner, side)
        self._off_track = iris.centre - landmarks[IRIS_CENTRE[side], :2]  # the tracker's iris is not quite the picture's
        self._ball = EyeBall.of(self._lids, iris.radius_px)
        self._texture = take_apart(eye, self._lids, self._iris)
        self._picture = eye.astype(np.float32)
        self._seam = Seam(self._picture, self._lids)

    def draw(self, canvas: RgbImage, landmarks: FloatArray, iris_px: FloatArray, affine: FloatArray) -> None:
        """Draw the eye between its lids, in place.

        Args:
            canvas: (H, W, 3) uint8, the output frame; only the eye's opening and, while it shuts, the lids' edges change.
            landmarks: (478, 2 or 3) float32, where the portrait's landmarks have gone, canvas pixels.
            iris_px: (2,) where the iris's centre is to go, canvas pixels; held within the eyeball's reach.
            affine: (2, 3) takes portrait pixels to canvas pixels, for what is rigid: the eye's socket.
        """
        lids = read_lids(landmarks, self._side)
        scale = max(float(lids.down @ affine[:, :2] @ self._lids.down), 1e-3)
        opening_px = lids.opening_px() / scale
        closing = self._seam.closing(opening_px)
        patch = _Patch.around(lids, canvas, self._seam.reach_px(lids) if closing > 0 else 0)
        if patch is None:
            return
        upper, lower = lids.at(patch.along)
        below, above = patch.across - upper, lower - patch.across
        at = self._beside_lids(patch.along, below, above, scale)
        view = patch.view(canvas)
        drawn = view.astype(np.float32)
        if closing > 0:
            self._seam.draw(drawn, at, patch.along, below, above, lids.width_px, closing)
        if float(opening_px.max()) > 0.5:
            soft_px = max(1.0, 0.012 * lids.width_px)
            edge = np.clip(np.minimum(below, above) / soft_px, 0, 1)[..., None]
            back = np.linalg.inv(affine[:, :2]).astype(np.float32)
            place = (patch.points - affine[:, 2]) @ back.T - self._corner  # in the crop, the socket held still
            wanted = back @ (iris_px - affine[:, 2]) - self._corner + self._off_track
            centre = self._ball.turn(self._iris.centre, wanted)
            ball = self._eyeball(at, place, centre, opening_px)
            if self._sure < 1:
                ball = ball * self._sure + self._shifted(at, patch.along, below, above, centre) * (1 - self._sure)
            drawn += edge * (ball - drawn)
        view[...] = cv2.convertScaleAbs(np.maximum(drawn, 0))

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
        white = self._sample(self._texture.white, at)
        disc = self._sample(self._texture.iris, (place - centre) @ into.T.astype(np.float32) + own)
        iris, cover = disc[..., :3], disc[..., 3:]
        drawn = white[..., :3] + cover * (iris * white[..., 3:] - white[..., :3])
        shift = centre - own
        if self._texture.glint is not None:
            drawn += self._sample(self._texture.glint, place - _GLINT_FOLLOWS * shift) * cover
        stillness = self._stillness(shift, opening_px)
        if stillness > 0.01:
            drawn += stillness * self._sample(self._texture.rest, at)
        return np.asarray(drawn)

    def _beside_lids(self, along: FloatArray, below: FloatArray, above: FloatArray, scale: float) -> FloatArray:
        """Where in the crop (h, w, 2) the lids' own places lie: near each lid as far from it as in the portrait, stretched between."""
        upper, lower = self._lids.at(along)
        t = np.clip(below / np.maximum(below + above, 1e-3), 0, 1)
        from_upper = upper + below / scale
        across = from_upper + (t * t * (3 - 2 * t)) * (lower - above / scale - from_upper)
        return self._lids.points(along, across)

    def _shifted(self, at: FloatArray, along: FloatArray, below: FloatArray, above: FloatArray, centre: FloatArray) -> FloatArray:
        """The portrait's own eye, (h, w, 3), pulled towards where it looks: for eyes that cannot be taken apart."""
        deep = np.clip(below / np.maximum(below + above, 1e-3), 0, 1)
        pull = 4 * deep * (1 - deep) * smoothstep(0, 0.3, along) * smoothstep(1, 0.7, along)
        return self._sample(self._picture, at - pull[..., None] * (centre - self._iris.centre))

    def _stillness(self, shift: FloatArray, opening_px: FloatArray) -> float:
        """1 where the eye looks and opens as in the portrait, falling to 0: how far the picture's own details still fit."""
        opened = float(np.abs(opening_px - self._lids.opening_px()).max()) / self._iris.radius_px
        shifted = float(np.hypot(*shift)) / self._iris.radius_px
        return math.exp(-((shifted / 0.3) ** 2) - (opened / 0.5) ** 2)

    @staticmethod
    def _sample(texture: FloatArray, at: FloatArray) -> FloatArray:
        """Read a texture (H, W, C) at (h, w, 2); nothing lies outside it."""
        return np.asarray(cv2.remap(texture, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _crop(rgb: RgbImage, eyes: list[Lids], margin: float) -> tuple[RgbImage, FloatArray]:
    """Cut out eyes with a margin in shares of their extent; the cut and its upper left corner (2,)."""
    points = np.stack([point for lids in eyes for point in (lids.origin, lids.origin + lids.axis * lids.width_px)])
    pad = margin * float(np.ptp(points, axis=0).max())
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(points.min(axis=0) - pad), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0) + pad), [left + 2, top + 2], [width, height]).astype(int)
    return rgb[top:bottom, left:right], np.array([left, top], np.float32)
