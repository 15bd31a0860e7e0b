"""Jobs with an engine that draws from images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.engines.base import Driving, DrivingInput, ImageEngine, Portrait
from avatar.engines.crop import square_of_track
from avatar.errors import FaceError, UsageError
from avatar.frames import Frame, RgbImage
from avatar.images.box import Box
from avatar.motion.nearest import distances
from avatar.motion.shots import Shots
from avatar.motion.track import MotionTrack, scale_between
from avatar.motion.upright_clip import open_turned
from avatar.offline.driving_motion import DrivingClip, DrivingMotion, existing_frame, read_clip
from avatar.offline.performance import Performance, with_panels
from avatar.offline.result_size import plan_size
from avatar.portrait.source import Likeness, PortraitSource
from avatar.sources.video import open_driving
from avatar.system.message import Message, together
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import turned

if TYPE_CHECKING:
    from avatar.offline.job import AnimateOptions, Report, Tools


def drive_by_images(
    options: AnimateOptions, source: Likeness, tools: Tools, report: Report, engine: ImageEngine
) -> Performance:
    """Read the portrait and the clip, and choose the square and the reference frame.

    Raises as `animate`.
    """
    notes: list[str] = []
    wants = engine.wants
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = tools.read_portrait(source, tracker, "none", options.turn_deg)
        notes += portrait.turn_notes()
        person = next(iter(portrait.faces), None)
        face = person if wants.follows_faces else None
        animated = Portrait(
            portrait.rgb, person, portrait.alpha, portrait_part(options, portrait), separate=options.separates
        )
        height, width = portrait.rgb.shape[:2]
        with open_driving(options.driving) as driving:  # the header suffices here; the true rate needs a full pass
            planned = plan_size(options, width, height, driving.facts)
        engine.show(tools.prepare(engine, animated, planned.side_px))
        began_s = time.monotonic()
        clip = looked_through(options.driving, tools, tracker if wants.follows_faces else None, report, notes)
        tracking_s = time.monotonic() - began_s
        measured = plan_size(options, width, height, clip.facts)
        if measured.side_px != planned.side_px:
            engine.show(tools.prepare(engine, animated, measured.side_px))
    notes += measured.notes
    if wants is DrivingInput.FACE_CROP and face is None:
        notes.append(Message("No face was found in {name}, so all of it is animated.", name=source.path.name))
    track = clip.track if isinstance(clip, DrivingMotion) else None
    facts = clip.facts
    box = Box(0, 0, facts.width_px, facts.height_px)
    if track is not None:
        seen = (part for _, part in track.seen_landmarks())
        box = square_of_track(seen, track.width_px, track.height_px, engine.framing)
    reference = _reference(options, clip, face, engine, box, report)
    shots = None if track is None or not track.cuts else Shots(track, reference)
    if track is not None and shots is not None:
        own = (part for _, part in track.seen_landmarks(*shots.around(reference)))
        box = square_of_track(own, track.width_px, track.height_px, engine.framing)
    first = (facts.width_px, facts.height_px)
    neutral = _frame_of(options.driving, clip.turn_deg, reference)

    def driven(number: int, frame: Frame) -> Driving:
        face = None if track is None else track.face(number)
        return Driving(face=face, image=square_in(frame, first, box, shots, number).of(frame.rgb))

    engine.calibrate(driven(reference, neutral))

    def draw(number: int, frame: Frame | None) -> RgbImage:
        """Draw one frame, (H, W, 3) uint8, with the panels beside it if asked for."""
        assert frame is not None  # engines that draw from images always get frames
        return with_panels(engine.draw(driven(number, frame)), engine, options.show)

    return Performance(
        clip=clip,
        draw=draw,
        go_to=lambda number: None,  # each frame is drawn from its own image and the reference alone
        engine=engine,
        notes=tuple(notes),
        reference=reference,
        faces=clip.faces if isinstance(clip, DrivingMotion) else len(clip.times_ns),
        tracking_s=tracking_s,
    )


def portrait_part(options: AnimateOptions, portrait: PortraitSource) -> Box | None:
    """Convert the part from the command line, which refers to the stored image, to the upright image."""
    if not isinstance(options.crop, Box):
        return None
    stored = turned(portrait.rgb, -portrait.turn_deg)
    return options.crop.turned(portrait.turn_deg, stored.shape[1], stored.shape[0])


def square_in(frame: Frame, first: tuple[int, int], box: Box, shots: Shots | None, number: int) -> Box:
    """Return the crop in a frame of another shot or size that corresponds to the reference frame's.

    Args:
        frame: the frame to crop.
        first: width and height of the clip's first frame, in whose pixels `box` and `shots` are.
        box: the crop in the reference frame.
        shots: the clip's shots; None: the clip has no cuts.
        number: number of the frame.
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


def looked_through(
    path: Path, tools: Tools, tracker: FaceTracker | None, report: Report, notes: list[str]
) -> DrivingClip:
    """Read the clip's times and, if faces are followed and there is one, its motion."""
    if tracker is not None:
        try:
            return tools.read_motion(path, tracker, lambda done, total: report("tracking", done, total))
        except FaceError as error:
            notes.append(together(error.what, "Whole frames are used instead."))
    return read_clip(path, lambda done, total: report("reading", done, total))


def _reference(
    options: AnimateOptions, clip: DrivingClip, face: Face | None, engine: ImageEngine, box: Box, report: Report
) -> int:
    """Return the number of the reference frame."""
    track = clip.track if isinstance(clip, DrivingMotion) else None
    if isinstance(options.reference, int):
        return existing_frame(options.reference, clip)
    if options.reference == "first" or not options.motion.relative:
        return 0 if track is None else int(np.argmax(track.presence > 0))
    if track is not None and face is not None:
        return _nearest_face(face, track)
    count = len(clip.times_ns)
    unlike = np.empty(count)
    for frame in _counted(options.driving, clip.turn_deg, lambda done: report("comparing", done, count)):
        unlike[frame.sequence] = engine.distance(box.of(frame.rgb))
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
    raise UsageError(Message("{name} changed while it was read.", name=path.name), remedy="Try again.")
