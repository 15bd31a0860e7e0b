"""Costs of a batch, piece by piece: measured on this machine, and what a day of films would then take.

Times are of the processor, on one core, so a busy machine hardly changes them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from avatar.errors import SetupError
from avatar.offline.batch.boss import Batch
from avatar.offline.batch.crew import Crew, Terms
from avatar.offline.batch.jobs import Checker, Job, JobFile, Parse
from avatar.offline.batch.journal import Journal
from avatar.offline.batch.node import Node
from avatar.offline.batch.pool import ProcessPool
from avatar.offline.batch.work import Done, Draw, Outcome, ReadMotion, Task, perform
from avatar.offline.bench import RATE, bench_portrait, describe_machine, driving_images
from avatar.offline.job import AnimateOptions
from avatar.outputs.files.video_file import open_output
from avatar.sources.facts import DrivingFacts

SIZE = (1280, 720)
MINUTES_A_DAY = 1_000_000
BUSY = 0.8  # of the cores' time that is spent on frames; the rest waits for stores, or is lost with machines
CORES_A_NODE = 64
_EMPTY_JOBS = 1000
_EMPTY_TASKS = 200
_DAY_S = 86_400


@dataclass(frozen=True)
class Pieces:
    """Measured on this machine, at 720p and 30 frames/s."""

    track_ms: float  # processor time of following a frame of a clip, decoded
    draw_ms: float  # of drawing and encoding a frame of a result
    prepare_s: float  # of reading and preparing a portrait
    clip_bytes: float  # a minute of the clip
    motion_bytes: float  # a minute of its kept motion
    result_bytes: float  # a minute of the result
    portrait_bytes: float
    journal_bytes: float  # a job
    driver_ms: float  # processor time of the driver for a job with its tasks, read twice, journal included
    disk_ms: float  # that it waits for the journal to be on the disk
    pool_ms: float  # processor time of the driver for a task that a process of this machine does
    ray_ms: float | None  # the same with Ray; None: Ray is not installed


@dataclass(frozen=True)
class Day:
    """Derived: a day of `minutes` of film, each with a clip, a portrait and a job of its own."""

    minutes: int
    cores: float
    nodes: float
    read_bytes_s: float  # from the store, by all nodes
    written_bytes_s: float
    kept_bytes: float  # results of the day
    jobs_s: float
    driver_share: float  # of one driver's time; above 1: it cannot keep up

    @staticmethod
    def of(pieces: Pieces, minutes: int = MINUTES_A_DAY) -> Day:
        """Compute what a day takes; jobs are a minute long and share nothing, which is the worst case."""
        frames = 60 * float(RATE)
        work_s = frames * (pieces.track_ms + pieces.draw_ms) / 1000 + pieces.prepare_s
        cores = minutes * work_s / _DAY_S / BUSY
        jobs_s = minutes / _DAY_S
        read = 2 * pieces.clip_bytes + pieces.motion_bytes + pieces.portrait_bytes  # once to follow, once for the sound
        task_ms = pieces.pool_ms if pieces.ray_ms is None else pieces.ray_ms
        return Day(
            minutes,
            cores,
            cores / CORES_A_NODE,
            jobs_s * read,
            jobs_s * (pieces.result_bytes + pieces.motion_bytes),
            minutes * pieces.result_bytes,
            jobs_s,
            jobs_s * (pieces.driver_ms + pieces.disk_ms + 2 * task_ms) / 1000,
        )


@dataclass(frozen=True)
class PiecesReport:
    """Result of `bench --batch`."""

    machine: dict[str, Any]
    pieces: Pieces
    day: Day

    def as_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Format the report; each line says whether it was measured or derived."""
        pieces, day = self.pieces, self.day
        ray = "Ray is not installed" if pieces.ray_ms is None else f"{pieces.ray_ms:.2f} ms"
        rows = [
            ("follow a frame of a clip", f"{pieces.track_ms:.2f} ms"),
            ("draw and encode a frame", f"{pieces.draw_ms:.2f} ms"),
            ("read and prepare a portrait", f"{pieces.prepare_s:.2f} s"),
            ("a minute of the clip", _mb(pieces.clip_bytes)),
            ("a minute of its motion", _mb(pieces.motion_bytes)),
            ("a minute of the result", _mb(pieces.result_bytes)),
            ("a portrait", _mb(pieces.portrait_bytes)),
            ("a job in the journal", f"{pieces.journal_bytes:.0f} bytes"),
            ("the driver for a job", f"{pieces.driver_ms:.2f} ms"),
            ("waiting for the journal's disk", f"{pieces.disk_ms:.2f} ms"),
            ("the driver for a task by processes", f"{pieces.pool_ms:.2f} ms"),
            ("the driver for a task by Ray", ray),
        ]
        derived = [
            ("films a day, a minute each", f"{day.minutes:,}"),
            (f"cores, busy for {BUSY:.0%}", f"{day.cores:,.0f}"),
            (f"nodes of {CORES_A_NODE} cores", f"{day.nodes:,.0f}"),
            ("read from the store", f"{_mb(day.read_bytes_s)}/s"),
            ("written to the store", f"{_mb(day.written_bytes_s)}/s"),
            ("results of a day", f"{day.kept_bytes / 1e12:.2f} TB"),
            ("jobs", f"{day.jobs_s:.1f}/s"),
            ("one driver, busy for", f"{day.driver_share:.1%}"),
        ]
        lines = [f"{'measured':10}{name:34}{value:>14}" for name, value in rows]
        lines += [f"{'derived':10}{name:34}{value:>14}" for name, value in derived]
        load, versions = self.machine["load_before"], self.machine["versions"]
        busy = "" if load is None else f", load {load:.1f}"
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        return "\n".join([*lines, "", f"{self.machine['cpu']}; {self.machine['cores']} cores{busy}; {said}"])


