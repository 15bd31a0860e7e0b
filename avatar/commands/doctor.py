"""`run.py doctor`: check of what works on this machine, with remedies."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="what works here, what does not, and what to do about it",
        description="Look at Python, packages, processors, models, cameras, the virtual camera, the screen, the disk "
        "and the speed. What it prints names nobody and can be put into a bug report.",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print a line for each check; returns 1 if something is broken.

    As JSON, the sentences come once more as `messages`, with what a window in another language translates them by.
    """
    from avatar import __version__
    from avatar.doctor import BROKEN, run_doctor
    from avatar.system.message import as_plain

    checks = []
    for check in run_doctor():
        checks.append(check)
        if not args.json:
            print(f"{check.state:<8} {check.area}: {check.what} {check.remedy}".rstrip(), flush=True)
    if args.json:
        messages = [{"what": as_plain(check.what), "remedy": as_plain(check.remedy)} for check in checks]
        report = {"masque": __version__, "checks": [asdict(check) for check in checks], "messages": messages}
        print(json.dumps(report, indent=2))
    return 1 if any(check.state == BROKEN for check in checks) else 0
