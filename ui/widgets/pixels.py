"""Conversion of arrays to QImage."""

from __future__ import annotations

import numpy as np
from PyQt5.QtGui import QImage

from avatar.frames import AlphaImage, RgbImage


def as_image(rgb: RgbImage) -> QImage:
    """Wrap an (H, W, 3) uint8 RGB array as a QImage without copying; the caller keeps the array alive."""
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    return QImage(rgb.data, width, height, rgb.strides[0], QImage.Format_RGB888)  # type: ignore[call-overload,no-any-return]


def own_image(rgb: RgbImage, alpha: AlphaImage | None = None) -> QImage:
    """Copy an image into a QImage, in the format that paints fastest.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) that it is premultiplied by; None: opaque.
    """
    if alpha is not None:
        bgra = np.dstack([rgb[..., ::-1], alpha])
        height, width = alpha.shape
        image = QImage(bgra.data, width, height, bgra.strides[0], QImage.Format_ARGB32_Premultiplied)  # type: ignore[call-overload]
        return image.copy()  # type: ignore[no-any-return]
    return as_image(rgb).convertToFormat(QImage.Format_RGB32)
