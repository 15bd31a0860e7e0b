"""Position of a portrait's irises, and its reliability."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.eye.lids import IRIS_CENTRE, IRIS_RIM, SIDES, Lids, Side, read_lids
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
    contrast: float  # brightness step at its rim over the brightest part of the eyes; reliable from 0.25

    @property
    def centre(self) -> FloatArray:
        """(2,) x, y in pixels."""
        return np.array([self.x_px, self.y_px], np.float32)

    def moved(self, by_px: FloatArray) -> Iris:
        """Return the iris in an image whose origin is shifted by `by_px` (2,)."""
        return replace(self, x_px=self.x_px + float(by_px[0]), y_px=self.y_px + float(by_px[1]))


def whiteness(image: npt.NDArray[np.generic]) -> FloatArray:
    """Compute the whiteness of (H, W, 3): high where bright and colourless, as the white of an eye is.

    Returns:
        (H, W) float32, in the units of `image`.
    """
    channels = image.astype(np.float32)
    return np.asarray((channels @ LUMINANCE + channels.min(axis=2)) / 2)


def find_irises(rgb: RgbImage, landmarks: FloatArray) -> dict[Side, Iris]:
    """Fit both irises' circles to the image, starting from the tracker's guess.

    The rim is where whiteness rises most along rays that leave the iris between the lids: the integro-differential
    operator of Daugman 1993 ("High confidence visual recognition of persons by a test of statistical independence",
    Eq. 3), over coarse and fine grids of centres and radii around the guess. Both eyes are then held to one radius,
    the one that fits the pair better: a pupil's edge, a lash or a fold rarely misleads both eyes.

    Args:
        rgb: (H, W, 3) uint8, the portrait or a crop of it.
        landmarks: (478, 3) float32, in pixels of `rgb`.
    """
    guesses = {side: _tracked_circle(landmarks, side) for side in SIDES}
    radius = max(float(np.mean([guess[2] for guess in guesses.values()])), 1.0)
    image = cv2.GaussianBlur(whiteness(rgb) / 255, (0, 0), max(0.5, 0.06 * radius))
    pairs = []
    for leader in SIDES:
        found = _fit(image, landmarks, leader, guesses[leader], radius_px=None)
        pairs.append({side: _fit(image, landmarks, side, guesses[side], found.radius_px) for side in SIDES})
    best = max(pairs, key=lambda pair: sum(iris.contrast for iris in pair.values()))
    bright = max(_brightness(image, landmarks), 0.05)
    return {side: replace(iris, contrast=iris.contrast / bright) for side, iris in best.items()}


def _brightness(image: FloatArray, landmarks: FloatArray) -> float:
    """Return the 90th percentile of the whiteness (H, W), in [0, 1], within the openings of both eyes.

    Args:
        image: (H, W) whiteness.
        landmarks: (478, 3) pixels.
    """
    columns, rows = np.linspace(0.05, 0.95, 40, dtype=np.float32), np.linspace(0.1, 0.9, 12, dtype=np.float32)
    along, share = np.meshgrid(columns, rows)
    openings = []
    for side in SIDES:
        lids = read_lids(landmarks, side)
        upper, lower = lids.at(along)
        openings.append(_sample(image, lids.points(along, upper + share * (lower - upper))))
    return float(np.percentile(np.stack(openings), 90))


def _fit(image: FloatArray, landmarks: FloatArray, side: Side, guess: FloatArray, radius_px: float | None) -> Iris:
    """Find one iris in (H, W) whiteness near `guess` (3,): x, y, radius; the radius is free or close to a given one."""
    lids = read_lids(landmarks, side)
    given = None if radius_px is None else np.linspace(0.96, 1.04, 3) * radius_px / guess[2]
    radii = np.geomspace(0.7, 1.7, 12) if given is None else given
    best = _best_circle(image, lids, guess, guess, reach=0.35, radii=radii)
    for reach in (0.1, 0.03):
        best = _best_circle(image, lids, best, guess, reach=reach, radii=np.linspace(1 - reach / 2, 1 + reach / 2, 3))
    contrast, _ = _rim_contrast(image, lids, best[None])
    return Iris(float(best[0]), float(best[1]), float(best[2]), float(contrast[0]))


def _tracked_circle(landmarks: FloatArray, side: Side) -> FloatArray:
    """Return the (3,) x, y and radius from the tracker's (478, 3) landmarks."""
    centre = landmarks[IRIS_CENTRE[side], :2]
    width_px = read_lids(landmarks, side).width_px
    radius = np.linalg.norm(landmarks[list(IRIS_RIM[side]), :2] - centre, axis=1).mean()
    return np.array([*centre, np.clip(radius, 0.15 * width_px, 0.35 * width_px)], np.float32)


def _best_circle(
    image: FloatArray,
    lids: Lids,
    start: FloatArray,
    guess: FloatArray,
    *,
    reach: float,
    radii: npt.NDArray[np.float64],
) -> FloatArray:
    """Choose the circle with the highest contrast around a start.

    Args:
        image: (H, W) whiteness.
        lids: the opening of the eye.
        start: (3,) x, y, radius of the centre of the search.
        guess: (3,) the tracker's circle, a weak prior.
        reach: half width of the search, in radii.
        radii: (R,) radii to try, relative to the start's.
    Returns:
        (3,) float32 x, y, radius.
    """
    steps = np.linspace(-reach, reach, 7)
    grid = np.stack(np.meshgrid(steps, steps, radii, indexing="ij"), axis=-1).reshape(-1, 3)
    circles = (start * [1, 1, 0] + grid * start[2]).astype(np.float32)
    contrast, seen = _rim_contrast(image, lids, circles)
    away = (circles - guess) / guess[2]
    cost = 0.12 * (away[:, :2] ** 2).sum(axis=1) + 0.1 * np.log(circles[:, 2] / guess[2]) ** 2 + 0.2 * (seen < 0.15)
    return np.asarray(circles[int(np.argmax(contrast - cost))], np.float32)


def _rim_contrast(image: FloatArray, lids: Lids, circles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute the mean rise of whiteness (H, W) across circles (N, 3), where the lids leave them free.

    Returns:
        (N,) rises, and (N,) free fractions of the circles in [0, 1].
    """
    centres, radii = circles[:, None, :2], circles[:, None, 2:]
    points = centres + radii * _RAYS  # (N, 72, 2)
    along, across = lids.coordinates(points)
    at = np.clip(along, 0, 1) * (len(lids.upper) - 1)
    index = at.astype(int)
    margin = 0.03 * lids.width_px
    free = (across > lids.upper[index] + 1.5 * margin) & (across < lids.lower[index] - margin)
    free &= (along > 0.04) & (along < 0.96)
    step = np.maximum(0.12 * radii, 0.7)
    outside = _sample(image, centres + (radii + step) * _RAYS)
    inside = _sample(image, centres + (radii - step) * _RAYS)
    rise = np.clip(outside - inside, -0.25, 0.35)  # so that one bright spot does not count as a rim
    share = free.mean(axis=1)
    return (rise * free).sum(axis=1) / (free.sum(axis=1) + 4), share.astype(np.float32)


def _sample(image: FloatArray, points: FloatArray) -> FloatArray:
    """Sample (H, W) at points (..., 2), with border replication; (...)."""
    x, y = np.ascontiguousarray(points[..., 0], np.float32), np.ascontiguousarray(points[..., 1], np.float32)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
