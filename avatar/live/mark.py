"""Marking of pass-through frames with a red frame, so that the camera's image cannot be mistaken for an avatar."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import Frame
from avatar.settings import CanvasSettings

RED = (230, 20, 20)
THICK = 1 / 30  # thickness of the red frame over the shorter side


def as_passed_through(frame: Frame, canvas: CanvasSettings) -> Frame:
    """Fit a camera frame to the canvas with a red frame; it has the canvas's shape, so that no fit crops it."""
    width, height = canvas.width_px, canvas.height_px
    scale = min(width / frame.width_px, height / frame.height_px)
    inner = max(1, round(frame.width_px * scale)), max(1, round(frame.height_px * scale))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    marked = np.zeros((height, width, 3), np.uint8)
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    marked[top : top + inner[1], left : left + inner[0]] = cv2.resize(frame.rgb, inner, interpolation=kernel)
    thick = max(2, round(THICK * min(width, height)))
    for edge in (marked[:thick], marked[-thick:], marked[:, :thick], marked[:, -thick:]):
        edge[:] = RED
    return Frame(marked, frame.sequence, frame.captured_ns, passed_through=True)
