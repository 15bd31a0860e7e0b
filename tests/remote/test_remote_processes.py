"""`serve --engine liveportrait` in a process of its own, and `live --remote` with a played camera."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import make_clip
from liveportrait_samples import tiny_model
from places import ROOT
from remote_studio import psnr

from avatar import cli
from avatar.engines.avatar_engine import AvatarEngine
from avatar.engines.base import EngineConfig
from avatar.engines.registry import create_engine
from avatar.frames import Frame
from avatar.images.load import load_image, save_png
from avatar.offline.bench import bench_portrait, driving_images
from avatar.remote import engine as remote_engine
from avatar.remote.engine import join, open_remote
from avatar.remote.identity import find_host, remember
from avatar.settings import MotionSettings
from avatar.sources.video import open_driving
from avatar.tracking import open_tracker
from avatar.weights.state_files import save_tensors

pytestmark = [pytest.mark.usefixtures("face_model"), pytest.mark.timeout(400)]
SIDE = 384


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights, a portrait and a clip of somebody who moves."""
    state = {name: x.contiguous() for name, x in tiny_model().state_dict().items()}
    save_tensors(state, tmp_path / "tiny.safetensors", {"format": "pt"})
    save_png(tmp_path / "portrait.png", bench_portrait(SIDE, SIDE))
    driven = [image for _, image in zip(range(60), driving_images(bench_portrait(320, 320)), strict=False)]
    make_clip(tmp_path / "camera.mp4", driven, rate=15)
    return tmp_path


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "run.py", "--no-setup", *map(str, words)], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """The address of a host that draws in another process."""
    process = started(
        "serve", "--listen", "127.0.0.1:0", "--engine", "liveportrait", "--model", folder / "tiny.safetensors",
        "--device", "cpu",
    )  # fmt: skip
    assert process.stdout is not None
    introduction = process.stdout.readline()
    try:
        assert "drawn by liveportrait" in introduction, process.communicate(timeout=10)
        yield introduction.split()[2].rstrip(",")
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said and process.returncode == 0


def test_the_same_motion_makes_the_same_pictures(address: str, folder: Path) -> None:
    """Within what H.264 loses, which is told from what another motion would be."""
    weights = str(folder / "tiny.safetensors")
    remember(join(find_host(address), weights))
    there = AvatarEngine(open_remote(address, MotionSettings(), weights, "cpu"), open_tracker())
    here = AvatarEngine(create_engine(EngineConfig("liveportrait", weights, device="cpu")), open_tracker())
    with contextlib.closing(there), contextlib.closing(here), open_driving(folder / "camera.mp4") as clip:
        driving = [frame.rgb for frame in clip][:40:8]
        drawn = []
        for engine in (there, here):
            engine.set_source(Frame(load_image(folder / "portrait.png"), 0, 0))
            frames = [Frame(rgb, number, 10**8 * (number + 1)) for number, rgb in enumerate(driving)]
            drawn.append([engine.animate(frame).rgb for frame in frames])
    alike = [psnr(one, other) for one, other in zip(*drawn, strict=True)]
    other = [psnr(one, other) for one, other in zip(drawn[0], drawn[1][1:], strict=False)]
    print("PSNR to the same frame drawn here", np.round(alike, 1), "to the next one", np.round(other, 1))
    assert min(alike) > 34 and min(alike) > max(other) + 1


def test_live_records_what_the_host_draws_before_another_background(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "OLDEST_S", 20.0)  # the machine may be busy
    monkeypatch.setattr(remote_engine, "FREEZE_S", 20.0)
    save_png(folder / "beach.png", np.full((720, 1280, 3), (20, 60, 220), np.uint8))
    words = (
        "live", "--remote", address, "--model", folder / "tiny.safetensors", "--device", "cpu",
        "--camera", folder / "camera.mp4", "--avatar", folder / "portrait.png", "--background", folder / "beach.png",
        "--retarget-eyes", "--record", folder / "show.mp4", "--seconds", 8, "--report", folder / "report.json",
        "--size", 256,
    )  # fmt: skip
    assert cli.main([str(word) for word in words]) == 0
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    statistics = report["statistics"]
    print({name: statistics[name] for name in ("drawn", "latency", "stages") if name in statistics})
    assert report["problems"] == [] and report["options"]["engine"] == "liveportrait" and report["options"]["remote"]
    assert statistics["stages"]["network"]["p50_ms"] > 0, "frames came from the host"
    with open_driving(folder / "show.mp4") as clip:
        *_, last = (frame.rgb for frame in clip)
    save_png(folder / "last.png", last)
    corner = last[:60, :60].reshape(-1, 3).astype(int)
    assert np.abs(corner - (20, 60, 220)).max() < 40, "the background"
    middle = last[200:520, 440:840].reshape(-1, 3).astype(int)
    assert (np.abs(middle - (20, 60, 220)).max(axis=1) > 60).mean() > 0.5, "somebody stands before it"
