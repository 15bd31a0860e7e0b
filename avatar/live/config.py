"""Configuration of a pipeline: derived from settings here, changed at run time by `Pipeline.apply`."""

from __future__ import annotations

from dataclasses import dataclass, field

from avatar.engines.registry import ENTRIES
from avatar.errors import UsageError
from avatar.outputs.placement import sharpness
from avatar.settings import CalibrationSettings, CanvasSettings, CropSettings, EngineSettings, MotionSettings, Settings
from avatar.system.message import Message

IDLE = "idle"  # the source without a camera: the idle motion alone
VOICE = "voice"  # the source without a camera that speaks; "voice:NAME" names the microphone
SIZES_PX = (32, 8192)


@dataclass(frozen=True)
class LiveConfig:
    """Configuration of a live session. Raises UsageError if a value is invalid.

    A new field gets a line in `avatar.live.changes.NEEDS`.
    """

    source: str = IDLE  # a camera's id or name, a file, a folder, a still, "idle", "voice" or "voice:MICROPHONE"
    avatar: str = "astronaut"  # a name in the library, or the path of an image
    engine: str = "warp"
    model: str | None = None  # checkpoint, for engines that take one
    device: str = "auto"
    render: str = "auto"  # where engines with a choice draw: one of RENDERERS
    remote: str = ""  # address of a known host that draws, with what it was opened with; empty: this machine does
    size: int | None = None  # longer side of the drawn portrait in pixels; None: as the canvas shows it
    sharpness: float = 1.0  # without `size`: times as large as that, because the avatar is zoomed in
    mirror_driving: bool = False
    camera_size: tuple[int, int] = (1280, 720)  # requested width, height
    camera_rate: int = 30
    motion: MotionSettings = field(default_factory=MotionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)  # canvas that outputs compose avatar frames on
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    crossfade_ms: int = 0  # from one avatar to the next
    threads: int = 2  # number of OpenCV's threads in the process

    @classmethod
    def of(cls, settings: Settings) -> LiveConfig:
        """Map settings to a session; the only such mapping, for the window and for `live`."""
        camera, engine = settings.camera, settings.engine
        if engine.remote:
            engine = EngineSettings(remote=engine.remote)  # the host decides how it draws
        entry = ENTRIES.get(engine.name)
        has_choice = entry is None or entry.takes_models  # otherwise there is one model and one device
        return cls(
            source=_source_of(settings),
            avatar=settings.avatar,
            engine=engine.name,
            model=(engine.model or None) if has_choice else None,
            device=engine.device if has_choice else "auto",
            render=engine.render if entry is None or entry.has_renderers else "auto",
            remote=engine.remote,
            sharpness=sharpness(settings.canvas.place(settings.avatar).zoom),
            mirror_driving=camera.mirror,
            camera_size=(camera.width_px, camera.height_px),
            camera_rate=camera.rate,
            motion=settings.motion,
            crop=settings.crop,
            canvas=settings.canvas,
            calibration=settings.calibration,
            crossfade_ms=settings.crossfade_ms,
            threads=settings.threads,
        )

    def __post_init__(self) -> None:
        if self.size is not None and not SIZES_PX[0] <= self.size <= SIZES_PX[1]:
            raise UsageError(
                Message("A size of {size} pixels is out of range.", size=self.size),
                remedy=Message("Give {least} to {most}.", least=SIZES_PX[0], most=SIZES_PX[1]),
            )


def is_voice(source: str) -> bool:
    """Return whether a source is a microphone."""
    return source == VOICE or source.startswith(f"{VOICE}:")


def microphone_of(source: str) -> str | None:
    """Return the name of the microphone of a source that is one; None: the system's default."""
    return source.partition(":")[2] or None


def _source_of(settings: Settings) -> str:
    source, microphone = settings.camera.source or IDLE, settings.sound.microphone
    return f"{VOICE}:{microphone}" if source == VOICE and microphone else source
