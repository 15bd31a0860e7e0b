"""Coordinates of a mouth: the skull's frame on a canvas, the opening between the lips, the raster to paint on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import LOWER_LIP, UPPER_LIP

UPPER_INNER = (78, *UPPER_LIP[3], 308)  # corner to corner
LOWER_INNER = (78, *LOWER_LIP[3], 308)
SKULL = (168, 6, 197, 195, 5, 4, 2, 98, 327, 94, 33, 133, 362, 263, 10, 151, 9, 8)  # not moved by expression
NOSE_BASE = (2, 97, 326, 98, 327, 94, 5)  # the part of the skull nearest to the teeth
MIRRORED = ((33, 263), (133, 362), (234, 454), (61, 291), (98, 327))
FINEST_RASTER = 1.5  # raster pixels per canvas pixel; above 1 because resampling to the canvas costs sharpness
WIDEST_RASTER = 288  # px; wider mouths are drawn at a lower resolution
SHOWN_SHADOW = 0.65  # strength of the lips' shadow on visible teeth, relative to that of lips at rest
STEEPEST = 6.0  # limit of a soft edge's vertical extent over its width where a lip is steep
CURVE = 5  # samples of the lip curves per landmark


def smooth(value: float) -> float:
    """Return the smoothstep of a value: 0 below 0, 1 above 1."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)


def smooth_steps(values: npt.NDArray[np.floating]) -> FloatArray:
    """Apply `smooth` elementwise; any shape."""
    values = np.clip(values, 0.0, 1.0)
    return np.asarray(values * values * (3 - 2 * values), np.float32)


def reach(depth_mm: float, open_mm: float) -> float:
    """Return the fraction of the outer light that reaches `depth_mm` into a mouth open by `open_mm`."""
    return float(1 / (1 + (depth_mm / (0.8 * max(open_mm, 0.0) + 1.0)) ** 3))


def _curve_weights(points: int) -> FloatArray:
    """Return the (M, points) Catmull-Rom weights of a smooth curve through `points` points."""
    at = np.linspace(0, points - 1, (points - 1) * CURVE + 1)
    first = np.minimum(at.astype(int), points - 2)
    t = at - first
    powers = np.stack([np.ones_like(t), t, t**2, t**3], axis=1)
    basis = powers @ (np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2)
    weights = np.zeros((len(at), points))
    for k in range(4):
        np.add.at(weights, (np.arange(len(at)), np.clip(first + k - 1, 0, points - 1)), basis[:, k])
    return weights.astype(np.float32)


_CURVE_WEIGHTS = _curve_weights(len(UPPER_INNER))


@dataclass(frozen=True, eq=False)
class MouthFrame:
    """Pose of the upper teeth on a canvas: position, the skull's vertical, and millimetres to pixels."""

    origin: FloatArray  # (2,), the upper incisors' edge, canvas pixels
    axes: FloatArray  # (2, 2), rows: across and down the face, unit vectors on the canvas
    to_mouth: FloatArray  # (2, 3), mm of the arches to pixels across and down
    px_per_mm: float

    def coordinates(self, points: FloatArray) -> FloatArray:
        """Convert (N, >= 2) canvas points to (N, 2) pixels across and down from the origin."""
        return np.asarray((points[:, :2] - self.origin) @ self.axes.T, np.float32)


