"""The program on an X server: its keys pressed, its picture taken."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from avatar.images.load import load_image

SHOOT = """
import sys
from PyQt5.QtWidgets import QApplication
application = QApplication([])
assert application.primaryScreen().grabWindow(0).save(sys.argv[1])
"""
START_S, STEP_S = 90.0, 20.0  # generous: other programs may have the processor


class Screen:
    """One X display with the program on it."""

    def __init__(self, display: str, folder: Path) -> None:
        self.environment = os.environ | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(ROOT)}
        self.environment.pop("QT_QPA_PLATFORM_PLUGIN_PATH", None)
        self.environment.pop("WAYLAND_DISPLAY", None)
        self.folder = folder
        self.program: subprocess.Popen[str] | None = None

    def start(self, *, scale: str = "1") -> None:
        environment = self.environment | {"QT_SCALE_FACTOR": scale}
        command = [sys.executable, str(ROOT / "run.py"), "--no-setup"]
        self.program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.until(lambda: self.xdotool("search", "--name", "Masque").strip(), START_S)
        self.focus()

    def focus(self) -> None:
        """Give the window the keyboard: there is no window manager that would."""
        for window in self.xdotool("search", "--name", "Masque").split():
            self.xdotool("windowfocus", window)

    def xdotool(self, *words: str) -> str:
        done = subprocess.run(["xdotool", *words], env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def picture(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.png"
        subprocess.run([sys.executable, "-c", SHOOT, str(path)], env=self.environment, check=True, capture_output=True)
        return load_image(path)

    def until(self, true: Callable[[], object], timeout_s: float = STEP_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not true():
            assert self.program is None or self.program.poll() is None, self.said()
            assert time.monotonic() < deadline_s, "nothing happened"
            time.sleep(0.3)

    def said(self) -> str:
        """What the program wrote before it ended."""
        assert self.program is not None and self.program.stderr is not None
        return f"{self.program.returncode}: {self.program.stderr.read()}"

    def end(self) -> str:
        """Quit by key; return what was said."""
        assert self.program is not None
        deadline_s = time.monotonic() + START_S
        while self.program.poll() is None and time.monotonic() < deadline_s:
            self.focus()
            self.xdotool("key", "ctrl+q")
            time.sleep(1.0)
        _, said = self.program.communicate(timeout=5)
        assert self.program.returncode == 0, said
        return said


@contextlib.contextmanager
def open_screen(display: str, folder: Path) -> Iterator[Screen]:
    """A screen whose pictures lie in a folder; a program that still runs on it is ended."""
    if shutil.which("xdotool") is None:
        if os.environ.get("CI"):
            pytest.fail("xdotool is missing: .ci/run installs it")
        pytest.skip("xdotool is missing: apt install xdotool")
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen(display, folder)
    try:
        yield screen
    finally:
        if screen.program is not None and screen.program.poll() is None:
            screen.program.kill()
            screen.program.communicate()
