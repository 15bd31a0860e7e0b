"""LivePortrait at full size with random weights, as users run it: `animate`, `models export`, `live` and the window.

It takes minutes and 4 GB, so it runs when asked for: MASQUE_FULL_SIZE=FOLDER keeps weights and results in that folder;
with -s it prints the seconds of a frame and the peak of the memory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import make_clip
from places import ROOT
from screen import START_S, open_screen
from v4l2_shim import Shim

from avatar.images.load import load_image, save_png
from avatar.liveportrait.onnx_check import AGREEMENT
from avatar.liveportrait.onnx_export import FILES
from avatar.offline.bench import bench_portrait, driving_images
from avatar.outputs.live.card import draw_test_card
from avatar.settings import (
    CameraSettings,
    EngineSettings,
    Settings,
    VirtualCameraSettings,
    WindowSettings,
    save_settings,
)
from avatar.sources.video import open_driving

FOLDER = os.environ.get("MASQUE_FULL_SIZE", "")
FRAMES, LIVE_S = 3, int(os.environ.get("MASQUE_FULL_SIZE_SECONDS", "60"))
LOADING_S = 500.0
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="takes minutes: set MASQUE_FULL_SIZE to a folder"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def folder(face_model: Path) -> Path:
    """Weights, a portrait and a clip of the moving portrait."""
    folder = Path(FOLDER)
    folder.mkdir(exist_ok=True)
    if not (folder / "random.safetensors").exists():
        from avatar.liveportrait.random_model import random_model
        from avatar.weights.state_files import save_tensors

        state = {name: x.contiguous() for name, x in random_model().state_dict().items()}
        save_tensors(state, folder / "random.safetensors", {"format": "pt"})
    save_png(folder / "portrait.png", bench_portrait(512, 512))
    pictures = [picture for _, picture in zip(range(60), driving_images(bench_portrait(512, 512)), strict=False)]
    make_clip(folder / "clip.mp4", pictures[::20], rate=25)
    make_clip(folder / "camera.mp4", pictures, rate=30)
    return folder


def masque(words: Sequence[object], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it said; prints its peak memory."""
    with (folder / f"{words[0]}.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "run.py", "--no-setup", *map(str, words)], cwd=ROOT, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    print(words[0], f"peak {used.ru_maxrss // 1024} MB", *re.findall(r".*frames/s.*", said)[-1:])
    assert process.returncode == 0, said
    return said


def test_animate_says_what_it_takes_and_draws(folder: Path) -> None:
    words = [
        "animate", folder / "portrait.png", folder / "clip.mp4", "-o", folder / "frames", "--engine", "liveportrait",
        "--model", folder / "random.safetensors", "--reference", "first",
    ]  # fmt: skip
    said = masque(words, folder)
    assert f"takes seconds for each of the {FRAMES} frames" in said and "The first frame took" in said
    frames = [load_image(path) for path in sorted((folder / "frames").glob("*.png"))]
    assert len(frames) == FRAMES and frames[0].shape == (512, 512, 3)
    assert np.abs(frames[1].astype(int) - frames[0]).mean() > 0.5
    assert np.abs(frames[0][:20, :20].astype(int) - load_image(folder / "portrait.png")[:20, :20]).max() == 0


def test_exported_files_agree_with_torch(folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    words = ["models", "export", folder / "random.safetensors", "-o", folder / "onnx", "--engine", "liveportrait"]
    said = masque(words, folder)
    print(said)
    assert [line.split(": ")[0].rpartition("/")[2] for line in said.splitlines()[:3]] == list(FILES)
    found = re.search(r"on the processor: (\S+)", said)
    assert found is not None and float(found[1]) < AGREEMENT


def test_live_draws_to_the_virtual_camera_and_the_recording(folder: Path, tmp_path: Path) -> None:
    shim = Shim.build(tmp_path)
    (folder / "show.mp4").unlink(missing_ok=True)
    said = masque(
        [
            "live", "--camera", folder / "camera.mp4", "--avatar", folder / "portrait.png", "--virtual-camera",
            "--record", folder / "show.mp4", "--seconds", LIVE_S, "--report", folder / "report.json",
            "--engine", "liveportrait", "--model", folder / "random.safetensors",
        ],
        folder,
        shim.environment(every=30),
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    statistics = report["statistics"]
    print({name: statistics[name] for name in ("drawn", "latency") if name in statistics})
    assert "takes seconds" in said and "warp" in said
    assert report["problems"] == [] and report["stop_s"] < 5  # the end does not wait for a frame that is being drawn
    assert statistics["drawn"] >= 2
    look_at(shim, folder / "show.mp4", folder / "sent.png")


def test_the_window_draws_to_the_virtual_camera_and_the_recording(folder: Path, display: str, tmp_path: Path) -> None:
    shim, captures = Shim.build(tmp_path), tmp_path / "captures"
    save_settings(
        Settings(
            avatar="astronaut",
            camera=CameraSettings(source=str(folder / "camera.mp4")),
            engine=EngineSettings("liveportrait", str(folder / "random.safetensors")),
            virtual_camera=VirtualCameraSettings(with_program=True),
            window=WindowSettings(language="en", guide_done=True, captures=str(captures)),
        )
    )
    with open_screen(display, folder) as screen:
        screen.environment = shim.environment(every=90) | screen.environment
        screen.start()
        assert screen.program is not None
        screen.until(lambda: drawn(shim, 1), LOADING_S)
        screen.picture("window")
        screen.xdotool("key", "ctrl+r")
        screen.until(lambda: list(captures.glob("*.mp4")), START_S)
        screen.until(lambda: drawn(shim, 3), LOADING_S)
        screen.picture("window-records")
        screen.xdotool("key", "ctrl+r")
        screen.xdotool("key", "v")  # while others may be watching, Ctrl+Q asks first
        status = Path(f"/proc/{screen.program.pid}/status").read_text(encoding="utf-8")
        print("window peak", int(status.partition("VmHWM:")[2].split()[0]) // 1024, "MB")
        assert "Traceback" not in screen.end()
    look_at(shim, next(captures.glob("*.mp4")), folder / "window-sent.png")


def drawn(shim: Shim, count: int) -> bool:
    """Whether the device took so many different frames after the test card."""
    frames = shown_frames(shim)
    changes = [np.abs(frames[n].astype(int) - frames[n - 1]).max() > 40 for n in range(1, len(frames))]
    return len(frames) > 0 and 1 + sum(changes) >= count


def shown_frames(shim: Shim) -> list[np.ndarray]:
    """What the device took, without the test card."""
    if not shim.file.exists():
        return []
    card = draw_test_card(1280, 720).astype(int)
    return [frame for frame in shim.frames(1280, 720) if np.abs(frame - card).mean() > 20]


def look_at(shim: Shim, recording: Path, picture: Path) -> None:
    """Check that the avatar moved where others see it; its last frames are kept as pictures."""
    sent = shown_frames(shim)
    with open_driving(recording) as film:
        shown = [frame.rgb for frame in film]
    save_png(picture, sent[-1])
    save_png(picture.with_stem(f"{picture.stem}-recorded"), shown[-1])
    assert np.abs(sent[-1].astype(int) - sent[0]).max() > 40 and np.abs(shown[-1].astype(int) - shown[0]).max() > 40
