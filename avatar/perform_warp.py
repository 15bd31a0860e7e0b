"""The warp engine at a job: driven by the face that was followed through the clip."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avatar.driving_motion import DrivingClip, DrivingMotion, read_motion
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.motion.reference import choose_reference
from avatar.motion.shots import Shots
from avatar.performance import Performance
from avatar.portrait import Level, check_portrait
from avatar.portrait_source import Likeness, PortraitSource, read_portrait
from avatar.result_size import FULL, plan_size
from avatar.tracking import Face

if TYPE_CHECKING:
    from avatar.animate_job import AnimateOptions, Report, Tools


def perform_warp(options: AnimateOptions, source: Likeness, tools: Tools, report: Report) -> Performance:
    """Read the portrait and the whole motion, and open the engine. Raises as `animate` does."""
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = read_portrait(source, tracker, options.crop, options.turn_deg)
        face, notes = _judged(portrait, source.picture.name, options)
        began_s = time.monotonic()
        motion = read_motion(options.driving, tracker, lambda done, total: report("tracking", done, total))
        tracking_s = time.monotonic() - began_s
    reference = _reference(options.reference, motion, face)
    height, width = portrait.rgb.shape[:2]
    planned = plan_size(options, width, height, motion.facts)
    notes += planned.notes
    track, engine = motion.track, tools.open_engine(replace(options, size=planned.side_px))
    shots = Shots(track, reference)

    def draw(number: int, _: Frame | None) -> RgbImage:
        seen = shots.face(number) if track.presence[number] > 0 else None
        return engine.animate_face(seen, motion.times_ns[number] * 1e-9)

    try:
        engine.set_source(Frame(portrait.rgb, 0, 0), face, portrait.alpha)
        engine.calibrate_face(track.face(reference), track.width_px)
    except BaseException:
        engine.close()
        raise
    return Performance(
        clip=motion,
        draw=draw,
        close=engine.close,
        runs_on=lambda: ("cpu", ""),
        notes=lambda: tuple(notes),
        reference=reference,
        faces=motion.faces,
        tracking_s=tracking_s,
    )


def _judged(portrait: PortraitSource, name: str, options: AnimateOptions) -> tuple[Face, list[str]]:
    """The face that is animated, and what to know about the picture. Raises FaceError where it cannot be used."""
    report = check_portrait(portrait.rgb, portrait.faces)
    report.raise_if_refused()
    assert report.face is not None  # else it was refused
    too_large = "size" if options.size == FULL else ""  # at another size large pictures cost no more than others
    notes = [*portrait.turn_notes()]
    notes += [str(each) for each in report.remarks if each.level is Level.WARNING or each.code == too_large]
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
    number = existing_frame(int(wanted), motion)
    if track.presence[number] == 0:
        raise UsageError(f"Frame {number} shows no face.", remedy="Give --reference another frame, or auto.")
    return number


def existing_frame(number: int, clip: DrivingClip) -> int:
    """The number itself. Raises UsageError where the clip is shorter."""
    count = len(clip.times_ns)
    if number >= count:
        raise UsageError(
            f"There is no frame {number}: {clip.facts.path.name or 'the clip'} has {count}.",
            remedy=f"Give --reference a number from 0 to {count - 1}, or auto.",
        )
    return number
