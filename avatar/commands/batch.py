"""`run.py batch JOBS`: animate many portraits by many clips, on all cores of this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from avatar.commands import animate
from avatar.errors import OutputError, UsageError
from avatar.reports.progress import ProgressBar, rounded
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import NAME
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.offline.batch.boss import Summary
    from avatar.offline.batch.crew import Crew, Terms
    from avatar.offline.batch.estimate import Estimate
    from avatar.offline.batch.jobs import JobFile
    from avatar.offline.batch.journal import Journal
    from avatar.offline.job import AnimateOptions

DONE, FAILED = 0, 1
_SHOWN = 20  # failures on the terminal; the journal and --json have all
_KEY = re.compile(r"[a-z][a-z_]*")
_NOT_FOR_ROWS = {"help", "output"}
_HELP = f"""\
JOBS     a .toml, .csv or .jsonl file. A job has a source, a driving, an output, and any option of `{NAME} animate`:

           [defaults]                             source,driving,output,size
           size = 512                             ada.jpg,clip.mp4,out/ada.mp4,512
           [[job]]
           source = "portraits/*.jpg"             {{"source": "ada.jpg", "driving": "clip.mp4", "output": "ada.mp4"}}
           driving = "clips/*.mp4"
           output = "results/{{source}}-{{driving}}.mp4"

         Patterns stand for all files that match, each portrait with each clip. Paths begin at the folder of JOBS;
         addresses such as s3://bucket/clip.mp4 are read and written by fsspec.
         A job file says which files are read and which are written: run only one whose rows you would type yourself.

The same command again goes on where the last one ended: finished results are not drawn again."""


def add_parser(subparsers: Any) -> None:
    """Add `batch` and its options to the command line."""
    parser = subparsers.add_parser(
        "batch",
        help="animate many portraits by many clips",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("jobs", metavar="JOBS", type=Path, help="the job file")
    add(
        "--ray", metavar="ADDRESS|auto",
        help="work on this Ray cluster, whose machines must reach all files; auto: the one of this machine, or one "
        "started for this batch. A task asks for a core, and with a neural engine for a quarter of a card, where the "
        "cluster has any",
    )  # fmt: skip
    add(
        "--workers",
        metavar="N",
        type=_count,
        help="without --ray: how many processes work (default: one for each core)",
    )
    add("--dry-run", action="store_true", help="say what will be done and about how long it takes, and do nothing")
    add("--json", metavar="FILE", type=Path, help="write a report as JSON")
    add(
        "--journal",
        metavar="FILE",
        type=Path,
        help="what is done (default: JOBS.journal.jsonl beside the first result)",
    )
    add(
        "--work", metavar="FOLDER",
        help="a path or address that all workers reach, for what they share (default: beside the results)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do the jobs and return the exit code."""
    from avatar.offline.batch.jobs import Checker, JobFile
    from avatar.offline.batch.journal import Journal
    from avatar.outputs.files.target import check_apart, check_folder

    jobs = JobFile(args.jobs, row_parser())
    checker, count, first = Checker(), 0, ""
    for job in jobs:
        checker.add(job)
        count, first = count + 1, first or job.output
    checker.finish()
    if not count:
        raise UsageError(Message("{name} holds no job.", name=args.jobs.name), remedy="Write a row, or a [[job]].")
    journal_path = args.journal or _beside(first, args.jobs)
    work = args.work or _work_folder(first, args.jobs)
    if args.json is not None:
        check_apart([args.json], [args.jobs, journal_path])
        check_folder(args.json.resolve().parent)
    with contextlib.closing(Journal(journal_path)) as journal:
        if args.dry_run:
            return _foretell(args, jobs, journal)
        return _work(args, jobs, count, journal, work)


def row_parser() -> Callable[[Mapping[str, str | bool], str, str, str], AnimateOptions]:
    """Return what turns the options of a row, with source, driving and output, into those of a job."""
    root = _RowParser(prog="batch")
    animate.add_parser(root.add_subparsers(parser_class=_RowParser))

    def parse(given: Mapping[str, str | bool], source: str, driving: str, output: str) -> AnimateOptions:
        words = [word for key, value in given.items() for word in _words(key, value)]
        args = root.parse_args(["animate", *words, f"--output={output}", "--", source, driving])
        return animate.options_of(args)

    return parse


