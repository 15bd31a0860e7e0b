"""A portrait, a clip and an engine between them, ready to be drawn frame by frame: what every engine makes of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from avatar.driving_motion import DrivingClip
from avatar.frames import Frame, RgbImage

Draw = Callable[[int, Frame | None], RgbImage]  # a frame's number and its picture, where `needs_pictures`


@dataclass(frozen=True, eq=False)
class Performance:
    """Everything that was found out before the first frame is drawn."""

    clip: DrivingClip
    draw: Draw
    close: Callable[[], None]  # the engine
    runs_on: Callable[[], tuple[str, str]]  # device and precision; asked at the end, for a precision may be given up
    notes: Callable[[], tuple[str, ...]]  # sentences worth reading; asked at the end too
    reference: int  # the frame that was taken as neutral
    faces: int  # frames in which the driver was seen
    tracking_s: float
    needs_pictures: bool = False
