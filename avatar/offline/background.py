"""Another background behind the person, frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatar.engines.base import Engine, LayeredEngine
from avatar.errors import UsageError
from avatar.frames import Frame, PortraitLayers, RgbImage
from avatar.outputs.background_choice import BackgroundChoice
from avatar.outputs.canvas import CanvasPainter
from avatar.outputs.yuv import straight_rgba
from avatar.settings import CanvasSettings
from avatar.system.message import Message

Replace = Callable[[RgbImage], RgbImage]


def replace_background(engine: Engine, choice: BackgroundChoice) -> Replace:
    """Return a function that takes the frame drawn last, (H, W, 3), and puts another background behind the person.

    It returns (H, W, 3), or (H, W, 4) with straight alpha where the background is transparent. Raises UsageError where
    frames are too large for that, or the engine cannot tell the person from the background.
    """
    painter = CanvasPainter()

    def replaced(rgb: RgbImage) -> RgbImage:
        """Replace the background of a frame (H, W, 3), but for the panels to its right, if there are any."""
        if not isinstance(engine, LayeredEngine) or choice.kind == "own":
            return rgb
        background, matte = engine.background(), engine.matte()
        if background is None or matte is None:
            raise UsageError(
                "No face was found in the portrait, so the person cannot be told from the background.",
                remedy="Leave --background out, or give a picture that is transparent around the person.",
            )
        height, width = matte.shape
        picture, panels = np.ascontiguousarray(rgb[:, :width]), rgb[:, width:]
        try:
            canvas = choice.on(CanvasSettings(width, height, label=False))
        except ValueError as error:
            raise UsageError(
                Message("Another background cannot be put behind frames of this size: {why}.", why=error),
                remedy="Give a smaller --size.",
            ) from error
        layers = PortraitLayers(background=background, matte=matte)
        composed = painter.compose(Frame(picture, 0, 0, layers=layers), canvas)
        if composed.alpha is None:
            return np.ascontiguousarray(np.hstack([composed.rgb, panels]))
        opaque = np.full(panels.shape[:2], 255, np.uint8)
        return np.hstack([straight_rgba(composed.rgb, composed.alpha), np.dstack([panels, opaque])])

    return replaced
