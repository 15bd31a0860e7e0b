"""Painting in camera units: shapes are outlines (N, 2), colours sRGB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray
from tools.gallery.curves import Points, ellipse, ribbon
from tools.gallery.design import MouthDesign
from tools.gallery.paint import Colour, blur, colour, glow, halo, lay, shape_mask, tint
from tools.gallery.solid import Camera, Seen


class Easel:
    """An image (H, W, 3) with drawing operations in camera units."""

    def __init__(self, camera: Camera, image: FloatArray) -> None:
        self.camera, self.image = camera, image

    @staticmethod
    def plain(camera: Camera, paint: Colour) -> Easel:
        """Create an image of one colour."""
        side = camera.side_px
        return Easel(camera, np.tile(colour(paint), (side, side, 1)).astype(np.float32))

    @staticmethod
    def backdrop(camera: Camera, near: str, middle: str, far: str, edge: str, at: tuple[float, float]) -> Easel:
        """Create a wall with a spot of light around `at`, given as fractions of the image."""
        side = camera.side_px
        stops: list[tuple[float, Colour]] = [(0, near), (0.5, middle), (1.0, far), (1.3, edge)]
        return Easel(camera, halo(side, stops, (at[0] * side, at[1] * side), 0.95 * side))

    def mask(self, *outlines: npt.ArrayLike, soft: float = 0.0) -> FloatArray:
        """Rasterise outlines (N, 2) to an (H, W) mask in [0, 1] with edges softened over `soft`."""
        placed = [self.camera.pixels(outline) for outline in outlines]
        return shape_mask(self.camera.side_px, *placed, soft_px=soft * self.camera.unit_px)

    def lay(self, shape: npt.ArrayLike, paint: Colour, strength: float = 1.0, *, soft: float = 0.0) -> None:
        """Cover a shape with paint."""
        lay(self.image, self.mask(shape, soft=soft), paint, strength)

    def tint(
        self, shape: npt.ArrayLike, paint: Colour, strength: float = 1.0, *, soft: float = 0.0,
        within: FloatArray | float = 1.0,
    ) -> None:  # fmt: skip
        """Multiply a shape, an outline (N, 2), by a colour."""
        tint(self.image, np.asarray(self.mask(shape, soft=soft) * within, np.float32), paint, strength)

    def glow(
        self, shape: npt.ArrayLike, strength: float = 1.0, *, paint: Colour = "#ffffff", soft: float = 0.0,
        within: FloatArray | float = 1.0,
    ) -> None:  # fmt: skip
        """Screen light onto a shape, an outline (N, 2)."""
        glow(self.image, np.asarray(self.mask(shape, soft=soft) * within, np.float32), paint, strength)

    def line(self, curve: npt.ArrayLike, widths: Sequence[float], paint: Colour, *, soft: float = 0.004) -> None:
        """Draw a line whose width changes along it."""
        self.lay(ribbon(curve, widths), paint, 0.92, soft=soft)

    def blush(self, x: float, y: float, rx: float, ry: float, paint: Colour, strength: float, soft: float) -> None:
        """Tint both cheeks."""
        for side in (1, -1):
            self.tint(ellipse(side * x, y, rx, ry), paint, strength, soft=soft)

    def mouth_line(self, mouth: MouthDesign, width: float, paint: Colour) -> None:
        """Draw the line between the lips."""
        self.line(mouth.line, (0.45 * width, 0.9 * width, width, 0.9 * width, 0.45 * width), paint)

    def place(self, seen: Seen, shaded: FloatArray) -> None:
        """Composite shaded bodies (H, W, 3) over the image."""
        lay(self.image, blur(seen.hit.astype(np.float32), 0.8), shaded)


def lips(mouth: MouthDesign) -> Points:
    """Return the outline of both lips."""
    return np.concatenate([mouth.upper, mouth.lower[::-1]])