def head_axes(landmarks: FloatArray) -> FloatArray:
    """Return (3, 3) columns: the head's directions to the right of the image, down and inwards in the portrait."""
    right = np.zeros(3)
    for a, b in MIRRORED:
        step = landmarks[b].astype(np.float64) - landmarks[a]
        right += step / max(float(np.linalg.norm(step)), 1e-6)
    right /= max(float(np.linalg.norm(right)), 1e-6)
    down = landmarks[164].astype(np.float64) - landmarks[10]
    down -= right * (right @ down)
    down /= max(float(np.linalg.norm(down)), 1e-6)
    return np.stack([right, down, np.cross(right, down)], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Skull:
    """The part of a portrait's head that carries the upper teeth."""

    points: FloatArray  # (N, 3), the landmarks SKULL of the portrait
    nose: FloatArray  # (3,), mean of NOSE_BASE
    edge: FloatArray  # (3,), the upper incisors' edge
    axes: FloatArray  # (3, 3), see head_axes
    px_per_mm: float  # scale of the portrait

    @staticmethod
    def of(landmarks: FloatArray, edge: FloatArray, px_per_mm: float) -> Skull:
        """Create the skull from a portrait's landmarks (478, 3) and the upper incisors' edge (3,)."""
        nose = landmarks[list(NOSE_BASE)].mean(axis=0)
        return Skull(landmarks[list(SKULL)].astype(np.float32), nose, edge, head_axes(landmarks), px_per_mm)

    def on(self, landmarks: FloatArray, rotation: FloatArray, scale: float = 1.0) -> MouthFrame:
        """Fit position and size to (478, 3) moved landmarks under scaled orthography; `rotation` (3, 3) is given.

        The size stays within a factor 3 of `scale`, canvas pixels per portrait pixel.
        """
        turned = (self.points - self.points.mean(axis=0)) @ rotation[:2].T
        moved = landmarks[list(SKULL), :2]
        zoom = float(np.sum(turned * (moved - moved.mean(axis=0))) / max(float(np.sum(turned**2)), 1e-6))
        zoom = min(max(zoom, scale / 3), scale * 3)
        origin = landmarks[list(NOSE_BASE), :2].mean(axis=0) + zoom * rotation[:2] @ (self.edge - self.nose)
        px_per_mm = max(zoom * self.px_per_mm, 1e-3)
        seen = px_per_mm * (rotation @ self.axes)[:2]
        down = seen[:, 1] / max(float(np.linalg.norm(seen[:, 1])), 1e-6)
        axes = np.array([[down[1], -down[0]], down], np.float32)
        return MouthFrame(origin.astype(np.float32), axes, (axes @ seen).astype(np.float32), px_per_mm)


@dataclass(frozen=True, eq=False)
class Opening:
    """The inner lips in the mouth's frame, as two curves over `across`."""

    across: FloatArray  # (M,) increasing
    upper: FloatArray  # (M,)
    lower: FloatArray  # (M,) >= upper

    @staticmethod
    def of(frame: MouthFrame, landmarks: FloatArray, forgiven: FloatArray | float = 0.0) -> Opening:
        """Create a smooth opening from (478, 3) landmarks; `forgiven`, (11,) pixels or a number, reduces its gap."""
        upper = frame.coordinates(landmarks[list(UPPER_INNER)])
        lower = frame.coordinates(landmarks[list(LOWER_INNER)])
        upper[:, 1] += 0.5 * forgiven
        lower[:, 1] -= 0.5 * forgiven
        upper, lower = _CURVE_WEIGHTS @ upper, _CURVE_WEIGHTS @ lower
        for curve in (upper, lower):  # where a turned lip folds back, only its front is kept
            curve[:, 0] = np.maximum.accumulate(curve[:, 0]) + np.arange(len(curve)) * 1e-4
        across, top = upper[:, 0], upper[:, 1]
        bottom = np.interp(across, lower[:, 0], lower[:, 1]).astype(np.float32)
        middle = 0.5 * (top + bottom)
        return Opening(across, np.minimum(top, middle), np.maximum(bottom, middle))

    @property
    def width(self) -> float:
        """Width in pixels from corner to corner."""
        return float(self.across[-1] - self.across[0])

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return float(np.trapezoid(self.lower - self.upper, self.across))


@dataclass(frozen=True, eq=False)
class Raster:
    """A grid over the mouth's frame on which the interior is painted."""

    across: FloatArray  # (W,) canvas pixels from the mouth's origin
    down: FloatArray  # (H,)
    per_px: float  # raster pixels per canvas pixel

    @staticmethod
    def over(opening: Opening, per_px: float | None = None, margin_px: float = 0.0) -> Raster:
        """Create a raster that covers an opening with a margin for its soft edge.

        The resolution is limited by FINEST_RASTER and WIDEST_RASTER, or `per_px` as given; the margin is at least
        `margin_px`.
        """
        per_px = per_px or min(FINEST_RASTER, WIDEST_RASTER / opening.width)
        step, margin = 1 / per_px, max(2 / per_px + 0.012 * opening.width, margin_px)
        left, right = opening.across[0] - margin, opening.across[-1] + margin
        top, bottom = opening.upper.min() - margin, opening.lower.max() + margin
        across = np.arange(left, right + step, step, dtype=np.float32)
        return Raster(across, np.arange(top, bottom + step, step, dtype=np.float32), per_px)

    def pixels(self, across: FloatArray, down: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Convert positions in the mouth's frame, (...) each, to columns and rows of the raster, (...) each."""
        return (
            np.asarray((across - self.across[0]) * self.per_px, np.float32),
            np.asarray((down - self.down[0]) * self.per_px, np.float32),
        )

    def curves(self, opening: Opening) -> tuple[FloatArray, FloatArray]:
        """Return the (W,) heights of the upper and the lower lip in each column; beyond the corners they meet."""
        upper = np.interp(self.across, opening.across, opening.upper)
        lower = np.interp(self.across, opening.across, opening.lower)
        middle = 0.5 * (upper + lower)
        outside = (self.across < opening.across[0]) | (self.across > opening.across[-1])
        return (
            np.where(outside, middle, upper).astype(np.float32),
            np.where(outside, middle, lower).astype(np.float32),
        )

    def coverage(self, opening: Opening, softness: float) -> FloatArray:
        """Return the (H, W) fraction of each pixel between the lips, whose edges are `softness` raster pixels wide."""
        upper, lower = self.curves(opening)
        half = 0.5 * softness / self.per_px
        slopes = (np.gradient(lip) * self.per_px for lip in (upper, lower))
        above, below = (half * np.minimum(np.hypot(1, slope), STEEPEST) for slope in slopes)
        down = self.down[:, None]
        under_upper = np.clip((down - upper) / (2 * above) + 0.5, 0, 1)
        over_lower = np.clip((lower - down) / (2 * below) + 0.5, 0, 1)
        share = np.maximum(under_upper + over_lower - 1, 0)
        return np.asarray(cv2.blur(share.astype(np.float32), (3, 1)), np.float32)  # for steep lips

    def sample(self, canvas: RgbImage, frame: MouthFrame) -> FloatArray:
        """Sample an (H', W', 3) canvas at the raster's pixels: (H, W, 3) float32, 0 to 255."""
        start = frame.origin + np.array([self.across[0], self.down[0]], np.float32) @ frame.axes
        matrix = np.concatenate([frame.axes.T / self.per_px, start[:, None]], axis=1)
        return np.asarray(
            cv2.warpAffine(
                canvas,
                matrix,
                (len(self.across), len(self.down)),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )

    def blend(self, canvas: RgbImage, rgb: FloatArray, alpha: FloatArray, frame: MouthFrame) -> None:
        """Blend (3, H, W) colours with weights (H, W) in [0, 1] over an (H', W', 3) canvas, in place."""
        corners = np.array([(x, y) for x in self.across[[0, -1]] for y in self.down[[0, -1]]], np.float32)
        placed = corners @ frame.axes + frame.origin
        low = np.maximum(np.floor(placed.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(placed.max(axis=0)).astype(int) + 1, (canvas.shape[1], canvas.shape[0]))
        width, height = (int(v) for v in high - low)
        if width <= 0 or height <= 0:
            return
        colours = np.maximum(rgb, 0)
        planes = [cv2.convertScaleAbs(plane) for plane in colours]  # rounds, and saturates at 255
        rgba = cv2.merge([*planes, cv2.convertScaleAbs(alpha, alpha=255)])
        shift = frame.axes @ (low - frame.origin) - np.array([self.across[0], self.down[0]])
        matrix = self.per_px * np.concatenate([frame.axes, shift[:, None]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(rgba, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        box = canvas[low[1] : high[1], low[0] : high[0]]
        weight = warped[..., 3].astype(np.float32) * np.float32(1 / 255)
        drawn = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
        box[:] = cv2.blendLinear(drawn, np.ascontiguousarray(box), weight, 1 - weight)


def lip_shadow(raster: Raster, opening: Opening, px_per_mm: float, strength: float = 1.0) -> FloatArray:
    """Return the (H, W) fraction of light left by the lips' shadow right behind them; `strength` 1: lips at rest."""
    upper, lower = raster.curves(opening)
    below_upper = np.maximum(raster.down[:, None] - upper, 0) / px_per_mm
    above_lower = np.maximum(lower - raster.down[:, None], 0) / px_per_mm
    return np.asarray(
        (1 - 0.5 * strength * np.exp(-below_upper / 1.4)) * (1 - 0.3 * strength * np.exp(-above_lower / 1.2)),
        np.float32,
    )
