"""Fixtures shared by all tests: the data beside the project, the face model, and a check for leaked threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import SHARED

import avatar.cv  # first of all: packages that import cv2 themselves would bend Qt's plugin path
from avatar import weights
from avatar.engines.warp.graphics import trial as driver_trial
from avatar.errors import WeightsError
from ui import qt_exit

LONGEST_END_S = driver_trial.TIMEOUT_S + 15.0  # an engine that is closed does not wait for the trial of its driver


def pytest_sessionfinish(exitstatus: int) -> None:
    """Keep PyQt5's clean-up of hundreds of windows from the exit code of the whole run."""
    qt_exit.leave_with(int(exitstatus))


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread behind for good: a program that is used for hours must not gather them."""
    before = set(threading.enumerate())
    yield
    deadline_s = time.monotonic() + LONGEST_END_S
    while (leaked := _ours(set(threading.enumerate()) - before)) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    if leaked:
        pytest.fail(f"threads left behind: {', '.join(thread.name for thread in leaked)}")


_RAY_SERVE = ("(_run_router_event_loop)", "(_poll_wrapper)")  # for as long as its cluster is there


def _ours(threads: set[threading.Thread]) -> list[threading.Thread]:
    """Leave out what libraries keep: tqdm has a thread for all its bars."""
    return [each for each in threads if type(each).__name__ != "TMonitor" and not each.name.endswith(_RAY_SERVE)]


@pytest.fixture(scope="session")
def driver_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of drivers that passed their trial, of this run: its first engine tries the driver anew."""
    return tmp_path_factory.mktemp("driver") / "driver.txt"


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, driver_record: Path) -> None:
    """Keep tests away from the user's own settings, avatars and driver record."""
    monkeypatch.setattr(driver_trial, "record_file", lambda: driver_record)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MASQUE_SETTINGS", str(home / "settings.toml"))
    monkeypatch.setenv("MASQUE_AVATARS", str(home / "avatars"))
    monkeypatch.setenv("MASQUE_PREPARED", str(home / "prepared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of clips and portraits beside the project; tests that need it are skipped without."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"no clips and portraits: {data} is missing")
    return data


@pytest.fixture(scope="session")
def face_model() -> Path:
    """The file of the face tracker's networks, fetched if need be."""
    try:
        return weights.pull("face-landmarker")
    except WeightsError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no face model: {error}")


@pytest.fixture(scope="session")
def head() -> Any:
    """The astronaut's head; turned by 180 degrees the tracker finds an upright face in it, on the forehead."""
    import numpy as np
    from skimage import data

    picture = np.asarray(data.astronaut())[0:240, 120:330]
    enlarged = np.asarray(avatar.cv.cv2.resize(picture, None, fx=2.5, fy=2.5, interpolation=avatar.cv.cv2.INTER_CUBIC))
    enlarged.setflags(write=False)  # tests share it
    return enlarged


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    """The window's tests need no screen; the variable stays as it is for programs that tests start."""
    return ["masque", "-platform", os.environ.get("QT_QPA_PLATFORM", "offscreen")]


@pytest.fixture
def desk(qapp: Any, qtbot: Any) -> Iterator[Any]:
    """The desktop app on a fake pipeline, open, with the guide behind it; see fakes_ui.Desk."""
    from fakes_ui import FakePipeline, open_desk

    with open_desk(qapp, qtbot, FakePipeline) as opened:
        yield opened


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X server without a screen, on a display number that it chooses itself."""
    if shutil.which("Xvfb") is None:
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail("Xvfb is missing: .ci/run installs it")
        pytest.skip("Xvfb is missing: apt install xvfb")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "2560x1440x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            number = numbers.readline().strip()
        assert number, f"Xvfb did not start (exit code {server.wait()})"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(timeout=10)
