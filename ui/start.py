"""From `python run.py` to the open window.

It looks first whether there is a screen, because Qt aborts the process where there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys

from avatar.errors import AvatarError, SetupError

PROBE = "from PyQt5.QtGui import QGuiApplication; QGuiApplication([])"
PROBE_S = 20.0
PACKAGES = (
    "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 "
    "libxcb-xkb1 libxkbcommon-x11-0"
)


def start() -> int:
    """Open the app and return its exit code.

    Raises:
        SetupError: there is no screen, or Qt cannot use it.
    """
    if not _has_display():
        raise SetupError("There is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set).")
    probe = _start_probe()
    try:
        import avatar.cv  # noqa: F401 - before Qt: see there
        from ui.app import run  # takes as long as the probe, so both are done at once

        _fetch_models()
    finally:
        problem = _probe_failed(probe)
    if problem:
        remedy = f"On Debian or Ubuntu: sudo apt-get install {PACKAGES}" if "xcb" in problem else problem
        raise SetupError("Qt cannot open a window here.", remedy=remedy)
    return run()


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def _start_probe() -> subprocess.Popen[str] | None:
    """Let another process make a Qt application: without a screen, or without a library, Qt aborts its process."""
    if not sys.platform.startswith("linux"):
        return None
    return subprocess.Popen(
        [sys.executable, "-c", PROBE], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _probe_failed(probe: subprocess.Popen[str] | None) -> str:
    """What Qt said; empty if it works."""
    if probe is None:
        return ""
    try:
        _, said = probe.communicate(timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        probe.kill()
        probe.communicate()
        return "Qt did not answer."
    return (said.strip() or f"Qt ended with code {probe.returncode}.") if probe.returncode else ""


def _fetch_models() -> None:
    """Fetch what the set-up could not; without it the window opens all the same and says what is missing."""
    from avatar import weights

    missing = [name for name in weights.needed_models() if not weights.present(name)]
    if missing:
        from avatar.commands import models

        try:
            models.pull(missing)
        except AvatarError as error:
            print(f"{error.what}\n{error.remedy}", file=sys.stderr)
