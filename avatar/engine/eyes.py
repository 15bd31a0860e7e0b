"""The eyeball between the lids of a moving portrait: the white, an iris that looks around, the light on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.eye_iris import find_irises
from avatar.engine.eye_lids import IRIS_CENTRE, Lids, Side, read_lids
from avatar.engine.eye_texture import EyeTexture, take_apart
from avatar.frames import FloatArray, RgbImage

_GLINT_FOLLOWS = 0.5  # a light's image in the cornea moves about half as far as the pupil: it sits near the cornea's centre
_FULL_TURN = math.sin(math.radians(35))  # of the eyeball; further out the iris only creeps


@dataclass(frozen=True, eq=False)
class _Ball:
    """The eyeball as a sphere seen from far away, in pixels of the eye's crop of the portrait."""

    centre: FloatArray  # (2,)
    radius_px: float
    reach_px: float  # how far from its centre the iris may be

    @staticmethod
    def of(lids: Lids, iris_radius_px: float) -> _Ball:
        """An eyeball is 24 mm wide, its iris 12 mm, the opening about 30 mm: drawn irises may be larger."""
        radius_px = max(0.42 * lids.width_px, 1.6 * iris_radius_px)
        reach_px = min(_FULL_TURN * radius_px, max(0.56 * lids.width_px - iris_radius_px, 0.08 * lids.width_px))
        return _Ball(lids.origin + lids.axis * (lids.width_px / 2), radius_px, reach_px)

    def foreshortening(self, iris: FloatArray) -> FloatArray:
        """(2, 2): how a disc at `iris` (2,) is squeezed towards the ball's centre, for it faces away there."""
        offset = iris - self.centre
        distance = float(np.hypot(*offset))
        tilt = min(distance / self.radius_px, 0.8)
        direction = offset / max(distance, 1e-6)
        return (np.eye(2) - (1 - math.sqrt(1 - tilt * tilt)) * np.outer(direction, direction)).astype(np.float32)

    def hold(self, iris: FloatArray) -> FloatArray:
        """Where an iris goes that is asked to go to `iris` (2,): there, or softly held within reach."""
        offset = iris - self.centre
        distance = max(float(np.hypot(*offset)) / self.reach_px, 1e-6)
        held = distance if distance < 0.75 else 0.75 + 0.25 * math.tanh((distance - 0.75) / 0.25)
        return np.asarray(self.centre + offset * (held / distance), np.float32)


