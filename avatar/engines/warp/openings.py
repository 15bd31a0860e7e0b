"""Eyes and mouth of a portrait: everything between its lids and between its lips."""

from __future__ import annotations

import numpy as np

from avatar.engines.warp.eye.eyes import EyeLayer, irises_of
from avatar.engines.warp.eye.lids import SIDES
from avatar.engines.warp.mouth.frame import NOSE_BASE
from avatar.engines.warp.mouth.mouth import MouthInterior
from avatar.engines.warp.scene import Scene
from avatar.engines.warp.shading import SmileShading
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.face import Face
from avatar.tracking.regions import CHIN, LEFT_EYE, LEFT_MOUTH_CORNER, RIGHT_EYE, RIGHT_MOUTH_CORNER, EyeRegion

NOSE = list(NOSE_BASE)


class Openings:
    """Eyes and mouth of one portrait, computed once."""

    def __init__(self, rgb: RgbImage, face: Face) -> None:
        """Take eyes and mouth out of an (H, W, 3) uint8 portrait with a face."""
        self._face = face
        irises = irises_of(rgb, face.landmarks)
        right, left = (EyeLayer(rgb, face.landmarks, side, irises) for side in SIDES)
        self._eyes = ((RIGHT_EYE, right), (LEFT_EYE, left))
        self._mouth = MouthInterior(rgb, face.landmarks)
        self._shading = SmileShading(rgb, face, colour=self._mouth.colour, weight=1 - self._mouth.drawn)
        corners = face.landmarks[[RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]]
        self._mouth_width_px = float(np.linalg.norm(corners[0] - corners[1]))

    def draw(self, canvas: RgbImage, scene: Scene, *, shaded: bool = True) -> None:
        """Shade the face, then draw the eyes and the interior of the mouth, in place.

        Args:
            canvas: (H, W, 3) uint8, the warped portrait.
            scene: what the frame shows.
            shaded: False keeps the light that the skin has in the portrait.
        """
        if shaded:
            self._shading.draw(canvas, scene)
        target, turn = scene.target, scene.turn
        for eye, layer in self._eyes:
            socket = _socket(self._face.landmarks, target, eye, turn)
            layer.draw(canvas, target, target[eye.iris, :2], socket)
        down = self._face.pose.rotation[:, 1]
        jaw_drop = float(scene.expression_px[CHIN] @ down) / self._mouth_width_px
        zoom = float(np.cbrt(np.linalg.det(turn)))
        # A smile lifts the nose off the skull; what drags it down is the pose of a face whose jaw drops.
        lift_px = min(float((scene.expression_px[NOSE] @ down).mean()), 0.0)
        skull = target - np.float32(lift_px) * (turn @ down)
        self._mouth.draw(canvas, target, (turn / zoom).astype(np.float32), 1.0, jaw_drop, skull)


def _socket(source: FloatArray, target: FloatArray, eye: EyeRegion, turn: FloatArray) -> FloatArray:
    """Compute the affine map (2, 3) from portrait pixels to frame pixels for the eye socket, which moves rigidly.

    Args:
        source, target: (478, 3) landmarks in the portrait and in the frame.
        eye: the eye.
        turn: (3, 3), zoom times rotation of the head.
    """
    corners = [eye.outer, eye.inner]
    middle = target[corners, :2].mean(axis=0) - turn[:2, :2] @ source[corners, :2].mean(axis=0)
    return np.asarray(np.hstack([turn[:2, :2], middle[:, None]]), np.float32)
