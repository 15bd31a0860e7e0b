"""`run.py bench`: milliseconds per frame of each stage on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatar.bench import BenchReport
    from avatar.fomm.speed import SpeedReport


def add_parser(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of each stage on this machine",
        description="Time tracking, motion, drawing and encoding of the warp engine at 512 x 512, 720p and 1080p, or "
        "every way of computing the First Order Motion Model (full size, random weights) against the plain model. "
        "Each takes a minute or a few.",
    )
    parser.add_argument("--engine", choices=("warp", "fomm"), default="warp", help="what to measure (default: warp)")
    parser.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where, for fomm")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file too")
    parser.add_argument("--frames", metavar="N", type=int, help="frames that count (default 90; fomm: 20, on CUDA 200)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and return the exit code."""
    from avatar.discretion import discreet_report
    from avatar.errors import UsageError
    from avatar.json_report import check_json_target, write_json

    if args.frames is not None and args.frames < 1:
        raise UsageError(f"{args.frames} frames cannot be measured.", remedy="Give --frames 1 or more.")
    check_json_target(args.json)
    report = _fomm(args.device, args.frames) if args.engine == "fomm" else _warp(args.device, args.frames or 90)
    print(report.table())
    if args.json is not None:
        write_json(args.json, discreet_report(report.as_json()))
    return 0


def _warp(device: str, frames: int) -> BenchReport:
    from avatar.bench import run_bench
    from avatar.devices import check_device_name, require_processor
    from avatar.progress import ProgressBar

    check_device_name(device)
    require_processor(device)
    with ProgressBar("Measuring", None, "frames") as bar:
        return run_bench(frames=frames, progress=bar.update)


def _fomm(device: str, frames: int | None) -> SpeedReport:
    from avatar.devices import choose_device
    from avatar.fomm.speed import compare_speeds

    place = choose_device(device)
    print(place, file=sys.stderr)
    return compare_speeds(
        frames=frames, device=place.name, report=lambda name: print(f"Measuring {name} ...", file=sys.stderr)
    )
