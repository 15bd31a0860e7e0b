"""Detail beyond the generator's resolution: the portrait's own, moved by the dense motion and added to the prediction.

The generator draws 256 x 256 pixels. The dense motion maps each of them to a position in the portrait, whatever the
portrait's size. The detail of the moved portrait beyond the generator's resolution is added to the prediction where the
occlusion map says that the portrait shows this place, and where both agree at low resolution: an eye that the generator
closed does not get the lashes of an open one.

    result = up(prediction) + trust * (moved - up(down(moved)))

Where the two agree and are trusted, this is the moved portrait itself.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.crop import feather, scaled
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.images.box import Box

AGREE = 0.10  # difference between prediction and moved portrait, of the full range, that halves the trust
SURE = (0.25, 0.75)  # values of the occlusion map between which trust rises from 0 to 1


class Composer:
    """Compositor that puts predictions back into one portrait, on the CPU."""

    def __init__(self, portrait: RgbImage, box: Box) -> None:
        """Create a compositor.

        Args:
            portrait: (H, W, 3) uint8.
            box: the part of it that the model animates.
        """
        self._portrait, self._box = portrait, box
        self._part = np.ascontiguousarray(box.of(portrait))
        weight = feather(box, portrait)
        self._new = None if weight.min() >= 1 else weight

    def __call__(
        self, prediction: RgbImage, deformation: FloatArray | None = None, occlusion: FloatArray | None = None
    ) -> RgbImage:
        """Composite a prediction into the portrait.

        Args:
            prediction: (h, w, 3) uint8.
            deformation: (a, b, 2) positions in the part, (x, y) in [-1, 1]; None: no detail is added.
            occlusion: (a, b) in [0, 1], 0 = hidden in the portrait; None: nothing is hidden.
        Returns:
            (H, W, 3) uint8, a new array.
        """
        box = self._box
        drawn = scaled(prediction, box.width, box.height)
        is_larger = box.width > prediction.shape[1] and box.height > prediction.shape[0]
        if is_larger and deformation is not None:
            drawn = self._with_detail(drawn, prediction, deformation, occlusion)
        if self._new is not None:
            old = self._part.astype(np.float32)
            drawn = np.rint(old + (drawn - old) * self._new).astype(np.uint8)
        whole = self._portrait.copy()
        box.of(whole)[:] = drawn
        return whole

    def _with_detail(
        self, drawn: RgbImage, prediction: RgbImage, deformation: FloatArray, occlusion: FloatArray | None
    ) -> RgbImage:
        """Add the moved portrait's detail to the enlarged prediction.

        Args:
            drawn: (box.height, box.width, 3) uint8, the enlarged prediction.
            prediction, deformation, occlusion: as in `__call__`.
        Returns:
            (box.height, box.width, 3) uint8.
        """
        width, height = self._box.width, self._box.height
        moved = moved_part(self._part, deformation)
        rough = scaled(moved, prediction.shape[1], prediction.shape[0])
        trust = cv2.resize(self._trust(prediction, rough, occlusion), (width, height), interpolation=cv2.INTER_LINEAR)
        detail = cv2.subtract(moved, scaled(rough, width, height), dtype=cv2.CV_32F)
        detail *= trust[..., None]
        return np.asarray(cv2.add(drawn, detail, dtype=cv2.CV_8U))

    def _trust(self, prediction: RgbImage, rough: RgbImage, occlusion: FloatArray | None) -> FloatArray:
        """Compute (h, w) weights of the detail in [0, 1] for an (h, w, 3) prediction and moved portrait `rough`."""
        apart = np.abs(prediction.astype(np.float32) - rough).mean(axis=2) * np.float32(1 / 255)
        apart = cv2.GaussianBlur(apart, (0, 0), 1.5)
        trust = np.exp2(-np.square(apart * np.float32(1 / AGREE)))
        if occlusion is not None:
            shown = np.clip((occlusion - SURE[0]) / (SURE[1] - SURE[0]), 0, 1)
            trust *= cv2.resize(shown, prediction.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(trust, np.float32)


class MatteMover:
    """The matte of one portrait, carried by the dense motion of each frame."""

    def __init__(self, matte: AlphaImage, box: Box) -> None:
        """Take the portrait's matte, (H, W) uint8, and the part of it that the model animates."""
        self._matte, self._box = matte, box
        self._part = np.ascontiguousarray(box.of(matte))
        self._new = feather(box, matte)[..., 0]

    def __call__(self, deformation: FloatArray) -> AlphaImage:
        """Return the matte of a frame, (H, W) uint8, a new array; `deformation`: (a, b, 2), as in `Composer`."""
        whole, old = self._matte.copy(), self._part.astype(np.float32)
        moved = moved_part(self._part, deformation)
        self._box.of(whole)[:] = np.rint(old + (moved - old) * self._new)
        return whole


def moved_part(part: npt.NDArray[np.uint8], deformation: FloatArray) -> npt.NDArray[np.uint8]:
    """Move a part of a portrait, (h, w) or (h, w, 3), by a deformation (a, b, 2) with (x, y) in [-1, 1]."""
    height, width = part.shape[:2]
    places = enlarged(deformation, width, height)
    places += 1
    places *= np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    return np.asarray(cv2.remap(part, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def enlarged(places: FloatArray, width_px: int, height_px: int) -> FloatArray:
    """Interpolate (a, b, n) values to (height_px, width_px, n), with align_corners=True as in the model's grids.

    Computed as two matrix products, because OpenCV aligns corners otherwise, or rounds positions to 1/32 of a cell, a
    quarter of a pixel here.
    """
    down, across = between(height_px, places.shape[0]), between(width_px, places.shape[1])
    layers = [down @ places[..., index] @ across.T for index in range(places.shape[2])]
    return np.asarray(cv2.merge(layers))


@functools.lru_cache(maxsize=16)
def between(count: int, known: int) -> FloatArray:
    """Return (count, known) weights that interpolate `known` values linearly at `count` positions, ends included."""
    at = np.linspace(0, known - 1, count)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(known))), np.float32)
