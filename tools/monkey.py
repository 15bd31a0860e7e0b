"""Monkey test of the app with random clicks and keys: `python tools/monkey.py --seconds 600 --seed 1`.

Exits with 1 after an exception, a leaked thread or memory growth, and prints the last actions. File dialogs, web
links and quitting are excluded.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import avatar.cv  # noqa: E402, F401 - before Qt

STEP_MS = 20
GROWTH = 1.25  # of the memory in the second half: by then every engine and dialog was opened once
SPARED = {"quit", "open_captures"}


class Monkey:
    """Source of one random action every STEP_MS on the topmost window."""

    def __init__(self, app: Any, seed: int) -> None:
        self.app, self.random = app, random.Random(seed)
        self.done: collections.deque[str] = collections.deque(maxlen=30)
        self.steps, self.ends_s = 0, float("inf")

    def step(self) -> None:
        """Perform one action on the topmost window; once the time is over, only close dialogs."""
        from PyQt5.QtWidgets import QApplication

        self.steps += 1
        top = QApplication.activePopupWidget() or QApplication.activeModalWidget() or self.app.window
        if time.monotonic() > self.ends_s:  # dialogs run event loops of their own, which have to end first
            if top is not self.app.window:
                top.close()
            return
        act = self.random.choices([self.click, self.key, self.leave, self.shake], [6, 8, 3, 1])[0]
        act(top)

    def click(self, top: Any) -> None:
        """Click anywhere on any widget."""
        from PyQt5.QtCore import QPoint, Qt
        from PyQt5.QtTest import QTest
        from PyQt5.QtWidgets import QWidget

        seen = [widget for widget in top.findChildren(QWidget) if widget.isVisible() and widget.isEnabled()]
        if not seen:
            return
        widget = self.random.choice(seen)
        place = QPoint(self.random.randrange(max(1, widget.width())), self.random.randrange(max(1, widget.height())))
        self.done.append(f"click {type(widget).__name__} {widget.accessibleName()!r} {place.x()},{place.y()}")
        QTest.mouseClick(widget, Qt.LeftButton, Qt.NoModifier, place)

    def key(self, top: Any) -> None:
        """Press the key of any action."""
        from PyQt5.QtCore import Qt
        from PyQt5.QtTest import QTest

        from ui.keys import ACTIONS, keys_of

        action = self.random.choice([each for each in ACTIONS if each.keys and each.name not in SPARED])
        combined = keys_of(action.name, {})[0][0]
        mask = int(Qt.KeyboardModifierMask)
        self.done.append(f"key {action.name}")
        QTest.keyClick(top, Qt.Key(combined & ~mask), Qt.KeyboardModifiers(combined & mask))

    def leave(self, top: Any) -> None:
        """Press Esc in a dialog or menu."""
        from PyQt5.QtCore import Qt
        from PyQt5.QtTest import QTest

        if top is not self.app.window:
            self.done.append(f"escape {type(top).__name__}")
            QTest.keyClick(top, Qt.Key_Escape)

    def shake(self, top: Any) -> None:
        """Resize the window."""
        self.done.append("resize")
        self.app.window.resize(self.random.randrange(820, 1900), self.random.randrange(560, 1050))


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MASQUE_SETTINGS"] = str(Path(home) / "settings.toml")
        os.environ["MASQUE_AVATARS"] = str(Path(home) / "avatars")
        return run(arguments.seconds, arguments.seed, Path(home))


def run(seconds: float, seed: int, home: Path) -> int:
    """Run random actions for a time and return the exit code."""
    from fakes_ui import GatedServices
    from PyQt5.QtCore import QTimer
    from PyQt5.QtGui import QDesktopServices
    from PyQt5.QtWidgets import QFileDialog

    from ui import qt_exit
    from ui.app import App, make_application
    from ui.window import MainWindow

    errors: list[str] = []
    sys.excepthook = lambda kind, error, trace: errors.append("".join(traceback.format_exception(kind, error, trace)))
    for name, answer in (("getOpenFileName", ("", "")), ("getOpenFileNames", ([], "")), ("getSaveFileName", ("", "")),
                         ("getExistingDirectory", "")):  # fmt: skip
        setattr(QFileDialog, name, lambda *_, answer=answer, **__: answer)
    setattr(QDesktopServices, "openUrl", lambda *_: True)  # noqa: B010 - no other program is started
    setattr(MainWindow, "closeEvent", lambda self, event: event.ignore())  # noqa: B010 - it stays open
    before = set(threading.enumerate())
    services = GatedServices()
    services.download_gate.set()
    application = make_application(sys.argv[:1])
    app = App(application, services=services.services())
    app.session.change("window", captures=str(home / "captures"))
    app.show()
    monkey = Monkey(app, seed)
    monkey.ends_s = time.monotonic() + seconds
    _go_on(monkey, errors)
    memory: list[int] = []
    QTimer.singleShot(round(seconds * 500), lambda: memory.append(_memory_kb()))
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < seconds and not errors:
        application.processEvents()
        time.sleep(0.002)
    monkey.ends_s = 0.0
    memory.append(_memory_kb())
    closing_s = time.monotonic()
    clean = app.close()
    if not clean:
        print(f"Closing gave up after {time.monotonic() - closing_s:.1f} s; what still ran:", _stacks(), sep="\n")
    time.sleep(0.5)
    left = [thread.name for thread in set(threading.enumerate()) - before if type(thread).__name__ != "TMonitor"]
    grew = memory[-1] / memory[0]
    print(f"{monkey.steps} steps in {time.monotonic() - begun_s:.0f} s, seed {seed}; memory {memory[0] >> 10} -> "
          f"{memory[-1] >> 10} MB; clean end: {clean}; threads left: {left}")  # fmt: skip
    for error in errors:
        print(*monkey.done, error, sep="\n")
    code = 1 if errors or left or not clean or grew > GROWTH else 0
    qt_exit.leave_with(code)
    return code


def _go_on(monkey: Monkey, errors: list[str]) -> None:
    """Run one step after scheduling the next, because a step that opens a dialog returns only when it is closed."""
    from PyQt5.QtCore import QTimer

    QTimer.singleShot(STEP_MS, lambda: _go_on(monkey, errors))
    try:
        monkey.step()
    except Exception:
        errors.append(traceback.format_exc())
        monkey.ends_s = 0.0


def _stacks() -> str:
    """Return where each of Masque's threads is."""
    names = {thread.ident: thread.name for thread in threading.enumerate() if thread.name.startswith("masque-")}
    frames = sys._current_frames().items()
    told = [(names[ident], "".join(traceback.format_stack(frame)[-12:])) for ident, frame in frames if ident in names]
    return "\n".join(f"{name}:\n{stack}" for name, stack in told)


def _memory_kb() -> int:
    """Return the resident memory in kB, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    sys.exit(main())
