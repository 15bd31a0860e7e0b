"""What drives: a clip that is followed face by face, or a motion template."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.errors import FaceError
from avatar.frames import Frame
from avatar.motion.idle import idle_path
from avatar.motion.shots import cuts_note
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.motion.upright_clip import open_turned, turn_of_clip
from avatar.sources.facts import DrivingFacts, DrivingVideo
from avatar.sources.video import open_driving
from avatar.tracking import FaceTracker

MIN_FACES = 3  # frames with a face; fewer are chance finds or a glimpse, except in a clip that is no longer
_FINE = Fraction(1, 90_000)  # s; the grain of times where a template sets them
_NS = 1_000_000_000
_SLOWEST = 0.01  # frames per second; nobody counts on a slide show's rate
_RATE_SLACK = 0.05  # a header's rate this close is kept: 30000/1001 says more than a count of frames


@dataclass(frozen=True, eq=False)
class DrivingClip:
    """The times of a clip that was read to its end."""

    times_ns: Sequence[int]  # of every frame, as the clip counts them
    end_s: float  # when the last frame stops being shown
    facts: DrivingFacts
    notes: tuple[str, ...] = field(default=(), kw_only=True)  # sentences worth reading
    turn_deg: int = field(default=0, kw_only=True)  # by which its frames are turned clockwise, before anything else


@dataclass(frozen=True, eq=False)
class DrivingMotion(DrivingClip):
    """The motion of a whole clip, with the times its frames are shown at."""

    track: MotionTrack

    @property
    def faces(self) -> int:
        """How many frames show a face."""
        return int((self.track.presence > 0).sum())


def named_driving(path: Path) -> Path:
    """What a user means by DRIVING: a path, or the name `idle` for the built-in motion."""
    return idle_path() if path == Path("idle") and not path.exists() else path


def is_template(path: Path) -> bool:
    """Whether a path names a motion template."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def read_motion(path: Path, tracker: FaceTracker, report: Callable[[int, int], None]) -> DrivingMotion:
    """Read a template, or follow the face through a clip without keeping its pictures.

    Args:
        path: a video, an animated image, a folder of pictures or a template.
        tracker: is reset first.
        report: told how many frames of how many (0 = unknown) are done.
    Raises:
        VideoError, ImageError, TemplateError: it cannot be read.
        FaceError: hardly any frame shows a face.
    """
    motion = _of_template(load_template(path)) if is_template(path) else _of_clip(path, tracker, report)
    if motion.faces < max(1, min(MIN_FACES, len(motion.track))):
        raise FaceError(
            f"A face is seen in only {motion.faces} of {len(motion.track)} frames of {path.name}.",
            remedy="Use a clip in which one face is well lit, in view and turned to the camera.",
        )
    return motion


def read_clip(path: Path, report: Callable[[int, int], None]) -> DrivingClip:
    """Read a clip to its end for its times alone. Arguments and errors as in `read_motion`."""
    with open_driving(path) as driving:
        times_ns = array("q")
        for _ in _noted(driving, times_ns, report):
            pass
        return DrivingClip(times_ns, driving.end_s, _measured(driving, times_ns), notes=tuple(driving.notes))


def _of_clip(path: Path, tracker: FaceTracker, report: Callable[[int, int], None]) -> DrivingMotion:
    turn_deg = turn_of_clip(path, tracker)
    with open_turned(path, turn_deg) as driving:
        times_ns = array("q")
        track = track_frames(_noted(driving, times_ns, report), tracker, name=path.name)
        notes = (*driving.notes, *([cuts_note(len(track.cuts))] if track.cuts else []))
        facts = _measured(driving, times_ns)
        return DrivingMotion(times_ns, driving.end_s, facts, track, notes=notes, turn_deg=turn_deg)


def _measured(driving: DrivingVideo, times_ns: array[int]) -> DrivingFacts:
    """The facts with the true rate where the header is wrong or says nothing: an encoder plans by it."""
    facts, length_s = driving.facts, driving.end_s - times_ns[0] * 1e-9
    true = len(times_ns) / length_s if length_s > 0 else 0.0
    if true == 0 or abs(float(facts.rate) / true - 1) <= _RATE_SLACK:
        return facts
    return replace(facts, rate=Fraction(max(true, _SLOWEST)).limit_denominator(1001))


def _noted(driving: DrivingVideo, times_ns: array[int], report: Callable[[int, int], None]) -> Iterator[Frame]:
    for frame in driving:
        times_ns.append(frame.captured_ns)
        yield frame
        report(len(times_ns), max(driving.facts.frames_estimate, len(times_ns)))


def _of_template(track: MotionTrack) -> DrivingMotion:
    step_s = float(np.median(np.diff(track.times_s))) if len(track) > 1 else 0.04
    rate = Fraction(1 / min(max(step_s, 1 / 240), 1.0)).limit_denominator(1001)
    facts = DrivingFacts(
        path=Path(track.name),
        width_px=track.width_px,
        height_px=track.height_px,
        rate=rate,
        time_base=_FINE,
        duration_s=float(track.times_s[-1] + step_s),
        frames_estimate=len(track),
        has_audio=False,
    )
    times_ns = array("q", (round(float(time_s) * _NS) for time_s in track.times_s))
    notes = (cuts_note(len(track.cuts)),) if track.cuts else ()
    return DrivingMotion(times_ns, facts.duration_s, facts, track, notes=notes)
