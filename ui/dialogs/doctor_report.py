"""The doctor's report: the output of `run.py doctor`, run in a separate process.

A separate process, because it opens cameras and graphics cards to check them, and a hang or crash must not affect the
window.
"""

from __future__ import annotations

import json
import platform
import subprocess
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


def report() -> Report:
    """Run the checks of this machine.

    Raises:
        AvatarError: the checks did not finish, or printed nothing that can be read.
    """
    command = [*own_command("doctor"), "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        remedy = "Unplug cameras and other devices one at a time and run it again: one of them does not answer."
        raise AvatarError(Message("The check did not finish: {error}.", error=error), remedy=remedy) from error
    try:
        return read_report(done.stdout)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AvatarError("The check failed.", remedy=discreet(done.stderr.strip()[-500:])) from error
