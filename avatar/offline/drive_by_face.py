"""Jobs with an engine that draws from faces: the whole clip is tracked before the first frame is drawn."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import numpy as np

from avatar.engines.base import Driving, Engine, Portrait
from avatar.errors import UsageError
from avatar.frames import Frame, RgbImage
from avatar.motion.presence import Presence
from avatar.motion.reference import choose_reference
from avatar.motion.shots import Shots
from avatar.offline.driving_motion import DrivingMotion, existing_frame
from avatar.offline.performance import Performance
from avatar.offline.result_size import plan_size
from avatar.offline.size import FULL
from avatar.portrait.check import Level, check_portrait
from avatar.portrait.source import Likeness, PortraitSource
from avatar.system.message import Message
from avatar.tracking import Face

if TYPE_CHECKING:
    from avatar.offline.job import AnimateOptions, Report, Tools


def drive_by_face(
    options: AnimateOptions, source: Likeness, tools: Tools, report: Report, engine: Engine
) -> Performance:
    """Read the portrait and the whole motion, and show the portrait. Raises as `animate`."""
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = tools.read_portrait(source, tracker, options.crop, options.turn_deg)
        face, notes = _judged(portrait, source.path.name, options)
        began_s = time.monotonic()
        motion = tools.read_motion(options.driving, tracker, lambda done, total: report("tracking", done, total))
        tracking_s = time.monotonic() - began_s
    reference = _reference(options.reference, motion, face)
    height, width = portrait.rgb.shape[:2]
    planned = plan_size(options, width, height, motion.facts)
    notes += planned.notes
    track, shots, presence = motion.track, Shots(motion.track, reference), Presence()

    def draw(number: int, _: Frame | None) -> RgbImage:
        """Draw one frame, (H, W, 3) uint8."""
        seen = shots.face(number) if track.presence[number] > 0 else None
        weight = presence.update(seen is not None, motion.times_ns[number] * 1e-9)
        return engine.draw(Driving(face=seen, frame_width_px=track.width_px, weight=weight))

    def go_to(number: int) -> None:
        nonlocal presence
        presence = Presence()
        for earlier in range(number):
            presence.update(bool(track.presence[earlier] > 0), motion.times_ns[earlier] * 1e-9)
        seen = np.flatnonzero(track.presence[:number] > 0)
        if seen.size:  # drawn and dropped: while no face is seen, the motion of the last one holds
            face = shots.face(int(seen[-1]))
            engine.draw(Driving(face=face, frame_width_px=track.width_px, weight=presence.weight))

    engine.show(tools.prepare(engine, Portrait(portrait.rgb, face, portrait.alpha), planned.side_px))
    engine.calibrate(Driving(face=track.face(reference), frame_width_px=track.width_px))
    return Performance(
        clip=motion,
        draw=draw,
        go_to=go_to,
        engine=engine,
        notes=tuple(notes),
        reference=reference,
        faces=motion.faces,
        tracking_s=tracking_s,
    )


def _judged(portrait: PortraitSource, name: str, options: AnimateOptions) -> tuple[Face, list[str]]:
    """Return the face to animate, and notes about the image. Raises FaceError if the image cannot be used."""
    report = check_portrait(portrait.rgb, portrait.faces)
    report.raise_if_refused()
    assert report.face is not None  # otherwise the image was refused
    too_large = "size" if options.size == FULL else ""  # resized images cost no more than others
    notes = [*portrait.turn_notes()]
    notes += [str(each) for each in report.remarks if each.level is Level.WARNING or each.code == too_large]
    if options.crop == "auto" and not portrait.is_whole:
        notes.append(
            Message(
                "The face is small in {name}, so {width} x {height} pixels around it were taken (--crop none keeps the "
                "whole picture).",
                name=name,
                width=portrait.box.width,
                height=portrait.box.height,
            )
        )
    return report.face, notes


def _reference(wanted: str | int, motion: DrivingMotion, face: Face) -> int:
    """Return the number of the reference frame."""
    track = motion.track
    if wanted == "auto":
        return choose_reference(track, face)
    if wanted == "first":
        return int(np.argmax(track.presence > 0))
    number = existing_frame(int(wanted), motion)
    if track.presence[number] == 0:
        raise UsageError(
            Message("Frame {number} shows no face.", number=number), remedy="Give --reference another frame, or auto."
        )
    return number
