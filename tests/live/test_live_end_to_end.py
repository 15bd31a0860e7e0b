"""The whole program in a second process: a clip as input, a simulated virtual camera and a recording as outputs.

The clip shows the built-in portrait, moving, with magenta at its edges: where magenta is seen, the camera leaked.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_clip
from places import ROOT
from v4l2_shim import Shim

from avatar.frames import RgbImage
from avatar.offline.bench import bench_portrait, driving_images
from avatar.outputs.canvas import CanvasOptions, compose
from avatar.outputs.live.card import draw_test_card
from avatar.provenance.credentials import read_credentials
from avatar.sources.video import open_driving

SECONDS = 20 if os.environ.get("CI") else 6
MAGENTA = (255, 0, 255)
WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True)
class Live:
    """A running `live` and where its results go."""

    process: subprocess.Popen[str]
    folder: Path

    def end(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end: exit code and report."""
        try:
            _, said = self.process.communicate(timeout=SECONDS + 100)
        finally:
            self.process.kill()
        report = self.folder / "report.json"
        assert report.exists(), said
        return self.process.returncode, json.loads(report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def driving_clip(face_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = []
    for _, picture in zip(range(60), driving_images(bench_portrait(640, 480)), strict=False):
        marked = picture.copy()
        marked[:40] = marked[-40:] = marked[:, :40] = marked[:, -40:] = MAGENTA
        pictures.append(marked)
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures, rate=30, codec_options={"crf": "12"})


def start_live(shim: Shim, clip: Path, folder: Path, seconds: float) -> Live:
    words = ["--camera", str(clip), "--virtual-camera", "--record", str(folder / "show.mp4")]
    words += ["--seconds", str(seconds), "--report", str(folder / "report.json")]
    process = subprocess.Popen(
        [sys.executable, "run.py", "--no-setup", "live", *words], cwd=ROOT, env=shim.environment(every=15), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Live(process, folder)


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    played = Shim.build(tmp_path)
    yield played
    played.file.unlink(missing_ok=True)  # a hundred megabytes


def recorded(path: Path, every: int = 10) -> list[RgbImage]:
    with open_driving(path) as clip:
        return [frame.rgb for number, frame in enumerate(clip) if number % every == 0]


def leaks(rgb: RgbImage) -> bool:
    """Whether a patch of magenta is seen; colours bleed a little where video halves their resolution."""
    red, green, blue = (rgb[::4, ::4, channel].astype(int) for channel in range(3))
    return int(((red > 200) & (green < 70) & (blue > 200)).sum()) > 20


def test_a_leak_would_be_seen(driving_clip: Path) -> None:
    with open_driving(driving_clip) as clip:
        assert leaks(compose(next(iter(clip)).rgb, CanvasOptions()))


def test_a_clip_drives_a_virtual_camera_and_a_recording(shim: Shim, driving_clip: Path, tmp_path: Path) -> None:
    code, report = start_live(shim, driving_clip, tmp_path, SECONDS).end()
    statistics = report["statistics"]
    assert code == 0 and report["clean_stop"] and report["problems"] == []
    assert report["seconds"] == pytest.approx(SECONDS, abs=2)
    assert statistics["face"] and statistics["drawn"] > SECONDS

    camera, times_s = statistics["outputs"]["virtual camera"], np.array(shim.times_s())
    assert abs(len(times_s) - camera["sent"] - camera["repeated"]) <= 2, "one call in every period, and each arrives"
    assert (len(times_s) - 1) / (times_s[-1] - times_s[0]) < 30.5, "it is paced"
    sent = shim.frames(WIDTH, HEIGHT)
    card = draw_test_card(WIDTH, HEIGHT).astype(int)
    assert np.abs(sent[0] - card).mean() < 4 and np.abs(sent[-1] - card).mean() > 20
    shown = [frame for frame in sent if np.abs(frame - card).mean() > 20]
    assert any(np.abs(one.astype(int) - other).max() > 40 for one, other in itertools.pairwise(shown))

    film = recorded(tmp_path / "show.mp4")
    assert film[0].shape == (HEIGHT, WIDTH, 3) and len(film) == pytest.approx(3 * SECONDS, abs=8)
    assert not any(leaks(frame) for frame in [*shown, *film])
    assert statistics["oldest_sent_ms"] < 500 or statistics["latency"]["p50_ms"] > 150, (
        "unless the machine was too busy"
    )
    for frame in (sent[-1], film[-1]):
        corner = frame[674:702, 1168:1262]
        assert corner.max() > 225 and np.quantile(corner, 0.3) < 130, "the label"
    found = read_credentials(tmp_path / "show.mp4")
    assert found is not None and found.problems == ()


def test_a_virtual_camera_that_vanishes_does_not_end_the_recording(
    shim: Shim, driving_clip: Path, tmp_path: Path
) -> None:
    live = start_live(shim, driving_clip, tmp_path, 5)
    deadline_s = time.monotonic() + 60
    while not (tmp_path / "show.mp4").exists() and time.monotonic() < deadline_s and live.process.poll() is None:
        time.sleep(0.1)
    shim.unplug()
    code, report = live.end()
    assert code == 1 and report["clean_stop"]
    assert [problem["what"] for problem in report["problems"]] == [f"The virtual camera {shim.device} is gone."]
    assert all("modprobe" in problem["remedy"] for problem in report["problems"])
    assert len(recorded(tmp_path / "show.mp4", every=1)) > 60, "it went on after that"
