"""Another background behind the person, frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Engine, LayeredEngine
from avatar.errors import UsageError
from avatar.frames import AlphaImage, Frame, PortraitLayers, RgbImage
from avatar.images.load import straight
from avatar.outputs.background_choice import BackgroundChoice
from avatar.outputs.canvas import CanvasPainter
from avatar.settings import CanvasSettings
from avatar.system.message import Message

_SPREAD_PX = 9
_UNSEEN = 8  # alpha, of 255, below which a pixel is invisible

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
        return np.hstack([_straight(composed.rgb, composed.alpha), np.dstack([panels, opaque])])

    return replaced


def _straight(rgb: RgbImage, alpha: AlphaImage) -> RgbImage:
    """Return (H, W, 4) with straight alpha; the person's colours go on a little where nothing is seen.

    A codec stores colour at half the size, and an edge would otherwise take in the black beside it.
    """
    colours = straight(rgb, alpha)
    near = cv2.blur(np.dstack([rgb, alpha]), (_SPREAD_PX, _SPREAD_PX))
    unseen = alpha < _UNSEEN
    colours[unseen] = straight(near[..., :3], near[..., 3])[unseen]
    return np.dstack([colours, alpha])
