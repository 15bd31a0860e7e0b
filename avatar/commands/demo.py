"""`run.py` without a screen: renders the idling built-in portrait as a video."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avatar.errors import OutputError, SetupError
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import COMMAND, INSTALL_AGAIN

NAME = "masque-demo.mp4"
SIZE_PX = 640
HEAD_AND_SHOULDERS = (72, 0, 304, 304)  # left, top, width, height in the astronaut's image of 512 x 512 pixels


def add_parser(subparsers: Any) -> None:
    """Add `demo` to the command line; it has no options."""
    subparsers.add_parser(
        "demo",
        help="animate the built-in portrait with the built-in motion",
        description=f"Animate the built-in portrait with the built-in motion into {NAME}, here or in your home folder.",
    )


def run(args: argparse.Namespace) -> int:
    """Write the demo, print its path and the next steps, and return the exit code."""
    from avatar.commands.animate import run_job
    from avatar.images.box import Box
    from avatar.library.builtin import ASTRONAUT, builtin_avatars
    from avatar.motion.idle import idle_path
    from avatar.offline.job import AnimateOptions

    portrait = next(iter(builtin_avatars()), None)
    if portrait is None:
        raise SetupError(
            "The built-in portraits are missing.",
            remedy=INSTALL_AGAIN,
        )
    target = writable_target([Path.cwd(), Path.home(), Path(tempfile.gettempdir())])
    if target.parent != Path.cwd():
        here, there = shown(Path.cwd(), MOST_OF_SENTENCE), shown(target.parent, MOST_OF_SENTENCE)
        print(f"{here} cannot be written to, so the demo goes to {there}.", file=sys.stderr)
    code = run_job(
        AnimateOptions(
            source=portrait.image_path,
            driving=idle_path(),
            output=target,
            crop=Box(*HEAD_AND_SHOULDERS) if portrait.name == ASTRONAUT else "auto",
            size=SIZE_PX,
        ),
        show_notes=False,  # the user did not choose this image
    )
    if code == 0:
        print(_next_steps(target))
    return code


def writable_target(folders: Iterable[Path]) -> Path:
    """Choose the demo's path: the first writable folder. Raises: OutputError of the last one."""
    from avatar.outputs.files.target import check_target

    refused: OutputError | None = None
    for folder in folders:
        target = folder / NAME
        try:
            check_target(target, [])
        except OutputError as error:
            refused = error
        else:
            return target
    raise refused or OutputError(
        "There is no folder to write to.", remedy="Start Masque in a folder that you can write to."
    )


def _next_steps(target: Path) -> str:
    return f"""
The demo is {target}: open it in any player.
To animate a picture of yours with a video of a face:
    {COMMAND} animate PORTRAIT.jpg VIDEO.mp4 -o result.mp4
More: {COMMAND} --help"""
