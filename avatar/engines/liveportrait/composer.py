"""Compositing of the drawn square into the whole portrait, at the portrait's own resolution.

The square is rotated back and blended in by a soft mask. Where it is larger in the portrait than the 512 pixels that
were drawn, the portrait's own fine detail, moved by the dense motion, is added as in `avatar.engines.fomm.detail`:
image = up(drawn) + trust * (moved - up(down(moved))).
"""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engines.crop import scaled
from avatar.engines.fomm.detail import AGREE, SURE
from avatar.engines.liveportrait.framing import CROP_PX, Square
from avatar.frames import AlphaImage, FloatArray, RgbImage

FADE = 0.11  # width of the soft edge over the square's side
_ROUND = 4.0  # exponent of the superellipse that the mask follows: 2 is a circle, more is squarer
_TRIAL_PX = 128  # side at which the flows of the volume's slices are compared
_SLICES = 8  # maximum number of compared slices of the volume
_NEAR_PX = 8.0  # standard deviation of the neighbourhood in which they are compared, at _TRIAL_PX
_TEMPER = 0.003  # difference, of the full range, that reduces a slice's weight to 1/e
_LARGER = 1.05  # enlargement from which detail is added


class Composer:
    """Compositor that puts drawn squares back into one portrait."""

    def __init__(self, portrait: RgbImage, square: Square, *, detail: bool = True) -> None:
        """Precompute what does not change from frame to frame.

        Args:
            portrait: (H, W, 3) uint8.
            square: the part of it that is drawn; may reach outside.
            detail: add the portrait's detail to squares drawn at a lower resolution.
        """
        self._portrait, self._square = portrait, square
        height, width = portrait.shape[:2]
        corners = square.matrix(CROP_PX) @ np.array(
            [[-1, CROP_PX, -1, CROP_PX], [-1, -1, CROP_PX, CROP_PX], [1, 1, 1, 1]]
        )
        left, top = np.floor(corners.min(axis=1)).astype(int).clip(0, (width - 1, height - 1)).tolist()
        right, bottom = np.ceil(corners.max(axis=1)).astype(int).clip((left, top), (width - 1, height - 1)).tolist()
        self._window = slice(top, bottom + 1), slice(left, right + 1)
        self._old = np.ascontiguousarray(portrait[self._window])
        self._shape = self._old.shape[1::-1]  # (width, height), as OpenCV counts
        self._origin = np.array([left, top], np.float64)
        self._new = self._place(soft_mask(CROP_PX), CROP_PX, cv2.INTER_LINEAR)
        self._kept = np.float32(1) - self._new
        self._zoom = square.side / CROP_PX
        self._adds_detail = detail and self._zoom >= _LARGER
        self._small = square.crop(portrait, _TRIAL_PX).astype(np.float32)

    def __call__(
        self, drawn: RgbImage, deformation: FloatArray | None = None, occlusion: FloatArray | None = None
    ) -> RgbImage:
        """Composite a drawn square into the portrait; (H, W, 3) uint8, a new array.

        Args:
            drawn: (S, S, 3), of any size.
            deformation: (D, h, w, 3) positions in the volume, (x, y, z) in [-1, 1]; None: no detail is added.
            occlusion: (h, w) in [0, 1], 0 = hidden in the portrait; None: nothing is hidden.
        """
        side_px = drawn.shape[0]
        if self._square.side < side_px:  # averaged first, for the rotation samples single pixels
            side_px = max(1, round(self._square.side))
        new = self._place(scaled(drawn, side_px, side_px), side_px, cv2.INTER_CUBIC)
        if self._adds_detail and deformation is not None:
            new = self._with_detail(new, drawn, deformation, occlusion)
        image = self._portrait.copy()
        image[self._window] = cv2.blendLinear(new, self._old, self._new, self._kept)
        return image

    def matte(self, matte: AlphaImage, drawn: RgbImage, deformation: FloatArray) -> AlphaImage:
        """Move the portrait's matte, (H, W), as a drawn square was moved; arguments as in `__call__`."""
        places = self._moved_places(drawn, deformation)
        moved = cv2.remap(matte, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        whole = matte.copy()
        whole[self._window] = cv2.blendLinear(moved, np.ascontiguousarray(matte[self._window]), self._new, self._kept)
        return whole

    def _place(self, values: RgbImage | FloatArray, side_px: int, kernel: int) -> RgbImage:
        """Resample (side_px, side_px, ...) values of the square to the window, (h, w, ...); masks are 0 outside."""
        matrix = self._square.matrix(side_px)
        matrix[:, 2] -= self._origin
        border = cv2.BORDER_CONSTANT if values.ndim == 2 else cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(values, matrix, self._shape, flags=kernel, borderMode=border))

    def _with_detail(
        self, new: RgbImage, drawn: RgbImage, deformation: FloatArray, occlusion: FloatArray | None
    ) -> RgbImage:
        """Add the moved portrait's detail to the enlarged image (h, w, 3)."""
        places = self._moved_places(drawn, deformation)
        moved = cv2.remap(self._portrait, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        small = tuple(max(1, round(count / self._zoom)) for count in self._shape)
        rough = scaled(moved, *small)
        trust = self._trust(scaled(new, *small), rough)
        if occlusion is not None:
            shown = np.clip((occlusion - SURE[0]) / (SURE[1] - SURE[0]), 0, 1).astype(np.float32)
            seen = self._place(np.dstack([shown] * 3), len(shown), cv2.INTER_LINEAR)[..., 0]
            trust *= cv2.resize(seen, small, interpolation=cv2.INTER_AREA)
        trust = cv2.resize(trust, self._shape, interpolation=cv2.INTER_LINEAR)
        detail = cv2.subtract(moved, scaled(rough, *self._shape), dtype=cv2.CV_32F)
        detail *= trust[..., None]
        return np.asarray(cv2.add(new, detail, dtype=cv2.CV_8U))

    def _moved_places(self, drawn: RgbImage, deformation: FloatArray) -> FloatArray:
        """Return where each pixel of the window comes from in the portrait: (h, w, 2) in its pixels."""
        shift = self._shift(drawn, deformation)  # (a, a, 2) in squares' sides
        cos, sin = np.cos(self._square.angle_rad), np.sin(self._square.angle_rad)
        turned = shift @ np.array([[cos, sin], [-sin, cos]], np.float32) * np.float32(self._square.side)
        moved = self._place(np.dstack([turned, turned[..., :1]]), len(turned), cv2.INTER_LINEAR)[..., :2]
        left, top = self._origin.tolist()
        width, height = self._shape
        here = np.meshgrid(np.arange(left, left + width), np.arange(top, top + height))
        return np.asarray(np.stack(here, axis=-1) + moved, np.float32)

    def _shift(self, drawn: RgbImage, deformation: FloatArray) -> FloatArray:
        """Estimate the shift of each position in the square, (a, a, 2) in the square's sides.

        The slices of the volume move differently, and it is unknown which of them contains the surface. Slices whose
        motion brings the portrait closest to the drawn image have the highest weight.
        """
        depth, height, width = deformation.shape[:3]
        straight = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), axis=-1)
        target = scaled(drawn, _TRIAL_PX, _TRIAL_PX).astype(np.float32)
        places = np.stack(np.meshgrid(np.arange(_TRIAL_PX), np.arange(_TRIAL_PX)), axis=-1).astype(np.float32)
        shifts, costs = [], []
        for number in sorted({round(index) for index in np.linspace(0, depth - 1, min(depth, _SLICES))}):
            shift = ((deformation[number, ..., :2] - straight) / 2).astype(np.float32)
            shift = cv2.resize(shift, (_TRIAL_PX, _TRIAL_PX), interpolation=cv2.INTER_LINEAR)
            at = places + shift * _TRIAL_PX
            moved = cv2.remap(self._small, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            costs.append(cv2.GaussianBlur(np.abs(moved - target).mean(axis=2), (0, 0), _NEAR_PX))
            shifts.append(shift)
        cost = np.stack(costs) * np.float32(1 / 255)
        weight = np.exp((cost.min(axis=0) - cost) * np.float32(1 / _TEMPER))
        weight /= weight.sum(axis=0)
        return np.asarray((np.stack(shifts) * weight[..., None]).sum(axis=0), np.float32)

    def _trust(self, new: RgbImage, rough: RgbImage) -> FloatArray:
        """Compute the local agreement of two (h, w, 3) images: (h, w) in [0, 1]."""
        apart = np.abs(new.astype(np.float32) - rough).mean(axis=2) * np.float32(1 / 255)
        apart = cv2.GaussianBlur(apart, (0, 0), 1.5)
        return np.asarray(np.exp2(-np.square(apart * np.float32(1 / AGREE))), np.float32)


def soft_mask(size: int) -> FloatArray:
    """Return (size, size) weights: 1 inside a rounded square, falling smoothly to 0 at the edges."""
    at = np.abs((np.arange(size, dtype=np.float32) + 0.5) / (size / 2) - 1)
    radius = (at[:, None] ** _ROUND + at**_ROUND) ** (1 / _ROUND)  # 1 at the middle of each edge
    inward = np.clip((1 - radius) / (2 * FADE), 0, 1)
    return np.asarray(inward * inward * (3 - 2 * inward), np.float32)
