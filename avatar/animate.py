"""A portrait and a driving clip in, a video out: first the whole motion is read, then every frame is drawn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avatar.cv import cv2
from avatar.devices import check_device_name, require_processor
from avatar.driving_motion import is_template
from avatar.engine import ENGINES, open_engine
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.images import AlphaImage
from avatar.library import Library
from avatar.outputs.encoding_thread import EncodingThread
from avatar.outputs.target import OutputKind, check_target
from avatar.outputs.video_file import open_output
from avatar.perform_fomm import perform_fomm
from avatar.perform_warp import perform_warp
from avatar.performance import Performance
from avatar.portrait_crop import Crop
from avatar.sources.video import open_driving
from avatar.tracking import Face, FaceTracker, open_tracker

if TYPE_CHECKING:
    from avatar.engine.fomm.engine import FommEngine

# stage ("tracking", "reading", "comparing", "drawing"), frames done, frames in all (0 = unknown)
Report = Callable[[str, int, int], None]

SIZES_PX = (32, 8192)


@dataclass(frozen=True)
class AnimateOptions:
    """One job. Raises UsageError when made of values that cannot be."""

    source: str | Path  # a picture, or the name of an avatar
    driving: Path  # a video, a GIF, a folder of pictures, or a motion template
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
    size: int | None = None  # longer side of the drawn portrait in pixels
    device: str = "auto"
    audio: bool = True
    side_by_side: bool = False  # the driving frame to the left of the drawn one
    show: str | None = None  # for fomm: "motion" puts pictures of what the model computes to its right

    def __post_init__(self) -> None:
        for name, value in (("head", self.strength_head), ("expression", self.strength_expression)):
            if not 0 <= value <= 2:
                raise UsageError(f"A strength of {value:g} for the {name} is out of range.", remedy="Give 0 to 2.")
        if self.size is not None and not SIZES_PX[0] <= self.size <= SIZES_PX[1]:
            raise UsageError(
                f"A size of {self.size} pixels is out of range.", remedy=f"Give {SIZES_PX[0]} to {SIZES_PX[1]}."
            )
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


@dataclass(frozen=True)
class AnimateResult:
    """What came of a job."""

    output: Path
    engine: str
    device: str
    width_px: int
    height_px: int
    frames: int
    faces: int  # frames in which the driver's face was seen
    reference: int  # the frame that was taken as neutral
    tracking_s: float
    drawing_s: float  # drawing and encoding, which overlap
    notes: tuple[str, ...]  # sentences worth reading
    precision: str = ""  # of the generator, where there is one


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
        size=options.size,
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
        size=options.size,
    )
    return FommEngine(chosen)


@dataclass(frozen=True)
class Tools:
    """What a job works with; tests put their own in."""

    open_tracker: Callable[[], FaceTracker] = open_tracker
    open_engine: Callable[[AnimateOptions], FaceEngine] = _open_warp
    open_fomm: Callable[[AnimateOptions], FommEngine] = _open_fomm


def animate(options: AnimateOptions, report: Report = lambda *_: None, *, tools: Tools | None = None) -> AnimateResult:
    """Make the portrait move as the face in the clip does.

    The clip is decoded twice at most and never held: memory does not grow with its pictures. The result appears under
    its name when it is complete.

    Raises:
        UsageError, OutputError: the result cannot go there.
        ImageError, LibraryError, VideoError, TemplateError: an input cannot be read.
        FaceError: the portrait or the clip shows no usable face.
        WeightsError, EngineError: the tracker or the engine cannot be opened.
    """
    tools = tools or Tools()
    source = Library().likeness(options.source)
    kind = check_target(options.output, [source.picture, options.driving])
    perform = perform_fomm if options.engine == "fomm" else perform_warp
    performance = perform(options, source, tools, report)
    try:
        began_s = time.monotonic()
        shape, written = _render(options, kind, performance, report)
        drawing_s = time.monotonic() - began_s
        device, precision = performance.runs_on()
        notes = performance.notes()
    finally:
        performance.close()
    return AnimateResult(
        output=options.output,
        engine=options.engine,
        device=device,
        width_px=shape[1],
        height_px=shape[0],
        frames=len(performance.clip.times_ns),
        faces=performance.faces,
        reference=performance.reference,
        tracking_s=performance.tracking_s,
        drawing_s=drawing_s,
        notes=(*notes, *written),
        precision=precision,
    )


def _render(
    options: AnimateOptions, kind: OutputKind, performance: Performance, report: Report
) -> tuple[tuple[int, ...], list[str]]:
    """Draw and write every frame; the shape of the frames, and the writer's notes."""
    clip = performance.clip
    count = len(clip.times_ns)
    sounds = options.audio and clip.facts.has_audio and kind in (OutputKind.MP4, OutputKind.WEBM)
    with contextlib.closing(_frames(options, performance)) as frames:
        first = next(frames)
        height, width = first.shape[:2]
        writer = open_output(
            options.output, width, height, clip.facts, audio_from=clip.facts.path if sounds else None
        )
        with writer:
            with EncodingThread(writer, frame_bytes=first.nbytes) as encoder:
                encoder.put(first, clip.times_ns[0] * 1e-9)
                report("drawing", 1, count)
                for number, rgb in enumerate(frames, start=1):
                    encoder.put(rgb, clip.times_ns[number] * 1e-9)
                    report("drawing", number + 1, count)
                encoder.finish()
            writer.commit(clip.end_s)
    return first.shape, writer.notes


def _frames(options: AnimateOptions, performance: Performance) -> Generator[RgbImage, None, None]:
    """The frames of the result in order."""
    with contextlib.ExitStack() as opened:
        shown = options.side_by_side or performance.needs_pictures
        pictures = iter(opened.enter_context(open_driving(options.driving))) if shown else None
        for number in range(len(performance.clip.times_ns)):
            frame = None if pictures is None else next(pictures)
            drawn = performance.draw(number, frame)
            yield beside(frame.rgb, drawn) if options.side_by_side and frame is not None else drawn


def beside(driving: RgbImage, drawn: RgbImage) -> RgbImage:
    """The driving frame, scaled to the drawn one's height, to its left."""
    height = drawn.shape[0]
    width = max(1, round(driving.shape[1] * height / driving.shape[0]))
    kernel = cv2.INTER_AREA if height < driving.shape[0] else cv2.INTER_CUBIC
    scaled = cv2.resize(driving, (width, height), interpolation=kernel)
    return np.ascontiguousarray(np.hstack([scaled, drawn]))


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
