"""A portrait and a driving clip in, a video out: first the whole motion is read, then every frame is drawn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from avatar.cv import cv2
from avatar.driving_motion import DrivingMotion, is_template, read_motion
from avatar.engine import open_engine
from avatar.errors import EngineError, UsageError
from avatar.frames import Frame, RgbImage
from avatar.images import AlphaImage
from avatar.library import Library
from avatar.motion.reference import choose_reference
from avatar.outputs.encoding_thread import EncodingThread
from avatar.outputs.target import OutputKind, check_target
from avatar.outputs.video_file import open_output
from avatar.portrait import Level, check_portrait
from avatar.portrait_crop import Crop
from avatar.portrait_source import PortraitSource, read_portrait
from avatar.sources.video import open_driving
from avatar.tracking import Face, FaceTracker, open_tracker

Report = Callable[[str, int, int], None]  # stage ("tracking", "drawing"), frames done, frames in all (0 = unknown)

SIZES_PX = (32, 8192)


@dataclass(frozen=True)
class AnimateOptions:
    """One job. Raises UsageError when made of values that cannot be."""

    source: str | Path  # a picture, or the name of an avatar
    driving: Path  # a video, a GIF, a folder of pictures, or a motion template
    output: Path  # .mp4, .webm, .gif, or a folder for PNG frames
    engine: str = "warp"
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
        _check_engine(self.engine, self.device)


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


@dataclass(frozen=True)
class Tools:
    """What a job works with; tests put their own in."""

    open_tracker: Callable[[], FaceTracker] = open_tracker
    open_engine: Callable[[AnimateOptions], FaceEngine] = _open_warp


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
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = read_portrait(source, tracker, options.crop)
        face, notes = _judged(portrait, source.picture.name, options)
        began_s = time.monotonic()
        motion = read_motion(options.driving, tracker, lambda done, total: report("tracking", done, total))
        tracking_s = time.monotonic() - began_s
    reference = _reference(options.reference, motion, face)
    with contextlib.closing(tools.open_engine(options)) as engine:
        engine.set_source(Frame(portrait.rgb, 0, 0), face, portrait.alpha)
        engine.calibrate_face(motion.track.face(reference), motion.track.width_px)
        began_s = time.monotonic()
        shape, written = _render(options, kind, motion, engine, report)
        drawing_s = time.monotonic() - began_s
    return AnimateResult(
        output=options.output,
        engine=options.engine,
        device="cpu",
        width_px=shape[1],
        height_px=shape[0],
        frames=len(motion.track),
        faces=motion.faces,
        reference=reference,
        tracking_s=tracking_s,
        drawing_s=drawing_s,
        notes=(*notes, *written),
    )


def _judged(portrait: PortraitSource, name: str, options: AnimateOptions) -> tuple[Face, list[str]]:
    """The face that is animated, and what to know about the picture. Raises FaceError where it cannot be used."""
    report = check_portrait(portrait.rgb, portrait.faces)
    report.raise_if_refused()
    assert report.face is not None  # else it was refused
    too_large = "size" if options.size is None else ""  # with a size, large pictures cost no more than others
    notes = [str(each) for each in report.remarks if each.level is Level.WARNING or each.code == too_large]
    if options.crop == "auto" and not portrait.is_whole:
        notes.append(
            f"The face is small in {name}, so {portrait.box.width} x {portrait.box.height} pixels around it were "
            "taken (--crop none keeps the whole picture)."
        )
    return report.face, notes


def _reference(wanted: str | int, motion: DrivingMotion, face: Face) -> int:
    """The number of the frame that counts as neutral."""
    track = motion.track
    if wanted == "auto":
        return choose_reference(track, face)
    if wanted == "first":
        return int(np.argmax(track.presence > 0))
    number = int(wanted)
    if number >= len(track):
        raise UsageError(
            f"There is no frame {number}: {track.name or 'the clip'} has {len(track)}.",
            remedy=f"Give --reference a number from 0 to {len(track) - 1}, or auto.",
        )
    if track.presence[number] == 0:
        raise UsageError(f"Frame {number} shows no face.", remedy="Give --reference another frame, or auto.")
    return number


def _render(
    options: AnimateOptions, kind: OutputKind, motion: DrivingMotion, engine: FaceEngine, report: Report
) -> tuple[tuple[int, ...], list[str]]:
    """Draw and write every frame; the shape of the frames, and the writer's notes."""
    count = len(motion.track)
    sounds = options.audio and motion.facts.has_audio and kind in (OutputKind.MP4, OutputKind.WEBM)
    with contextlib.closing(_frames(options, motion, engine)) as frames:
        first = next(frames)
        height, width = first.shape[:2]
        writer = open_output(
            options.output, width, height, motion.facts, audio_from=motion.facts.path if sounds else None
        )
        with writer:
            with EncodingThread(writer, frame_bytes=first.nbytes) as encoder:
                encoder.put(first, motion.times_ns[0] * 1e-9)
                report("drawing", 1, count)
                for number, rgb in enumerate(frames, start=1):
                    encoder.put(rgb, motion.times_ns[number] * 1e-9)
                    report("drawing", number + 1, count)
                encoder.finish()
            writer.commit(motion.end_s)
    return first.shape, writer.notes


def _frames(options: AnimateOptions, motion: DrivingMotion, engine: FaceEngine) -> Generator[RgbImage, None, None]:
    """The frames of the result in order."""
    track = motion.track
    with contextlib.ExitStack() as opened:
        clip = iter(opened.enter_context(open_driving(options.driving))) if options.side_by_side else None
        for number, time_ns in enumerate(motion.times_ns):
            face = track.face(number) if track.presence[number] > 0 else None
            drawn = engine.animate_face(face, time_ns * 1e-9)
            yield drawn if clip is None else beside(next(clip).rgb, drawn)


def beside(driving: RgbImage, drawn: RgbImage) -> RgbImage:
    """The driving frame, scaled to the drawn one's height, to its left."""
    height = drawn.shape[0]
    width = max(1, round(driving.shape[1] * height / driving.shape[0]))
    kernel = cv2.INTER_AREA if height < driving.shape[0] else cv2.INTER_CUBIC
    scaled = cv2.resize(driving, (width, height), interpolation=kernel)
    return np.ascontiguousarray(np.hstack([scaled, drawn]))


def _check_engine(engine: str, device: str) -> None:
    if engine == "fomm":
        raise EngineError(
            "The engine fomm is not in this version of Masque.",
            remedy="Leave --engine out: the warp engine animates faces without any download.",
        )
    if engine != "warp":
        raise UsageError(f"There is no engine called {engine!r}.", remedy="Choose warp.")
    if device not in ("auto", "cpu"):
        raise EngineError(
            f"The warp engine draws on the processor and cannot use {device}.",
            remedy="Leave --device out; it is quick enough without a graphics card.",
        )
