"""A folder with portraits, clips and a job file for tests of batches, and crews that go wrong on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
from fakes import make_clip
from PIL import Image

from avatar.commands.batch import row_parser
from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.offline.batch.boss import Batch, Summary
from avatar.offline.batch.crew import Crew, OwnProcess, Terms
from avatar.offline.batch.jobs import Job, JobFile
from avatar.offline.batch.journal import Journal, entries
from avatar.offline.batch.work import Done, Failure, Outcome, Task


class Studio:
    """Two portraits and two short clips of a face that nods, leaves and comes back."""

    def __init__(self, folder: Path, head: RgbImage, *, frames: int = 12) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        for name, side in (("ada", 208), ("bob", 200)):
            small = cv2.resize(head, (side, side + 32), interpolation=cv2.INTER_AREA)
            Image.fromarray(small).save(folder / f"{name}.png")
        seen = cv2.resize(head, (192, 224), interpolation=cv2.INTER_AREA)
        empty = seen // 16  # too dark for a face
        nods = [empty if 5 <= number < 9 else _turned(seen, number * 1.5) for number in range(frames)]
        make_clip(folder / "nod.mp4", nods, sound="aac")
        make_clip(folder / "tilt.mp4", [_turned(seen, -number * 2.0) for number in range(frames)])

    def jobs(self, *rows: dict[str, Any]) -> Path:
        path = self.folder / "jobs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def all_pairs(self, ending: str = ".mp4", **options: Any) -> Path:
        return self.jobs({
            "source": "*.png", "driving": "*.mp4", "output": f"out/{{source}}-{{driving}}{ending}", **options,
        })  # fmt: skip

    def run(self, jobs: Path, crew: Crew | None = None, **options: Any) -> Summary:
        own = crew or OwnProcess(Terms("test"))
        journal = Journal(self.journal)
        try:
            return Batch(own, journal, str(self.folder / "work"), **options).run(JobFile(jobs, row_parser()))
        finally:
            journal.close()
            own.close()

    @property
    def entries(self) -> list[dict[str, Any]]:
        return list(entries(self.journal))


def _turned(image: RgbImage, degrees: float) -> RgbImage:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[no-any-return]


def decoded(path: Path) -> list[bytes]:
    """The frames of a film, or the files of a folder."""
    if path.is_dir():
        return [file.read_bytes() for file in sorted(path.iterdir())]
    with av.open(str(path)) as file:
        return [frame.to_ndarray().tobytes() for frame in file.decode(video=0)]


class FakeCrew:
    """Answers at once what `answer` says; keeps what it was asked only if `noted`."""

    def __init__(self, answer: Callable[[Task], Done | Failure], *, slots: int = 2, noted: bool = True) -> None:
        self.slots, self._answer, self._noted = slots, answer, noted
        self._waiting: list[tuple[int, Task, frozenset[str]]] = []
        self.asked: list[tuple[Task, frozenset[str]]] = []

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        assert len(self._waiting) < self.slots, "more tasks than it can work on"
        self._waiting.append((number, task, avoid))
        if self._noted:
            self.asked.append((task, avoid))

    def wait(self, timeout_s: float) -> list[Outcome]:
        waiting, self._waiting = self._waiting, []
        said = []
        for number, task, _ in waiting:
            answer = self._answer(task)
            where = f"node {number}"
            said.append(
                Outcome(number, failure=answer, where=where)
                if isinstance(answer, Failure)
                else Outcome(number, done=answer, where=where)
            )
        return said

    def close(self) -> None:
        pass


class TwoHands(OwnProcess):
    """This process, which says that it can do two tasks at once: so long clips are drawn in segments."""

    slots = 2


def renamed(job: Job, output: Path) -> Job:
    return replace(job, output=str(output))
