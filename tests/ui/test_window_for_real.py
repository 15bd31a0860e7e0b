"""The whole program under an X server: `python run.py` opens, the idle avatar moves, real keys work.

The screenshots are kept in MASQUE_PICTURES where that is set, for looking.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from screen import START_S, Screen, open_screen
from tray_manager import TrayManager

from avatar.settings import Settings, WindowSettings, load_settings, save_settings


@pytest.fixture
def screen(display: str, tmp_path: Path, face_model: Path) -> Iterator[Screen]:
    with open_screen(display, Path(os.environ.get("MASQUE_PICTURES", tmp_path))) as screen:
        yield screen


def middle(picture: np.ndarray) -> np.ndarray:
    """Where the avatar's face is: the window lies in the upper left corner, there being no window manager."""
    return picture[100:330, 160:560].astype(int)


def side(picture: np.ndarray) -> np.ndarray:
    """Where guide and panel are: beside the avatar, which moves in any case."""
    return picture[140:700, 830:1160].astype(int)


@pytest.mark.timeout(400)
def test_from_the_first_start_to_a_clean_end(screen: Screen) -> None:
    screen.start()
    first = screen.picture("1-guide")
    screen.until(lambda: np.abs(middle(screen.picture("1-guide")) - middle(first)).max() > 12, START_S)  # it moves
    screen.xdotool("key", "ctrl+k")  # to the camera's section, which leaves the guide
    screen.until(lambda: (np.abs(side(screen.picture("2-panel")) - side(first)) > 60).mean() > 0.01)
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


def is_dark_on_pale(picture: np.ndarray) -> bool:
    """Return whether a picture has a pale yellow area (Qt's bubble) with at least 1 % of nearly black in it."""
    rows, columns = np.nonzero((picture[:, :, :2] > 240).all(axis=2) & (abs(picture[:, :, 2].astype(int) - 225) < 12))
    if len(rows) < 3000:
        return False
    top, left = rows.min() + 22, columns.min() + 48  # without its tip, its icon and its button
    inside: np.ndarray = picture[top : rows.max() - 7, left : columns.max() - 47]
    return bool((inside < 90).all(axis=2).mean() > 0.01)


def test_closing_leaves_an_icon_in_the_tray_that_brings_the_window_back(screen: Screen) -> None:
    pytest.importorskip("Xlib")
    save_settings(Settings(window=WindowSettings(guide_done=True, close_to_tray=True, theme="dark")))
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
        screen.until(lambda: is_dark_on_pale(screen.picture("bubble")))  # what the bubble says can be read

        def click() -> bool:
            screen.xdotool("mousemove", "--window", str(tray.icons[0].id), "16", "16", "click", "1")
            deadline_s = time.monotonic() + 5  # another click would hide the window that this one shows
            while not tray.is_shown(window) and time.monotonic() < deadline_s:
                tray.work()
                time.sleep(0.05)
            return tray.is_shown(window)

        screen.until(click)  # the first click may only close the bubble that says where the window went
        assert "Traceback" not in screen.end()
