"""A real camera path without a camera: PipeWire offers a picture, pw-v4l2 makes /dev/video0 of it, OpenCV reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from v4l2_shim import skip_or_fail

from avatar.outputs.test_card import BARS

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "dbus-daemon": "dbus",
    "pipewire": "pipewire",
    "pw-cli": "pipewire-bin",
    "wireplumber": "wireplumber",
    "pw-v4l2": "pipewire-v4l2",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-pipewire",
}
NODE = "masque-test-camera"
TEST_PICTURE = (  # GStreamer's bars are those of our test card
    "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,format=RGB,width=640,height=480,framerate=30/1 "
    "! videoconvert ! queue ! pipewiresink "
    f"stream-properties=props,media.class=Video/Source,media.role=Camera,node.name={NODE}"
)

READER = """
import json, sys
from avatar.errors import CameraError
from avatar.sources.open import open_source
camera = open_source("/dev/video0", size=(640, 480), rate=30)
frames = [camera.read() for _ in range(40)]
print(json.dumps({
    "size": [camera.facts.width_px, camera.facts.height_px],
    "rate": camera.facts.rate,
    "bars": frames[-1].rgb[150, 45::91].tolist(),
    "times_ms": [round(frame.captured_ns / 1e6) for frame in frames],
}), flush=True)
try:
    while True:
        camera.read()
except CameraError as error:
    print(json.dumps([error.what, error.remedy]), flush=True)
camera.close()
"""


@pytest.fixture
def pipewire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A PipeWire of its own; yields the environment in which its programs find each other."""
    if sys.platform != "linux":
        pytest.skip("PipeWire is Linux's")
    for program, packages in PROGRAMS.items():
        if shutil.which(program) is None:
            skip_or_fail(f"{program} is missing", f"apt install {packages}")
    folder = tmp_path_factory.mktemp("pw")
    folder.chmod(0o700)
    environment = os.environ | {
        "XDG_RUNTIME_DIR": str(folder),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    try:
        start("dbus-daemon", "--session", f"--address=unix:path={folder}/bus", "--nofork")
        wait_for((folder / "bus").exists, "the session bus")
        start("pipewire")
        wait_for((folder / "pipewire-0").exists, "PipeWire")
        start("wireplumber")
        wait_for(lambda: "WirePlumber" in objects(environment, "Client"), "WirePlumber")
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(10)


@pytest.fixture
def test_picture(pipewire: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process that plays the camera."""
    process = subprocess.Popen(["gst-launch-1.0", "-q", *TEST_PICTURE.split()], env=pipewire, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: NODE in objects(pipewire, "Node"), "the test picture")
        yield process
    finally:
        process.kill()
        process.wait(10)


def objects(environment: dict[str, str], kind: str) -> str:
    done = subprocess.run(
        ["pw-cli", "ls", kind], env=environment, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not start"
        time.sleep(0.05)


def line_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the reader ended with {process.wait(10)}: {process.stderr and process.stderr.read()}"
    return json.loads(line)


def test_our_camera_reads_real_frames_and_notices_their_end(
    pipewire: dict[str, str], test_picture: subprocess.Popen[bytes]
) -> None:
    with subprocess.Popen(
        ["pw-v4l2", sys.executable, "-c", READER], env=pipewire, cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    ) as reader:  # fmt: skip
        try:
            told = line_of(reader)
            assert told["size"] == [640, 480] and 5 < told["rate"] < 35
            assert np.abs(np.array(told["bars"], int) - BARS).max() <= 12, "red must not come out blue"
            assert (np.diff(told["times_ms"]) >= 0).all() and told["times_ms"][-1] > told["times_ms"][0]
            test_picture.kill()
            what, remedy = line_of(reader)
            assert ("stopped sending" in what or "unplugged" in what) and remedy
            assert reader.wait(10) == 0
        finally:
            reader.kill()
