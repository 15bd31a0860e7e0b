"""A live session with injected faults, checked for camera pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import NO_FACE, STRAIGHT
from live_fakes import FakePacedOutput, FakeSource, Rig, engine_error, holds_camera

from avatar.errors import CameraError
from avatar.frames import Frame
from avatar.settings import CalibrationSettings, CropSettings

FAULTS = (
    "camera fails", "camera breaks", "camera hangs", "camera is back", "face goes", "face turns", "face is back",
    "engine fails", "engine breaks", "engine works", "engine never opens", "other avatar", "bad avatar", "freeze",
    "go on", "other camera", "no camera", "idle", "mirror", "crop", "calibrate", "guided", "undo", "recentre", "search",
    "other engine", "output breaks", "new output", "pass through", "pass no longer",
)  # fmt: skip


class Watched(FakePacedOutput):
    """Notes when the camera was seen in it: in a new frame, or in one that it repeats."""

    def __init__(self, seen_s: list[float], checked: list[int]) -> None:
        super().__init__(rate=100)
        self.seen_s, self.checked = seen_s, checked
        self._last: Frame | None = None

    def send(self, frame: Frame) -> None:
        self._look(frame)
        super().send(frame)
        self._last = frame

    def repeat(self) -> None:
        if self._last is not None:
            self._look(self._last)
        super().repeat()

    def _look(self, frame: Frame) -> None:
        now_s = time.monotonic()
        self.checked.append(1)
        if holds_camera(frame.rgb):
            assert frame.passed_through
            self.seen_s.append(now_s)


class Show:
    """A pipeline with injected faults."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.rig = Rig(folder, sources={"camera": FakeSource(), "other": FakeSource("other")}, **options)
        self.seen_s: list[float] = []
        self.checked: list[int] = []
        self.passing: list[tuple[float, float]] = []  # from when to when it was on
        self.pipeline = self.rig.pipeline
        self.last = Watched(self.seen_s, self.checked)
        self.engine_error: Exception | None = None
        self.rig.on_open = lambda engine: setattr(engine, "error", self.engine_error)

    def happen(self, what: str) -> None:
        pipeline, rig = self.pipeline, self.rig
        camera = rig.sources["camera"]
        if what.startswith("camera"):
            errors = {"camera fails": CameraError("gone", remedy=""), "camera breaks": ValueError("a bug")}
            camera.error = errors.get(what)
            (camera.hang.set if what == "camera hangs" else camera.hang.clear)()
            camera.gate.set() if what == "camera is back" else camera.gate.clear()
        elif what.startswith("face"):
            camera.level = {"face goes": NO_FACE, "face turns": STRAIGHT + 60, "face is back": STRAIGHT}[what]
        elif what.startswith("engine"):
            errors = {"engine fails": engine_error(), "engine breaks": ZeroDivisionError("a bug")}
            self.engine_error = errors.get(what)
            rig.broken_engines = {"warp": engine_error()} if what == "engine never opens" else {}
            for engine in rig.engines:
                engine.error = self.engine_error
        elif what == "output breaks":
            self.last.error = RuntimeError("a bug")
        elif what == "new output":
            self.last = output = Watched(self.seen_s, self.checked)
            pipeline.add_output("another", lambda: output)
        elif what == "pass through":
            was_on, began_s = pipeline.statistics().passing_through, time.monotonic()
            pipeline.pass_through(True)
            if pipeline.statistics().passing_through and not was_on:
                self.passing.append((began_s, float("inf")))
        elif what in ("pass no longer", "freeze"):
            (pipeline.freeze if what == "freeze" else pipeline.pass_through)(what == "freeze")
            if self.passing:
                self.passing[-1] = (self.passing[-1][0], min(self.passing[-1][1], time.monotonic()))
        else:
            others: dict[str, Callable[[], object]] = {
                "other avatar": lambda: rig.change(avatar=str(rig.other)),
                "bad avatar": lambda: rig.change(avatar=str(rig.faceless)),
                "go on": lambda: pipeline.freeze(False),
                "other camera": lambda: rig.change(source="other"),
                "no camera": lambda: rig.change(source="absent"),
                "idle": lambda: rig.change(source="idle"),
                "mirror": lambda: rig.change(mirror_driving=True),
                "crop": lambda: rig.change(crop=CropSettings(auto=False, zoom=1.3)),
                "calibrate": pipeline.calibrate,
                "guided": pipeline.start_guided_calibration,
                "undo": pipeline.undo_calibration,
                "recentre": pipeline.recentre,
                "search": lambda: rig.change(calibration=CalibrationSettings(search=True)),
                "other engine": lambda: rig.change(engine="fomm"),
            }
            others[what]()

    def asked_for(self, time_s: float) -> bool:
        return any(start <= time_s <= end for start, end in self.passing)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits before it tries again, tries soon."""
    monkeypatch.setattr("avatar.live.capture.PAUSES_S", (0.01,))
    monkeypatch.setattr("avatar.live.engine_manager.PAUSES_S", (0.0, 0.02))
    monkeypatch.setattr("avatar.live.engine_thread.GAP_S", 0.05)
    monkeypatch.setattr("avatar.live.motion_source.HOLD_S", 0.03)
    monkeypatch.setattr("avatar.live.motion_source.EASE_S", 0.05)
