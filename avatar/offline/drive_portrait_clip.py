"""Videos as portraits: every frame is a portrait of its own, and the driver's motion since the reference is added.

Frames are matched by their times, so that both clips may have any rate. The result keeps the times of the portrait's
clip and ends with the shorter of the two. Where that clip shows no face, its frames are left as they are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avatar.engines.base import Driving, EngineEntry, MeasuringEngine, Portrait
from avatar.engines.crop import scaled
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.images.load import VIDEO_SUFFIXES
from avatar.motion.steadying import presence_weights, steady_outline, steady_parameters
from avatar.motion.track import SAME_SHAPE
from avatar.offline.drive_by_parameters import choose_reference_row, measure_clip, read_template
from avatar.offline.driving_motion import DrivingClip, DrivingMotion, is_template
from avatar.offline.performance import Performance, with_panels
from avatar.offline.result_size import plan_size
from avatar.portrait.source import Likeness
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.offline.job import AnimateOptions, Report, Tools

_NS = 1_000_000_000
_MENTIONED_S = 0.2  # a difference in length from which it is mentioned


def is_portrait_clip(path: Path) -> bool:
    """Return whether a portrait's file is named like a video; animated images count as stills."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_portrait_clip(options: AnimateOptions, entry: EngineEntry) -> None:
    """Raise UsageError if the engine, or an option, takes still portraits only."""
    name = Path(options.source).name
    if not entry.takes_clips:
        raise UsageError(
            Message("{name} is a video, and the engine {engine} animates pictures.", name=name, engine=entry.name),
            remedy="Name a picture, or add --engine liveportrait, which animates every frame of a video.",
        )
    if options.crop != "auto":
        raise UsageError(
            Message("{name} is a video, whose crop follows its face.", name=name), remedy="Leave --crop out."
        )
    if options.separates:  # mattes of single frames would flicker, and frames without a face have none
        raise UsageError(
            Message("{name} is a video, which keeps its own background.", name=name), remedy="Leave --background out."
        )
    if options.turn_deg is not None:
        raise UsageError(
            Message("{name} is a video, which is turned until its face is upright.", name=name),
            remedy="Leave --turn out, or turn the video with a video editor.",
        )


def drive_portrait_clip(
    options: AnimateOptions, source: Likeness, tools: Tools, report: Report, engine: MeasuringEngine
) -> Performance:
    """Follow the faces of both clips, measure the driver, and choose the reference frame. Raises as `animate`."""
    began_s = time.monotonic()
    with contextlib.closing(tools.open_tracker()) as tracker:
        own = tools.read_motion(source.path, tracker, lambda done, total: report("portrait", done, total))
    if is_template(options.driving):
        parameters, driver = read_template(options.driving, engine)
    else:
        parameters, driver = measure_clip(options.driving, engine, tools, report)
    driver_cuts = driver.track.cuts if isinstance(driver, DrivingMotion) else ()
    clip, notes = _result_clip(own, driver)
    facts = own.facts
    beside = replace(driver.facts, rate=facts.rate)
    planned = plan_size(options, facts.width_px, facts.height_px, beside)
    size = _size(facts.width_px, facts.height_px, planned.side_px)

    track, count = own.track, len(clip.times_ns)
    own_weights = presence_weights(track.presence, track.times_s, track.cuts)
    driver_weights = presence_weights(parameters.presence, parameters.times_s, driver_cuts)

    def show(number: int, rgb: RgbImage) -> None:
        """Make a frame, (H, W, 3) uint8, the portrait."""
        portrait = Portrait(rgb, track.face(number), outline=steady_outline(track, number))
        engine.show(engine.prepare(portrait, planned.side_px))

    first = int(np.argmax(track.presence > 0))
    with contextlib.closing(_upright(own)) as frames:
        show(first, next(frame.rgb for number, frame in enumerate(frames) if number == first))
    reference = choose_reference_row(options, parameters, driver, engine)
    engine.calibrate(Driving(measured=parameters.row(reference)))

    def draw(number: int, frame: Frame | None) -> RgbImage:
        """Draw one frame, (H, W, 3) uint8, from the frame of the portrait's clip."""
        assert frame is not None
        at_s = float(track.times_s[number])
        own_weight = float(own_weights[number])
        if own_weight == 0 or not _same_shape(frame, facts.width_px, facts.height_px):
            return _untouched(frame.rgb, size, options.show is not None)
        show(number, scaled(frame.rgb, facts.width_px, facts.height_px))
        weight = own_weight * float(np.interp(at_s, parameters.times_s, driver_weights))
        measured = steady_parameters(parameters, at_s, driver_cuts)
        return with_panels(engine.draw(Driving(measured=measured, weight=weight)), engine, options.show)

    return Performance(
        clip=clip,
        draw=draw,
        go_to=lambda number: None,
        engine=engine,
        notes=(*driver.notes, *planned.notes, *notes),
        reference=reference,
        faces=int((track.presence[:count] > 0).sum()),
        tracking_s=time.monotonic() - began_s,
        driver=driver,
    )


