"""`run.py verify`: the Content Credentials of a recording or a snapshot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.system.foreign_text import quoted
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.provenance.credentials import Credentials

VOUCHED, NOT_BELIEVED, NOT_VOUCHED = 0, 1, 3  # 2: wrong use, as for all commands

_MOST_PROBLEMS = 10  # maximum number of printed problems
_EPILOG = """\
Exit code: 0 signed by this installation and unchanged since; 1 no Content Credentials, damaged, or changed;
2 wrong use; 3 unchanged since it was signed, but by somebody for whom nobody here vouches."""


def add_parser(subparsers: Any) -> None:
    """Add `verify` to the command line."""
    parser = subparsers.add_parser(
        "verify",
        help="read the Content Credentials of a recording or a picture",
        description="Say whether a file was changed since it was signed, and what its Content Credentials say of it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument(
        "--sign",
        action="store_true",
        help="sign it first: a recording of this installation that was too long to be signed when it stopped, or that "
        "was cut off",
    )


def run(args: argparse.Namespace) -> int:
    """Print the verdict and the contents of the credentials; return the exit code."""
    from avatar.provenance.credentials import read_credentials

    found = read_credentials(args.file)
    if found is None and args.sign:
        _sign(args.file)
        found = read_credentials(args.file)
    if found is None:
        print(f"This file carries no Content Credentials: {quoted(args.file.name)}")
        return NOT_BELIEVED
    code, verdict = _verdict(found)
    print(verdict)
    print(f"File: {quoted(args.file.name)}")
    print(f"It says that it was {found.about}." if found.about else "It says nothing known here of how it was made.")
    print(f"Digital source type: {quoted(found.kind)}")
    print(f"Program: {quoted(found.generator)}")
    print(f"Certificate: {quoted(found.signer)}")
    for problem in found.problems[:_MOST_PROBLEMS]:
        print(f"Problem: {quoted(problem, 200)}")
    return code


def _verdict(found: Credentials) -> tuple[int, str]:
    """Return the exit code and a sentence that contains no text from the file."""
    if found.problems:
        return NOT_BELIEVED, "NOT as it was signed: do not believe what it says."
    if found.from_here:
        return VOUCHED, "Unchanged since it was signed with this installation's own certificate."
    return NOT_VOUCHED, "Unchanged since it was signed, but nobody here vouches for whoever signed it."


def _sign(path: Path) -> None:
    """Sign a file that is recorded as made by this installation. Raises: UsageError, OutputError."""
    from avatar.errors import OutputError
    from avatar.provenance import unsigned
    from avatar.provenance.credentials import sign

    try:
        entry = unsigned.find(path)
    except OSError as error:
        what = Message("{name} cannot be read: {why}.", name=quoted(path.name), why=error.strerror)
        raise OutputError(what, remedy="Check that you may read it.") from error
    if sign(path, composite=entry.composite):
        entry.forget()
