"""The First Order Motion Model at a job: driven by pictures, whatever they show."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.driving_motion import DrivingClip, DrivingMotion, is_template, read_clip, read_motion
from avatar.engine.fomm.choice import FACES
from avatar.engine.fomm.crop import square_of_track
from avatar.engine.fomm.engine import FommEngine
from avatar.engine.fomm.reference import distances
from avatar.errors import FaceError, UsageError
from avatar.frames import Frame, RgbImage
from avatar.motion.shots import Shots
from avatar.motion.track import MotionTrack, scale_between
from avatar.motion.upright_clip import open_turned
from avatar.perform_warp import existing_frame
from avatar.performance import Performance
from avatar.portrait_crop import Box
from avatar.portrait_source import Likeness, read_portrait
from avatar.result_size import plan_size
from avatar.sources.video import open_driving
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import turned

if TYPE_CHECKING:
    from avatar.animate_job import AnimateOptions, Report, Tools


def perform_fomm(options: AnimateOptions, source: Likeness, tools: Tools, report: Report) -> Performance:
    """Load the checkpoint, read the portrait, look through the clip, and choose square and reference frame.

    Raises:
        UsageError: a template drives, which holds no pictures.
        ... and as `animate` does.
    """
    if is_template(options.driving):
        raise UsageError(
            "The fomm engine looks at the driver's pictures, and a motion template holds none.",
            remedy="Name the video the template was made from, or leave --engine out.",
        )
    engine = tools.open_fomm(options)  # first of all: a checkpoint that is missing is known before the clip is read
    try:
        return _prepared(options, source, tools, report, engine)
    except BaseException:
        engine.close()
        raise


def _prepared(
    options: AnimateOptions, source: Likeness, tools: Tools, report: Report, engine: FommEngine
) -> Performance:
    notes: list[str] = []
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = read_portrait(source, tracker, "none", options.turn_deg)
        notes += portrait.turn_notes()
        if portrait.turn_deg and isinstance(options.crop, Box):  # it is of the picture as it is stored
            stored = turned(portrait.rgb, -portrait.turn_deg)
            part = options.crop.turned(portrait.turn_deg, stored.shape[1], stored.shape[0])
            engine.options = replace(engine.options, crop=part)
        face = next(iter(portrait.faces), None) if engine.follows_faces else None
        height, width = portrait.rgb.shape[:2]
        with open_driving(options.driving) as driving:  # for what its header says; the true rate takes a whole reading
            planned = plan_size(options, width, height, driving.facts)
        engine.set_source(Frame(portrait.rgb, 0, 0), face, size=planned.side_px)
        began_s = time.monotonic()
        clip = _looked_through(options.driving, tracker if engine.follows_faces else None, report, notes)
        tracking_s = time.monotonic() - began_s
        measured = plan_size(options, width, height, clip.facts)
        if measured.side_px != planned.side_px:
            engine.set_source(Frame(portrait.rgb, 0, 0), face, size=measured.side_px)
    notes += measured.notes
    if engine.follows_faces and face is None and engine.choice is not None and engine.choice.kind == FACES:
        notes.append(f"No face was found in {source.picture.name}, so all of it is animated.")
    track = clip.track if isinstance(clip, DrivingMotion) else None
    facts = clip.facts
    box = Box(0, 0, facts.width_px, facts.height_px)
    if track is not None:
        box = square_of_track((part for _, part in track.seen_landmarks()), track.width_px, track.height_px)
    reference = _reference(options, clip, face, engine, box, report)
    shots = None if track is None or not track.cuts else Shots(track, reference)
    if track is not None and shots is not None:
        own = (part for _, part in track.seen_landmarks(*shots.around(reference)))
        box = square_of_track(own, track.width_px, track.height_px)
    first = (facts.width_px, facts.height_px)
    picture = _frame_of(options.driving, clip.turn_deg, reference)
    engine.calibrate_in(picture, _square_in(picture, first, box, shots, reference))

    def draw(number: int, frame: Frame | None) -> RgbImage:
        assert frame is not None  # asked for with `needs_pictures`
        engine.look_at(_square_in(frame, first, box, shots, number))
        drawn = engine.animate(frame).rgb
        if options.show is None:
            return drawn
        return np.ascontiguousarray(np.hstack([drawn, engine.panels(drawn.shape[0])]))

    return Performance(
        clip=clip,
        draw=draw,
        close=engine.close,
        runs_on=lambda: (engine.place.name, engine.precision),
        notes=lambda: (*notes, *engine.notes, *_taken(options, engine)),
        reference=reference,
        faces=clip.faces if isinstance(clip, DrivingMotion) else len(clip.times_ns),
        tracking_s=tracking_s,
        needs_pictures=True,
    )


def _square_in(frame: Frame, first: tuple[int, int], box: Box, shots: Shots | None, number: int) -> Box:
    """The square of the reference frame's shot, as another frame shows it: of another shot, or of another size.

    Args:
        first: width and height of the clip's first frame, in whose pixels `box` and `shots` are.
    """
    scale = scale_between((frame.width_px, frame.height_px), first)
    if shots is None and scale == 1:
        return box
    middle = np.array([box.left + box.width / 2, box.top + box.height / 2], np.float32)
    times = 1.0
    if shots is not None:
        middle, times = shots.carry_back(middle, number)
    width, height = (min(round(side * times / scale), most) for side, most in _sides(box, frame))
    left, top = (float(value) / scale for value in middle)
    return Box(
        min(max(round(left - width / 2), 0), frame.width_px - width),
        min(max(round(top - height / 2), 0), frame.height_px - height),
        max(width, 1),
        max(height, 1),
    )


def _sides(box: Box, frame: Frame) -> tuple[tuple[int, int], tuple[int, int]]:
    shortest = min(frame.width_px, frame.height_px)
    if box.width == box.height:
        return (box.width, shortest), (box.height, shortest)
    return (box.width, frame.width_px), (box.height, frame.height_px)


def _looked_through(path: Path, tracker: FaceTracker | None, report: Report, notes: list[str]) -> DrivingClip:
    """The clip's times, and the face in it where faces are followed and there is one."""
    if tracker is not None:
        try:
            return read_motion(path, tracker, lambda done, total: report("tracking", done, total))
        except FaceError as error:
            notes.append(f"{error.what} The whole frames drive instead.")
    return read_clip(path, lambda done, total: report("reading", done, total))


