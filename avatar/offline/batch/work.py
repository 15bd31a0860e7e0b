"""The tasks that a batch is split into, and how one is performed; any of them may be done twice, by anyone."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.errors import AvatarError, FaceError, ImageError, LibraryError, TemplateError, UsageError, VideoError
from avatar.library.library import Library
from avatar.offline.animate import animate, drawn_frames, prepare_performance
from avatar.offline.batch.jobs import Job
from avatar.offline.batch.motion_file import load_motion, save_motion
from avatar.offline.batch.node import Node
from avatar.offline.batch.places import exists, is_address, make_folder, name_of, parent, put, remove
from avatar.offline.batch.segment_file import SegmentWriter, join_segments
from avatar.offline.driving_motion import DrivingMotion, read_motion
from avatar.offline.job import AnimateOptions
from avatar.outputs.files.encoding_thread import EncodingThread
from avatar.outputs.files.target import kind_of
from avatar.portrait.source import Likeness
from avatar.system.atomic import remove_parts_of
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.message import Message

# Errors of the content or of the row: another machine would meet them too. All others are of the machine: a full disk,
# a missing package or model, a card without memory, a folder that is not mounted there.
_FINAL = (UsageError, ImageError, VideoError, FaceError, LibraryError, TemplateError)


@dataclass(frozen=True)
class ReadMotion:
    """Follow the face through a clip and keep its motion at `place`."""

    clip: str
    place: str


@dataclass(frozen=True)
class Draw:
    """Make one result from beginning to end."""

    job: Job
    motion: str | None  # where the clip's motion is kept; None: the job reads it itself


@dataclass(frozen=True)
class DrawSegment:
    """Draw and encode some consecutive frames of a result, and keep them at `place`."""

    job: Job
    motion: str
    start: int
    end: int
    place: str


@dataclass(frozen=True)
class Join:
    """Make one result of its segments, without encoding again."""

    job: Job
    places: tuple[str, ...]  # of the segments, in order


Task = ReadMotion | Draw | DrawSegment | Join


@dataclass(frozen=True)
class Done:
    """Result of a task."""

    frames: int = 0  # read, or drawn
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    made: tuple[tuple[str, int], ...] = ()  # by kind: what was made once for this machine


@dataclass(frozen=True)
class Failure:
    """Reason for a missing result."""

    what: str
    remedy: str = ""
    final: bool = False  # another try would end so too, on any machine


@dataclass(frozen=True)
class Outcome:
    """Answer of a worker about a task."""

    number: int  # of the task
    done: Done | None = None
    failure: Failure | None = None  # exactly one of the two
    where: str = ""  # the machine; empty: unknown


def perform(task: Task, open_node: Callable[[], Node]) -> Done | Failure:
    """Do a task; whatever goes wrong is told, never raised.

    Args:
        task: what to do.
        open_node: returns the node of this process, which may have no room for its folder.
    """
    began_s = time.monotonic()
    try:
        node = open_node()
        node.made.clear()
        frames, notes = _perform(task, node)
    except AvatarError as error:
        return Failure(error.what, error.remedy, final=isinstance(error, _FINAL))
    except OSError as error:
        return Failure(Message("It could not be read or written: {why}.", why=error.strerror or error))
    except Exception as error:  # of a library: this job's alone
        said = f"{type(error).__name__}: {shown(error, MOST_OF_SENTENCE)}"
        return Failure(Message("Internal error in Masque: {error}", error=said))
    return Done(frames, tuple(map(str, notes)), time.monotonic() - began_s, tuple(sorted(node.made.items())))


def _perform(task: Task, node: Node) -> tuple[int, tuple[str, ...]]:
    if isinstance(task, ReadMotion):
        return _read_motion(task, node), ()
    if isinstance(task, Draw):
        return _draw(task, node)
    if isinstance(task, DrawSegment):
        return _draw_segment(task, node)
    return _join(task, node)


def _read_motion(task: ReadMotion, node: Node) -> int:
    clip = node.local(task.clip)
    if exists(task.place):  # of an earlier run
        return len(load_motion(node.local(task.place), clip).times_ns)
    motion = read_motion(clip, node.tracker(), lambda *_: None)
    node.made["motion"] += 1
    scratch = node.folder / f"{secrets.token_hex(8)}.motion"
    try:
        if is_address(task.place):
            save_motion(motion, scratch)
            put(scratch, task.place)
        else:
            save_motion(motion, Path(task.place))
    finally:
        remove(str(scratch))
    return len(motion.times_ns)


def _draw(task: Draw, node: Node) -> tuple[int, tuple[str, ...]]:
    options, likeness, motion = _given(task.job, task.motion, node)
    with _target(task.job.output, node) as output:
        result = animate(replace(options, output=output), tools=node.tools(likeness, motion))
    return result.frames, result.notes


def _draw_segment(task: DrawSegment, node: Node) -> tuple[int, tuple[str, ...]]:
    options, likeness, motion = _given(task.job, task.motion, node)
    tools = node.tools(likeness, motion)
    performance = prepare_performance(options, likeness, tools, lambda *_: None)
    engine = performance.engine
    try:
        with _target(task.place, node) as path, contextlib.ExitStack() as opened:
            frames = opened.enter_context(contextlib.closing(drawn_frames(options, performance, task.start, task.end)))
            first = next(frames)
            writer = SegmentWriter(path, kind_of(options.output), first, performance.clip, (task.start, task.end))
            opened.enter_context(writer)
            encoder = opened.enter_context(EncodingThread(writer, frame_bytes=first.nbytes))
            encoder.put(first, 0.0)
            for rgb in frames:
                encoder.put(rgb, 0.0)
            encoder.finish()
            writer.commit()
        notes = (*performance.clip.notes, *performance.notes, *engine.notes)
    finally:
        tools.release(engine)
    return task.end - task.start, notes if task.start == 0 else ()


def _join(task: Join, node: Node) -> tuple[int, tuple[str, ...]]:
    options = task.job.options
    clip = node.local(task.job.driving)
    with _target(task.job.output, node) as output:
        frames, notes = join_segments(
            [node.local(place) for place in task.places],
            output,
            clip,
            audio=options.audio,
            sound_track=options.sound_track,
        )
    return frames, tuple(notes)


def _given(job: Job, motion: str | None, node: Node) -> tuple[AnimateOptions, Likeness, DrivingMotion | None]:
    """Return a job's inputs as this machine has them."""
    source, driving = node.local(job.source), node.local(job.driving)
    likeness = Library().likeness(source) if job.likeness is None else replace(job.likeness, path=source)
    options = replace(job.options, source=source, driving=driving, output=Path(job.output))
    kept = None
    if motion is not None and exists(motion):
        with contextlib.suppress(VideoError):  # damaged meanwhile: this job reads the clip itself
            kept = load_motion(node.local(motion), driving)
    return options, likeness, kept


@contextlib.contextmanager
def _target(place: str, node: Node) -> Iterator[Path]:
    """Yield where to write a result on this machine; what is to lie at an address is put there at the end."""
    if not is_address(place):
        make_folder(parent(place))
        remove_parts_of(Path(place))  # of a worker that was killed
        yield Path(place)
        return
    folder = node.folder / secrets.token_hex(8)
    folder.mkdir()
    try:
        path = folder / name_of(place).name
        yield path
        put(path, place)
    finally:
        remove(str(folder))
