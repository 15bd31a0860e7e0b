"""The doctor's report: the output of `run.py doctor`, run in a separate process.

A separate process, because it opens cameras and graphics cards to check them, and a hang or crash must not affect the
window.
"""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import threading
from dataclasses import dataclass

from PyQt5.QtCore import PYQT_VERSION_STR, QT_VERSION_STR
from PyQt5.QtGui import QGuiApplication

from avatar import __version__
from avatar.doctor.check import Check
from avatar.errors import AvatarError
from avatar.reports.discretion import discreet
from avatar.system.message import Message, from_plain
from avatar.system.program import own_command

TIMEOUT_S = 120.0
LOOK_S = 0.1  # between two looks at whether somebody still waits


@dataclass(frozen=True)
class Report:
    """The results of all checks; their sentences are messages, which are English until they are translated."""

    checks: tuple[Check, ...]

    def text(self) -> str:
        """Return the report for a bug report, with the versions of the window's own parts."""
        window = f"Window: Qt {QT_VERSION_STR}, PyQt {PYQT_VERSION_STR}, {QGuiApplication.platformName()}"
        head = f"Masque {__version__}, Python {platform.python_version()}, {platform.system()}"
        lines = [f"{check.state:<8} {check.area}: {check.what} {check.remedy}".rstrip() for check in self.checks]
        return "\n".join([head, window, "", *lines, ""])


def read_report(printed: str) -> Report:
    """Read what `doctor --json` printed. Raises: ValueError, TypeError, KeyError, AttributeError: it is none."""
    read = json.loads(printed)
    return Report(
        tuple(
            Check(line["area"], line["state"], from_plain(said["what"]), from_plain(said["remedy"]))
            for line, said in zip(read["checks"], read["messages"], strict=True)
        )
    )


def report(unwanted: threading.Event) -> Report:
    """Run the checks of this machine.

    Args:
        unwanted: set when nobody waits for them any more, which ends them: without results.
    Raises:
        AvatarError: the checks did not finish, or printed nothing that can be read.
    """
    try:
        printed, complaints = _run([*own_command("doctor"), "--json"], unwanted)
    except (OSError, subprocess.TimeoutExpired) as error:
        remedy = "Unplug cameras and other devices one at a time and run it again: one of them does not answer."
        raise AvatarError(Message("The check did not finish: {error}.", error=error), remedy=remedy) from error
    if unwanted.is_set():
        return Report(())
    try:
        return read_report(printed)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AvatarError("The check failed.", remedy=discreet(complaints.strip()[-500:])) from error


def _run(command: list[str], unwanted: threading.Event) -> tuple[str, str]:
    """Run a program and return what it wrote to its output and as errors.

    Raises:
        OSError: it cannot be run.
        subprocess.TimeoutExpired: it takes longer than TIMEOUT_S.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, text=True) as process:
        for _ in range(round(TIMEOUT_S / LOOK_S)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=LOOK_S)
            if unwanted.is_set():
                process.kill()
                return process.communicate()
        process.kill()
        raise subprocess.TimeoutExpired(command, TIMEOUT_S)
