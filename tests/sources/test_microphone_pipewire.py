"""The sound path without a microphone: PipeWire plays one, PortAudio reads it, and the recording is looked at."""

from __future__ import annotations

import contextlib
import ctypes.util
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from places import ROOT
from played_pipewire import objects, running_pipewire, wait_for
from v4l2_shim import skip_or_fail

NODE, RATE_HZ = "masque-test-microphone", 48_000
BEEP_EVERY_S, BEEP_S = 1.0, 0.2
ALSA_PLUGIN = "/etc/alsa/conf.d/50-pipewire.conf"

SESSION = """
import sys, time
from pathlib import Path
import numpy as np
from avatar.frames import Frame
from avatar.outputs.live.recorder import Recorder
from avatar.sources.microphone import Microphone, SoundMonitor, list_microphones

class Flashing(Microphone):
    def take(self):
        blocks = super().take()
        heard.extend((block.heard_ns, float(np.abs(block.samples).max())) for block in blocks)
        return blocks

heard, monitor = [], SoundMonitor()
assert list_microphones()
recorder = Recorder(Path(sys.argv[1]), (160, 90), microphone=lambda: Flashing(monitor=monitor))
assert recorder.problem is None, recorder.problem
began_s, number = time.monotonic(), 0
while time.monotonic() - began_s < 5:
    now_ns = time.monotonic_ns()
    level = 200 if any(peak > 0.1 and abs(now_ns - 300_000_000 - at_ns) < 20_000_000 for at_ns, peak in heard) else 20
    frame = Frame(np.full((90, 160, 3), level, np.uint8), number, now_ns - 300_000_000)
    recorder.send(frame)
    number += 1
    time.sleep(max(0.0, began_s + number / 30 - time.monotonic()))
recorder.close()
print(monitor.take_peak())
"""


@pytest.fixture
def microphone(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a PipeWire with a microphone in which a tone beeps once a second."""
    if sys.platform != "linux":
        pytest.skip("PipeWire is Linux's")
    if ctypes.util.find_library("portaudio") is None:
        skip_or_fail("PortAudio is missing", "apt install libportaudio2")
    if not Path(ALSA_PLUGIN).exists():
        skip_or_fail("PipeWire's plugin for ALSA is missing", "apt install pipewire-alsa")
    time_s = np.arange(30 * RATE_HZ) / RATE_HZ
    beeps = np.where(time_s % BEEP_EVERY_S < BEEP_S, 0.5 * np.sin(2 * np.pi * 440 * time_s), 0.0)
    (tmp_path / "beeps.raw").write_bytes(beeps.astype("<f4").tobytes())
    (tmp_path / "pw").mkdir()
    play = (
        f"filesrc location={tmp_path}/beeps.raw blocksize=3840 ! rawaudioparse format=pcm pcm-format=f32le "
        f"sample-rate={RATE_HZ} num-channels=1 ! audioconvert ! pipewiresink "
        f"stream-properties=props,media.class=Audio/Source,node.name={NODE}"
    )
    with running_pipewire(tmp_path / "pw") as environment, contextlib.ExitStack() as stack:
        player = subprocess.Popen(["gst-launch-1.0", "-q", *play.split()], env=environment, stdin=subprocess.DEVNULL)
        stack.callback(player.wait, 10)
        stack.callback(player.kill)
        wait_for(lambda: NODE in objects(environment, "Node"), "the test microphone")
        yield environment


@pytest.mark.parametrize("name", ["show.mp4", "show.webm"])
def test_what_a_microphone_hears_is_recorded_in_step_with_the_frames(
    microphone: dict[str, str], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(path)], env=microphone | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    flashes, beeps = _starts_of_flashes(path), _starts_of_beeps(path)
    assert len(beeps) >= 3 and len(flashes) >= 3
    late_s = [min(abs(flash - beep) for beep in beeps) for flash in flashes]
    assert np.median(late_s) < 0.04, (flashes, beeps)


def _starts_of_flashes(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        shown = [(float(frame.pts * frame.time_base), frame.to_ndarray(format="gray").mean() > 100)
                 for frame in file.decode(video=0)]  # fmt: skip
    return [at_s for (_, before), (at_s, now) in itertools.pairwise(shown) if now and not before]


def _starts_of_beeps(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud = np.abs(samples) > 0.1
    starts = np.flatnonzero(loud)
    apart = np.diff(starts, prepend=-RATE_HZ) > 0.3 * RATE_HZ
    return [float(each) / RATE_HZ for each in starts[apart]]


@pytest.mark.skipif(sys.platform != "linux", reason="PipeWire is Linux's")
def test_a_machine_without_one_says_so(tmp_path: Path) -> None:
    if ctypes.util.find_library("portaudio") is None:
        skip_or_fail("PortAudio is missing", "apt install libportaudio2")
    lines = "from avatar.sources.microphone import Microphone\nMicrophone()"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    assert "The microphone cannot be opened" in done.stderr
