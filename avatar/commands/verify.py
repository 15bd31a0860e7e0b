"""`run.py verify`: the Content Credentials of a recording or a snapshot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `verify` to the command line."""
    parser = subparsers.add_parser(
        "verify",
        help="read the Content Credentials of a recording or a picture",
        description="Say what made a file, as its Content Credentials have it, and whether it was changed since.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument(
        "--sign", action="store_true", help="sign it first: a recording too long to be signed when it stopped"
    )


def run(args: argparse.Namespace) -> int:
    """Print what the file says; exit code 1 where it says nothing or was changed."""
    from avatar.credentials import read_credentials, sign

    found = read_credentials(args.file)
    if found is None and args.sign:
        _check_ours(args.file)
        sign(args.file)
        found = read_credentials(args.file)
    if found is None:
        print(f"{args.file.name} carries no Content Credentials.")
        return 1
    here = "this installation's own" if found.from_here else "one that nobody here vouches for"
    print(f"{args.file.name}: {found.about} ({found.kind or 'no digital source type'}).")
    print(f"Program: {found.generator}. Certificate: {found.signer}, {here}.")
    if not found.problems:
        print("Unchanged since it was signed.")
        return 0
    print(f"NOT as it was signed: {'; '.join(found.problems)}.")
    return 1


def _check_ours(path: Path) -> None:
    """What others made is not ours to vouch for. Raises: UsageError."""
    from av.error import FFmpegError

    from avatar.errors import UsageError
    from avatar.outputs.writer import MADE_BY
    from avatar.sources.video import open_input

    try:
        with open_input(path) as file:
            made_by = file.metadata.get("comment")
    except (OSError, FFmpegError, ValueError):
        made_by = None
    if made_by != MADE_BY:
        raise UsageError(f"{path.name} is not a recording that Masque made.", remedy="Only those are signed.")
