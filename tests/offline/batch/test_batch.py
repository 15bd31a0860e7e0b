"""Batches of real work: the same frames as `animate` to the bit, shared readings, dead processes, addresses."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np
import pytest
from batch_studio import Studio, TwoHands, decoded
from fakes import make_clip
from motion_samples import make_track
from PIL import Image
from places import ROOT

from avatar import cli
from avatar.commands.batch import row_parser
from avatar.errors import VideoError
from avatar.motion.idle import idle_path
from avatar.motion.template import load_template, save_template
from avatar.offline.animate import animate
from avatar.offline.batch import boss
from avatar.offline.batch.crew import OwnProcess, Terms
from avatar.offline.batch.jobs import JobFile
from avatar.offline.batch.journal import Journal
from avatar.offline.batch.motion_file import load_motion, save_motion
from avatar.offline.batch.node import Node
from avatar.offline.batch.pool import ProcessPool
from avatar.offline.batch.work import Done, Draw, Failure, perform
from avatar.offline.driving_motion import read_motion
from avatar.outputs.files import picture_encoder
from avatar.tracking import open_tracker

pytestmark = pytest.mark.usefixtures("face_model")


@pytest.fixture(autouse=True)
def own_scratch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def studio(tmp_path: Path, head: Any) -> Studio:
    return Studio(tmp_path, head)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(picture_encoder, "SEGMENT", 3)
    return 3


def by_animate(studio: Studio, jobs: Path) -> dict[str, list[bytes]]:
    """What `animate` makes of each job, one after the other."""
    found = {}
    for job in JobFile(jobs, row_parser()):
        output = Path(job.output)
        alone = studio.folder / f"alone-{output.name}"
        animate(replace(job.options, source=job.source, driving=Path(job.driving), output=alone))
        found[output.name] = decoded(alone)
    return found


def made(studio: Studio) -> dict[str, list[bytes]]:
    return {path.name: decoded(path) for path in (studio.folder / "out").iterdir()}


def test_a_batch_makes_what_animate_makes(studio: Studio) -> None:
    jobs = studio.all_pairs()
    summary = studio.run(jobs)
    assert (summary.done, summary.failed, summary.frames) == (4, 0, 48)
    assert summary.made == {"motion": 2, "portrait": 2, "prepared": 2}, "each is read once"
    expected = by_animate(studio, jobs)
    assert made(studio) == expected
    assert len(expected) == 4 and len({frame for frames in expected.values() for frame in frames}) > 20
    nod = studio.folder / "out" / "ada-nod.mp4"
    assert nod.read_bytes() == (studio.folder / "alone-ada-nod.mp4").read_bytes(), "sound and index too"
    assert not (studio.folder / "work").exists()


@pytest.mark.parametrize("ending", [".mp4", ".webm", ""])
@pytest.mark.parametrize("options", [{}, {"side-by-side": True}])
def test_segments_are_the_frames_of_one_machine_to_the_bit(
    studio: Studio, short_segments: int, ending: str, options: dict[str, Any]
) -> None:
    """Frames 5 to 8 show no face: the segment at 6 goes on from a motion that it did not draw."""
    jobs = studio.all_pairs(ending, **options)
    drawn: list[Any] = []

    class Watched(TwoHands):
        def submit(self, number: int, task: Any, avoid: frozenset[str]) -> None:
            drawn.append(task)
            super().submit(number, task, avoid)

    summary = studio.run(jobs, Watched(Terms("test")), span=short_segments)
    assert summary.done == 4
    assert sum(type(task).__name__ == "DrawSegment" for task in drawn) == 16
    assert made(studio) == by_animate(studio, jobs)


def test_segments_keep_the_alpha_of_a_transparent_webm(studio: Studio, short_segments: int) -> None:
    jobs = studio.all_pairs(".webm", background="transparent")
    tasks: Counter[str] = Counter()

    class Watched(TwoHands):
        def submit(self, number: int, task: Any, avoid: frozenset[str]) -> None:
            tasks[type(task).__name__] += 1
            super().submit(number, task, avoid)

    assert studio.run(jobs, Watched(Terms("test")), span=short_segments).done == 4
    assert tasks["DrawSegment"] == 16
    assert made(studio) == by_animate(studio, jobs)
    joined, alone = studio.folder / "out" / "ada-nod.webm", studio.folder / "alone-ada-nod.webm"
    assert alphas(joined) == alphas(alone)
    assert len(set(alphas(joined))) > 6 and all(alphas(joined))


def alphas(path: Path) -> list[bytes]:
    """What lies beside the packets of a film."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        return [bytes(packet.get_sidedata("matroska_block_additional")) for packet in packets]


