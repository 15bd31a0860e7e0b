"""The whole program under an X server: `python run.py` opens, the idle avatar moves, real keys work.

The screenshots are kept in MASQUE_PICTURES where that is set, for looking.
"""

from __future__ import annotations

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
from tray_manager import TrayManager

from avatar.images.load import load_image
from avatar.settings import Settings, WindowSettings, load_settings, save_settings

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


@pytest.fixture
def screen(display: str, tmp_path: Path, face_model: Path) -> Iterator[Screen]:
    if shutil.which("xdotool") is None:
        if os.environ.get("CI"):
            pytest.fail("xdotool is missing: .ci/run installs it")
        pytest.skip("xdotool is missing: apt install xdotool")
    folder = Path(os.environ.get("MASQUE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen(display, folder)
    yield screen
    if screen.program is not None and screen.program.poll() is None:
        screen.program.kill()
        screen.program.communicate()


def middle(picture: np.ndarray) -> np.ndarray:
    """Where the avatar's face is: the window lies in the upper left corner, there being no window manager."""
    return picture[100:330, 160:560].astype(int)


@pytest.mark.timeout(400)
def test_from_the_first_start_to_a_clean_end(screen: Screen) -> None:
    screen.start()
    first = screen.picture("1-guide")
    screen.until(lambda: np.abs(middle(screen.picture("1-guide")) - middle(first)).max() > 12, START_S)  # it moves
    screen.xdotool("key", "ctrl+k")  # to the camera's section, which leaves the guide
    screen.until(lambda: np.abs(screen.picture("2-panel").astype(int) - first).max() > 60)
    screen.xdotool("key", "space")
    screen.until(lambda: still(screen))
    screen.xdotool("key", "space")
    screen.until(lambda: not still(screen), START_S)
    screen.xdotool("key", "t")
    screen.xdotool("key", "shift+w")
    screen.picture("4-mirrored")
    said = screen.end()
    assert "Traceback" not in said
    kept = load_settings()
    assert kept.canvas.mirror and kept.crop.zoom > 1 and kept.window.geometry


def still(screen: Screen) -> bool:
    """Whether the avatar holds still: frozen."""
    one = middle(screen.picture("3-frozen"))
    time.sleep(1.0)
    return bool(np.abs(middle(screen.picture("3-frozen")) - one).max() <= 2)


@pytest.mark.timeout(300)
def test_at_200_percent_the_window_fits_the_screen(screen: Screen) -> None:
    screen.start(scale="2")
    time.sleep(3)
    screen.picture("5-scale-2")
    said = screen.end()
    assert "Traceback" not in said


def test_without_a_screen_the_demo_is_said_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar.errors import SetupError
    from ui.start import start

    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux is without a screen")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="no screen"):
        start()


def test_a_display_that_does_not_answer_is_no_crash(monkeypatch: pytest.MonkeyPatch, face_model: Path) -> None:
    from avatar.errors import SetupError
    from ui.start import start

    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux looks first")
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    with pytest.raises(SetupError, match="cannot open a window"):
        start()


def test_closing_leaves_an_icon_in_the_tray_that_brings_the_window_back(screen: Screen) -> None:
    pytest.importorskip("Xlib")
    save_settings(Settings(window=WindowSettings(guide_done=True, close_to_tray=True)))
    with TrayManager(screen.environment["DISPLAY"]) as tray:
        screen.start()

        def shown_windows() -> list[int]:
            found = [int(each) for each in screen.xdotool("search", "--onlyvisible", "--name", "Masque").split()]
            return [each for each in found if each not in [icon.id for icon in tray.icons]]

        def docked() -> bool:
            tray.work()
            return bool(tray.icons)

        screen.until(docked)
        screen.until(shown_windows)
        window = shown_windows()[0]
        tray.close_window(window)
        screen.until(lambda: not tray.is_shown(window))
        assert screen.program is not None and screen.program.poll() is None, "it goes on"

        def click() -> bool:
            screen.xdotool("mousemove", "--window", str(tray.icons[0].id), "16", "16", "click", "1")
            deadline_s = time.monotonic() + 5  # another click would hide the window that this one shows
            while not tray.is_shown(window) and time.monotonic() < deadline_s:
                tray.work()
                time.sleep(0.05)
            return tray.is_shown(window)

        screen.until(click)  # the first click may only close the bubble that says where the window went
        assert "Traceback" not in screen.end()