def frames_at(frames: Iterator[Frame], times_ns: Sequence[int]) -> Generator[Frame, None, None]:
    """Yield for each time the frame that a player shows then; the first frame is at the first time."""
    now = ahead = next(frames)
    origin_ns = now.captured_ns - times_ns[0]
    exhausted = False
    for time_ns in times_ns:
        while not exhausted and ahead.captured_ns - origin_ns <= time_ns:
            now = ahead
            following = next(frames, None)
            exhausted, ahead = following is None, following or ahead
        yield now


def _result_clip(own: DrivingMotion, driver: DrivingClip) -> tuple[DrivingClip, list[str]]:
    """Return the times of the result, on the clock of the clip that its sound comes from, and notes for the user."""
    name, driving = own.facts.path.name, driver.facts.path.name
    own_s, driver_s = (clip.end_s - clip.times_ns[0] / _NS for clip in (own, driver))
    notes: list[str] = []
    if abs(own_s - driver_s) > _MENTIONED_S:
        shorter, longer = (name, driving) if own_s < driver_s else (driving, name)
        notes.append(
            Message(
                "The result ends after {seconds:.1f} s with {shorter}; {longer} is longer.",
                seconds=min(own_s, driver_s),
                shorter=shorter,
                longer=longer,
            )
        )
    if driver.facts.has_audio or own.facts.has_audio:
        notes.append(Message("The sound is that of {name}.", name=driving if driver.facts.has_audio else name))
    length_s = min(own_s, driver_s)
    origin_ns = (driver if driver.facts.has_audio else own).times_ns[0]
    elapsed_ns = np.asarray(own.times_ns, np.int64) - own.times_ns[0]
    kept = elapsed_ns[: max(1, int(np.searchsorted(elapsed_ns, round(length_s * _NS))))]
    times_ns = [int(each) for each in kept + origin_ns]
    end_s = max(length_s, (int(kept[-1]) + 1) / _NS) + origin_ns / _NS
    return DrivingClip(times_ns, end_s, own.facts, notes=own.notes, turn_deg=own.turn_deg), notes


def _upright(clip: DrivingMotion) -> Generator[Frame, None, None]:
    from avatar.motion.upright_clip import open_turned

    with open_turned(clip.facts.path, clip.turn_deg) as frames:
        yield from frames


def _size(width_px: int, height_px: int, side_px: int | None) -> tuple[int, int]:
    times = 1.0 if side_px is None else side_px / max(height_px, width_px)
    return max(1, round(width_px * times)), max(1, round(height_px * times))


def _same_shape(frame: Frame, width_px: int, height_px: int) -> bool:
    return abs(frame.width_px * height_px / (frame.height_px * width_px) - 1) < SAME_SHAPE


def _untouched(rgb: RgbImage, size: tuple[int, int], with_panel: bool) -> RgbImage:
    """Return a frame (h, w, 3) at the result's size, with an empty panel where others have one."""
    frame: npt.NDArray[np.uint8] = scaled(rgb, *size)
    if not with_panel:
        return frame
    return np.ascontiguousarray(np.hstack([frame, np.zeros((size[1], size[1], 3), np.uint8)]))