@dataclass(frozen=True, eq=False)
class _Patch:
    """The pixels of one drawn eye."""

    left: int
    top: int
    points: FloatArray  # (h, w, 2) x, y in the canvas
    along: FloatArray  # (h, w)
    across: FloatArray  # (h, w)

    @staticmethod
    def around(lids: Lids, canvas: RgbImage) -> _Patch | None:
        """The opening's box, or None where it lies outside the canvas."""
        places = np.linspace(0, lids.width_px, len(lids.upper), dtype=np.float32)[:, None] * lids.axis + lids.origin
        edge = np.concatenate([places + table[:, None] * lids.down for table in (lids.upper, lids.lower)])
        height, width = canvas.shape[:2]
        left, top = (max(int(v), 0) for v in np.floor(edge.min(axis=0)))
        right, bottom = (min(int(v), limit) for v, limit in zip(np.ceil(edge.max(axis=0)) + 1, (width, height), strict=True))
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
        eyes = [read_lids(landmarks, each) for each in ("right", "left")]
        both, corner = _crop(rgb, [point for lids in eyes for point in (lids.origin, lids.origin + lids.axis * lids.width_px)], 1.0)
        iris = find_irises(both, landmarks[:, :2] - corner)[side]
        self._lids = read_lids(landmarks[:, :2] - corner, side)
        self._iris = iris
        self._corner = corner
        self._off_track = iris.centre - (landmarks[IRIS_CENTRE[side], :2] - corner)  # the tracker's iris is not quite the picture's
        self._ball = _Ball.of(self._lids, iris.radius_px)
        self._texture: EyeTexture = take_apart(both, self._lids, iris)

    def draw(self, canvas: RgbImage, landmarks: FloatArray, iris_px: FloatArray, affine: FloatArray) -> None:
        """Draw the eye between its lids, in place.

        Args:
            canvas: (H, W, 3) uint8, the output frame; only the eye's opening changes.
            landmarks: (478, 2 or 3) float32, where the portrait's landmarks have gone, canvas pixels.
            iris_px: (2,) where the iris's centre is to go, canvas pixels; held within the eyeball's reach.
            affine: (2, 3) takes portrait pixels to canvas pixels, for what is rigid: the eye's socket.
        """
        lids = read_lids(landmarks, self._side)
        patch = _Patch.around(lids, canvas)
        if patch is None or float(lids.opening_px().max()) < 0.5:
            return
        turn = affine[:, :2].astype(np.float32)
        back = np.linalg.inv(turn).astype(np.float32)
        upper, lower = lids.at(patch.along)
        below, above = patch.across - upper, lower - patch.across
        scale = max(float(lids.down @ turn @ self._lids.down), 1e-3)
        at = self._beside_lids(patch.along, below, above, scale)
        white = self._sample(self._texture.white, at)
        place = (patch.points - affine[:, 2]) @ back.T - self._corner  # (h, w, 2) in the crop, socket held still
        wanted = back @ (iris_px - affine[:, 2]) - self._corner + self._off_track
        iris, cover, shift = self._iris_at(place, wanted)
        drawn = white[..., :3]
        drawn = drawn + cover * (iris * white[..., 3:] - drawn)
        if self._texture.glint is not None:
            drawn += self._sample(self._texture.glint, place - _GLINT_FOLLOWS * shift) * cover
        stillness = self._stillness(shift, lids.opening_px() / scale)
        if stillness > 0.01:
            drawn += stillness * self._sample(self._texture.rest, at)
        soft_px = max(1.0, 0.012 * lids.width_px)
        edge = np.clip(np.minimum(below, above) / soft_px, 0, 1)[..., None]
        view = patch.view(canvas)
        view[...] = np.clip(view + edge * (drawn - view) + 0.5, 0, 255).astype(np.uint8)

    def _beside_lids(self, along: FloatArray, below: FloatArray, above: FloatArray, scale: float) -> FloatArray:
        """Where in the crop (h, w, 2) the lids' own places lie: near each lid as far from it as in the portrait, stretched between."""
        upper, lower = self._lids.at(along)
        t = np.clip(below / np.maximum(below + above, 1e-3), 0, 1)
        from_upper = upper + below / scale
        across = from_upper + (t * t * (3 - 2 * t)) * (lower - above / scale - from_upper)
        return self._lids.points(along, across)

    def _iris_at(self, place: FloatArray, wanted: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The turned iris (h, w, 3), how far it covers the white (h, w, 1), and how far it has moved (2,)."""
        own = self._iris.centre
        centre = self._ball.hold(wanted) + own - self._ball.hold(own)
        into = self._ball.foreshortening(own) @ np.linalg.inv(self._ball.foreshortening(centre))
        disc = self._sample(self._texture.iris, (place - centre) @ into.T.astype(np.float32) + own)
        return disc[..., :3], disc[..., 3:], centre - own

    def _stillness(self, shift: FloatArray, opening_px: FloatArray) -> float:
        """1 where the eye looks and opens as in the portrait, falling to 0: how far the picture's own details still fit."""
        opened = float(np.abs(opening_px - self._lids.opening_px()).max()) / self._iris.radius_px
        shifted = float(np.hypot(*shift)) / self._iris.radius_px
        return math.exp(-((shifted / 0.3) ** 2) - (opened / 0.5) ** 2)

    @staticmethod
    def _sample(texture: FloatArray, at: FloatArray) -> FloatArray:
        """Read a texture (H, W, C) at (h, w, 2); nothing lies outside it."""
        return np.asarray(cv2.remap(texture, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _crop(rgb: RgbImage, corners: list[FloatArray], margin: float) -> tuple[RgbImage, FloatArray]:
    """Cut out what lies around points, with a margin in shares of their extent; the cut and its upper left corner (2,)."""
    points = np.stack(corners)
    pad = margin * float(np.ptp(points, axis=0).max()) / 2
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(points.min(axis=0) - pad), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0) + pad), [left + 2, top + 2], [width, height]).astype(int)
    return rgb[top:bottom, left:right], np.array([left, top], np.float32)
