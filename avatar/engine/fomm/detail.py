"""Beyond the generator's resolution: fine detail of the portrait, moved by the dense motion, over its prediction.

The generator draws 256 x 256 pixels. The dense motion says where each of them looks in the portrait, and so it does
for a portrait of any size. What the moved portrait shows beyond the generator's resolution is added to the prediction
where the occlusion map says that the portrait shows this place at all, and where both agree on the rest: an eye that
the generator closed gets no lashes of an open one.

    picture = up(prediction) + trust * (moved - up(down(moved)))

Where the two agree and are trusted, this is the moved portrait itself.
"""

from __future__ import annotations

import functools

import numpy as np

from avatar.cv import cv2
from avatar.engine.fomm.crop import feather, scaled
from avatar.frames import FloatArray, RgbImage
from avatar.portrait_crop import Box

AGREE = 0.10  # of the full range: a difference between prediction and moved portrait that halves the trust
SURE = (0.25, 0.75)  # from where to where of the occlusion map trust rises from 0 to 1


class Composer:
    """Puts predictions back into one portrait, on the processor."""

    def __init__(self, portrait: RgbImage, box: Box) -> None:
        """Keep the portrait.

        Args:
            portrait: (H, W, 3); what is returned has its size.
            box: the part of it that the model moves.
        """
        self._portrait, self._box = portrait, box
        self._part = np.ascontiguousarray(box.of(portrait))
        weight = feather(box, portrait)
        self._new = None if weight.min() >= 1 else weight

    def __call__(
        self, prediction: RgbImage, deformation: FloatArray | None = None, occlusion: FloatArray | None = None
    ) -> RgbImage:
        """The whole portrait with the part drawn anew; a new array.

        Args:
            prediction: (h, w, 3).
            deformation: (a, b, 2) positions in the part, (x, y) in [-1, 1]; None: no detail is added.
            occlusion: (a, b) in [0, 1], 0 = hidden in the portrait; None: all is shown.
        """
        box = self._box
        drawn = scaled(prediction, box.width, box.height)
        is_larger = box.width > prediction.shape[1] and box.height > prediction.shape[0]
        if is_larger and deformation is not None:
            drawn = self._with_detail(drawn, prediction, deformation, occlusion)
        if self._new is not None:
            old = self._part.astype(np.float32)
            drawn = np.rint(old + (drawn - old) * self._new).astype(np.uint8)
        picture = self._portrait.copy()
        box.of(picture)[:] = drawn
        return picture

    def _with_detail(
        self, drawn: RgbImage, prediction: RgbImage, deformation: FloatArray, occlusion: FloatArray | None
    ) -> RgbImage:
        """Lay the moved portrait's detail over the enlarged prediction."""
        width, height = self._box.width, self._box.height
        places = enlarged(deformation, width, height)
        places += 1
        places *= np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
        moved = cv2.remap(self._part, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rough = scaled(moved, prediction.shape[1], prediction.shape[0])
        trust = cv2.resize(self._trust(prediction, rough, occlusion), (width, height), interpolation=cv2.INTER_LINEAR)
        detail = cv2.subtract(moved, scaled(rough, width, height), dtype=cv2.CV_32F)
        detail *= trust[..., None]
        return np.asarray(cv2.add(drawn, detail, dtype=cv2.CV_8U))

    def _trust(self, prediction: RgbImage, rough: RgbImage, occlusion: FloatArray | None) -> FloatArray:
        """(h, w) in [0, 1], at the prediction's size."""
        apart = np.abs(prediction.astype(np.float32) - rough).mean(axis=2) * np.float32(1 / 255)
        apart = cv2.GaussianBlur(apart, (0, 0), 1.5)
        trust = np.exp2(-np.square(apart * np.float32(1 / AGREE)))
        if occlusion is not None:
            shown = np.clip((occlusion - SURE[0]) / (SURE[1] - SURE[0]), 0, 1)
            trust *= cv2.resize(shown, prediction.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(trust, np.float32)


def enlarged(places: FloatArray, width_px: int, height_px: int) -> FloatArray:
    """(a, b, n) values brought to another size; corners stay corners, as in the grids (align_corners=True).

    As two products with matrices: OpenCV would put the corners elsewhere, or round where it looks to 1/32 of a cell,
    which is a quarter of a pixel here.
    """
    down, across = between(height_px, places.shape[0]), between(width_px, places.shape[1])
    layers = [down @ places[..., index] @ across.T for index in range(places.shape[2])]
    return np.asarray(cv2.merge(layers))


@functools.lru_cache(maxsize=16)
def between(count: int, known: int) -> FloatArray:
    """(count, known) weights that interpolate `known` values at `count` places, the outermost ones included."""
    at = np.linspace(0, known - 1, count)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(known))), np.float32)
