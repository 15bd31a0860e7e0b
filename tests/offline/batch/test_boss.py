"""What the batch does around the work: order, tries, journal, and memory that does not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from batch_studio import FakeCrew
from places import ROOT

from avatar.commands.batch import row_parser
from avatar.errors import OutputError, UsageError
from avatar.offline.batch.boss import MOST_TRIES, Batch, Summary
from avatar.offline.batch.jobs import JobFile
from avatar.offline.batch.journal import Journal, entries
from avatar.offline.batch.work import Done, Draw, DrawSegment, Failure, Join, ReadMotion, Task


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = folder / "jobs.jsonl"
        self.journal = folder / "journal.jsonl"
        for name in ("ada.png", "bob.png", "nod.mp4", "tilt.mp4"):
            (folder / name).touch()
        self.write()

    def write(self, **options: Any) -> None:
        row = {"source": "*.png", "driving": "*.mp4", "output": "out/{source}-{driving}.mp4", **options}
        self.jobs.write_text(json.dumps(row))

    def run(self, crew: FakeCrew, **options: Any) -> Summary:
        journal = Journal(self.journal)
        try:
            batch = Batch(crew, journal, str(self.folder / "work"), **options)
            return batch.run(JobFile(self.jobs, row_parser()))
        finally:
            journal.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def make(task: Task) -> Done:
    """Do as if: a result is there afterwards."""
    if isinstance(task, Draw | Join):
        path = Path(task.job.output)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return Done(frames=30)


def kinds(crew: FakeCrew) -> Counter[str]:
    return Counter(type(task).__name__ for task, _ in crew.asked)


def test_a_clip_is_read_once_for_all_portraits(desk: Desk) -> None:
    crew = FakeCrew(make)
    summary = desk.run(crew)
    assert kinds(crew) == {"ReadMotion": 2, "Draw": 4}
    assert (summary.done, summary.failed, summary.frames) == (4, 0, 120)


def test_what_is_done_is_not_done_again(desk: Desk) -> None:
    desk.run(FakeCrew(make))
    again = FakeCrew(make)
    assert desk.run(again).before == 4 and not again.asked
    (desk.folder / "out" / "ada-nod.mp4").unlink()
    again = FakeCrew(make)
    assert desk.run(again).done == 1 and kinds(again) == {"ReadMotion": 1, "Draw": 1}
    desk.write(strength=0.5)  # other rows: other results
    assert desk.run(FakeCrew(make)).done == 4


def test_what_fails_is_tried_again_elsewhere_and_then_listed(desk: Desk) -> None:
    def answer(task: Task) -> Done | Failure:
        bad = isinstance(task, Draw) and task.job.source.endswith("bob.png")
        return Failure("The disk is full.", "Make room.") if bad else make(task)

    crew = FakeCrew(answer)
    summary = desk.run(crew)
    assert (summary.done, summary.failed, summary.tries) == (2, 2, 2 * (MOST_TRIES - 1))
    tried = [avoid for task, avoid in crew.asked if isinstance(task, Draw) and task.job.output.endswith("bob-nod.mp4")]
    assert [len(avoid) for avoid in tried] == [0, 1, 2], "each try on a machine that has not failed yet"
    failed = [entry for entry in entries(desk.journal) if entry["state"] == "failed"]
    assert {Path(entry["output"]).name for entry in failed} == {"bob-nod.mp4", "bob-tilt.mp4"}
    assert failed[0]["reason"] == "The disk is full." and failed[0]["tries"] == MOST_TRIES
    assert desk.run(FakeCrew(make)).done == 2, "the next run tries them once more"


def test_a_bad_file_is_tried_once(desk: Desk) -> None:
    crew = FakeCrew(lambda task: Failure("No picture.", final=True) if isinstance(task, Draw) else make(task))
    assert desk.run(crew).failed == 4 and kinds(crew)["Draw"] == 4


def test_a_clip_without_a_face_costs_its_own_jobs(desk: Desk) -> None:
    def answer(task: Task) -> Done | Failure:
        bad = isinstance(task, ReadMotion) and task.clip.endswith("nod.mp4")
        return Failure("It shows no face.", final=True) if bad else make(task)

    crew = FakeCrew(answer, slots=1)
    summary = desk.run(crew)
    assert (summary.done, summary.failed) == (2, 2) and kinds(crew)["ReadMotion"] == 2


def test_a_missing_clip_costs_its_own_jobs(desk: Desk) -> None:
    rows = [{"source": "ada.png", "driving": clip, "output": f"out/{clip}"} for clip in ("gone.mp4", "nod.mp4")]
    desk.jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = desk.run(FakeCrew(make))
    assert (summary.done, summary.failed) == (1, 1)


def test_a_long_clip_is_drawn_in_segments_and_joined(desk: Desk) -> None:
    def answer(task: Task) -> Done:
        done = make(task)
        return Done(frames=task.end - task.start) if isinstance(task, DrawSegment) else done

    crew = FakeCrew(answer)
    summary = desk.run(crew, span=10)  # clips of 30 frames
    assert kinds(crew) == {"ReadMotion": 2, "DrawSegment": 12, "Join": 4} and summary.frames == 120
    segments = [task for task, _ in crew.asked if isinstance(task, DrawSegment)]
    assert sorted((task.start, task.end) for task in segments[:3]) == [(0, 10), (10, 20), (20, 30)]


def test_one_worker_draws_in_one_piece(desk: Desk) -> None:
    crew = FakeCrew(make, slots=1)
    desk.run(crew, span=10)
    assert kinds(crew) == {"ReadMotion": 2, "Draw": 4}


def test_segments_of_an_earlier_run_are_kept(desk: Desk) -> None:
    desk.write(source="ada.png", driving="nod.mp4")

    def answer(task: Task) -> Done | Failure:
        if isinstance(task, DrawSegment):
            if task.start == 20:
                raise KeyboardInterrupt
            Path(task.place).touch()
            return Done(frames=10)
        return make(task)

    with pytest.raises(KeyboardInterrupt):
        desk.run(FakeCrew(answer), span=10)
    crew = FakeCrew(make)
    assert desk.run(crew, span=10).done == 1
    assert kinds(crew) == {"ReadMotion": 1, "DrawSegment": 1, "Join": 1}


def test_a_segment_that_fails_for_good_ends_its_job_once(desk: Desk) -> None:
    desk.write(source="ada.png", driving="nod.mp4")
    crew = FakeCrew(lambda task: Failure("Lost.") if isinstance(task, DrawSegment) else make(task))
    assert desk.run(crew, span=10).failed == 1
    assert len(list(entries(desk.journal))) == 1 and kinds(crew)["Join"] == 0


# The journal


def test_a_line_that_was_cut_short_costs_its_own_job(desk: Desk) -> None:
    desk.run(FakeCrew(make))
    text = desk.journal.read_bytes()
    desk.journal.write_bytes(text[: len(text) - 20])
    assert desk.run(FakeCrew(make)).done == 1
    assert len([entry for entry in entries(desk.journal) if entry["state"] == "done"]) == 4


def test_damage_in_a_journal_is_passed_over(desk: Desk) -> None:
    desk.run(FakeCrew(make))
    desk.journal.write_bytes(
        b'\x00\xff\n{"output": 3}\n[]\n' + desk.journal.read_bytes().replace(b"done", b"d\x00ne", 1)
    )
    assert desk.run(FakeCrew(make)).done == 1


def test_two_batches_on_the_same_results_are_refused(desk: Desk) -> None:
    journal = Journal(desk.journal)
    with pytest.raises(UsageError, match="Another batch"):
        Journal(desk.journal)
    journal.close()
    Journal(desk.journal).close()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_journal_on_a_full_disk_ends_the_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(desk.journal)
    monkeypatch.setattr(journal, "_file", Path("/dev/full").open("w"))  # noqa: SIM115 - the journal closes it
    with pytest.raises(OutputError, match="cannot be written"):
        Batch(FakeCrew(make), journal, str(desk.folder / "work")).run(JobFile(desk.jobs, row_parser()))
    journal.close()


# Memory


GROWTH = """
import json, resource, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {support!r}]
from batch_studio import FakeCrew
from avatar.commands.batch import row_parser
from avatar.offline.batch.boss import Batch
from avatar.offline.batch.jobs import Checker, JobFile
from avatar.offline.batch.journal import Journal
from avatar.offline.batch.work import Done

