"""A prepared job: portrait, clip and engine, ready to draw frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.engines.base import Engine, ImageEngine
from avatar.frames import Frame, RgbImage
from avatar.offline.driving_motion import DrivingClip
from avatar.sources.facts import DrivingFacts

Draw = Callable[[int, Frame | None], RgbImage]  # a frame's number and, for engines that draw from images, the frame


@dataclass(frozen=True, eq=False)
class Performance:
    """Everything that is determined before the first frame is drawn."""

    clip: DrivingClip  # the times of the result
    draw: Draw
    go_to: Callable[[int], None]  # get ready to draw this frame next, without having drawn those before it
    engine: Engine
    notes: tuple[str, ...]  # notes for the user, besides the engine's
    reference: int  # number of the reference frame
    faces: int  # number of frames that show the driver
    tracking_s: float
    driver: DrivingClip | None = None  # the driving clip where `clip`, whose frames are drawn, is the portrait's own

    @property
    def sound(self) -> DrivingFacts | None:
        """Facts of the clip that the result's sound comes from: the driver's, else the portrait's own; None: silent."""
        clips = (self.driver, self.clip)
        return next((clip.facts for clip in clips if clip is not None and clip.facts.has_audio), None)


def with_panels(drawn: RgbImage, engine: ImageEngine, show: str | None) -> RgbImage:
    """Return a drawn frame, (H, W, 3) uint8, with the engine's panels beside it where `show` asks for them."""
    return drawn if show is None else np.ascontiguousarray(np.hstack([drawn, engine.panels(drawn.shape[0])]))
