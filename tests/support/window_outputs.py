"""The window's session and outputs without a window, on a pipeline that paints, for changes of an open virtual camera.

Run as a program it sends to the device that v4l2_shim.c plays; tools/real_v4l2 uses it on real ones.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from live_fakes import PAINT, Rig
from PyQt5.QtCore import QCoreApplication

from avatar.live.config import LiveConfig
from avatar.settings import CameraSettings, CanvasSettings, Settings, WindowSettings
from ui.background import Lane
from ui.bridge import PipelineBridge
from ui.captures import Captures
from ui.session import Session

SIZES = ((64, 36), (96, 54), (48, 64))


class WindowOutputs:
    """Start with `with`; the window's thread is the one that calls."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._qt = QCoreApplication.instance() or QCoreApplication([])
        folder.mkdir(parents=True, exist_ok=True)
        self.bridge = PipelineBridge()
        canvas = CanvasSettings(*size)
        self.rig = Rig(folder, canvas=canvas)
        self.rig.listener = self.bridge.tell
        settings = Settings(
            avatar=str(self.rig.portrait),
            camera=CameraSettings(source="camera"),
            canvas=canvas,
            window=WindowSettings(captures=str(folder)),
            crossfade_ms=0,
        )
        assert LiveConfig.of(settings) == self.rig.pipeline.config
        self.session = Session(self.rig.pipeline, self.bridge, settings, lambda _: None)
        self.notices: list[str] = []
        self.session.noticed.connect(lambda notice: self.notices.append(notice.text))
        self.files = Lane("files")
        self.captures = Captures(self.session, self.files)

    def __enter__(self) -> WindowOutputs:
        self.rig.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.__exit__()
        self.files.close()

    def work(self, seconds: float) -> None:
        """Let Qt work."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._qt.processEvents()
            time.sleep(0.002)

    def until(self, true: Callable[[], bool], seconds: float = 15) -> bool:
        """Let Qt work until something holds; whether it does."""
        until_s = time.monotonic() + seconds
        while not true() and time.monotonic() < until_s:
            self.work(0.005)
        return true()

    @property
    def sends(self) -> bool:
        """True if the camera is on and open."""
        return self.captures.state.camera and bool(self.captures.state.camera_facts)

    @property
    def problem(self) -> str:
        """The error that ended the camera."""
        problem = self.captures.state.camera_problem
        return problem.what if problem else ""

    def switch_on(self) -> bool:
        """Switch the camera on; whether it opened."""
        self.captures.set_camera(True)
        self.until(lambda: self.sends or not self.captures.state.camera)
        return self.sends

    def sent(self) -> int:
        """Calls of the camera so far, since it was opened last."""
        found = self.rig.pipeline.statistics().outputs.get("virtual-camera")
        return found.sent + found.repeated if found else 0

    def is_settled(self) -> bool:
        """True if the camera has the size that is set."""
        canvas = self.session.settings.canvas
        return f", {canvas.width_px} x {canvas.height_px} at " in self.captures.state.camera_facts

    def goes_on(self) -> bool:
        """True if frames are being sent."""
        before = self.sent()
        return self.until(lambda: self.sent() > before + 5)

    def change_at_random(self, seed: int, count: int, sizes: tuple[tuple[int, int], ...] = ()) -> list[str]:
        """Change fit, label, mirror and size, some at once after another; what ended the camera, each time it did."""
        choose, ended = random.Random(seed), []
        for _ in range(count):
            canvas = self.session.settings.canvas
            changes: list[dict[str, Any]] = [
                {"label": not canvas.label},
                {"mirror": not canvas.mirror},
                {"fit": choose.choice([fit for fit in ("blur", "fit", "fill") if fit != canvas.fit])},
            ]
            if sizes:
                changes.append(dict(zip(("width_px", "height_px"), choose.choice(sizes), strict=True)))
            self.session.change("canvas", **choose.choice(changes))
            self.work(choose.choice([0.0, 0.02, 0.1]))
            if not self.captures.state.camera:
                ended.append(self.problem)
                self.switch_on()
        return ended if self.goes_on() else [*ended, "nothing is sent at the end"]


def main() -> None:
    """`window_outputs.py FOLDER SEED [held]`: 100 changes with a recording beside; prints what came of them.

    It waits for a line once it sends, so that somebody may begin to look.
    """
    folder, seed, held = Path(sys.argv[1]), int(sys.argv[2]), "held" in sys.argv
    with WindowOutputs(folder, SIZES[0]) as window:
        print("sends" if window.switch_on() and window.goes_on() else window.problem, flush=True)
        sys.stdin.readline()
        window.captures.set_recording(True)
        window.until(lambda: window.captures.state.recording is not None)
        recording = window.captures.state.recording
        ended = window.change_at_random(seed, 100, SIZES)
        if held:  # the last change is surely refused
            window.session.change("canvas", width_px=96, height_px=54)
        settled = window.until(window.is_settled)
        window.goes_on()
        kept_recording = window.captures.state.recording == recording
        window.captures.set_recording(False)
        canvas = window.session.settings.canvas
    print(
        json.dumps({
            "ended": ended, "settled": settled, "notices": window.notices, "paint": PAINT,
            "recording": str(recording) if kept_recording else "",
            "canvas": {name: getattr(canvas, name) for name in ("width_px", "height_px", "fit", "mirror", "label")},
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