class _RowParser(argparse.ArgumentParser):
    """A parser that raises, and takes whole names only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(
            Message("An option is not understood ({why}).", why=message),
            remedy="A row takes the options of `python run.py animate --help`, without the dashes.",
        )


def _words(key: str, value: str | bool) -> list[str]:
    """Return an option of a row as the command line has it."""
    if not _KEY.fullmatch(key) or key in _NOT_FOR_ROWS:
        raise UsageError(
            Message("There is no option {key}.", key=key),
            remedy="A row takes the options of `python run.py animate --help`, without the dashes.",
        )
    name = key.replace("_", "-")
    if not isinstance(value, bool):
        return [f"--{name}={value}"]
    opposite = {"relative": ["--absolute"], "absolute": ["--relative"], "side-by-side": []}
    return [f"--{name}"] if value else opposite.get(name, [f"--no-{name}"])


def _work(args: argparse.Namespace, jobs: JobFile, count: int, journal: Journal, work: str) -> int:
    from avatar.offline.batch.boss import Batch, Progress
    from avatar.system.atomic import replacing

    began_s = time.monotonic()
    bar = ProgressBar("Animating", count, "jobs")

    def tell(progress: Progress) -> None:
        bar.update(progress.jobs, count)

    with contextlib.closing(_crew(args, count, journal)) as crew:
        batch = Batch(crew, journal, work, on_progress=tell)
        stopped = False
        try:
            with animate.stopped_by_kill(), bar:
                batch.run(jobs)
        except KeyboardInterrupt:
            stopped = True
    summary, seconds = batch.summary, time.monotonic() - began_s
    failures = list(_failures(journal)) if summary.failed else []
    if args.json is not None:
        report = {**_told(summary, seconds), "stopped": stopped, "jobs": count, "failures": failures}
        try:
            with replacing(args.json) as part:
                part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                Message("{path} cannot be written: {why}.", path=args.json, why=error.strerror or error),
                remedy="Choose another folder or name.",
            ) from error
    if stopped:
        print(f"\nStopped; {summary.done + summary.before} of {count} results are done.", file=sys.stderr)
        print("The same command goes on from there.", file=sys.stderr)
        return FAILED
    for failure in failures[:_SHOWN]:
        said = f"{failure['output']}: {failure['reason']} {failure['remedy']}"
        print(shown(said, MOST_OF_SENTENCE), file=sys.stderr)
    if len(failures) > _SHOWN:
        print(f"... and {len(failures) - _SHOWN} more: {shown(journal.path, MOST_OF_SENTENCE)}", file=sys.stderr)
    rate = rounded(summary.frames / max(seconds, 1e-9))
    before = f"{summary.before} done before, " if summary.before else ""
    print(
        f"{summary.done} done, {before}{summary.failed} failed; {summary.frames} frames in {seconds:.1f} s, "
        f"{rate} frames/s"
    )
    return FAILED if summary.failed else DONE


def _foretell(args: argparse.Namespace, jobs: JobFile, journal: Journal) -> int:
    from avatar.offline.batch.estimate import Estimator
    from avatar.offline.batch.node import Node, clear
    from avatar.offline.batch.places import exists

    run = _run_name(journal)
    node = Node(run, 1)
    try:
        estimator = Estimator(node)
        for job in jobs:
            estimator.add(job, finished=journal.is_finished(job.output, job.key) and exists(job.output))
        estimate = estimator.finish()
    finally:
        node.close()
        clear(run)
    with contextlib.closing(_crew(args, estimate.jobs, journal)) as crew:
        slots = max(1, crew.slots)
    for line in _lines(estimate, slots):
        print(line)
    if args.json is not None:
        args.json.write_text(json.dumps({**asdict(estimate), "workers": slots}, indent=2) + "\n", encoding="utf-8")
    return DONE


def _lines(estimate: Estimate, slots: int) -> Iterator[str]:
    """Yield what a dry run says."""
    left = estimate.jobs - estimate.before
    frames = "an unknown number of" if estimate.frames is None else f"about {estimate.frames:,}"
    yield f"{left} to do of {estimate.jobs}: {estimate.portraits} portraits, {estimate.clips} clips, {frames} frames"
    if estimate.pace is None or estimate.hours is None:
        yield "How long it takes is unknown: none of the first jobs could be measured."
        return
    pace = estimate.pace
    yield (
        f"Measured here: {pace.track_s * 1e3:.0f} ms to follow a frame, {pace.prepare_s:.1f} s to prepare a portrait, "
        f"{pace.draw_s * 1e3:.0f} ms to draw and encode a frame"
    )
    yield f"About {estimate.hours / slots:.2f} hours with {slots} workers ({estimate.hours:.2f} hours of work)"


def _crew(args: argparse.Namespace, jobs: int, journal: Journal) -> Crew:
    """Open what does the work. Raises: SetupError, UsageError: there is no Ray, or no such cluster."""
    from avatar.offline.batch.crew import Terms
    from avatar.offline.batch.pool import ProcessPool
    from avatar.system.devices import usable_cores

    run = _run_name(journal)
    if args.ray is not None:
        return _ray_crew(args.ray, Terms(run))
    cores = usable_cores()
    workers = args.workers or min(cores, max(jobs, 1))
    return ProcessPool(workers, Terms(run, threads=max(1, cores // workers)))


def _ray_crew(address: str, terms: Terms) -> Crew:
    from avatar.offline.batch.ray_crew import RayCrew

    return RayCrew(address, terms, lambda sentence: print(sentence, file=sys.stderr))


def _run_name(journal: Journal) -> str:
    from avatar.offline.batch.places import digest

    return digest(str(journal.path.resolve()))[:16]


def _failures(journal: Journal) -> Iterator[dict[str, Any]]:
    """Yield the jobs that failed in this run."""
    from avatar.offline.batch.journal import FAILED as STATE
    from avatar.offline.batch.journal import entries

    last = {entry["output"]: entry for entry in entries(journal.path, journal.began_at) if entry["state"] == STATE}
    for entry in last.values():
        yield {key: entry.get(key, "") for key in ("output", "row", "reason", "remedy", "tries")}


def _told(summary: Summary, seconds: float) -> dict[str, Any]:
    return {
        "done": summary.done, "done_before": summary.before, "failed": summary.failed, "seconds": round(seconds, 3),
        "frames": summary.frames, "frames_per_s": round(summary.frames / max(seconds, 1e-9), 3),
        "tried_again": summary.tries, "made_once": dict(sorted(summary.made.items())),
    }  # fmt: skip


def _beside(output: str, jobs: Path) -> Path:
    from avatar.offline.batch.places import is_address

    folder = jobs.resolve().parent if is_address(output) else Path(output).parent
    return folder / f"{jobs.stem}.journal.jsonl"


def _work_folder(output: str, jobs: Path) -> str:
    from avatar.offline.batch.places import joined, parent

    return joined(parent(output), f".{jobs.stem}.batch")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= 1024:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1024")
    return int(text)
