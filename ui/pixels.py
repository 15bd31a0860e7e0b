"""Pictures from arrays and back."""

from __future__ import annotations

import numpy as np
from PyQt5.QtGui import QImage

from avatar.frames import RgbImage


def as_image(rgb: RgbImage) -> QImage:
    """A QImage on the array's own memory; the caller keeps the array as long as the image."""
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    return QImage(rgb.data, width, height, rgb.strides[0], QImage.Format_RGB888)  # type: ignore[call-overload,no-any-return]


def own_image(rgb: RgbImage) -> QImage:
    """A QImage with memory of its own, in the format that painting is fastest with."""
    return as_image(rgb).convertToFormat(QImage.Format_RGB32)
