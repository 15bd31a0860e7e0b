"""The portrait taken apart: the person with a soft outline, the background behind, mouth and eyes within."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.motion.head import HeadMotion
from avatar.tracking.face import Face


class Layers:
    """What is drawn over what; made once per avatar."""

    def __init__(self, rgb: RgbImage, face: Face, matte: FloatArray, person: RgbImage, background: RgbImage) -> None:
        self._background = background
        alpha = np.round(matte * 255).astype(np.uint8)
        colours = cv2.multiply(person, cv2.merge([alpha] * 3), scale=1 / 255)
        self._person = cv2.merge([*cv2.split(colours), alpha])  # premultiplied, so that interpolation cannot fringe

    @staticmethod
    def of(rgb: RgbImage, face: Face) -> Layers:
        """Take a portrait apart."""
        height, width = rgb.shape[:2]
        unit = face.pose.scale_px
        x, y = face.landmarks[:, :2].mean(axis=0)
        matte = np.zeros((height, width), np.uint8)
        cv2.ellipse(matte, (int(x), int(y - 0.15 * unit)), (int(1.35 * unit), int(1.75 * unit)), 0, 0, 360, 255, -1)
        cv2.rectangle(matte, (0, int(face.landmarks[152, 1] + 0.2 * unit)), (width, height), 255, -1)
        soft = cv2.GaussianBlur(matte.astype(np.float32) / 255, (0, 0), 0.12 * unit)
        return Layers(rgb, face, soft, rgb, rgb)

    def compose(self, look_up: FloatArray) -> RgbImage:
        """Move the person by a backward map and lay it over the background; (H, W, 3)."""
        moved = cv2.remap(self._person, look_up, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        hidden = 255 - moved[..., 3]
        behind = cv2.multiply(self._background, cv2.merge([hidden] * 3), scale=1 / 255)
        return np.asarray(cv2.add(behind, np.ascontiguousarray(moved[..., :3])))

    def draw_openings(self, canvas: RgbImage, face: Face, target: FloatArray, expression_px: FloatArray, motion: HeadMotion) -> None:
        """Draw what lies between lids and lips."""
