"""The camera path without a camera: PipeWire provides an image, pw-v4l2 a /dev/video0, and OpenCV reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from places import ROOT
from played_pipewire import objects, running_pipewire, wait_for
from v4l2_shim import skip_or_fail

from avatar.outputs.live.card import BARS

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
    """The environment of a PipeWire of its own."""
    with running_pipewire(tmp_path_factory.mktemp("pw")) as environment:
        if shutil.which("pw-v4l2") is None:
            skip_or_fail("pw-v4l2 is missing", "apt install pipewire-v4l2")
        yield environment


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
