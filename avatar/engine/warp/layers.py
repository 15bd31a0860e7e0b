"""The portrait taken apart: the person with a soft outline, the background behind, mouth and eyes within."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.background import fill_background, foreground_colors, widened_matte
from avatar.engine.warp.eyes import EyeLayer
from avatar.engine.warp.mouth import MouthInterior
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.face import Face
from avatar.tracking.regions import CHIN, LEFT_EYE, LEFT_MOUTH_CORNER, RIGHT_EYE, RIGHT_MOUTH_CORNER, EyeRegion

FINER = 2  # the person is kept this much finer than the picture: reading it bilinearly then keeps it crisp
FINER_UP_TO_PX = 8000  # a texture of more than 32,767 pixels cannot be read at all


class Layers:
    """What is drawn over what; made once per avatar."""

    def __init__(self, rgb: RgbImage, face: Face, matte: FloatArray) -> None:
        """Take (H, W, 3) apart; the matte (H, W) in [0, 1] says what of it is the person."""
        self._background = fill_background(rgb, matte, face.landmarks)
        matte = widened_matte(rgb, matte, self._background)
        person = foreground_colors(rgb, matte, self._background)
        alpha = np.round(matte * 255).astype(np.uint8)
        colours = cv2.multiply(person, cv2.merge([alpha] * 3), scale=1 / 255)
        premultiplied = cv2.merge([*cv2.split(colours), alpha])  # so that interpolation cannot fringe
        self.texture_scale = FINER if max(rgb.shape) <= FINER_UP_TO_PX else 1
        self._person = _finer(premultiplied, self.texture_scale)
        self._face = face
        right, left = EyeLayer(rgb, face.landmarks, "right"), EyeLayer(rgb, face.landmarks, "left")
        self._eyes = ((RIGHT_EYE, right), (LEFT_EYE, left))
        self._mouth = MouthInterior(rgb, face.landmarks)
        corners = face.landmarks[[RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]]
        self._mouth_width_px = float(np.linalg.norm(corners[0] - corners[1]))

    def compose(self, look_up: FloatArray) -> RgbImage:
        """Move the person and lay it over the background.

        Args:
            look_up: (H, W, 2), where each pixel looks in the portrait, in pixels times `texture_scale`.
        Returns:
            (H, W, 3) uint8.
        """
        moved = cv2.remap(self._person, look_up, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        hidden = 255 - moved[..., 3]
        behind = cv2.multiply(self._background, cv2.merge([hidden] * 3), scale=1 / 255)
        return np.asarray(cv2.add(behind, cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)))

    def draw_openings(self, canvas: RgbImage, target: FloatArray, expression_px: FloatArray, turn: FloatArray) -> None:
        """Draw what lies between lids and lips, in place.

        Args:
            canvas: (H, W, 3), the moved portrait.
            target: (478, 3), where its landmarks have gone.
            expression_px: (478, 3), how far expression alone moved them, in the portrait's own pose.
            turn: (3, 3), zoom times rotation of the head.
        """
        for eye, layer in self._eyes:
            socket = _socket(self._face.landmarks, target, eye, turn)
            layer.draw(canvas, target, target[eye.iris, :2], socket)
        down = self._face.pose.rotation[:, 1]
        jaw_drop = float(expression_px[CHIN] @ down) / self._mouth_width_px
        zoom = float(np.cbrt(np.linalg.det(turn)))
        self._mouth.draw(canvas, target, (turn / zoom).astype(np.float32), 1.0, jaw_drop)


def _socket(source: FloatArray, target: FloatArray, eye: EyeRegion, turn: FloatArray) -> FloatArray:
    """Portrait pixels to frame pixels for what is rigid around an eye; (2, 3)."""
    corners = [eye.outer, eye.inner]
    middle = target[corners, :2].mean(axis=0) - turn[:2, :2] @ source[corners, :2].mean(axis=0)
    return np.asarray(np.hstack([turn[:2, :2], middle[:, None]]), np.float32)


def _finer(image: RgbImage, scale: int) -> RgbImage:
    """The image on a grid `scale` times as fine, on which its own pixels are kept as they are."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = ((width - 1) * scale + 1, (height - 1) * scale + 1)
    shrink = np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, shrink, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
