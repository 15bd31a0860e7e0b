"""Whether a window can be opened, tried in a process of its own: Qt ends the process when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from avatar import manifest
from avatar.doctor.check import AGAIN, BROKEN, OK, WARNING, Check

_WINDOW = """
import sys
import avatar.cv
from PyQt5.QtWidgets import QApplication, QWidget
application = QApplication(sys.argv)
QWidget().show()
print(application.platformName())
"""
_LIBRARIES = "libxcb-icccm4 libxcb-keysyms1 libxcb-xinerama0 libxkbcommon-x11-0"


def look_at_screen() -> Iterator[Check]:
    """Open a window and close it."""
    if find_spec("PyQt5") is None:
        yield Check("screen", BROKEN, "PyQt5 is not installed.", AGAIN)
        return
    without = "Everything but the window works without: python run.py live, animate."
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Check("screen", WARNING, "There is no screen for a window.", without)
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WINDOW], cwd=manifest.MANIFEST.parent.parent, capture_output=True, text=True,
            timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Check("screen", BROKEN, "A window does not open within 30 s.", "Restart the desktop session.")
        return
    if done.returncode == 0:
        yield Check("screen", OK, f"A window opens (Qt's platform {done.stdout.strip()}), with OpenCV loaded.")
        return
    said = next((line for line in reversed(done.stderr.splitlines()) if "plugin" in line or "isplay" in line), "")
    remedy = f"Type: sudo apt install {_LIBRARIES}" if sys.platform == "linux" else AGAIN
    yield Check("screen", BROKEN, f"No window opens: {said.strip() or 'Qt ends the process'}", remedy)
