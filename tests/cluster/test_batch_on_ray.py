"""Batches on a real Ray cluster of several nodes on this machine: the same results, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_studio import Studio, decoded
from clusters import STORE_BYTES, until
from motion_samples import make_track
from places import ROOT

from avatar.commands.batch import row_parser
from avatar.errors import SetupError
from avatar.motion.idle import idle_path
from avatar.motion.template import load_template, save_template
from avatar.offline.animate import animate
from avatar.offline.batch.boss import Progress
from avatar.offline.batch.crew import Terms
from avatar.offline.batch.jobs import JobFile
from avatar.offline.batch.ray_crew import CARD_SHARE, RayCrew
from avatar.offline.batch.work import Draw, Outcome

ray = pytest.importorskip("ray", reason="ray is not installed: pip install -r requirements-dev.txt")

# In an order in which a test begins with the nodes that the one before left alive: each start takes seconds.
pytestmark = [pytest.mark.usefixtures("face_model"), pytest.mark.timeout(600)]


@pytest.fixture
def crew(cluster: Any, nodes: list[Any], tmp_path: Path) -> Iterator[RayCrew]:
    opened = RayCrew(cluster.address, Terms(f"ray{os.getpid()}"))
    yield opened
    opened.close()


@pytest.fixture
def studio(tmp_path: Path, head: Any) -> Studio:
    return Studio(tmp_path, head)


@pytest.fixture(scope="module")
def drawn() -> dict[bytes, list[bytes]]:
    """What `animate` made of a portrait and a clip, by their content: most tests have the same."""
    return {}


def check(studio: Studio, jobs: Path, drawn: dict[bytes, list[bytes]]) -> None:
    """Every result is that of `animate` to the bit, and was done once."""
    count = 0
    for job in JobFile(jobs, row_parser()):
        output, files = Path(job.output), (Path(job.source), Path(job.driving))
        options = replace(job.options, source="", driving=Path(), output=Path())
        content = hashlib.sha256(b"".join(file.read_bytes() for file in files) + repr(options).encode()).digest()
        if content not in drawn:
            alone = studio.folder / f"alone-{output.name}"
            animate(replace(job.options, source=job.source, driving=files[1], output=alone))
            drawn[content] = decoded(alone)
        assert decoded(output) == drawn[content], output.name
        count += 1
    done = [entry["output"] for entry in studio.entries if entry["state"] == "done"]
    assert len(done) == len(set(done)) == count, "nothing lost, nothing twice"
    there = [path.suffix for path in (studio.folder / "out").iterdir() if studio.journal.name not in path.name]
    assert there == [".mp4"] * count, "no parts are left"


def test_a_node_that_is_killed_costs_nothing_but_time(
    studio: Studio, cluster: Any, nodes: list[Any], crew: RayCrew, drawn: dict[bytes, list[bytes]]
) -> None:
    assert crew.slots == 2
    killed: list[Any] = []

    def kill(progress: Progress) -> None:
        if progress.jobs >= 1 and not killed:
            killed.append(nodes[0])
            cluster.remove_node(nodes[0], allow_graceful=False)

    jobs = studio.all_pairs()
    summary = studio.run(jobs, crew, on_progress=kill)
    assert killed and (summary.done, summary.failed) == (4, 0)
    check(studio, jobs, drawn)


def test_a_node_with_a_full_disk_costs_nothing_but_tries(
    studio: Studio, cluster: Any, one_node: list[Any], tmp_path: Path, drawn: dict[bytes, list[bytes]]
) -> None:
    """What cannot be written there, the other node writes; results lie at addresses, as where nothing is shared."""
    with contextlib.ExitStack() as undo:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        undo.enter_context(small_disk(scratch))
        bad = cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars={"TMPDIR": str(scratch), "RAY_TMPDIR": "/tmp"}
        )
        undo.callback(cluster.remove_node, bad)
        cluster.wait_for_nodes()
        place = studio.folder.as_uri()
        rows = {"source": f"{place}/*.png", "driving": f"{place}/*.mp4"}
        jobs = studio.jobs({**rows, "output": f"{place}/out/{{source}}-{{driving}}.mp4"})
        crew = RayCrew(cluster.address, Terms(f"full{os.getpid()}"))
        undo.callback(crew.close)
        assert crew.slots == 2
        summary = studio.run(jobs, crew)
        assert (summary.done, summary.failed) == (4, 0) and summary.tries
        assert {entry["where"] for entry in studio.entries} == {one_node[0].node_id}
        check(studio, studio.all_pairs(), drawn)


def test_a_worker_that_is_killed_costs_nothing_but_time(
    studio: Studio, crew: RayCrew, drawn: dict[bytes, list[bytes]]
) -> None:
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.jobs >= 1 and not killed:
            worker = next(pid for pid in _workers() if pid not in killed)
            killed.append(worker)
            os.kill(worker, signal.SIGKILL)

    jobs = studio.all_pairs()
    summary = studio.run(jobs, crew, on_progress=kill)
    assert killed and (summary.done, summary.failed) == (4, 0)
    check(studio, jobs, drawn)


def test_a_driver_that_is_killed_goes_on_where_it_was(
    studio: Studio, cluster: Any, nodes: list[Any], drawn: dict[bytes, list[bytes]]
) -> None:
    """SIGKILL leaves it no moment for a farewell: Ray ends its tasks, the next run does what is left."""
    studio.journal = studio.folder / "out" / "jobs.journal.jsonl"
    jobs = studio.all_pairs()
    words = [sys.executable, "run.py", "--no-setup", "batch", str(jobs), "--ray", cluster.address]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: process.poll() is not None or (studio.journal.exists() and studio.journal.stat().st_size > 0))
    assert process.poll() is None
    process.kill()
    process.wait(timeout=10)
    first = len(studio.entries)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{4 - first} done, {first} done before, 0 failed" in done.stdout
    check(studio, jobs, drawn)


def test_auto_joins_the_cluster_that_is_there(cluster: Any, nodes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    said: list[str] = []
    crew = RayCrew("auto", Terms("joined"), said.append)
    assert crew.slots == 2 and not said
    crew.close()


def test_segments_on_two_nodes_are_the_frames_of_one_machine(
    studio: Studio, cluster: Any, nodes: list[Any], crew: RayCrew, drawn: dict[bytes, list[bytes]]
) -> None:
    """The clip is a template of 520 frames; one of the nodes is killed after the first segment."""
    idle = load_template(idle_path())
    faces = [idle.face(number % len(idle)) for number in range(520)]
    save_template(make_track(faces, rate=25, size=(idle.width_px, idle.height_px)), studio.folder / "long.masque")
    jobs = studio.jobs({"source": "ada.png", "driving": "long.masque", "output": "out/x.mp4"})
    killed: list[Any] = []

    def kill(progress: Progress) -> None:
        if progress.frames and not killed:
            killed.append(nodes[0])
            cluster.remove_node(nodes[0], allow_graceful=False)

    assert crew.slots == 2
    summary = studio.run(jobs, crew, span=250, on_progress=kill)
    assert killed and (summary.done, summary.failed, summary.frames) == (1, 0, 520)
    check(studio, jobs, drawn)


def test_neural_engines_share_a_card_and_do_without(
    tmp_path: Path, head: Any, cluster: Any, one_node: list[Any]
) -> None:
    """The card is only declared, so the engines find none and draw on the processor."""
    pytest.importorskip("torch", reason="the fomm engine needs torch")
    studio = Studio(tmp_path, head, frames=3)
    one_node.append(cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES))
    cluster.wait_for_nodes()
    crew = RayCrew(cluster.address, Terms(f"card{os.getpid()}"))
    row = {"source": "ada.png", "driving": "nod.mp4"}
    rows = [{**row, "output": f"out/{number}.mp4", "engine": "fomm"} for number in range(3)]
    tasks = [Draw(job, None) for job in JobFile(studio.jobs(*rows), row_parser())]
    try:
        for number, task in enumerate(tasks[:2]):
            crew.submit(number, task, frozenset())
        until(lambda: ray.available_resources().get("GPU", 0) <= 1 - 2 * CARD_SHARE)
        outcomes = answers(crew, 2)
        assert [outcome.failure for outcome in outcomes] == [None, None]
        assert {outcome.where for outcome in outcomes} == {one_node[-1].node_id}
        cluster.remove_node(one_node.pop(), allow_graceful=False)
        crew.submit(2, tasks[2], frozenset())  # as if the card were still there: Ray notices later
        (outcome,) = answers(crew, 1)
        assert outcome.failure is None or "lost" in outcome.failure.what
        assert outcome.where in {node.node_id for node in one_node} | {""}
    finally:
        crew.close()


def test_auto_starts_a_cluster_where_there_is_none(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    init, said = ray.init, list[str]()

    def alone(address: str, **options: Any) -> Any:
        if address == "auto":
            raise ConnectionError("Could not find any running Ray instance.")
        return init(address=address, object_store_memory=STORE_BYTES, **options)

    monkeypatch.setattr(ray, "init", alone)
    crew = RayCrew("auto", Terms(f"auto{os.getpid()}"), said.append)
    try:
        assert crew.slots == os.cpu_count() and len(said) == 1 and "was started" in said[0]
        jobs = studio.jobs({"source": "ada.png", "driving": "nod.mp4", "output": "out/x.mp4"})
        assert studio.run(jobs, crew).done == 1
    finally:
        crew.close()
    assert not ray.is_initialized()


def test_no_cluster_is_told_in_a_sentence() -> None:
    with pytest.raises(SetupError, match="no Ray cluster") as caught:
        RayCrew("127.0.0.1:1", Terms("nowhere"))
    assert caught.value.remedy


def answers(crew: RayCrew, count: int) -> list[Outcome]:
    """Wait for some outcomes."""
    found: list[Outcome] = []
    until(lambda: len(found) == count or bool(found.extend(crew.wait(1.0))) or len(found) == count)
    return found


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk with room for empty files only, at `folder`."""
    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux's")
    as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
    options = "size=16k,mode=777"
    mounted = subprocess.run(
        [*as_root, "mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a disk is not allowed here")
    try:
        yield
    finally:
        subprocess.run([*as_root, "umount", "--lazy", folder], check=True)


def _workers() -> list[int]:
    """Ray workers of ours that perform tasks, by what they call themselves."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"ray::") and b"_perform_there" in words:
                found.append(int(folder.name))
    return found
