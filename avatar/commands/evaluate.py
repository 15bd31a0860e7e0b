"""`run.py evaluate SOURCE DRIVING RESULT`: measures the fidelity of an animation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown

_HELP = """\
Follow the face in DRIVING and in RESULT and compare the two, frame by frame:
correlation  does the portrait move when and as the driver does? 1 = exactly
gain         how far it moves for each step of the driver's: 1 = as far
sharpness    detail of the face over the portrait's own
background   how much changes outside the head, of 255"""


def add_parser(subparsers: Any) -> None:
    """Add `evaluate` to the command line."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure how faithful an animation is",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="the portrait: a picture, or an avatar's name")
    parser.add_argument("driving", metavar="DRIVING", type=Path, help="the video or template that moved it, or idle")
    parser.add_argument("result", metavar="RESULT", type=Path, help="the animation")
    parser.add_argument("--crop", default="auto", metavar="auto|none|X,Y,W,H", help="as animate was told")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file too")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and return the exit code."""
    from avatar.library.library import Library
    from avatar.offline.driving_motion import named_driving
    from avatar.offline.evaluate import evaluate
    from avatar.portrait.crop import parse_crop
    from avatar.reports.discretion import discreet_report
    from avatar.reports.json_report import check_json_target, write_json
    from avatar.reports.progress import ProgressBar

    driving = named_driving(args.driving)
    source = Library().likeness(args.source)
    check_json_target(args.json, [source.path, driving, args.result])
    crop = parse_crop(args.crop)
    with ProgressBar("Reading", None, "frames") as bar:
        evaluation = evaluate(source, driving, args.result, crop=crop, progress=bar.update)
    for note in evaluation.notes:
        print(shown(note, MOST_OF_SENTENCE), file=sys.stderr)
    print(evaluation.table())
    if args.json is not None:
        write_json(args.json, discreet_report(evaluation.as_json()))
    return 0
