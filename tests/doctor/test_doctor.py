"""The doctor: its checks, its messages, and the privacy of its report."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import plain
from places import ROOT

from avatar import weights
from avatar.doctor import (
    BROKEN,
    OK,
    WARNING,
    Check,
    devices,
    packages,
    processors,
    run_doctor,
    screen,
    storage,
)
from avatar.doctor import speed as speed_module
from avatar.errors import CameraError, WeightsError
from avatar.frames import Frame
from avatar.offline import bench
from avatar.offline.bench import Spread
from avatar.outputs.live import loopback
from avatar.outputs.live.loopback import Loopback
from avatar.reports.discretion import discreet
from avatar.sources import camera as camera_module
from avatar.sources import camera_list
from avatar.sources.camera_list import CameraInfo
from avatar.system import program
from avatar.system.v4l2 import LOOPBACK_DRIVER, VideoNode
from avatar.weights import manifest


def only(checks: Any) -> Check:
    (check,) = checks
    return check


def test_it_looks_at_everything_and_its_exit_code_says_whether_something_is_broken(
    face_model: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"HOME": str(tmp_path / "secretperson"), "LOGNAME": "secretperson"}
    environment |= {
        "MASQUE_MODELS": str(face_model.parent),
        "MASQUE_AVATARS": str(tmp_path / "secretperson" / "avatars"),
    }
    done = subprocess.run(
        [sys.executable, "run.py", "--no-setup", "doctor", "--json"], cwd=ROOT, env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    checks = json.loads(done.stdout)["checks"]
    areas = {check["area"] for check in checks}
    wanted = {
        "python",
        "packages",
        "processor",
        "graphics",
        "models",
        "cameras",
        "virtual camera",
        "encoder",
        "screen",
        "disk",
        "speed",
    }
    assert areas >= wanted
    assert done.returncode == any(check["state"] == BROKEN for check in checks)
    assert all(check["remedy"] for check in checks if check["state"] != OK), "what to do about it"
    assert "secretperson" not in done.stdout and str(ROOT) not in done.stdout
    by_area = {check["area"]: check for check in checks}
    assert "ms" in by_area["speed"]["what"] and by_area["models"]["state"] == OK


def test_a_check_that_fails_costs_one_line() -> None:
    def fails() -> Iterator[Check]:
        yield Check("one", OK, "This much was seen.")
        raise ModuleNotFoundError("No module named 'numpy'")

    lines = list(run_doctor([("one", fails), ("two", lambda: [Check("two", OK, "Fine.")])]))
    assert [line.state for line in lines] == [OK, BROKEN, OK]
    assert "numpy" in lines[1].what and ".venv" in lines[1].remedy


def test_lines_for_people_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from avatar import cli, doctor

    found = [Check("disk", OK, "Fine."), Check("models", BROKEN, "Gone.", "Fetch it.")]
    monkeypatch.setattr(doctor, "run_doctor", lambda: iter(found))
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out == "ok       disk: Fine.\nbroken   models: Gone. Fetch it.\n"
    found.pop()
    assert cli.main(["doctor"]) == 0


def test_paths_and_names_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "cache"))
    monkeypatch.setattr(getpass, "getuser", lambda: "maria")
    monkeypatch.setattr(socket, "gethostname", lambda: "marias-laptop")
    project = manifest.MANIFEST.parent.parent
    said = (
        f"{tmp_path / 'cache' / 'a.task'} of maria on marias-laptop, {project / 'models' / 'x'}, /home/maria/key.pem, "
        r"C:\Users\maria\key, /dev/video10; marianne stays"
    )
    clean = discreet(said)
    assert clean == "models/a.task of (name) on (name), models/x, (path), (path), /dev/video10; marianne stays"


def test_clashing_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real, other = program.installed_version, "opencv-python-headless"
    monkeypatch.setattr("avatar.doctor.packages.installed_version", lambda name: "1.0" if name == other else real(name))
    clash = only(check for check in packages.look_at_packages() if "overwrite" in check.what)
    assert clash.state == BROKEN and "opencv-python and opencv-python-headless" in clash.what and clash.remedy


@pytest.mark.parametrize(
    ("have", "state", "words"), [(None, BROKEN, "not installed"), ("0.1", WARNING, "is 0.1, and ==")]
)
def test_missing_and_old_packages_are_found(
    monkeypatch: pytest.MonkeyPatch, have: str | None, state: str, words: str
) -> None:
    real = program.installed_version
    monkeypatch.setattr(
        "avatar.doctor.packages.installed_version", lambda name: have if name == "pyvirtualcam" else real(name)
    )
    found = only(check for check in packages.look_at_packages() if "pyvirtualcam" in check.what)
    assert found.state == state and words in found.what and "-r requirements.txt" in found.remedy


def test_an_old_python_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert only(packages.look_at_python()).state == BROKEN
    monkeypatch.undo()
    assert only(packages.look_at_python()).state == OK


def test_onnxruntime_really_computes() -> None:
    import onnxruntime

    assert processors._runs(onnxruntime, "CPU")
    assert next(check.state for check in processors.look_at_onnxruntime()) == OK


def test_an_onnxruntime_that_was_overwritten_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = only(processors.look_at_onnxruntime())
    assert found.state == BROKEN and ".venv" in found.remedy


@pytest.mark.parametrize(("build", "words"), [("13.0", "too old for CUDA 13.0"), (None, "for the processor alone")])
def test_a_driver_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch, build: str | None, words: str) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(processors, "_has_nvidia_driver", lambda: True)
    found = only(processors.look_at_torch())
    assert found.state == WARNING and words in found.what and found.remedy
    monkeypatch.setattr(processors, "_has_nvidia_driver", lambda: False)
    assert only(processors.look_at_torch()).state == OK


def test_a_device_that_torch_lists_and_cannot_use_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch, "ones", lambda *size, device: (_ for _ in ()).throw(RuntimeError("no kernel image\nmore"))
    )
    found = only(check for check in processors.look_at_torch() if "cuda:0" in check.what)
    assert found.state == BROKEN and found.what.endswith("no kernel image")


class FakeCamera:
    """Camera 2 is broken."""

    def __init__(self, info: CameraInfo) -> None:
        assert info.id == "" and info.name.startswith("Camera ")
        self.name = info.name

    def read(self) -> Frame:
        if self.name == "Camera 2":
            raise CameraError(f"{self.name} is in use by another program.", remedy="Close it.")
        return Frame(plain(9), 0, 0)

    def close(self) -> None:
        pass


def test_every_camera_is_tried_and_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = (CameraInfo("usb-SERIAL123", "Maria's iPhone", 0), CameraInfo("usb-SERIAL456", "Webcam", 2))
    monkeypatch.setattr(camera_list, "list_cameras", lambda: cameras)
    monkeypatch.setattr(camera_module, "Camera", FakeCamera)
    first, second = devices.look_at_cameras()
    assert first.state == OK and first.what.startswith("Camera 1 sends 64 x 48")
    assert second.state == BROKEN and second.remedy == "Close it."


def node(*, captures: bool = True, takes: bool = True) -> VideoNode:
    return VideoNode(Path("/dev/video4"), "A name", LOOPBACK_DRIVER, captures=captures, takes=takes)


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")
@pytest.mark.parametrize(
    ("state", "expected", "words"),
    [
        (Loopback(False, False, (), 0), WARNING, "not installed"),
        (Loopback(True, False, (), 0), WARNING, "not loaded"),
        (Loopback(True, True, (), 0), WARNING, "no device"),
        (Loopback(True, True, (), 3), WARNING, "3 video devices may not be opened"),
        (Loopback(True, True, (node(takes=False),), 0), WARNING, "sends"),
        (Loopback(True, True, (node(takes=False, captures=False),), 0), WARNING, "stuck"),
        (Loopback(True, True, (node(),), 0), WARNING, "caps"),
        (Loopback(True, True, (node(captures=False),), 0), OK, "free"),
    ],
)  # fmt: skip
def test_the_virtual_camera(monkeypatch: pytest.MonkeyPatch, state: Loopback, expected: str, words: str) -> None:
    monkeypatch.setattr(loopback, "look", lambda: state)
    monkeypatch.setattr(loopback, "_module_version", lambda: (0, 15, 0))
    found = only(devices.look_at_virtual_camera())
    assert found.state == expected and words in found.what and bool(found.remedy) == (expected != OK)


def test_a_window_opens_or_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert only(screen.look_at_screen()).state == OK
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    found = only(screen.look_at_screen())
    assert found.state == BROKEN and "plugin" in found.what and found.remedy
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert only(screen.look_at_screen()).state == WARNING


def test_models_that_are_missing_or_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    found = only(storage.look_at_models())
    assert found.state == BROKEN and "face-landmarker is missing" in found.what and "models pull" in found.remedy
    (tmp_path / weights.find("face-landmarker").file).write_bytes(b"damaged")
    found = only(run_doctor([("models", storage.look_at_models)]))
    assert found.state == BROKEN and found.remedy and str(tmp_path) not in found.what


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e8))
    found = only(storage.look_at_disk())
    assert found.state == WARNING and "0.5 GB free" in found.what


@pytest.mark.parametrize(("median_ms", "state"), [(16.0, OK), (50.0, WARNING)])
def test_the_speed_is_judged_by_a_cameras_rate(monkeypatch: pytest.MonkeyPatch, median_ms: float, state: str) -> None:
    live = Spread(median_ms, median_ms + 4, median_ms)
    monkeypatch.setattr(bench, "run_bench", lambda **options: SimpleNamespace(sizes=[SimpleNamespace(live=live)]))
    found = only(speed_module.look_at_speed())
    assert found.state == state and f"{median_ms:.0f} ms" in found.what


def test_without_the_face_model_the_speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**options: Any) -> None:
        raise WeightsError("The model is missing.", remedy="Fetch it.")

    monkeypatch.setattr(bench, "run_bench", missing)
    found = only(speed_module.look_at_speed())
    assert (found.state, found.remedy) == (BROKEN, "Fetch it.")
