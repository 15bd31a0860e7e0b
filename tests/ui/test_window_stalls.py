"""Responsiveness: the event loop keeps running while engine, camera, library or download block."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeTracker
from fakes_ui import CAMERA, Desk, open_desk
from PyQt5.QtCore import QTimer

from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.live.pipeline import LiveTools, Pipeline
from ui.background import Lane
from ui.bridge import PipelineBridge, Relay

LIMIT_S = 0.1


class Watchdog:
    """Measures the longest time between two turns of the event loop, in the window's own processor time.

    Processor time, because on a busy machine the whole process waits for its turn, which is no fault of the window;
    and wall time beside it, in which a wait for a lock or a device would show.
    """

    def __init__(self) -> None:
        self.turns, self.longest_s = 0, 0.0
        self.stalls: list[tuple[float, float]] = []  # (wall, processor) of turns over the limit
        self._wall_s, self._busy_s = time.monotonic(), time.thread_time()
        self._timer = QTimer()
        self._timer.timeout.connect(self._turn)
        self._timer.start(5)

    def _turn(self) -> None:
        wall_s, busy_s = time.monotonic(), time.thread_time()
        waited_s = wall_s - self._wall_s
        self.turns += 1
        self.longest_s = max(self.longest_s, waited_s)
        if waited_s > LIMIT_S:
            self.stalls.append((waited_s, busy_s - self._busy_s))
        self._wall_s, self._busy_s = time.monotonic(), time.thread_time()

    def stop(self) -> None:
        self._timer.stop()

    def waits(self) -> list[tuple[float, float]]:
        """The stalls that are the window's own."""
        return [stall for stall in self.stalls if stall[1] > LIMIT_S or stall[0] > 10 * LIMIT_S]


def test_a_hanging_camera_a_download_and_a_busy_engine_stop_nothing(desk: Desk) -> None:
    from ui.dialogs.models import ModelsDialog

    desk.services.camera_gate.clear()  # the list of cameras never comes
    dialog = ModelsDialog(desk.session, desk.services.services(), desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    desk.until(lambda: dialog.table.topLevelItemCount() == 2)
    stop = threading.Event()

    def engine() -> None:  # as fast as the machine allows, and holding the interpreter as drawing does
        picture = np.zeros((720, 720, 3), np.uint8)
        for sequence in range(100_000):
            if stop.is_set():
                return
            picture = np.roll(picture, 3, axis=1)
            desk.pipeline.avatar_frames.put(Frame(picture, sequence, 0))

    thread = threading.Thread(target=engine, name="busy")
    desk.window.panel.camera.look_for_cameras()
    dialog.choose("vox")
    desk.bot.wait(200)  # what was opened for the first time is painted
    watchdog = Watchdog()
    dialog.pull.click()
    thread.start()
    for number in range(40):
        desk.session.change("motion", strength_head=number / 40)
        desk.session.change("", avatar="astronaut")
        desk.bot.wait(25)
    watchdog.stop()
    stop.set()
    thread.join()
    assert watchdog.turns > 40 and watchdog.waits() == [], f"longest {watchdog.longest_s:.3f} s"
    assert desk.window.stage.avatar.frame is not None


def test_devices_that_hang_while_they_open_stop_nothing(
    qapp: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    hanging: list[str] = []

    def hang(what: str) -> Any:
        hanging.append(what)
        gate.wait(30)
        raise OutputError(f"The {what} came too late.", remedy="Try again.")

    tools = LiveTools(
        open_source=lambda spec, size, rate: hang("camera"),
        open_engine=lambda options: hang("engine"),
        open_tracker=lambda smoothing: FakeTracker(),  # type: ignore[arg-type, return-value]
    )
    monkeypatch.setattr("ui.captures.Captures._open_camera", lambda self: lambda: hang("virtual camera"))
    monkeypatch.setattr("avatar.outputs.live.recorder.Recorder", lambda path, size, **_: hang("disk"))
    with open_desk(qapp, qtbot, lambda options, tell: Pipeline(options, on_event=tell, tools=tools)) as desk:
        desk.session.change("window", captures=str(tmp_path))
        desk.use_camera()
        desk.captures.set_camera(True)
        desk.captures.set_recording(True)
        desk.until(lambda: set(hanging) == {"camera", "engine", "virtual camera", "disk"})
        watchdog = Watchdog()
        for number in range(20):
            desk.session.change("camera", source=("idle", CAMERA.id)[number % 2])
            desk.session.change("", avatar=("astronaut", "rusty")[number % 2])
            desk.session.freeze(number % 2 == 0)
            desk.captures.set_camera(number % 2 == 1)
            desk.bot.wait(25)
        watchdog.stop()
        assert watchdog.turns > 20 and watchdog.waits() == [], f"longest {watchdog.longest_s:.3f} s"
        begun_s = time.monotonic()
        assert not desk.app.pipeline.stop(0.3)  # it says that threads hang, and waits for them no longer than asked
        assert time.monotonic() - begun_s < 2
        gate.set()
        desk.until(lambda: desk.app.pipeline.stop(0.1))


def test_nothing_of_the_window_waits_while_the_library_is_slow(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = type(desk.avatars.library).avatars

    def slow(library: Any) -> Any:
        assert gate.wait(20)
        return real(library)

    monkeypatch.setattr(type(desk.avatars.library), "avatars", slow)
    begun_s = time.thread_time()
    desk.avatars.reload()
    desk.avatars.reorder(desk.names())
    desk.session.change("window", ghost=0.3)
    desk.session.save_now()
    assert time.thread_time() - begun_s < LIMIT_S and not gate.is_set()
    gate.set()
    desk.until(desk.names)


def test_signals_do_not_gather_while_the_window_is_busy(qapp: Any) -> None:
    from avatar.live.broadcast import Broadcast

    tap: Broadcast[int] = Broadcast()
    told: list[int] = []
    relay = Relay("masque-test", tap, lambda: told.append(1))
    for number in range(500):
        tap.put(number)
        time.sleep(0.0002)
    deadline_s = time.monotonic() + 5
    while relay._newest._item != 499 and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert len(told) == 1 and relay.take() == 499 and relay.take() is None
    assert relay.stop()


def test_a_job_that_fails_is_told_and_the_next_one_runs(qtbot: Any) -> None:
    lane, seen = Lane("test"), list[str]()
    lane.run(lambda: str(1 / 0), seen.append, lambda error: seen.append(error.what))
    lane.run(lambda: "next", seen.append)
    qtbot.waitUntil(lambda: len(seen) == 2)
    assert "ZeroDivisionError" in seen[0] and seen[1] == "next"
    assert lane.close()


def test_a_closed_lane_answers_nobody(qtbot: Any) -> None:
    lane, seen = Lane("test"), list[int]()
    lane.run(lambda: 1, seen.append)
    assert lane.close()
    lane.run(lambda: 2, seen.append)
    qtbot.wait(50)
    assert seen == []


def test_a_lane_that_is_asked_to_end_finishes_meanwhile(qtbot: Any) -> None:
    lane, gate, done = Lane("test"), threading.Event(), list[int]()
    lane.run(lambda: gate.wait(10))
    lane.run(lambda: done.append(1))
    lane.ask_to_end()  # returns although the first job waits
    lane.ask_to_end()
    lane.run(lambda: done.append(2))
    assert not lane.close(0.0) and done == []
    gate.set()
    assert lane.close(10) and done == [1]


def test_a_bridge_without_a_pipeline_is_silent(qapp: Any) -> None:
    bridge = PipelineBridge()
    assert bridge.take_avatar() is None and bridge.take_camera() is None and bridge.close()
