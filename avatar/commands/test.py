"""`run.py test [pytest arguments]`: the test suite, in the environment the program runs in."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

TAKES_ALL = True  # every word after `test` is pytest's, options included

ROOT = Path(__file__).resolve().parent.parent.parent


def add_parser(subparsers: Any) -> None:
    """Add `test` to the command line; its arguments are pytest's own."""
    subparsers.add_parser("test", help="run the test suite", add_help=False)


def run(args: argparse.Namespace) -> int:
    """Run pytest in the project's folder and return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *args.rest], cwd=ROOT, check=False).returncode
