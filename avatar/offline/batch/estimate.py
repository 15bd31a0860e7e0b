"""Estimate of a batch's duration: measured on its first jobs, before anything is made."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.errors import AvatarError
from avatar.library.library import Library
from avatar.motion.track import track_frames
from avatar.motion.upright_clip import open_turned, turn_of_clip
from avatar.offline.animate import drawn_frames, prepare_performance
from avatar.offline.batch.jobs import Job
from avatar.offline.batch.node import Node
from avatar.offline.batch.places import remove
from avatar.offline.batch.segment_file import SegmentWriter
from avatar.offline.driving_motion import DrivingMotion, is_template
from avatar.outputs.files.target import OutputKind, kind_of
from avatar.sources.video import open_driving
from avatar.tracking import FaceTracker

_FRAMES = 24  # of a clip, that are tracked and drawn for measuring
_LOOKED_AT = 20  # clips whose length is read; the others count as their mean
_TRIED = 3  # jobs, until one can be measured


@dataclass(frozen=True)
class Pace:
    """Seconds that one worker of this machine needs."""

    track_s: float  # for a frame of a clip, once
    prepare_s: float  # for a portrait, once
    draw_s: float  # for a frame of a result, drawn and encoded


@dataclass(frozen=True)
class Estimate:
    """Size and estimated duration of a batch."""

    jobs: int
    before: int  # done in an earlier run
    portraits: int
    clips: int
    frames: int | None  # of all results; None: no clip could be read
    pace: Pace | None  # None: no job could be measured
    hours: float | None  # of one worker


class Estimator:
    """Looks at the jobs one by one, and keeps little of each."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._jobs = self._before = 0
        self._users: Counter[str] = Counter()  # clip -> jobs
        self._portraits: set[str] = set()
        self._trials: list[Job] = []

    def add(self, job: Job, *, finished: bool) -> None:
        """Count one more job."""
        self._jobs += 1
        if finished:
            self._before += 1
            return
        self._users[job.driving] += 1
        self._portraits.add(job.source)
        if len(self._trials) < _TRIED:
            self._trials.append(job)

    def finish(self) -> Estimate:
        """Measure, and return what came of it."""
        pace = next(filter(None, map(self._measured, self._trials)), None)
        lengths = {clip: self._length(clip) for clip in itertools.islice(self._users, _LOOKED_AT)}
        known = [length for length in lengths.values() if length]
        mean = sum(known) / len(known) if known else 0.0
        in_clips = sum((lengths.get(clip) or mean) for clip in self._users)
        frames = sum((lengths.get(clip) or mean) * users for clip, users in self._users.items())
        hours = None
        if pace is not None and (known or not self._users):
            seconds = in_clips * pace.track_s + len(self._portraits) * pace.prepare_s + frames * pace.draw_s
            hours = seconds / 3600
        return Estimate(
            self._jobs, self._before, len(self._portraits), len(self._users), round(frames) if known else None, pace,
            hours,
        )  # fmt: skip

    def _length(self, clip: str) -> int:
        """Return about how many frames a clip has; 0: unknown."""
        try:
            path = self._node.local(clip)
            if is_template(path):
                from avatar.motion.template import load_template

                return len(load_template(path))
            with open_driving(path) as driving:
                return driving.facts.frames_estimate
        except (AvatarError, OSError):
            return 0

    def _measured(self, job: Job) -> Pace | None:
        """Track and draw a few frames of a job. None: it cannot be measured; the batch will say why."""
        try:
            return self._pace(job)
        except (AvatarError, OSError, StopIteration):
            return None

    def _pace(self, job: Job) -> Pace:
        node = self._node
        source, driving = node.local(job.source), node.local(job.driving)
        likeness = Library().likeness(source) if job.likeness is None else replace(job.likeness, path=source)
        options = replace(job.options, source=source, driving=driving, output=Path(job.output))
        times = [time.monotonic()]
        motion = None if is_template(driving) else _beginning(driving, node.tracker())
        times.append(time.monotonic())
        tools = node.tools(likeness, motion)
        performance = prepare_performance(options, likeness, tools, lambda *_: None)
        count = min(_FRAMES, len(performance.clip.times_ns))
        times.append(time.monotonic())
        kind = kind_of(options.output)
        target = node.folder / f"{secrets.token_hex(8)}.segment"
        try:
            with contextlib.closing(drawn_frames(options, performance, 0, count)) as frames:
                first = next(frames)
                shown = OutputKind.MP4 if kind is OutputKind.GIF else kind
                with SegmentWriter(target, shown, first, performance.clip, (0, count)) as writer:
                    writer.write(first, 0.0)
                    for rgb in frames:
                        writer.write(rgb, 0.0)
                    writer.commit()
        finally:
            tools.release(performance.engine)
            remove(str(target))
        times.append(time.monotonic())
        tracking, preparing, drawing = (after - before for before, after in itertools.pairwise(times))
        return Pace(tracking / count, preparing, drawing / count)


def _beginning(path: Path, tracker: FaceTracker) -> DrivingMotion:
    """Return the motion of the first frames of a clip."""
    turn_deg = turn_of_clip(path, tracker)
    with open_turned(path, turn_deg) as driving:
        frames = list(itertools.islice(driving, _FRAMES))
        track = track_frames(frames, tracker, name=path.name)
        times_ns = array("q", (frame.captured_ns for frame in frames))
        return DrivingMotion(times_ns, driving.end_s, driving.facts, track, turn_deg=turn_deg)
