"""Check whether a window can be opened, in a separate process because Qt aborts the process on failure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from avatar.doctor.check import AGAIN, BROKEN, LACKING, OK, WARNING, Check
from avatar.system.installation import IMPORT_ROOT
from avatar.system.message import Message
from avatar.system.program import how_to_install

_WINDOW = """
import sys
import avatar.cv
from avatar.system.installation import COMMAND, IMPORT_ROOT
from avatar.system.program import how_to_install
from PyQt5.QtWidgets import QApplication, QWidget
application = QApplication(sys.argv)
QWidget().show()
print(application.platformName())
"""
_LIBRARIES = "libxcb-icccm4 libxcb-keysyms1 libxcb-xinerama0 libxkbcommon-x11-0"


def look_at_screen() -> Iterator[Check]:
    """Open a window and close it."""
    if find_spec("PyQt5") is None:
        yield Check("screen", LACKING, Message("{name} is not installed.", name="PyQt5"), how_to_install("PyQt5"))
        return
    without = "Everything but the window works without: live, animate."
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Check("screen", WARNING, "There is no screen for a window.", without)
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WINDOW], cwd=IMPORT_ROOT, capture_output=True, text=True,
            timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Check("screen", BROKEN, "A window does not open within 30 s.", "Restart the desktop session.")
        return
    if done.returncode == 0:
        platform = done.stdout.strip()
        what = Message("A window opens (Qt's platform {platform}), with OpenCV loaded.", platform=platform)
        yield Check("screen", OK, what)
        return
    said = next((line for line in reversed(done.stderr.splitlines()) if "plugin" in line or "isplay" in line), "")
    remedy = Message("Type: sudo apt install {packages}", packages=_LIBRARIES) if sys.platform == "linux" else AGAIN
    reason = said.strip()
    why = Message("No window opens: {why}", why=reason) if reason else "No window opens: Qt ends the process."
    yield Check("screen", BROKEN, why, remedy)
