"""Trials in a child process, of foreign code that may crash or hang: no `except` can catch that."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from avatar.system.message import Message

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_FIRST_NTSTATUS = 0xC0000000  # exit codes of crashes on Windows; abort() exits with 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """End of a child process."""

    said: bytes = b""  # on its standard output
    failure: str = ""  # cause, as half a sentence; "" if it exited by itself
    hung: bool = False


def run_trial(command: Sequence[str], timeout_s: float, *, cwd: str | None = None) -> Trial:
    """Run a command, of which only crashes and hanging count; without a child process there is no failure.

    Args:
        command: as for `subprocess`; children of Python call `become_child` first.
        timeout_s: the child is killed after that long.
        cwd: its folder; None: this process's.
    """
    try:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=_NO_WINDOW,
            start_new_session=True,  # Ctrl-C would look like a crash of the child
        )
    except OSError as error:
        logger.warning("No child process can be started for a trial: %s", error)
        return Trial()
    with child:
        try:
            said, _ = child.communicate(timeout=timeout_s)
            return Trial(said, _crash(child.returncode))
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
            return Trial(said, Message("took longer than {limit:g} s", limit=timeout_s), hung=True)
        except BaseException:
            child.kill()
            raise


def can_try() -> bool:
    """Return whether a child process can run Python: not if the executable is the whole program."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def become_child(timeout_s: float) -> None:
    """Make this process the child of a trial: crashes show no dialog (Windows) and leave no core dump (elsewhere).

    It ends by itself after `timeout_s` even if foreign code hangs in it: the program may be gone by then.
    """
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    if os.name == "nt":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002)  # type: ignore[attr-defined,unused-ignore]
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # type: ignore[attr-defined,unused-ignore]


def _crash(code: int) -> str:
    """Describe, as half a sentence, the signal or crash that ended a process; "" if it exited by itself."""
    if code < 0:
        try:
            return Message("crashed ({cause})", cause=signal.Signals(-code).name)
        except ValueError:
            return Message("crashed (signal {number})", number=-code)
    if os.name == "nt" and (code >= _FIRST_NTSTATUS or code == 3):
        return Message("crashed ({cause})", cause=f"{code:#x}")
    return ""
