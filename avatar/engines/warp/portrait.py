"""A prepared portrait: everything that is computed once, and what to draw for any pose and expression."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.engines.base import Checkpoint, go_on
from avatar.engines.warp.beyond import Edges
from avatar.engines.warp.deformation import Deformation
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.matting.matte import person_matte
from avatar.engines.warp.openings import Openings
from avatar.engines.warp.scene import Scene
from avatar.frames import FloatArray, RgbImage
from avatar.motion.head import HeadMotion
from avatar.tracking.face import Face


@dataclass(frozen=True, eq=False)
class WarpPortrait:
    """A prepared portrait; not thread-safe."""

    deformation: Deformation
    layers: Layers

    @staticmethod
    def of(
        rgb: RgbImage,
        face: Face,
        alpha: npt.NDArray[np.uint8] | None = None,
        *,
        use_second_core: bool = True,
        checkpoint: Checkpoint = go_on,
    ) -> WarpPortrait:
        """Prepare a portrait; takes about a second on two cores.

        Args:
            rgb: (H, W, 3) uint8.
            face: the face to animate.
            alpha: (H, W) uint8, the image's own alpha channel, if it has one.
            use_second_core: use a second core, which slows down another portrait that is drawn at the same time.
            checkpoint: called between the steps, on both cores' threads; what it raises ends them.
        """
        size_px = rgb.shape[0], rgb.shape[1]
        if not use_second_core:
            matte = person_matte(rgb, face.landmarks, alpha, checkpoint)
            deformation = Deformation(face, size_px, functools.partial(Edges.of, matte), checkpoint)
            openings = Openings(rgb, face)
            checkpoint()
            return WarpPortrait(deformation, Layers(rgb, face, matte, openings, checkpoint))
        with ThreadPoolExecutor(1, "masque-layers") as beside:
            made = beside.submit(person_matte, rgb, face.landmarks, alpha, checkpoint)
            edges = beside.submit(lambda: Edges.of(made.result()))
            openings = Openings(rgb, face)
            layers = beside.submit(lambda: Layers(rgb, face, made.result(), openings, checkpoint))
            deformation = Deformation(face, size_px, edges.result, checkpoint)
            return WarpPortrait(deformation, layers.result())

    def scene(self, expression_px: FloatArray, motion: HeadMotion, *, creep: bool = True) -> Scene:
        """Compute what to draw.

        Args:
            expression_px: (478, 3) displacements of the landmarks in the portrait's own pose, pixels.
            motion: the head motion, relative to the portrait's own pose.
            creep: False keeps lips and skin to the landmarks.
        """
        target = self.deformation.landmarks(expression_px, motion)
        look_up = self.deformation.backward_map(expression_px, motion, target, creep=creep)
        return Scene(look_up, target, expression_px, np.float32(motion.zoom) * motion.rotation)
