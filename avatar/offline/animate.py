"""Animation of a portrait by a driving clip: the whole motion is read first, then every frame is drawn."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import ImageEngine, MeasuringEngine
from avatar.engines.registry import find_engine
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.images.letterbox import letterboxed
from avatar.motion.upright_clip import open_turned
from avatar.offline.background import replace_background
from avatar.offline.drive_by_face import drive_by_face
from avatar.offline.drive_by_images import drive_by_images
from avatar.offline.drive_by_parameters import drive_by_parameters
from avatar.offline.drive_portrait_clip import check_portrait_clip, drive_portrait_clip, frames_at, is_portrait_clip
from avatar.offline.driving_motion import has_images, is_template
from avatar.offline.job import AnimateOptions, Report, Tools
from avatar.offline.performance import Performance
from avatar.outputs.files.encoding_thread import EncodingThread
from avatar.outputs.files.sound_choice import check_sound_track
from avatar.outputs.files.target import OutputKind, check_target, files_named
from avatar.outputs.files.video_file import open_output
from avatar.portrait.source import Likeness
from avatar.system.message import Message


@dataclass(frozen=True)
class AnimateResult:
    """Result of a job."""

    output: Path
    engine: str
    device: str
    width_px: int
    height_px: int
    frames: int
    faces: int  # number of frames that show the driver's face
    reference: int  # number of the reference frame
    tracking_s: float
    drawing_s: float  # duration of drawing and encoding, which overlap
    notes: tuple[str, ...]  # notes for the user
    precision: str = ""  # precision of the generator, if there is one


def animate(
    options: AnimateOptions,
    report: Report = lambda *_: None,
    *,
    tools: Tools | None = None,
    announce: Callable[[str], None] = lambda sentence: None,
) -> AnimateResult:
    """Animate the portrait by the face in the clip.

    The clip is decoded at most twice and never kept, so memory does not grow with its images. The result gets its name
    when it is complete.

    Args:
        options: the job.
        report: is told the progress.
        tools: what it works with; None: the usual.
        announce: is told what to expect of an engine that takes seconds for a frame, before it starts and again once
            its first frame was measured.
    Raises:
        UsageError, OutputError: the result cannot be written there.
        ImageError, LibraryError, VideoError, TemplateError: an input cannot be read.
        FaceError: the portrait or the clip shows no usable face.
        WeightsError, EngineError: the tracker or the engine cannot be opened.
    """
    tools = tools or Tools()
    source = tools.find_likeness(options.source)
    inputs = [source.path, options.driving, *files_named(options.model, options.config, options.background.image)]
    kind = check_target(options.output, inputs)
    if options.audio:
        check_sound_track(options.driving, options.sound_track)
    performance = prepare_performance(options, source, tools, report)
    engine = performance.engine
    try:
        began_s = time.monotonic()
        shape, written = _render(options, kind, performance, report, announce)
        drawing_s = time.monotonic() - began_s
        facts = engine.facts  # read at the end, because the precision may be lowered
        notes = (*performance.notes, *engine.notes)
    finally:
        tools.release(engine)
    return AnimateResult(
        output=options.output,
        engine=options.engine,
        device=facts.device,
        width_px=shape[1],
        height_px=shape[0],
        frames=len(performance.clip.times_ns),
        faces=performance.faces,
        reference=performance.reference,
        tracking_s=performance.tracking_s,
        drawing_s=drawing_s,
        notes=(*performance.clip.notes, *notes, *written),
        precision=facts.precision if engine.wants.is_image else "",
    )


def prepare_performance(options: AnimateOptions, source: Likeness, tools: Tools, report: Report) -> Performance:
    """Open the engine, then read portrait and clip as it needs them. Raises as `animate`."""
    entry = find_engine(options.engine)
    by_parameters = entry.own_templates and is_template(options.driving)
    if entry.from_images and not by_parameters and not has_images(options.driving):
        raise UsageError(
            Message(
                "The {name} engine needs the driver's images, and {file} holds none.",
                name=entry.name,
                file=options.driving.name,
            ),
            remedy="Name a video, or leave --engine out.",
        )
    portrait_moves = is_portrait_clip(source.path)
    if portrait_moves:
        check_portrait_clip(options, entry)

    engine = tools.open_engine(options.engine_config)  # so that a missing model is reported before the clip is read
    try:
        if portrait_moves and isinstance(engine, MeasuringEngine):
            return drive_portrait_clip(options, source, tools, report, engine)
        if by_parameters and isinstance(engine, MeasuringEngine):
            return drive_by_parameters(options, source, tools, report, engine)
        if isinstance(engine, ImageEngine):
            return drive_by_images(options, source, tools, report, engine)
        return drive_by_face(options, source, tools, report, engine)
    except BaseException:
        tools.release(engine)
        raise


def _render(
    options: AnimateOptions,
    kind: OutputKind,
    performance: Performance,
    report: Report,
    announce: Callable[[str], None],
) -> tuple[tuple[int, ...], list[str]]:
    """Draw and write every frame; returns the shape of the frames, and the writer's notes."""
    clip = performance.clip
    count = len(clip.times_ns)
    sound = performance.sound if options.audio and kind in (OutputKind.MP4, OutputKind.WEBM) else None
    with contextlib.closing(drawn_frames(options, performance)) as frames:
        first = _first_of(frames, performance, count, announce)
        height, width = first.shape[:2]
        writer = open_output(
            options.output,
            width,
            height,
            clip.facts,
            audio_from=None if sound is None else sound.path,
            sound_facts=None if performance.driver is None else sound,
            sound_track=options.sound_track,
            transparent=options.transparent,
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


def _first_of(
    frames: Iterator[RgbImage], performance: Performance, count: int, announce: Callable[[str], None]
) -> RgbImage:
    """Draw the first frame, (H, W, 3) or (H, W, 4) uint8; where that takes seconds, announce what to expect."""
    facts = performance.engine.facts
    is_slow = find_engine(facts.engine).needs_gpu and facts.device == "cpu"
    if is_slow:
        announce(
            Message(
                "{engine} draws on the processor here and takes seconds for each of the {count} frames; a graphics "
                "card, or --engine warp, is far faster.",
                engine=facts.engine,
                count=count,
            )
        )
    began_s = time.monotonic()
    first = next(frames)
    frame_s = time.monotonic() - began_s
    if is_slow and count > 1:
        announce(
            Message(
                "The first frame took {seconds:.1f} s, so the rest may take about {minutes:.0f} min. Ctrl-C stops it "
                "and leaves nothing behind.",
                seconds=frame_s,
                minutes=max(1.0, frame_s * (count - 1) / 60),
            )
        )
    return first


def drawn_frames(
    options: AnimateOptions, performance: Performance, start: int = 0, end: int | None = None
) -> Generator[RgbImage, None, None]:
    """Yield the (H, W, 3) uint8 frames from `start` to before `end`; each is the same wherever the drawing starts.

    With a transparent background they are (H, W, 4), with straight alpha.
    """
    driver = performance.driver or performance.clip
    size = (driver.facts.width_px, driver.facts.height_px)
    replaced = replace_background(performance.engine, options.background)
    with contextlib.closing(_frames(options, performance)) as frames:
        if start:
            performance.go_to(start)
            for _ in itertools.islice(frames, start):
                pass  # decoded and dropped: of a clip, only the first frame is sure to be reached exactly
        for number in range(start, len(performance.clip.times_ns) if end is None else end):
            frame, side = next(frames)
            drawn = replaced(performance.draw(number, frame))
            if options.side_by_side and side is not None:
                drawn = beside(letterboxed(side.rgb, *size), drawn)
            yield drawn


def _frames(
    options: AnimateOptions, performance: Performance
) -> Generator[tuple[Frame | None, Frame | None], None, None]:
    """Yield for each frame of the result the frame to draw from and the one to show at its side, where needed."""
    clip = performance.clip
    from_images = performance.engine.wants.is_image and has_images(options.driving)
    with contextlib.ExitStack() as opened:
        if performance.driver is not None:
            own = iter(opened.enter_context(open_turned(clip.facts.path, clip.turn_deg)))
            sides: Iterator[Frame | None] = itertools.repeat(None)
            if options.side_by_side:
                driving = opened.enter_context(open_turned(options.driving, performance.driver.turn_deg))
                sides = frames_at(iter(driving), clip.times_ns)
            yield from zip(own, sides, strict=False)
        elif options.side_by_side or from_images:
            for frame in opened.enter_context(open_turned(options.driving, clip.turn_deg)):
                yield frame, frame
        else:
            yield from itertools.repeat((None, None))


def beside(driving: RgbImage, drawn: RgbImage) -> RgbImage:
    """Put the driving frame (h, w, 3), scaled to the drawn one's height, to the left of the drawn one (H, W, C)."""
    height = drawn.shape[0]
    width = max(1, round(driving.shape[1] * height / driving.shape[0]))
    kernel = cv2.INTER_AREA if height < driving.shape[0] else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(driving, (width, height), interpolation=kernel))
    if drawn.shape[2] == 4:
        scaled = np.dstack([scaled, np.full((height, width), 255, np.uint8)])
    return np.ascontiguousarray(np.hstack([scaled, drawn]))