def test_a_gif_is_drawn_in_one_piece(studio: Studio, short_segments: int) -> None:
    jobs = studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "out/x.gif"})
    assert studio.run(jobs, TwoHands(Terms("test")), span=short_segments).done == 1
    assert made(studio) == by_animate(studio, jobs)


def test_an_image_engine_is_split_too(studio: Studio, short_segments: int) -> None:
    pytest.importorskip("torch", reason="the fomm engine needs torch")
    jobs = studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "out/x.mp4", "engine": "fomm"})
    summary = studio.run(jobs, TwoHands(Terms("test")), span=short_segments)
    assert summary.done == 1 and summary.frames == 12
    assert made(studio) == by_animate(studio, jobs)


def test_a_job_that_cannot_be_done_stops_no_other(studio: Studio) -> None:
    (studio.folder / "broken.png").write_bytes(b"no picture")
    (studio.folder / "broken.mp4").write_bytes(b"no clip")
    summary = studio.run(studio.all_pairs())
    assert (summary.done, summary.failed) == (4, 5)
    reasons = {Path(entry["output"]).name: entry["reason"] for entry in studio.entries if entry["state"] == "failed"}
    assert len(reasons) == 5 and all(reasons.values())
    assert sorted(made(studio)) == ["ada-nod.mp4", "ada-tilt.mp4", "bob-nod.mp4", "bob-tilt.mp4"]


def test_content_is_tried_once_and_the_machine_three_times(studio: Studio) -> None:
    Image.new("RGB", (256, 256), "grey").save(studio.folder / "dark.png")
    make_clip(studio.folder / "dark.mp4", [np.zeros((224, 192, 3), np.uint8)] * 6)
    (studio.folder / "torn.png").write_bytes((studio.folder / "ada.png").read_bytes()[:2000])
    (studio.folder / "torn.mp4").write_bytes((studio.folder / "nod.mp4").read_bytes()[:500])
    (studio.folder / "blocked").touch()
    row = {"source": "ada.png", "driving": "nod.mp4"}
    changes: dict[str, dict[str, str]] = {
        "faceless portrait": {"source": "dark.png"}, "torn portrait": {"source": "torn.png"},
        "no portrait": {"source": "nobody.png"}, "faceless clip": {"driving": "dark.mp4"},
        "torn clip": {"driving": "torn.mp4"}, "no clip": {"driving": "gone.mp4"},
        "machine": {"output": "blocked/x.mp4"},
    }  # fmt: skip
    jobs = studio.jobs(*({**row, "output": f"out/{name}.mp4", **change} for name, change in changes.items()))
    assert studio.run(jobs).failed == len(changes)
    tries = {Path(entry["output"]).stem: entry["tries"] for entry in studio.entries}
    assert tries.pop("x") == boss.MOST_TRIES
    assert tries == dict.fromkeys(list(changes)[:-1], 1)
    assert all(entry["reason"] and entry["remedy"] for entry in studio.entries if "no " not in entry["output"])


def test_what_another_machine_may_reach_is_not_final(studio: Studio, own_scratch: Path) -> None:
    job = next(iter(JobFile(studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "x.mp4"}), row_parser())))
    elsewhere = replace(job, source=str(studio.folder / "not-mounted" / "ada.png"))
    failure = perform(Draw(elsewhere, None), lambda: Node("test", 1))
    assert isinstance(failure, Failure) and not failure.final and "does not reach" in failure.what
    (own_scratch / "file").touch()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(own_scratch / "file"))
        patched.setattr("tempfile.tempdir", str(own_scratch / "file"))
        failure = perform(Draw(job, None), lambda: Node("test", 1))
    assert isinstance(failure, Failure) and not failure.final and "cannot be made" in failure.what


def test_motion_that_was_damaged_meanwhile_is_read_again(studio: Studio) -> None:
    job = next(iter(JobFile(studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "x.mp4"}), row_parser())))
    (studio.folder / "bad.motion").write_bytes(b"damaged")
    done = perform(Draw(job, str(studio.folder / "bad.motion")), lambda: Node("test", 1))
    assert isinstance(done, Done) and done.frames == 12