def run(count):
    folder = Path({folder!r})
    (folder / "nod.mp4").touch()
    (folder / "ada.png").touch()
    row = {{"source": "ada.png", "driving": "nod.mp4"}}
    lines = (json.dumps({{**row, "output": "out/%d.mp4" % number}}) + "\\n" for number in range(count))
    (folder / "jobs.jsonl").write_text("".join(lines))
    jobs, checker = JobFile(folder / "jobs.jsonl", row_parser()), Checker()
    for job in jobs:
        checker.add(job)
    checker.finish()
    journal = Journal(folder / ("%d.jsonl" % count))
    journal_sync = __import__("os").fsync
    __import__("os").fsync = lambda _: None
    summary = Batch(FakeCrew(lambda _: Done(10), noted=False), journal, str(folder / "work")).run(jobs)
    __import__("os").fsync = journal_sync
    journal.close()
    assert summary.done == count
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few = run(10)
print(few, run({count}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read as Linux says it")
def test_ten_thousand_jobs_take_hardly_more_memory_than_ten(tmp_path: Path) -> None:
    code = GROWTH.format(root=str(ROOT), support=str(ROOT / "tests" / "support"), folder=str(tmp_path), count=10_000)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    few_mb, many_mb = map(float, done.stdout.split())
    assert many_mb - few_mb < 16, f"{few_mb:.0f} MB with 10 jobs, {many_mb:.0f} MB with 10,000"
