"""A portrait and a driving clip in, a video out: first the whole motion is read, then every frame is drawn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.animate_job import AnimateOptions, Report, Tools
from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.letterbox import letterboxed
from avatar.library import Library
from avatar.motion.upright_clip import open_turned
from avatar.outputs.encoding_thread import EncodingThread
from avatar.outputs.sound_choice import check_sound_track
from avatar.outputs.target import OutputKind, check_target, files_named
from avatar.outputs.video_file import open_output
from avatar.perform_fomm import perform_fomm
from avatar.perform_warp import perform_warp
from avatar.performance import Performance


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
    inputs = [source.picture, options.driving, *files_named(options.model, options.config)]
    kind = check_target(options.output, inputs)
    if options.audio:
        check_sound_track(options.driving, options.sound_track)
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
        notes=(*performance.clip.notes, *notes, *written),
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
            options.output,
            width,
            height,
            clip.facts,
            audio_from=clip.facts.path if sounds else None,
            sound_track=options.sound_track,
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
    facts = performance.clip.facts
    with contextlib.ExitStack() as opened:
        shown = options.side_by_side or performance.needs_pictures
        turn_deg = performance.clip.turn_deg
        pictures = iter(opened.enter_context(open_turned(options.driving, turn_deg))) if shown else None
        for number in range(len(performance.clip.times_ns)):
            frame = None if pictures is None else next(pictures)
            drawn = performance.draw(number, frame)
            if options.side_by_side and frame is not None:
                drawn = beside(letterboxed(frame.rgb, facts.width_px, facts.height_px), drawn)
            yield drawn


def beside(driving: RgbImage, drawn: RgbImage) -> RgbImage:
    """The driving frame, scaled to the drawn one's height, to its left."""
    height = drawn.shape[0]
    width = max(1, round(driving.shape[1] * height / driving.shape[0]))
    kernel = cv2.INTER_AREA if height < driving.shape[0] else cv2.INTER_CUBIC
    scaled = cv2.resize(driving, (width, height), interpolation=kernel)
    return np.ascontiguousarray(np.hstack([scaled, drawn]))
