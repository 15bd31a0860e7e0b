"""`run.py bench`: milliseconds per frame of each stage on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of each stage on this machine",
        description="Time tracking, motion, drawing and encoding at 512 x 512, 720p and 1080p; takes about a minute.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file too")
    parser.add_argument("--frames", metavar="N", type=int, default=90, help="frames counted per size (default 90)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and return the exit code."""
    from avatar.bench import run_bench
    from avatar.errors import UsageError
    from avatar.json_report import check_json_target, write_json
    from avatar.progress import ProgressBar

    if args.frames < 1:
        raise UsageError(f"{args.frames} frames cannot be measured.", remedy="Give --frames 1 or more.")
    check_json_target(args.json)
    with ProgressBar("Measuring", None, "frames") as bar:
        report = run_bench(frames=args.frames, progress=bar.update)
    print(report.table())
    if args.json is not None:
        write_json(args.json, report.as_json())
    return 0
