"""What is set in the window reaches a running pipeline: nothing here is a stand-in but camera, engine and outputs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fakes import FakeOutput
from PyQt5.QtWidgets import QApplication
from window_outputs import WindowOutputs

from avatar.cv import cv2
from avatar.frames import Frame
from avatar.live.mark import RED


class Viewer(FakeOutput):
    """What somebody sees who looks at the virtual camera."""

    facts = "viewer"

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.sees, self.passed_through = size, np.zeros((1, 1, 3), np.uint8), False

    def send(self, frame: Frame) -> None:
        self.sees, self.passed_through = frame.rgb, frame.passed_through
        super().send(frame)

    def resize(self, size: tuple[int, int]) -> None:
        self.size = size

    def has_all_four_sides(self) -> bool:
        sees = self.sees
        return all((edge == RED).all() for edge in (sees[0], sees[-1], sees[:, 0], sees[:, -1]))


@pytest.fixture
def window(qapp: QApplication, tmp_path: Path) -> Iterator[WindowOutputs]:
    threads = cv2.getNumThreads()
    with WindowOutputs(tmp_path, (64, 36)) as opened:
        yield opened
    cv2.setNumThreads(threads)


def test_the_red_frame_keeps_its_four_sides_on_another_canvas(window: WindowOutputs) -> None:
    viewer = Viewer(window.session.settings.canvas.size)
    window.rig.pipeline.add_output("viewer", lambda: viewer)
    window.session.pass_through(True)
    assert window.until(lambda: viewer.passed_through and viewer.has_all_four_sides())
    for width, height, fit in ((40, 60, "fill"), (96, 32, "fill"), (64, 64, "blur")):
        window.session.change("canvas", width_px=width, height_px=height, fit=fit)

        def fits(shape: tuple[int, int, int] = (height, width, 3)) -> bool:
            return viewer.sees.shape == shape and viewer.has_all_four_sides()

        assert window.until(fits)
        window.work(0.1)
        assert viewer.has_all_four_sides() and viewer.passed_through


def test_threads_count_in_the_window(window: WindowOutputs, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []
    set_threads: Any = cv2.setNumThreads
    monkeypatch.setattr(
        cv2, "setNumThreads", lambda count: [told.append((count, threading.current_thread().name)), set_threads(count)]
    )
    assert window.until(lambda: cv2.getNumThreads() == window.session.settings.threads)
    window.session.change("", threads=1)
    assert window.until(lambda: cv2.getNumThreads() == 1) and told == [(1, "masque-engine")]


def test_a_device_that_the_engine_has_no_use_for_changes_nothing(window: WindowOutputs) -> None:
    assert window.until(lambda: window.session.state.engine is not None)
    window.session.change("engine", device="cuda")
    window.work(0.1)
    assert window.session.state.engine is not None and len(window.rig.engines) == 1
