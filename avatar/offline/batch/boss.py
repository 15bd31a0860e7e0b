"""Runs a batch: hands out tasks in the order of the jobs, tries again what failed, and writes the journal.

It holds the jobs in play, some for each worker, and for the others a few bytes each: a batch may have any length.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from avatar.engines.registry import find_engine
from avatar.offline.batch.crew import Crew
from avatar.offline.batch.jobs import Job
from avatar.offline.batch.journal import DONE, FAILED, Journal
from avatar.offline.batch.places import digest, exists, fingerprint, is_address, joined, make_folder, remove
from avatar.offline.batch.work import Done, Draw, DrawSegment, Failure, Join, Outcome, ReadMotion, Task
from avatar.outputs.files.picture_encoder import SEGMENT
from avatar.outputs.files.target import OutputKind, kind_of
from avatar.system.message import Message

MOST_TRIES = 3
SPAN = 4 * SEGMENT  # frames of a segment; shorter ones share less of what is done once for each
_IN_PLAY = 4  # jobs per worker that are looked at ahead
_LOOK_UP_S = 1.0


@dataclass(frozen=True)
class Progress:
    """State of a running batch."""

    jobs: int = 0  # over: done now, done before, or failed
    failed: int = 0
    frames: int = 0  # drawn now


@dataclass
class Summary:
    """Result of a batch."""

    done: int = 0  # now
    before: int = 0  # done in an earlier run
    failed: int = 0
    frames: int = 0
    tries: int = 0  # tasks that were tried again
    made: Counter[str] = field(default_factory=Counter)  # by kind: motions read, portraits read and prepared

    @property
    def jobs(self) -> int:
        """Number of jobs that are over."""
        return self.done + self.before + self.failed


@dataclass(eq=False)
class _Entry:
    """A job in play."""

    job: Job
    began_s: float
    segments: tuple[str, ...] = ()  # places, while it is drawn in segments
    missing: int = 0  # segments
    frames: int = 0
    notes: tuple[str, ...] = ()
    tries: int = 1  # of the task that was tried most often
    over: bool = False


@dataclass(eq=False)
class _Clip:
    """A driving clip that somebody waits for."""

    waiting: list[_Entry] = field(default_factory=list)
    tries: int = 1


@dataclass(eq=False)
class _Piece:
    """A task that was handed out."""

    task: Task
    entry: _Entry | None  # None: the motion of a clip
    clip: str = ""
    tries: int = 1
    avoid: frozenset[str] = frozenset()


class Batch:
    """One run of a batch."""

    def __init__(
        self,
        crew: Crew,
        journal: Journal,
        work: str,
        *,
        span: int = SPAN,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Get ready.

        Args:
            crew: performs the tasks; is not closed.
            journal: of this batch.
            work: the folder, a path or an address that all workers reach, for what they leave for each other.
            span: frames of a segment of a long clip, a multiple of SEGMENT.
            on_progress: told after every task.
        """
        self._crew, self._journal, self._work, self._on_progress = crew, journal, work, on_progress
        self._span = span
        self._clips: dict[str, _Clip] = {}
        self._lengths: dict[str, int] = {}  # place of a clip's motion -> frames, of those that were read
        self._hopeless: dict[str, Failure] = {}  # clips that show no face, or cannot be read
        self._pieces: dict[int, _Piece] = {}
        self._ready: deque[_Piece] = deque()
        self._number = 0
        self._in_play = 0
        self.summary = Summary()

    def run(self, jobs: Iterable[Job]) -> Summary:
        """Do all jobs, in about their order.

        Raises:
            UsageError: the jobs cannot be read any further.
            OutputError: the journal cannot be written.
        """
        make_folder(self._work)
        remaining = iter(jobs)
        more = True
        while more or self._in_play:
            while more and self._in_play < max(2, self._crew.slots * _IN_PLAY):
                more = self._admit_next(remaining)
            self._hand_out()
            for outcome in self._crew.wait(_LOOK_UP_S):
                self._take(outcome)
            summary = self.summary
            self._on_progress(Progress(summary.jobs, summary.failed, summary.frames))
        if not self.summary.failed:
            remove(self._work)
        return self.summary

    def _admit_next(self, jobs: Iterator[Job]) -> bool:
        """Take one more job into play. False: there is none."""
        job = next(jobs, None)
        if job is None:
            return False
        if self._journal.is_finished(job.output, job.key) and exists(job.output):
            self.summary.before += 1
            return True
        self._in_play += 1
        entry = _Entry(job, time.monotonic())
        try:
            if not is_address(job.source):
                Path(job.source).stat()  # missing here: other machines are not asked
            motion = self._motion_place(job.driving)
        except OSError as error:
            said = {"clip": error.filename or job.driving, "why": error.strerror or error}
            self._fail(entry, Failure(Message("{clip} cannot be read: {why}.", **said)))
            return True
        if self._wants_motion(job):
            self._admit_clip(entry, motion)
        else:
            self._ready.append(_Piece(Draw(job, None), entry))
        return True

    def _admit_clip(self, entry: _Entry, place: str) -> None:
        """Let a job wait for its clip's motion at `place`, which the first one has read."""
        if place in self._hopeless:
            self._go_without_motion(entry, self._hopeless[place])
        elif place in self._lengths:
            self._plan(entry, place)
        elif place in self._clips:
            self._clips[place].waiting.append(entry)
        else:
            self._clips[place] = _Clip([entry])
            self._ready.append(_Piece(ReadMotion(entry.job.driving, place), None, place))

    def _plan(self, entry: _Entry, motion: str) -> None:
        """Split a job whose clip is known into tasks."""
        frames = self._lengths[motion]
        if self._crew.slots < 2 or frames < 2 * self._span or not _can_be_split(entry.job):
            self._ready.append(_Piece(Draw(entry.job, motion), entry))
            return
        starts = range(0, frames, self._span)
        name = digest(entry.job.key, motion)
        entry.segments = tuple(joined(self._work, f"{name}-{start}-{self._span}.segment") for start in starts)
        for start, place in zip(starts, entry.segments, strict=True):
            if exists(place):  # of an earlier run
                entry.frames += min(self._span, frames - start)
                continue
            entry.missing += 1
            end = min(start + self._span, frames)
            self._ready.append(_Piece(DrawSegment(entry.job, motion, start, end, place), entry))
        if not entry.missing:
            self._ready.appendleft(_Piece(Join(entry.job, entry.segments), entry))

    def _hand_out(self) -> None:
        while self._ready and len(self._pieces) < self._crew.slots:
            piece = self._ready.popleft()
            if piece.entry is not None and piece.entry.over:
                continue  # another segment of it failed for good
            self._number += 1
            self._pieces[self._number] = piece
            self._crew.submit(self._number, piece.task, piece.avoid)

    def _take(self, outcome: Outcome) -> None:
        piece = self._pieces.pop(outcome.number)
        if outcome.done is not None:
            self._take_done(piece, outcome.done, outcome.where)
        elif outcome.failure is not None:
            self._take_failure(piece, outcome.failure, outcome.where)

    def _take_done(self, piece: _Piece, done: Done, where: str) -> None:
        self.summary.made.update(dict(done.made))
        entry = piece.entry
        if isinstance(piece.task, ReadMotion):
            self._lengths[piece.clip] = done.frames
            for waiting in self._clips.pop(piece.clip).waiting:
                self._plan(waiting, piece.clip)
            return
        assert entry is not None
        entry.tries = max(entry.tries, piece.tries)
        entry.notes += done.notes
        if isinstance(piece.task, DrawSegment):
            self.summary.frames += done.frames
            entry.missing -= 1
            if not entry.missing and not entry.over:
                self._ready.appendleft(_Piece(Join(entry.job, entry.segments), entry))
            return
        if not entry.segments:
            self.summary.frames += done.frames
        self._finish(entry, done.frames, where)

    def _finish(self, entry: _Entry, frames: int, where: str) -> None:
        seconds = round(time.monotonic() - entry.began_s, 3)
        self._journal.write(
            state=DONE, output=entry.job.output, key=entry.job.key, frames=frames, seconds=seconds, tries=entry.tries,
            where=where, notes=entry.notes,
        )  # fmt: skip
        self.summary.done += 1
        self._leave(entry)

    def _take_failure(self, piece: _Piece, failure: Failure, where: str) -> None:
        elsewhere = piece.avoid | ({where} if where else frozenset())
        if piece.tries < MOST_TRIES and not failure.final and (piece.entry is None or not piece.entry.over):
            self.summary.tries += 1
            self._ready.append(_Piece(piece.task, piece.entry, piece.clip, piece.tries + 1, elsewhere))
        elif piece.entry is not None:
            piece.entry.tries = max(piece.entry.tries, piece.tries)
            self._fail(piece.entry, failure)
        else:
            self._hopeless[piece.clip] = failure
            for waiting in self._clips.pop(piece.clip).waiting:
                waiting.tries = piece.tries
                self._go_without_motion(waiting, failure)

    def _go_without_motion(self, entry: _Entry, failure: Failure) -> None:
        """Draw with what needs no face; fail with what does."""
        if find_engine(entry.job.options.engine).from_images:
            self._ready.append(_Piece(Draw(entry.job, None), entry))
        else:
            self._fail(entry, failure)

    def _fail(self, entry: _Entry, failure: Failure) -> None:
        if entry.over:
            return
        self._journal.write(
            state=FAILED, output=entry.job.output, key=entry.job.key, reason=str(failure.what),
            remedy=str(failure.remedy), tries=entry.tries, row=str(entry.job.where),
        )  # fmt: skip
        self.summary.failed += 1
        self._leave(entry)

    def _leave(self, entry: _Entry) -> None:
        entry.over = True
        self._in_play -= 1
        for place in entry.segments:
            remove(place)

    def _motion_place(self, clip: str) -> str:
        return joined(self._work, f"{digest(fingerprint(clip))}.motion")

    @staticmethod
    def _wants_motion(job: Job) -> bool:
        """Return whether its engine may follow a face; then all jobs with that clip share the motion."""
        return not find_engine(job.options.engine).from_images or job.options.engine_config.follow_faces


def _can_be_split(job: Job) -> bool:
    """Return whether its result can be joined of segments.

    A GIF cannot: one palette is fitted to all frames, and each frame's colours and changed rectangle follow from it and
    from the frame before. Whoever joined it would have to fit, dither and pack every frame, which takes longer than
    drawing them.
    """
    return kind_of(job.options.output) is not OutputKind.GIF
