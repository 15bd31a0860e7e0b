"""Start of the app, from `python run.py` to the open window.

It checks first whether there is a screen, because without one Qt aborts the process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from avatar.errors import AvatarError, SetupError
from avatar.system.message import Message
from avatar.system.program import require

WORKS = "works"
PROBE = f"""
import sys
from PyQt5.QtGui import QGuiApplication
application = QGuiApplication([])
print({WORKS!r}, flush=True)
sys.stdin.read()
"""
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
    require("PyQt5", "The window")
    with _probe() as answer:
        import avatar.cv  # noqa: F401 - before Qt: see there
        from ui.app import make_application, run  # takes as long as the probe, so both run in parallel

        _fetch_models()
        if problem := answer():
            remedy = (
                Message("On Debian or Ubuntu: sudo apt-get install {packages}", packages=PACKAGES)
                if "xcb" in problem
                else problem
            )
            raise SetupError("Qt cannot open a window here.", remedy=remedy)
        application = make_application(sys.argv[:1])  # before the probe exits: some X servers then reset
    return run(application)


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


@contextlib.contextmanager
def _probe() -> Iterator[Callable[[], str]]:
    """Create a Qt application in another process, because without a screen or a library Qt aborts its process.

    Yields a function that waits for Qt's error message there; empty if it works.
    """
    if not sys.platform.startswith("linux"):
        yield lambda: ""
        return
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PROBE], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        patience = threading.Timer(PROBE_S, process.kill)
        patience.start()
        try:
            yield lambda: _said(process)
        finally:
            patience.cancel()
            process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if process.stdout.readline().strip() == WORKS:
        return ""
    _, said = process.communicate()
    return said.strip() or f"Qt ended with code {process.returncode}."


def _fetch_models() -> None:
    """Fetch models that the set-up could not; without them the window opens and names what is missing."""
    from avatar import weights

    missing = [name for name in weights.needed_models() if not weights.present(name)]
    if missing:
        from avatar.commands import models

        try:
            models.pull(missing)
        except AvatarError as error:
            print(f"{error.what}\n{error.remedy}", file=sys.stderr)