# Addresses


def test_inputs_and_results_may_lie_at_addresses(studio: Studio) -> None:
    memory = fsspec.filesystem("memory")
    for path in studio.folder.glob("*.*"):
        memory.pipe(f"/in/{path.name}", path.read_bytes())
    row = {"source": "memory://in/*.png", "driving": "memory://in/nod.mp4"}
    jobs = studio.jobs(
        {**row, "output": "memory://out/{source}.mp4"}, {**row, "output": "memory://out/{source}-frames"}
    )
    journal, own = Journal(studio.folder / "journal.jsonl"), OwnProcess(Terms("test"))
    summary = boss.Batch(own, journal, "memory://work").run(JobFile(jobs, row_parser()))
    assert (summary.done, summary.made["motion"], summary.made["fetched"]) == (4, 1, 4)  # with the motion itself
    again = boss.Batch(own, journal, "memory://work").run(JobFile(jobs, row_parser()))
    assert again.before == 4
    own.close()
    journal.close()
    local = studio.jobs({"source": "*.png", "driving": "nod.mp4", "output": "out/{source}.mp4"})
    expected = by_animate(studio, local)
    film = studio.folder / "film.mp4"
    film.write_bytes(memory.cat("/out/ada.mp4"))
    assert decoded(film) == expected["ada.mp4"]
    assert len(memory.ls("/out/bob-frames")) == 12 and not memory.exists("/work")


def test_segments_may_lie_at_addresses(studio: Studio, short_segments: int) -> None:
    place = f"file://{studio.folder.as_posix()}"
    row = {"source": f"{place}/ada.png", "driving": f"{place}/nod.mp4", "output": f"{place}/out/x.mp4"}
    summary = studio.run(studio.jobs(row), TwoHands(Terms("test")), span=short_segments)
    assert summary.done == 1
    local = studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "out/x.mp4"})
    assert made(studio) == by_animate(studio, local)


# Processes


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    crew = ProcessPool(2, Terms("test"))
    yield crew
    crew.close()
    assert not multiprocessing.active_children()


def test_processes_share_what_is_made_once(studio: Studio, pool: ProcessPool, own_scratch: Path) -> None:
    jobs = studio.all_pairs()
    summary = studio.run(jobs, pool)
    assert summary.done == 4 and summary.made == {"motion": 2, "portrait": 2, "prepared": 2}
    assert made(studio) == by_animate(studio, jobs)
    assert not list(own_scratch.glob("masque-batch-*")), "the machine's folder is cleared"


def test_a_killed_process_costs_nothing_but_time(studio: Studio, pool: ProcessPool) -> None:
    jobs = studio.all_pairs()
    killed: list[int] = []

    def kill(progress: boss.Progress) -> None:
        if progress.jobs >= 1 and not killed:
            victim = next(child for child in multiprocessing.active_children() if child.pid is not None)
            killed.append(victim.pid or 0)
            os.kill(victim.pid or 0, signal.SIGKILL)

    summary = studio.run(jobs, pool, on_progress=kill)
    assert killed and (summary.done, summary.failed) == (4, 0)
    assert made(studio) == by_animate(studio, jobs)
    outputs = [entry["output"] for entry in studio.entries if entry["state"] == "done"]
    assert len(outputs) == len(set(outputs)) == 4, "nothing lost, nothing twice"


def test_a_long_clip_is_drawn_by_both(tmp_path: Path, head: Any, pool: ProcessPool) -> None:
    """Real segments of 250 frames; the clip is a template, whose motion is handed on as that of a film is."""
    studio = Studio(tmp_path, head)
    idle = load_template(idle_path())
    faces = [idle.face(number % len(idle)) for number in range(520)]
    save_template(make_track(faces, rate=25, size=(idle.width_px, idle.height_px)), tmp_path / "long.masque")
    jobs = studio.jobs({"source": "ada.png", "driving": "long.masque", "output": "out/x.mp4"})
    assert studio.run(jobs, pool, span=250).frames == 520
    assert made(studio) == by_animate(studio, jobs)


# The motion that is kept


