"""Animation by a template of an engine's own parameters: no image of the driver is needed."""

from __future__ import annotations

import contextlib
import time
from array import array
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.engines.base import Driving, MeasuringEngine, Portrait
from avatar.errors import TemplateError
from avatar.frames import Frame, RgbImage
from avatar.motion.parameters import ParameterTrack, load_parameters, track_of
from avatar.offline.drive_by_images import portrait_part, square_in
from avatar.offline.driving_motion import DrivingClip, DrivingMotion, existing_frame
from avatar.offline.performance import Performance, with_panels
from avatar.offline.result_size import plan_size
from avatar.sources.facts import DrivingFacts
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.offline.job import AnimateOptions, Report, Tools
    from avatar.portrait.source import Likeness

_FINE = Fraction(1, 90_000)  # s; time base of the result


def drive_by_parameters(
    options: AnimateOptions, source: Likeness, tools: Tools, report: Report, engine: MeasuringEngine
) -> Performance:
    """Read the portrait and the template, and choose the reference frame. Raises as `animate`."""
    began_s = time.monotonic()
    track, clip = read_template(options.driving, engine)
    with contextlib.closing(tools.open_tracker()) as tracker:
        portrait = tools.read_portrait(source, tracker, "none", options.turn_deg)
        person = next(iter(portrait.faces), None)
        height, width = portrait.rgb.shape[:2]
        planned = plan_size(options, width, height, clip.facts)
        animated = Portrait(
            portrait.rgb, person, portrait.alpha, portrait_part(options, portrait), separate=options.separates
        )
        engine.show(tools.prepare(engine, animated, planned.side_px))
    reference = choose_reference_row(options, track, clip, engine)
    engine.calibrate(Driving(measured=track.row(reference)))

    def draw(number: int, _: Frame | None) -> RgbImage:
        """Draw one frame, (H, W, 3) uint8; where no face was seen, the last row before it drives on."""
        return with_panels(engine.draw(Driving(measured=track.row(number))), engine, options.show)

    return Performance(
        clip=clip,
        draw=draw,
        go_to=lambda number: None,
        engine=engine,
        notes=(*portrait.turn_notes(), *planned.notes),
        reference=reference,
        faces=int((track.presence > 0).sum()),
        tracking_s=time.monotonic() - began_s,
    )


def read_template(path: Path, engine: MeasuringEngine) -> tuple[ParameterTrack, DrivingClip]:
    """Read a template of the engine's own. Raises: TemplateError: it is damaged, or made with another model."""
    track = load_parameters(path)
    if track.expression.shape[1] != engine.points:
        raise TemplateError(
            Message(
                "{name} has {count} keypoints, and the model has {wanted}.",
                name=path.name,
                count=track.expression.shape[1],
                wanted=engine.points,
            ),
            remedy="Make a template with the same model.",
        )
    return track, _clip_of(track, path)


def measure_clip(
    path: Path, engine: MeasuringEngine, tools: Tools, report: Report
) -> tuple[ParameterTrack, DrivingMotion]:
    """Follow the face through a clip and measure it in every frame.

    Returns:
        The parameters, and the motion that was followed, with the notes about the clip.
    Raises:
        VideoError, ImageError: the clip cannot be read.
        FaceError: hardly any frame shows a face.
    """
    from avatar.engines.crop import square_of_track
    from avatar.motion.shots import Shots
    from avatar.motion.upright_clip import open_turned
    from avatar.offline.driving_motion import read_motion

    with contextlib.closing(tools.open_tracker()) as tracker:
        motion = read_motion(path, tracker, lambda done, total: report("tracking", done, total))
    track, facts = motion.track, motion.facts
    first = int(np.argmax(track.presence > 0))
    shots = Shots(track, first) if track.cuts else None
    within = shots.around(first) if shots else (0, len(track))
    own = (part for _, part in track.seen_landmarks(*within))
    box = square_of_track(own, track.width_px, track.height_px, engine.framing)
    rows = []
    with open_turned(path, motion.turn_deg) as frames:
        for number, frame in enumerate(frames):
            square = square_in(frame, (facts.width_px, facts.height_px), box, shots, number)
            rows.append(engine.measure(Driving(face=track.face(number), image=square.of(frame.rgb))))
            report("measuring", number + 1, len(track))
    times_s = (np.asarray(motion.times_ns, np.int64) - motion.times_ns[0]) * 1e-9
    return track_of(rows, track.presence, times_s.astype(np.float32)), motion


def _clip_of(track: ParameterTrack, path: Path) -> DrivingClip:
    step_s = float(np.median(np.diff(track.times_s))) if len(track) > 1 else 0.04
    facts = DrivingFacts(
        path=path,
        width_px=512,
        height_px=512,
        rate=Fraction(1 / min(max(step_s, 1 / 240), 1.0)).limit_denominator(1001),
        time_base=_FINE,
        duration_s=float(track.times_s[-1]) + step_s,
        frames_estimate=len(track),
        has_audio=False,
    )
    return DrivingClip(array("q", (round(float(each) * 1e9) for each in track.times_s)), facts.duration_s, facts)


def choose_reference_row(
    options: AnimateOptions, track: ParameterTrack, clip: DrivingClip, engine: MeasuringEngine
) -> int:
    """Return the number of the reference frame; the engine shows the portrait. Raises: UsageError: no such frame."""
    if isinstance(options.reference, int):
        return existing_frame(options.reference, clip)
    seen = np.flatnonzero(track.presence > 0)
    if options.reference == "first" or not options.motion.relative:
        return int(seen[0])
    return int(min(seen, key=lambda number: engine.distance_to(track.row(int(number)))))
