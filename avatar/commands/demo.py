"""What `run.py` alone does on a machine without a screen: a portrait that idles, as a video."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avatar.errors import OutputError, SetupError
from avatar.foreign_text import MOST_OF_SENTENCE, shown

NAME = "masque-demo.mp4"
SIZE_PX = 640
HEAD_AND_SHOULDERS = (72, 0, 304, 304)  # left, top, width, height in the astronaut's picture of 512 x 512 pixels


def add_parser(subparsers: Any) -> None:
    """Add `demo` to the command line; it has no options."""
    subparsers.add_parser(
        "demo",
        help="animate the built-in portrait with the built-in motion",
        description=f"Animate the built-in portrait with the built-in motion into {NAME}, here or in your home folder.",
    )


def run(args: argparse.Namespace) -> int:
    """Write the demo, say where it is and what to try next, and return the exit code."""
    from avatar.animate_job import AnimateOptions
    from avatar.commands.animate import run_job
    from avatar.library_builtin import ASTRONAUT, builtin_avatars
    from avatar.motion.idle import idle_path
    from avatar.portrait_crop import Box

    portrait = next(iter(builtin_avatars()), None)
    if portrait is None:
        raise SetupError(
            "The built-in portrait is missing: scikit-image is not installed.",
            remedy="Start without --no-setup, or animate a picture of your own: python run.py animate --help",
        )
    target = writable_target([Path.cwd(), Path.home(), Path(tempfile.gettempdir())])
    if target.parent != Path.cwd():
        here, there = shown(Path.cwd(), MOST_OF_SENTENCE), shown(target.parent, MOST_OF_SENTENCE)
        print(f"{here} cannot be written to, so the demo goes to {there}.", file=sys.stderr)
    code = run_job(
        AnimateOptions(
            source=portrait.picture,
            driving=idle_path(),
            output=target,
            crop=Box(*HEAD_AND_SHOULDERS) if portrait.name == ASTRONAUT else "auto",
            size=SIZE_PX,
        ),
        show_notes=False,  # remarks on a picture that nobody here chose
    )
    if code == 0:
        print(_next_steps(target))
    return code


def writable_target(folders: Iterable[Path]) -> Path:
    """Where the demo goes: the first folder that takes it. Raises: OutputError of the last one."""
    from avatar.outputs.target import check_target

    refused: OutputError | None = None
    for folder in folders:
        target = folder / NAME
        try:
            check_target(target, [])
        except OutputError as error:
            refused = error
        else:
            return target
    raise refused or OutputError("There is no folder to write to.", remedy="Start Masque in a folder of yours.")


def _next_steps(target: Path) -> str:
    return f"""
The demo is {target}: open it in any player.
To animate a picture of yours with a video of a face:
    python run.py animate PORTRAIT.jpg VIDEO.mp4 -o result.mp4
More: python run.py --help"""
