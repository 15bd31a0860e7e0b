"""Where a portrait's iris is and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engine.warp.eye_lids import IRIS_CENTRE, IRIS_RIM, SIDES, Lids, Side, read_lids
from avatar.frames import FloatArray, RgbImage

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False, dtype=np.float32)
_RAYS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)  # (72, 2)


@dataclass(frozen=True)
class Iris:
    """A circle in the portrait, in pixels."""

    x_px: float
    y_px: float
    radius_px: float
    contrast: float  # how much darker its rim is than the white around, in shares of the brightest; plain from 0.25

    @property
    def centre(self) -> FloatArray:
        """(2,) x, y in pixels."""
        return np.array([self.x_px, self.y_px], np.float32)

    def moved(self, by_px: FloatArray) -> Iris:
        """The same iris in a picture whose origin lies elsewhere."""
        return replace(self, x_px=self.x_px + float(by_px[0]), y_px=self.y_px + float(by_px[1]))


def whiteness(picture: npt.NDArray[np.generic]) -> FloatArray:
    """(H, W) in the units of `picture` (H, W, 3): high where bright and colourless, as the white of an eye is."""
    channels = picture.astype(np.float32)
    return np.asarray((channels @ LUMINANCE + channels.min(axis=2)) / 2)


def find_irises(rgb: RgbImage, landmarks: FloatArray) -> dict[Side, Iris]:
    """Fit both irises' circles to the picture, starting from the tracker's guess.

    The rim is where whiteness rises most along rays that leave the iris between the lids: the integro-differential
    operator of Daugman 1993 ("High confidence visual recognition of persons by a test of statistical independence",
    Eq. 3), over coarse and fine grids of centres and radii around the guess. Both eyes are then held to one radius,
    the one that suits the pair better: a pupil's edge, a lash or a fold misleads one eye, hardly ever both.

    Args:
        rgb: (H, W, 3) uint8, the portrait or a crop of it.
        landmarks: (478, 3) float32, in pixels of `rgb`.
    """
    guesses = {side: _tracked_circle(landmarks, side) for side in SIDES}
    radius = max(float(np.mean([guess[2] for guess in guesses.values()])), 1.0)
    picture = cv2.GaussianBlur(whiteness(rgb) / 255, (0, 0), max(0.5, 0.06 * radius))
    pairs = []
    for leader in SIDES:
        found = _fit(picture, landmarks, leader, guesses[leader], radius_px=None)
        pairs.append({side: _fit(picture, landmarks, side, guesses[side], found.radius_px) for side in SIDES})
    best = max(pairs, key=lambda pair: sum(iris.contrast for iris in pair.values()))
    bright = max(_brightness(picture, landmarks), 0.05)
    return {side: replace(iris, contrast=iris.contrast / bright) for side, iris in best.items()}


def _brightness(picture: FloatArray, landmarks: FloatArray) -> float:
    """How white the brightest parts of both eyes' openings are."""
    columns, rows = np.linspace(0.05, 0.95, 40, dtype=np.float32), np.linspace(0.1, 0.9, 12, dtype=np.float32)
    along, share = np.meshgrid(columns, rows)
    openings = []
    for side in SIDES:
        lids = read_lids(landmarks, side)
        upper, lower = lids.at(along)
        openings.append(_sample(picture, lids.points(along, upper + share * (lower - upper))))
    return float(np.percentile(np.stack(openings), 90))


def _fit(picture: FloatArray, landmarks: FloatArray, side: Side, guess: FloatArray, radius_px: float | None) -> Iris:
    """Find one iris near `guess` (x, y, radius), with a radius of its own or close to the given one."""
    lids = read_lids(landmarks, side)
    given = None if radius_px is None else np.linspace(0.96, 1.04, 3) * radius_px / guess[2]
    radii = np.geomspace(0.7, 1.7, 12) if given is None else given
    best = _best_circle(picture, lids, guess, guess, reach=0.35, radii=radii)
    for reach in (0.1, 0.03):
        best = _best_circle(picture, lids, best, guess, reach=reach, radii=np.linspace(1 - reach / 2, 1 + reach / 2, 3))
    contrast, _ = _rim_contrast(picture, lids, best[None])
    return Iris(float(best[0]), float(best[1]), float(best[2]), float(contrast[0]))


def _tracked_circle(landmarks: FloatArray, side: Side) -> FloatArray:
    """(3,) x, y, radius as the tracker has them."""
    centre = landmarks[IRIS_CENTRE[side], :2]
    width_px = read_lids(landmarks, side).width_px
    radius = np.linalg.norm(landmarks[list(IRIS_RIM[side]), :2] - centre, axis=1).mean()
    return np.array([*centre, np.clip(radius, 0.15 * width_px, 0.35 * width_px)], np.float32)


def _best_circle(
    picture: FloatArray,
    lids: Lids,
    start: FloatArray,
    guess: FloatArray,
    *,
    reach: float,
    radii: npt.NDArray[np.float64],
) -> FloatArray:
    """Try circles around `start` (x, y, radius), up to `reach` radii away and `radii` times as large.

    The tracker's `guess` is a gentle prior.
    """
    steps = np.linspace(-reach, reach, 7)
    grid = np.stack(np.meshgrid(steps, steps, radii, indexing="ij"), axis=-1).reshape(-1, 3)
    circles = (start * [1, 1, 0] + grid * start[2]).astype(np.float32)
    contrast, seen = _rim_contrast(picture, lids, circles)
    away = (circles - guess) / guess[2]
    cost = 0.12 * (away[:, :2] ** 2).sum(axis=1) + 0.1 * np.log(circles[:, 2] / guess[2]) ** 2 + 0.2 * (seen < 0.15)
    return np.asarray(circles[int(np.argmax(contrast - cost))], np.float32)


def _rim_contrast(picture: FloatArray, lids: Lids, circles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much whiteness rises across circles (N, 3) where the lids leave them free, and that share; (N,) each."""
    centres, radii = circles[:, None, :2], circles[:, None, 2:]
    points = centres + radii * _RAYS  # (N, 72, 2)
    along, across = lids.coordinates(points)
    at = np.clip(along, 0, 1) * (len(lids.upper) - 1)
    index = at.astype(int)
    margin = 0.03 * lids.width_px
    free = (across > lids.upper[index] + 1.5 * margin) & (across < lids.lower[index] - margin)
    free &= (along > 0.04) & (along < 0.96)
    step = np.maximum(0.12 * radii, 0.7)
    outside = _sample(picture, centres + (radii + step) * _RAYS)
    inside = _sample(picture, centres + (radii - step) * _RAYS)
    rise = np.clip(outside - inside, -0.25, 0.35)  # one bright spot does not make a rim
    share = free.mean(axis=1)
    return (rise * free).sum(axis=1) / (free.sum(axis=1) + 4), share.astype(np.float32)


def _sample(picture: FloatArray, points: FloatArray) -> FloatArray:
    """Read (H, W) at points (..., 2); the border is continued."""
    x, y = np.ascontiguousarray(points[..., 0], np.float32), np.ascontiguousarray(points[..., 1], np.float32)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
