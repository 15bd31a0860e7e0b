"""The doctor's report as text: what `run.py doctor` prints, from a process of its own.

A process, because it opens cameras and graphics cards to see whether they work, and one that hangs or crashes must not
take the window with it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from PyQt5.QtCore import PYQT_VERSION_STR, QT_VERSION_STR
from PyQt5.QtGui import QGuiApplication

from avatar import __version__
from avatar.discretion import discreet
from avatar.errors import AvatarError

RUN = Path(__file__).resolve().parent.parent / "run.py"
TIMEOUT_S = 120.0


def report() -> str:
    """Examine this machine.

    Raises:
        AvatarError: the examination did not end or ended without a word.
    """
    command = [sys.executable, str(RUN), "--no-setup", "doctor"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        remedy = "Run it in a terminal to see where it stops: python run.py doctor"
        raise AvatarError(f"The examination did not end: {error}.", remedy=remedy) from error
    if not done.stdout.strip():
        raise AvatarError("The examination failed.", remedy=discreet(done.stderr.strip()[-500:]))
    window = f"Window: Qt {QT_VERSION_STR}, PyQt {PYQT_VERSION_STR}, {QGuiApplication.platformName()}"
    head = f"Masque {__version__}, Python {platform.python_version()}, {platform.system()}"
    return f"{head}\n{window}\n\n{done.stdout.strip()}\n"
