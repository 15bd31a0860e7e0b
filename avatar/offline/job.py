"""Options and dependencies of an animation job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatar.engines.base import Engine, EngineConfig, Portrait
from avatar.engines.registry import ENGINES, ENTRIES, check_config, create_engine
from avatar.errors import UsageError
from avatar.library.library import Library
from avatar.offline.driving_motion import DrivingMotion, has_images, read_motion
from avatar.offline.size import Size, check_size
from avatar.outputs.background_choice import BackgroundChoice
from avatar.outputs.files.sound_choice import SoundTrackChoice
from avatar.outputs.files.target import OutputKind, kind_of
from avatar.portrait.crop import Crop
from avatar.portrait.source import Likeness, PortraitSource, read_portrait
from avatar.settings import MotionSettings
from avatar.system.devices import check_device_name
from avatar.system.message import Message, chained
from avatar.tracking import FaceTracker, open_tracker

# stage ("tracking", "portrait", "reading", "comparing", "drawing"), frames done, frames in all (0 = unknown)
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AnimateOptions:
    """Options of a job. Raises UsageError if a value is invalid."""

    source: str | Path  # an image file, the name of an avatar, or a video for engines that take one
    driving: Path  # a video, an animated image, a folder of images, a motion template, or a recording of a voice
    output: Path  # .mp4, .webm, .gif, or a folder for PNG frames
    engine: str = "warp"
    model: str | Path | None = None  # for fomm: a checkpoint's name or file; None: Masque's own
    config: str | Path | None = None  # for fomm: config of that checkpoint; None: derived from its weights
    motion: MotionSettings = field(default_factory=MotionSettings)
    reference: str | int = "auto"  # "auto", "first", or the number of a frame of the clip, from 0
    crop: Crop = "auto"
    turn_deg: int | None = None  # clockwise rotation of the portrait; None: so that its face is upright
    size: Size = None  # longer side of the drawn portrait in pixels; "full": its own; None: at most DEFAULT_SIDE_PX
    device: str = "auto"
    render: str = "auto"  # for warp: one of RENDERERS
    audio: bool = True
    sound_track: SoundTrackChoice = None
    background: BackgroundChoice = field(default_factory=BackgroundChoice)
    side_by_side: bool = False  # put the driving frame to the left of the drawn one
    show: str | None = None  # for fomm: "motion" puts images of the intermediate results to its right

    def __post_init__(self) -> None:
        check_size(self.size)
        if isinstance(self.sound_track, int) and self.sound_track < 1:
            raise UsageError(
                Message("There is no sound track {number}.", number=self.sound_track),
                remedy="Tracks are counted from 1.",
            )
        if isinstance(self.reference, int) and self.reference < 0:
            raise UsageError(
                Message("There is no frame {number}.", number=self.reference), remedy="Frames are counted from 0."
            )
        if self.side_by_side and not has_images(self.driving):
            raise UsageError(
                Message("{name} holds no frames to show at the side.", name=self.driving.name),
                remedy="Leave --side-by-side out, or name a video.",
            )
        if self.show not in (None, "motion"):
            raise UsageError(Message("--show {show} is not understood.", show=self.show), remedy="Give --show motion.")
        _check_engine(self)
        _check_background(self)

    @property
    def transparent(self) -> bool:
        """True if frames have four channels."""
        return self.background.kind == "transparent"

    @property
    def separates(self) -> bool:
        """True if another background is put behind the person."""
        return self.background.kind != "own"

    @property
    def engine_config(self) -> EngineConfig:
        """Options with which the engine is opened."""
        return EngineConfig(
            self.engine, self.model, self.config, self.device, self.motion,
            follow_faces=self.crop == "auto", render=self.render,
        )  # fmt: skip


def _likeness(name_or_path: str | Path) -> Likeness:
    return Library().likeness(name_or_path)


def _prepared(engine: Engine, portrait: Portrait, size_px: int | None) -> Any:
    return engine.prepare(portrait, size_px)


def _closed(engine: Engine) -> None:
    engine.close()


@dataclass(frozen=True)
class Tools:
    """Functions that open and read what a job needs; a batch shares the results between jobs, tests replace them."""

    open_tracker: Callable[[], FaceTracker] = open_tracker
    open_engine: Callable[[EngineConfig], Engine] = create_engine
    find_likeness: Callable[[str | Path], Likeness] = _likeness
    read_portrait: Callable[[Likeness, FaceTracker, Crop, int | None], PortraitSource] = read_portrait
    read_motion: Callable[[Path, FaceTracker, Callable[[int, int], None]], DrivingMotion] = read_motion
    prepare: Callable[[Engine, Portrait, int | None], Any] = _prepared  # what `Engine.show` takes
    release: Callable[[Engine], None] = _closed


def _check_background(options: AnimateOptions) -> None:
    if options.background.kind == "own":
        return
    if options.transparent and kind_of(options.output) not in (OutputKind.WEBM, OutputKind.PNG_FOLDER):
        raise UsageError(
            Message("{name} cannot be transparent.", name=options.output.name),
            remedy="End it in .webm, or give a name without an ending for a folder of PNG frames.",
        )


def _check_engine(options: AnimateOptions) -> None:
    check_device_name(options.device)
    if options.engine not in ENTRIES:
        remedy = Message("Choose one of: {names}.", names=", ".join(ENGINES))
        raise UsageError(Message("There is no engine called {engine!r}.", engine=options.engine), remedy=remedy)
    check_config(options.engine_config)
    entry = ENTRIES[options.engine]
    if options.show is not None and not entry.has_panels:
        others = chained("{first} or {second}", *(name for name, each in ENTRIES.items() if each.has_panels))
        raise UsageError(
            Message("--show motion belongs to --engine {others}.", others=others),
            remedy=Message("Leave it out, or add --engine {others}.", others=others),
        )
    if not entry.separates_expression and options.motion.strength_head != options.motion.strength_expression:
        raise UsageError(
            Message(
                "The {name} engine moves head and expression as one, and they were given different strengths.",
                name=entry.name,
            ),
            remedy="Give --strength instead of --strength-head and --strength-expression.",
        )