def test_kept_motion_is_exact(studio: Studio, tmp_path: Path) -> None:
    clip = studio.folder / "nod.mp4"
    motion = read_motion(clip, open_tracker(), lambda *_: None)
    save_motion(motion, tmp_path / "kept.motion")
    kept = load_motion(tmp_path / "kept.motion", clip)
    for name in ("landmarks", "blendshapes", "presence", "times_s"):
        assert np.array_equal(getattr(kept.track, name), getattr(motion.track, name))
    assert (kept.facts, kept.end_s, kept.notes) == (motion.facts, motion.end_s, motion.notes)
    assert list(kept.times_ns) == list(motion.times_ns) and kept.track.cuts == motion.track.cuts
    whole = (tmp_path / "kept.motion").read_bytes()
    for damaged in (whole[:-100], whole[:60], b"x" * 200, whole.replace(b'"end_s"', b'"END_S"')):
        (tmp_path / "bad.motion").write_bytes(damaged)
        with pytest.raises(VideoError):
            load_motion(tmp_path / "bad.motion", clip)


@pytest.mark.skipif(os.name != "posix", reason="owners are asked as POSIX has them")
def test_a_folder_that_others_can_enter_is_not_trusted(own_scratch: Path) -> None:
    user = os.getuid()
    (own_scratch / f"masque-batch-{user}-test").mkdir(mode=0o777)
    (own_scratch / f"masque-batch-{user}-test").chmod(0o777)
    folder = Node("test", 1).folder
    assert folder.name != f"masque-batch-{user}-test" and folder.stat().st_mode & 0o077 == 0


# The command


def command(*words: object) -> int:
    return cli.main(["batch", *map(str, words)])


def test_the_command_does_says_and_resumes(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    (studio.folder / "broken.png").write_bytes(b"no picture")
    jobs, report = studio.all_pairs(), studio.folder / "report.json"
    assert command(jobs, "--dry-run", "--workers", 2) == 0
    said = capsys.readouterr().out
    assert "6 to do of 6: 3 portraits, 2 clips, about 72 frames" in said and "hours with 2 workers" in said
    assert not (studio.folder / "out").exists() or not list((studio.folder / "out").glob("*.mp4"))
    assert command(jobs, "--workers", 2, "--json", report) == 1
    said_now = capsys.readouterr()
    assert "4 done, 2 failed; 48 frames" in said_now.out and "broken-nod.mp4: " in said_now.err
    told = json.loads(report.read_text())
    assert (told["jobs"], told["done"], told["failed"], told["made_once"]["motion"]) == (6, 4, 2, 2)
    assert {Path(each["output"]).name for each in told["failures"]} == {"broken-nod.mp4", "broken-tilt.mp4"}
    (studio.folder / "broken.png").write_bytes((studio.folder / "ada.png").read_bytes())
    assert command(jobs, "--workers", 1) == 0
    assert "2 done, 4 done before, 0 failed" in capsys.readouterr().out


def test_wrong_use_is_told_before_anything_is_made(studio: Studio) -> None:
    jobs = studio.all_pairs()
    assert command(jobs, "--workers", 0) == 2
    assert command(studio.folder / "no.toml") == 2
    assert command(jobs, "--json", jobs) == 2
    assert command(studio.jobs()) == 2
    assert not (studio.folder / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="the signal is a POSIX one")
def test_a_killed_batch_goes_on_where_it_was(studio: Studio) -> None:
    """SIGKILL reaches the first process alone; its workers notice, and the next run does what is left."""
    jobs = studio.all_pairs()
    words = [sys.executable, "run.py", "--no-setup", "batch", str(jobs), "--workers", "2"]
    journal = studio.folder / "out" / "jobs.journal.jsonl"
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < deadline_s:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=10)
    first = len(journal.read_text().splitlines())
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{4 - first} done, {first} done before, 0 failed" in done.stdout
    assert {name: frames for name, frames in made_films(studio).items()} == by_animate(studio, jobs)


def made_films(studio: Studio) -> dict[str, list[bytes]]:
    return {path.name: decoded(path) for path in (studio.folder / "out").glob("*.mp4")}


def test_ctrl_c_leaves_whole_results_and_says_how_to_go_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = studio.all_pairs()
    waited = threading.Event()

    def interrupted(self: Any, timeout_s: float) -> Any:
        if waited.is_set():
            raise KeyboardInterrupt
        waited.set()
        return []

    monkeypatch.setattr(ProcessPool, "wait", interrupted)
    assert command(jobs, "--workers", 1) == 1
    said = capsys.readouterr().err
    assert "Stopped; 0 of 4 results are done." in said and "goes on from there" in said
    assert not multiprocessing.active_children()
