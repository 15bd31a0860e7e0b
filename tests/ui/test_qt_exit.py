"""The end of a process that used Qt: all exit handlers run but PyQt5's own clean-up, which may crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from places import ROOT

PROGRAM = """
import atexit, sys, tempfile
import avatar.cv
from ui import qt_exit
from PyQt5.QtCore import QCoreApplication, QObject
atexit.register(lambda: print("other exit handler"))
application, kept = QCoreApplication([]), QObject()
kept.destroyed.connect(lambda: print("destroyed by PyQt5"))
folder = tempfile.TemporaryDirectory()
print(folder.name)
qt_exit.leave_with(7)
"""


def test_other_exit_handlers_run_and_then_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    folder, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines) == (7, "", ["other exit handler"])
    assert not Path(folder).exists()
