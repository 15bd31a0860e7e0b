"""The command line: finds the command, runs it, and converts errors to a sentence and an exit code.

A command is a module of `avatar.commands` with `add_parser(subparsers)` and `run(args) -> int`. Only the requested
command is imported, so that `--help` is fast and heavy packages are loaded only where needed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NoReturn

from avatar import __version__
from avatar.doctor import leftovers
from avatar.errors import AvatarError, SetupError, UsageError
from avatar.reports.terminal_guard import LogFormatter, guarded_terminal
from avatar.system import installation, interrupts, program
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown, shown_lines
from avatar.system.os_errors import explain

DONE, FAILED, WRONG_USE = 0, 1, 2
OpenWindow = Callable[[], int]  # the desktop app; returns its exit code, or raises SetupError if there is no screen
NEED_FACE_MODEL = {"demo", "animate", "batch", "live", "serve", "template", "evaluate", "bench", "test"}
# Like the window, these remove leftovers of killed jobs.
SWEEPS = {"demo", "animate", "batch", "live", "avatars", "models"}

COMMANDS = {  # in the order of the help text
    "demo": "animate the built-in portrait with the built-in motion (what happens without a command and a screen)",
    "animate": "make a portrait move as the person in a video does",
    "batch": "animate many portraits by many clips, on one machine or a Ray cluster",
    "live": "camera in, avatar out to a virtual camera or a recording",
    "serve": "draw for other machines: motion comes in, pictures go out",
    "template": "keep the motion of a video without anyone's picture",
    "avatars": "list, add, remove and check portraits",
    "models": "list, fetch, import and verify weight files",
    "verify": "read the Content Credentials of a recording or a picture",
    "evaluate": "measure how faithful an animation is",
    "train": "train a First Order Motion Model on pictures of your own",
    "doctor": "what works here, what does not, and what to do about it",
    "bench": "measure the speed of each stage on this machine",
    "test": "run the test suite",
}


def main(argv: Sequence[str] | None = None, open_window: OpenWindow | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the job failed, 2 wrong use.

    Args:
        argv: arguments of the command line; without any, the desktop app is opened.
        open_window: opens the app; None: the demo is rendered instead.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words and words[:1] != ["test"]  # pytest has its own --debug
    if debug:
        words.remove("--debug")
    log = logging.StreamHandler()
    log.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[log])
    logging.captureWarnings(True)  # warnings of libraries, shown with --debug
    logging.getLogger("py.warnings").setLevel(logging.DEBUG if debug else logging.ERROR)
    with guarded_terminal():
        try:
            interrupts.begin_work()
            return _run(words) if words else _open(open_window)
        except SystemExit as stop:  # argparse: 0 after --help, 2 after a wrong argument
            return stop.code if isinstance(stop.code, int) else FAILED
        except BaseException as error:
            if debug:
                print(_traceback(), file=sys.stderr)
            return _explain(error)


def available() -> list[str]:
    """Return the names of the commands that this copy of the program includes."""
    return [name for name in COMMANDS if importlib.util.find_spec(f"avatar.commands.{name}") is not None]


def _open(open_window: OpenWindow | None) -> int:
    """Open the desktop app; without a screen, print a message and render the demo video."""
    leftovers.sweep()
    if open_window is not None:
        try:
            return open_window()
        except SetupError as error:
            _say(error.what, error.remedy)
    print("The built-in portrait is animated into a video instead.", file=sys.stderr)
    return _run(["demo"])


def _run(words: list[str]) -> int:
    names = available()
    wanted = next((word for word in words if not word.startswith("-")), None)
    module = _load(wanted) if wanted in names else None
    parser = _parser(names, wanted if module is not None else None, module)
    if module is not None and getattr(module, "TAKES_ALL", False):
        args = argparse.Namespace(command=wanted, rest=words[words.index(str(wanted)) + 1 :])
    else:
        args = parser.parse_args(words)
    if module is None:
        parser.error("a command is needed")
    if wanted in SWEEPS:
        leftovers.sweep()
    if wanted in NEED_FACE_MODEL:
        _fetch_needed()
    return int(module.run(args))


def _fetch_needed() -> None:
    """Fetch models that the set-up could not fetch, or that were removed from the cache since."""
    from avatar import weights

    missing = [name for name in weights.needed_models() if not weights.present(name)]
    if missing:
        from avatar.commands import models

        models.pull(missing)


def _load(name: str | None) -> ModuleType:
    return importlib.import_module(f"avatar.commands.{name}")


def _parser(names: list[str], wanted: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=installation.NAME, description="A live avatar for your webcam: a portrait that moves as you do.",
        epilog=f"Every command explains itself: {installation.NAME} COMMAND --help",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"Masque {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    no_setup = "use the Python this is started with as it is" if not installation.INSTALLED else argparse.SUPPRESS
    parser.add_argument("--no-setup", action="store_true", help=no_setup)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in names:
        if name == wanted and module is not None:
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=COMMANDS[name], add_help=False)
    return parser


class _Parser(argparse.ArgumentParser):
    """Parser that reports wrong arguments in one line; also used for the commands."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        super().error(shown(message, MOST_OF_SENTENCE))


def _explain(error: BaseException) -> int:
    """Print error and remedy to stderr; return the exit code."""
    if isinstance(error, AvatarError):
        _say(error.what, error.remedy)
        return WRONG_USE if isinstance(error, UsageError) else FAILED
    if isinstance(error, KeyboardInterrupt):
        _say("Stopped.")
    elif isinstance(error, BrokenPipeError):  # as for `run.py models list | head`: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif (known := explain(error)) is not None:
        _say(known.what, known.remedy)
    elif isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("avatar"):
        _say(f"The package {error.name} is not installed in this Python.", program.how_to_install(error.name or ""))
    else:
        from avatar.reports.discretion import discreet

        mistake = discreet(shown(f"{type(error).__name__}: {error}", MOST_OF_SENTENCE))  # safe for a report
        _say(f"Internal error in Masque: {mistake}", "Run it again with --debug and report what it prints.")
    return FAILED


def _traceback() -> str:
    """Format the error's traceback so that it is safe in a public report."""
    from avatar.reports.discretion import discreet

    return discreet(shown_lines(traceback.format_exc()))


def _say(what: str, remedy: str = "") -> None:
    what, remedy = shown(what, MOST_OF_SENTENCE), shown(remedy, MOST_OF_SENTENCE)
    print(f"\n{what}" if sys.stderr.isatty() else what, file=sys.stderr)
    if remedy:
        print(remedy, file=sys.stderr)
