"""What an animation job is asked for, and what it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from avatar.devices import check_device_name, require_processor
from avatar.driving_motion import is_template
from avatar.engine import ENGINES, open_engine
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.images import AlphaImage
from avatar.outputs.sound_choice import SoundTrackChoice
from avatar.portrait_crop import Crop
from avatar.result_size import Size, check_size
from avatar.tracking import Face, FaceTracker, open_tracker

if TYPE_CHECKING:
    from avatar.engine.fomm.engine import FommEngine

# stage ("tracking", "reading", "comparing", "drawing"), frames done, frames in all (0 = unknown)
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AnimateOptions:
    """One job. Raises UsageError when made of values that cannot be."""

    source: str | Path  # a picture, or the name of an avatar
    driving: Path  # a video, an animated image, a folder of pictures, or a motion template
    output: Path  # .mp4, .webm, .gif, or a folder for PNG frames
    engine: str = "warp"
    model: str | Path | None = None  # for fomm: a checkpoint's name or file; None: Masque's own
    config: str | Path | None = None  # for fomm: of that checkpoint; None: read off its weights
    relative: bool = True
    adapt_scale: bool = True
    reference: str | int = "auto"  # "auto", "first", or a frame of the clip, counted from 0
    strength_head: float = 1.0  # 0..2
    strength_expression: float = 1.0  # 0..2
    crop: Crop = "auto"
    turn_deg: int | None = None  # of the portrait, clockwise; None: until its face is upright
    size: Size = None  # longer side of the drawn portrait in pixels; "full": its own; None: at most DEFAULT_SIDE_PX
    device: str = "auto"
    audio: bool = True
    sound_track: SoundTrackChoice = None
    side_by_side: bool = False  # the driving frame to the left of the drawn one
    show: str | None = None  # for fomm: "motion" puts pictures of what the model computes to its right

    def __post_init__(self) -> None:
        for name, value in (("head", self.strength_head), ("expression", self.strength_expression)):
            if not 0 <= value <= 2:
                raise UsageError(f"A strength of {value:g} for the {name} is out of range.", remedy="Give 0 to 2.")
        check_size(self.size)
        if isinstance(self.sound_track, int) and self.sound_track < 1:
            raise UsageError(f"There is no sound track {self.sound_track}.", remedy="Tracks are counted from 1.")
        if isinstance(self.reference, int) and self.reference < 0:
            raise UsageError(f"There is no frame {self.reference}.", remedy="Frames are counted from 0.")
        if self.side_by_side and is_template(self.driving):
            raise UsageError(
                "A motion template holds no pictures to show at the side.",
                remedy="Leave --side-by-side out, or name the video the template was made from.",
            )
        if self.show not in (None, "motion"):
            raise UsageError(f"--show {self.show} is not understood.", remedy="Give --show motion.")
        _check_engine(self)


class FaceEngine(Protocol):
    """An engine that is driven by faces already tracked."""

    def set_source(self, source_image: Frame, face: Face | None = None, alpha: AlphaImage | None = None) -> None:
        """Prepare a portrait, whose face is known; what is transparent in it is not the person."""

    def calibrate_face(self, face: Face, picture_width_px: int | None = None) -> None:
        """Keep the driver's face of the reference frame."""

    def animate_face(self, face: Face | None, time_s: float) -> RgbImage:
        """Draw the portrait as the driver's face is; None: it is not seen."""
        ...

    def close(self) -> None:
        """Release everything."""


def _open_warp(options: AnimateOptions) -> FaceEngine:
    engine = open_engine(
        "warp",
        relative=options.relative,
        adapt_scale=options.adapt_scale,
        strength_head=options.strength_head,
        strength_expression=options.strength_expression,
        size=options.size if isinstance(options.size, int) else None,
    )
    return engine  # type: ignore[return-value]  # the warp engine also takes tracked faces


def _open_fomm(options: AnimateOptions) -> FommEngine:
    from avatar.engine.fomm.engine import FommEngine, FommOptions

    chosen = FommOptions(
        model=options.model,
        config=options.config,
        device=options.device,
        relative=options.relative,
        adapt_scale=options.adapt_scale,
        strength=options.strength_head,
        crop=options.crop,
        size=options.size if isinstance(options.size, int) else None,
    )
    return FommEngine(chosen)


@dataclass(frozen=True)
class Tools:
    """What a job works with; tests put their own in."""

    open_tracker: Callable[[], FaceTracker] = open_tracker
    open_engine: Callable[[AnimateOptions], FaceEngine] = _open_warp
    open_fomm: Callable[[AnimateOptions], FommEngine] = _open_fomm


def _check_engine(options: AnimateOptions) -> None:
    check_device_name(options.device)
    if options.engine not in ENGINES:
        remedy = f"Choose one of: {', '.join(ENGINES)}."
        raise UsageError(f"There is no engine called {options.engine!r}.", remedy=remedy)
    if options.engine == "warp":
        require_processor(options.device)
        if options.model is not None or options.config is not None:
            raise UsageError("--model and --config belong to --engine fomm.", remedy="Leave them out.")
        if options.show is not None:
            raise UsageError("--show motion belongs to --engine fomm.", remedy="Leave it out, or add --engine fomm.")
    elif options.strength_head != options.strength_expression:
        raise UsageError(
            "The fomm engine moves head and expression as one, and they were given different strengths.",
            remedy="Give --strength instead of --strength-head and --strength-expression.",
        )