def _reference(
    options: AnimateOptions, clip: DrivingClip, face: Face | None, engine: FommEngine, box: Box, report: Report
) -> int:
    """The number of the frame that counts as neutral."""
    track = clip.track if isinstance(clip, DrivingMotion) else None
    if isinstance(options.reference, int):
        return existing_frame(options.reference, clip)
    if options.reference == "first" or not options.relative:
        return 0 if track is None else int(np.argmax(track.presence > 0))
    if track is not None and face is not None:
        return _nearest_face(face, track)
    count = len(clip.times_ns)
    unlike = np.empty(count)
    for frame in _counted(options.driving, clip.turn_deg, lambda done: report("comparing", done, count)):
        unlike[frame.sequence] = distances(engine.source_keypoints, engine.keypoints(frame.rgb, box)[None])[0]
    return int(np.argmin(unlike))


def _nearest_face(face: Face, track: MotionTrack) -> int:
    nearest, least = 0, np.inf
    for numbers, landmarks in track.seen_landmarks():
        unlike = distances(face.landmarks[:, :2], landmarks[..., :2])
        if unlike.min() < least:
            nearest, least = int(numbers[np.argmin(unlike)]), float(unlike.min())
    return nearest


def _counted(path: Path, turn_deg: int, note: Callable[[int], None]) -> Iterator[Frame]:
    with open_turned(path, turn_deg) as driving:
        for number, frame in enumerate(driving):
            yield frame
            note(number + 1)


def _frame_of(path: Path, turn_deg: int, number: int) -> Frame:
    with open_turned(path, turn_deg) as driving:
        for index, frame in enumerate(driving):
            if index == number:
                return frame
    raise UsageError(f"{path.name} changed while it was read.", remedy="Try again.")


def _taken(options: AnimateOptions, engine: FommEngine) -> tuple[str, ...]:
    """Where `auto` had a choice: what it took and why."""
    return (f"Drawn on {engine.place}.",) if options.device == "auto" else ()
