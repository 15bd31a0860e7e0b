"""Draws one portrait in any pose and expression."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from avatar.engine.warp.deformation import Deformation
from avatar.engine.warp.layers import Layers
from avatar.engine.warp.matte import person_matte
from avatar.frames import FloatArray, RgbImage
from avatar.motion.head import HeadMotion
from avatar.tracking.face import Face


class PortraitRenderer:
    """The portrait, ready to be drawn; not thread-safe."""

    def __init__(self, deformation: Deformation, layers: Layers) -> None:
        self.deformation, self._layers = deformation, layers

    @staticmethod
    def of(
        rgb: RgbImage, face: Face, alpha: npt.NDArray[np.uint8] | None = None, *, hurry: bool = True
    ) -> PortraitRenderer:
        """Do everything for a portrait that is done once: it takes about a second on two cores.

        Args:
            rgb: (H, W, 3).
            face: the one to move.
            alpha: (H, W), the picture's own transparency, if it has any.
            hurry: use a second core; another portrait that is being drawn meanwhile would feel it.
        """
        matte = person_matte(rgb, face.landmarks, alpha)
        if not hurry:
            return PortraitRenderer(Deformation(face, matte), Layers(rgb, face, matte))
        with ThreadPoolExecutor(1, "masque-layers") as beside:
            layers = beside.submit(Layers, rgb, face, matte)
            deformation = Deformation(face, matte)
            return PortraitRenderer(deformation, layers.result())

    def draw(self, expression_px: FloatArray, motion: HeadMotion) -> RgbImage:
        """Draw the portrait.

        Args:
            expression_px: (478, 3) displacements of the landmarks in the portrait's own pose, pixels.
            motion: of the head, relative to the portrait's own pose.
        Returns:
            (H, W, 3) uint8; without any motion, the portrait itself.
        """
        moves = self.deformation
        target = moves.landmarks(expression_px, motion)
        look_up = moves.backward_map(expression_px, motion, target, self._layers.texture_scale)
        canvas = self._layers.compose(look_up)
        self._layers.draw_openings(canvas, target, expression_px, np.float32(motion.zoom) * motion.rotation)
        return canvas
