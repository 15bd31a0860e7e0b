"""A PyQt5 window opens in a process that imported OpenCV first.

OpenCV's wheel points Qt at plugins of its own, and Qt then aborts the process. Only a real X server shows it:
the offscreen platform never loads that plugin.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT

WINDOW = """
{imports}
import sys
from PyQt5.QtCore import QTimer
from PyQt5.QtWidgets import QApplication, QLabel
application = QApplication(sys.argv)
label = QLabel("Masque")
label.show()
QTimer.singleShot(50, application.quit)
application.exec_()
print(application.platformName(), label.isVisible())
"""


def open_window(display: str, imports: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(ROOT)}
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR", "QT_PLUGIN_PATH"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", WINDOW.format(imports=imports)], env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("imports", ["", "import avatar.cv", "import PyQt5.QtWidgets, avatar.cv"])
def test_a_window_opens(display: str, imports: str) -> None:
    done = open_window(display, imports)
    if done.returncode != 0 and not imports and not os.environ.get("CI"):
        pytest.skip(f"PyQt5 opens no window here even by itself: {done.stderr.strip()[-300:]}")
    assert (done.returncode, done.stdout.split()[:1]) == (0, ["xcb"]), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only OpenCV's wheels for Linux bring Qt plugins")
def test_without_our_module_the_window_dies(display: str) -> None:
    """Tells us when the two variables need no longer be taken back."""
    assert open_window(display, "import cv2").returncode != 0
