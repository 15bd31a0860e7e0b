"""`run.py test [pytest arguments]`: runs the test suite in the program's environment."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from avatar.errors import SetupError
from avatar.system.installation import IMPORT_ROOT, INSTALLED

TAKES_ALL = True  # all arguments after `test` are passed to pytest


def add_parser(subparsers: Any) -> None:
    """Add `test` to the command line; its arguments are pytest's own."""
    subparsers.add_parser("test", help="run the test suite", add_help=False)


def run(args: argparse.Namespace) -> int:
    """Run pytest in the project's folder and return its exit code. Raises: SetupError."""
    if INSTALLED:
        raise SetupError(
            "The tests are not part of the wheel.", remedy="Get Masque's source and type there: python3 run.py test"
        )
    return subprocess.run([sys.executable, "-m", "pytest", *args.rest], cwd=IMPORT_ROOT, check=False).returncode
