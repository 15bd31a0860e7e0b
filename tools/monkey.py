"""Random clicks and keys on the whole app: `python tools/monkey.py --seconds 600 --seed 1`.

It ends with exit code 1 after an exception, a thread that is left, or memory that grew; what
was done last is printed. The file dialogs, the web and the end of the program are out of its reach.
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import avatar.cv  # noqa: E402, F401 - before Qt

STEP_MS = 20
GROWTH = 1.25  # of the memory in the second half: by then every engine and dialog was opened once
SPARED = {"quit", "open_captures"}


class Monkey:
    """One step every STEP_MS, on whatever is in front."""

    def __init__(self, app: Any, seed: int) -> None:
        self.app, self.random = app, random.Random(seed)
        self.done: collections.deque[str] = collections.deque(maxlen=30)
        self.steps, self.ends_s = 0, float("inf")

    def step(self) -> None:
        """Do something to what is in front; once the time is over, only close dialogs."""
        from PyQt5.QtWidgets import QApplication

        self.steps += 1
        top = QApplication.activePopupWidget() or QApplication.activeModalWidget() or self.app.window
        if time.monotonic() > self.ends_s:  # dialogs run loops of their own, which have to end first
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
        QTest.keyClick(top, combined & ~mask, Qt.KeyboardModifiers(combined & mask))

    def leave(self, top: Any) -> None:
        """Press Esc in a dialog or menu."""
        from PyQt5.QtCore import Qt
        from PyQt5.QtTest import QTest

        if top is not self.app.window:
            self.done.append(f"escape {type(top).__name__}")
            QTest.keyClick(top, Qt.Key_Escape)

    def shake(self, top: Any) -> None:
        """Give the window another size."""
        self.done.append("resize")
        self.app.window.resize(self.random.randrange(820, 1900), self.random.randrange(560, 1050))


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MASQUE_SETTINGS"] = str(Path(home) / "settings.toml")
        os.environ["MASQUE_AVATARS"] = str(Path(home) / "avatars")
        return run(arguments.seconds, arguments.seed, Path(home))


def run(seconds: float, seed: int, home: Path) -> int:
    """Let the monkey loose for a while."""
    from fakes_ui import GatedServices
    from PyQt5.QtCore import QTimer
    from PyQt5.QtWidgets import QFileDialog

    from ui.app import App, make_application
    from ui.main_window import MainWindow

    errors: list[str] = []
    sys.excepthook = lambda kind, error, trace: errors.append("".join(traceback.format_exception(kind, error, trace)))
    for name, answer in (("getOpenFileName", ("", "")), ("getOpenFileNames", ([], "")), ("getSaveFileName", ("", "")),
                         ("getExistingDirectory", "")):  # fmt: skip
        setattr(QFileDialog, name, lambda *_, answer=answer, **__: answer)
    MainWindow.closeEvent = lambda self, event: event.ignore()
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
    clean = app.close()
    time.sleep(0.5)
    left = [thread.name for thread in set(threading.enumerate()) - before if type(thread).__name__ != "TMonitor"]
    grew = memory[-1] / memory[0]
    print(f"{monkey.steps} steps in {time.monotonic() - begun_s:.0f} s, seed {seed}; memory {memory[0] >> 10} -> "
          f"{memory[-1] >> 10} MB; clean end: {clean}; threads left: {left}")  # fmt: skip
    for error in errors:
        print(*monkey.done, error, sep="\n")
    return 1 if errors or left or not clean or grew > GROWTH else 0


def _go_on(monkey: Monkey, errors: list[str]) -> None:
    """One step; the next is planned before it, because a step that opens a dialog ends only with the dialog."""
    from PyQt5.QtCore import QTimer

    QTimer.singleShot(STEP_MS, lambda: _go_on(monkey, errors))
    try:
        monkey.step()
    except Exception:
        errors.append(traceback.format_exc())
        monkey.ends_s = 0.0


def _memory_kb() -> int:
    """What is resident now, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    sys.exit(main())
