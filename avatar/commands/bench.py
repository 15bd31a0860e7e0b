"""`run.py bench`: milliseconds per frame of each stage on this machine."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.fomm.speed import SpeedReport
    from avatar.offline.batch.pieces import PiecesReport
    from avatar.offline.bench import BenchReport
    from avatar.offline.bench_against import Comparison

_FRAMES = "frames that count (default 90; fomm: 20, on CUDA 200; liveportrait: 2, on CUDA 100)"


def add_parser(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of each stage on this machine",
        description="Time tracking, motion, drawing and encoding of the warp engine at 512 x 512, 720p and 1080p, or "
        "every way of computing the First Order Motion Model or LivePortrait (full size, random weights) against the "
        "plain model. Each takes a minute or a few.",
    )
    parser.add_argument(
        "--engine", choices=("warp", "fomm", "liveportrait"), default="warp", help="what to measure (default: warp)"
    )
    parser.add_argument(
        "--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where, for fomm and liveportrait"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file too")
    parser.add_argument("--frames", metavar="N", type=int, help=_FRAMES)
    parser.add_argument(
        "--against", metavar="FOLDER", type=Path,
        help="measure another copy of the program, such as a git worktree of an older commit, in turns with this one",
    )  # fmt: skip
    parser.add_argument(
        "--batch",
        action="store_true",
        help="measure what a batch costs, piece by piece, and derive a day of films from it",
    )
    parser.add_argument("--rounds", metavar="N", type=int, help="turns with --against (default 3)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and return the exit code."""
    from avatar.errors import UsageError
    from avatar.reports.discretion import discreet_report
    from avatar.reports.json_report import check_json_target, write_json

    if args.frames is not None and args.frames < 1:
        raise UsageError(
            Message("{frames} frames cannot be measured.", frames=args.frames), remedy="Give --frames 1 or more."
        )
    check_json_target(args.json)
    if args.rounds is not None and (args.against is None or args.rounds < 1):
        raise UsageError("--rounds counts the turns of --against.", remedy="Give --against FOLDER --rounds 1 or more.")
    report = _measured(args)
    print(report.table())
    if args.json is not None:
        write_json(args.json, discreet_report(report.as_json()))
    return 0


def _measured(args: argparse.Namespace) -> BenchReport | SpeedReport | Comparison | PiecesReport:
    """Run the requested benchmark."""
    from avatar.errors import UsageError

    if args.batch:
        if args.against is not None or args.engine != "warp":
            raise UsageError("--batch measures the warp engine by itself.", remedy="Leave out --engine and --against.")
        return _pieces(args.frames or 90)
    if args.against is None:
        if args.engine == "warp":
            return _warp(args.device, args.frames or 90)
        return _networks(args.engine, args.device, args.frames, args.json)
    if args.engine != "warp":
        raise UsageError("--against compares the warp engine only.", remedy="Leave out --engine.")
    from avatar.offline.bench_against import ROUNDS, compare

    def report(sentence: str) -> None:
        print(sentence, file=sys.stderr)

    return compare(args.against, frames=args.frames or 90, rounds=args.rounds or ROUNDS, report=report)


def _pieces(frames: int) -> PiecesReport:
    from avatar.commands.batch import row_parser
    from avatar.offline.batch.pieces import measure

    return measure(row_parser(), frames, lambda name: print(f"Measuring {name} ...", file=sys.stderr))


def _warp(device: str, frames: int) -> BenchReport:
    from avatar.engines.warp.graphics.choice import open_this_chip
    from avatar.offline.bench import run_bench
    from avatar.reports.progress import ProgressBar
    from avatar.system.devices import check_device_name, require_processor

    check_device_name(device)
    require_processor(device)
    with ProgressBar("Measuring", None, "frames") as bar:
        open_chip = functools.partial(open_this_chip, accept_software=False)
        return run_bench(frames=frames, progress=bar.update, open_chip=open_chip)


def _networks(engine: str, device: str, frames: int | None, file: Path | None) -> SpeedReport:
    from avatar.reports.discretion import discreet_report
    from avatar.reports.json_report import write_json
    from avatar.system.devices import choose_device

    place = choose_device(device)
    print(place, file=sys.stderr)

    def report(name: str) -> None:
        print(f"Measuring {name} ...", file=sys.stderr)

    def keep(so_far: SpeedReport) -> None:
        """Show the last result and write all of them: the whole takes minutes, and may be stopped."""
        print(so_far.speeds[-1].summary, file=sys.stderr)
        if file is not None:
            write_json(file, discreet_report(so_far.as_json()))

    if engine == "fomm":
        from avatar.fomm import speed as fomm_speed

        return fomm_speed.compare_speeds(frames=frames, device=place.name, report=report, keep=keep)
    from avatar.liveportrait import speed

    return speed.compare_speeds(frames=frames, device=place.name, report=report, keep=keep)
