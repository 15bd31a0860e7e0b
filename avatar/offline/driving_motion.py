"""Driving motion: a clip in which a face is tracked, or a motion template."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.errors import FaceError, UsageError
from avatar.frames import Frame
from avatar.motion.idle import RATE, SIDE_PX, idle_path
from avatar.motion.shots import cuts_note
from avatar.motion.speech import RATE_HZ
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, record_faces, track_frames
from avatar.motion.upright_clip import open_turned, turn_of_clip
from avatar.motion.voice import speaking_faces
from avatar.sources.facts import DrivingFacts, DrivingVideo
from avatar.sources.sound_file import SoundFile, is_sound
from avatar.sources.video import open_driving
from avatar.system.message import Message
from avatar.tracking import Face, FaceTracker

MIN_FACES = 3  # minimum number of frames with a face, except in shorter clips; fewer may be false detections
_FINE = Fraction(1, 90_000)  # s; time base used for the times of a template
_NS = 1_000_000_000
_SLOWEST = 0.01  # frames per second; slower clips are slide shows without a meaningful rate
_RATE_SLACK = 0.05  # a header's rate this close is kept, because 30000/1001 is more exact than a measured rate


@dataclass(frozen=True, eq=False)
class DrivingClip:
    """Times of a clip that was read to its end."""

    times_ns: Sequence[int]  # time of every frame, on the clip's clock
    end_s: float  # end of the last frame
    facts: DrivingFacts
    notes: tuple[str, ...] = field(default=(), kw_only=True)  # notes for the user
    turn_deg: int = field(default=0, kw_only=True)  # clockwise rotation of its frames, applied first


@dataclass(frozen=True, eq=False)
class DrivingMotion(DrivingClip):
    """Motion of a whole clip, with the times of its frames."""

    track: MotionTrack

    @property
    def faces(self) -> int:
        """Number of frames that show a face."""
        return int((self.track.presence > 0).sum())


def named_driving(path: Path) -> Path:
    """Resolve the argument DRIVING: a path, or the name `idle` for the built-in motion."""
    return idle_path() if path == Path("idle") and not path.exists() else path


def is_template(path: Path) -> bool:
    """Return whether a path names a motion template."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def has_images(path: Path) -> bool:
    """Return whether a path names something to look at: neither a motion template nor a recording of a voice."""
    return not is_template(path) and not is_sound(path)


def read_motion(path: Path, tracker: FaceTracker, report: Callable[[int, int], None]) -> DrivingMotion:
    """Read a template, or track the face through a clip without keeping its images.

    Args:
        path: a video, an animated image, a folder of images, a template, or a recording of a voice.
        tracker: is reset first.
        report: called with the number of frames done and the total (0 = unknown).
    Raises:
        VideoError, ImageError, TemplateError: it cannot be read.
        FaceError: hardly any frame shows a face.
    """
    if is_template(path):
        motion = _of_template(load_template(path))
    elif is_sound(path):
        motion = speak(path, report)
    else:
        motion = _of_clip(path, tracker, report)
    if motion.faces < max(1, min(MIN_FACES, len(motion.track))):
        raise FaceError(
            Message(
                "A face is seen in only {faces} of {count} frames of {name}.",
                faces=motion.faces,
                count=len(motion.track),
                name=path.name,
            ),
            remedy="Use a clip in which one face is well lit, in view and turned to the camera.",
        )
    return motion


def read_clip(path: Path, report: Callable[[int, int], None]) -> DrivingClip:
    """Read a clip to its end for its times only. Arguments and errors as in `read_motion`."""
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
    """Return the facts with the measured rate if the header's is wrong or missing, because encoders rely on it."""
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


def speak(path: Path, report: Callable[[int, int], None]) -> DrivingMotion:
    """Make up the motion of somebody who says what is heard. Its first frame is at rest, as a reference.

    Args:
        path: a recording of a voice.
        report: called with the number of frames done and the expected total.
    Raises:
        VideoError: it cannot be read, or holds no sound.
    """
    sound = SoundFile(path)
    expected = round(sound.length_s * RATE)
    times_ns = array("q")

    def frames() -> Iterator[tuple[int, Face]]:
        for number, face in enumerate(speaking_faces(sound.blocks(RATE_HZ))):
            times_ns.append(round(number / RATE * _NS))
            yield times_ns[-1], face
            report(number + 1, max(expected, number + 1))

    track = record_faces(frames(), (SIDE_PX, SIDE_PX), name=path.name)
    end_s = len(times_ns) / RATE
    facts = DrivingFacts(
        path=path,
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        rate=Fraction(RATE),
        time_base=_FINE,
        duration_s=end_s,
        frames_estimate=len(times_ns),
        has_audio=True,
        origin_s=sound.starts_s,
        stream_index=-1,
    )
    return DrivingMotion(times_ns, end_s, facts, track)


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


def existing_frame(number: int, clip: DrivingClip) -> int:
    """Return the number of a frame. Raises UsageError if the clip is shorter."""
    count = len(clip.times_ns)
    if number >= count:
        raise UsageError(
            Message(
                "There is no frame {number}: {name} has {count}.",
                number=number,
                name=clip.facts.path.name or Message("the clip"),
                count=count,
            ),
            remedy=Message("Give --reference a number from 0 to {count}, or auto.", count=count - 1),
        )
    return number
