"""How a pipeline starts; everything in it can be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from avatar.errors import UsageError
from avatar.settings import CalibrationSettings, CanvasSettings, CropSettings, MotionSettings

IDLE = "idle"  # the source without a camera: the idle motion alone
SIZES_PX = (32, 8192)


@dataclass(frozen=True)
class LiveOptions:
    """One live session. Raises UsageError when made of values that cannot be."""

    source: str = IDLE  # a camera's id or name, a file, a folder, a still, or "idle"
    avatar: str = "astronaut"  # a name in the library, or a picture's path
    engine: str = "warp"
    model: str | None = None  # checkpoint, for engines that have one
    device: str = "auto"
    size: int | None = None  # longer side of the drawn portrait in pixels; None: as large as the canvas shows it
    mirror_driving: bool = False
    camera_size: tuple[int, int] = (1280, 720)  # asked for: width, height
    camera_rate: int = 30
    motion: MotionSettings = field(default_factory=MotionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)  # what outputs will make of an avatar frame
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)

    def __post_init__(self) -> None:
        if self.size is not None and not SIZES_PX[0] <= self.size <= SIZES_PX[1]:
            raise UsageError(
                f"A size of {self.size} pixels is out of range.", remedy=f"Give {SIZES_PX[0]} to {SIZES_PX[1]}."
            )