def measure(parse: Parse, frames: int = 90, report: Callable[[str], None] = lambda _: None) -> PiecesReport:
    """Measure all pieces.

    Args:
        parse: turns the options of a row into those of `animate`.
        frames: of the clip that is followed and drawn.
        report: is told what is measured next.
    Raises:
        LibraryError: the built-in portrait is missing.
        WeightsError: the face model is missing.
        SetupError: a piece failed.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="masque-bench-") as name:
        folder = Path(name)
        report("following, preparing, drawing")
        frame = _frames(folder, frames)
        report("the driver and its journal")
        journal = _driver(folder, parse)
        report("processes")
        job = _job(folder, "empty")
        pool_ms = _handing_over(ProcessPool(1, Terms("bench")), _empty(job, folder))
        ray_ms = None
        with contextlib.suppress(SetupError):
            from avatar.offline.batch.ray_crew import RayCrew

            report("Ray")
            ray_ms = _handing_over(RayCrew("local", Terms("bench")), _empty(job, folder))
    pieces = Pieces(**frame, **journal, pool_ms=pool_ms, ray_ms=ray_ms)
    return PiecesReport(machine, pieces, Day.of(pieces))


def _frames(folder: Path, frames: int) -> dict[str, float]:
    """Measure the work itself, by the very tasks of a batch."""
    portrait = bench_portrait(*SIZE)
    Image.fromarray(portrait).save(folder / "portrait.png")
    clip = folder / "clip.mp4"
    facts = DrivingFacts(clip, *SIZE, RATE, 1 / (RATE * 1000), 0.0, 0, has_audio=False)
    with open_output(clip, *SIZE, facts) as writer:
        for number, rgb in enumerate(itertools.islice(driving_images(portrait), frames)):
            writer.write(rgb, float(number / RATE))
        writer.commit(float(frames / RATE))
    node = Node(f"bench{os.getpid()}", 1)
    motion = str(folder / "clip.motion")
    try:
        node.tracker()  # loaded once for many clips
        track_s = _spent(ReadMotion(str(clip), motion), node)
        first_s = _spent(Draw(_job(folder, "first"), motion), node)
        draw_s = _spent(Draw(_job(folder, "second"), motion), node)
    finally:
        node.close()
        shutil.rmtree(node.folder, ignore_errors=True)
    minute = 60 * float(RATE) / frames
    return {
        "track_ms": 1000 * track_s / frames,
        "draw_ms": 1000 * draw_s / frames,
        "prepare_s": max(0.0, first_s - draw_s),
        "clip_bytes": clip.stat().st_size * minute,
        "motion_bytes": Path(motion).stat().st_size * minute,
        "result_bytes": (folder / "second.mp4").stat().st_size * minute,
        "portrait_bytes": (folder / "portrait.png").stat().st_size,
    }


def _spent(task: Task, node: Node) -> float:
    """Return the processor time, in seconds, of a task in this process. Raises: SetupError: it failed."""
    began_s = time.process_time()
    done = perform(task, lambda: node)
    if not isinstance(done, Done):
        raise SetupError(done.what, remedy=done.remedy)
    return time.process_time() - began_s


def _job(folder: Path, name: str) -> Job:
    source, clip, output = folder / "portrait.png", folder / "clip.mp4", folder / f"{name}.mp4"
    return Job(str(source), str(clip), str(output), AnimateOptions(source, clip, output), None, name)


class _Instant:
    """A crew that has done everything at once."""

    slots = 8

    def __init__(self) -> None:
        self._asked: deque[int] = deque()

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        self._asked.append(number)

    def wait(self, timeout_s: float) -> list[Outcome]:
        answers = [Outcome(number, done=Done(1800), where="x" * 56) for number in self._asked]
        self._asked.clear()
        return answers

    def close(self) -> None:
        pass


def _driver(folder: Path, parse: Parse) -> dict[str, float]:
    """Measure the driver with jobs whose work takes no time; each has a clip of its own."""
    path, rows = folder / "journal.jsonl", folder / "jobs.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for number in range(_EMPTY_JOBS):
            (folder / f"{number:06d}.mp4").touch()
            row = {"source": "portrait.png", "driving": f"{number:06d}.mp4", "output": f"results/{number:06d}.mp4"}
            file.write(json.dumps(row) + "\n")
    with contextlib.closing(Journal(path)) as journal:
        began, began_s = time.process_time(), time.monotonic()
        jobs, checker = JobFile(rows, parse), Checker()
        for job in jobs:
            checker.add(job)
        checker.finish()
        Batch(_Instant(), journal, str(folder / "work")).run(jobs)
        spent, passed = time.process_time() - began, time.monotonic() - began_s
    return {
        "journal_bytes": path.stat().st_size / _EMPTY_JOBS,
        "driver_ms": 1000 * spent / _EMPTY_JOBS,
        "disk_ms": 1000 * max(0.0, passed - spent) / _EMPTY_JOBS,
    }


def _empty(job: Job, folder: Path) -> Task:
    """Return a task that finds its work done: the motion is kept already."""
    return ReadMotion(job.driving, str(folder / "clip.motion"))


def _handing_over(crew: Crew, task: Task) -> float:
    """Return the driver's processor time, in ms, of handing a task over and taking its answer."""
    with contextlib.closing(crew):
        for number in range(crew.slots + 2):  # processes start, packages load
            crew.submit(number, task, frozenset())
        _take(crew, crew.slots + 2)
        began_s = time.process_time()
        for number in range(_EMPTY_TASKS):
            crew.submit(number, task, frozenset())
        _take(crew, _EMPTY_TASKS)
        return 1000 * (time.process_time() - began_s) / _EMPTY_TASKS


def _take(crew: Crew, count: int) -> None:
    while count > 0:
        count -= len(crew.wait(1.0))


def _mb(size: float) -> str:
    return f"{size / 1e6:,.2f} MB"
