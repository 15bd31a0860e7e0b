"""Set-up of a fresh clone: creates .venv, installs packages, fetches the face model, starts the program.

Standard library only, because nothing else is installed yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from avatar.bootstrap.environment import Environment
from avatar.bootstrap.steps import prepare
from avatar.errors import SetupError
from avatar.system import interrupts

ROOT = Path(__file__).resolve().parent.parent.parent

NEED_NO_SETUP = {"-h", "--help", "--version"}  # first words that need no set-up
NEED_NO_MODELS = {"models", "doctor"}  # commands that repair or explain a failure of the model step


def start(words: Sequence[str], root: Path = ROOT, open_window: Callable[[], int] | None = None) -> int:
    """Set up what is missing, then run the command in the prepared environment; return the exit code.

    `open_window` runs without a command, see `avatar.cli.main`.
    """
    own_environment = "--no-setup" in words or bool(os.environ.get("MASQUE_NO_SETUP"))
    arguments = [word for word in words if word != "--no-setup"]
    command = next((word for word in arguments if not word.startswith("-")), "")
    if own_environment or (arguments and arguments[0] in NEED_NO_SETUP):
        return _run_here(arguments, open_window)
    files = ("requirements.txt", "requirements-dev.txt") if command == "test" else ("requirements.txt",)
    environment = Environment(root.resolve(), files)
    try:
        interrupts.begin_work()
        if not environment.is_ready():
            prepare(environment, with_models=command not in NEED_NO_MODELS)
    except SetupError as error:
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print(f"This copy of Masque lacks {error.filename}.\nFetch a fresh copy of Masque.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next start repairs what was left half-done.", file=sys.stderr)
        return 1
    if Path(sys.prefix).resolve() == environment.folder:
        return _run_here(arguments, open_window)
    return _hand_over([str(environment.python), str(root / "run.py"), "--no-setup", *arguments])


def _run_here(arguments: list[str], open_window: Callable[[], int] | None) -> int:
    from avatar.cli import main

    return main(arguments, open_window)


def _hand_over(command: list[str]) -> int:
    """Continue as another process; on POSIX under the same process id, so that signals reach it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        try:
            return subprocess.run(command, check=False).returncode
        except KeyboardInterrupt:  # the child received it too and has printed its message
            return 1
    interrupts.hold()
    os.execv(command[0], command)
