"""Privacy of reports, the doctor and tracebacks: no names, folders, serial numbers or host names."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import make_clip, plain
from places import ROOT

from avatar import cli
from avatar.commands import live
from avatar.errors import AvatarError, CameraError, ImageError
from avatar.images.load import save_png
from avatar.live.config import LiveConfig
from avatar.live.session import SessionResult
from avatar.live.statistics import LiveStatistics
from avatar.reports import discretion
from avatar.reports.discretion import discreet, discreet_report, known_paths
from avatar.weights import manifest

SERIAL = "usb-046d_HD_Pro_Webcam_C920_8A5B2C1F-video-index0"
SECRETS = ("maria", "muster", "private", "Studio", "8A5B2C1F", "holiday")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "maria")
    monkeypatch.setattr(socket, "gethostname", lambda: "muster-pc.example.org")
    monkeypatch.setattr(discretion, "_full_name", lambda: "Maria Muster")


def secrets_in(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    return [secret for secret in secrets if secret.casefold() in text.casefold()]


@pytest.mark.parametrize(
    ("said", "clean"),
    [
        ("/home/maria/key.pem is missing.", "(path) is missing."),
        ("/home/maria/my private folder/clip.mp4 cannot be read.", "(path) cannot be read."),
        ("Look at /home/x/My holiday File.png, please.", "Look at (path), please."),
        ("[Errno 2] No such file: '/data/my private things'", "[Errno 2] No such file: '(path)'"),
        ('"/data/my private things/a b" is gone', '"(path)" is gone'),
        (r"C:\Users\maria\My private Files\x.dll failed", "(path) failed"),
        (r"\\muster\share\private\x failed", "(path) failed"),
        ("/opt/private/python and /usr/local/private/bin/x", "(path) and (path)"),
        ("~/private/models", "(path)"),
        ("file:///home/maria/x", "(path)"),
        (f"/dev/v4l/by-id/{SERIAL} is busy.", "(path) is busy."),
        (f"There is no camera called '{SERIAL}'.", "There is no camera called '(camera)'."),
        ("/dev/video10 is busy.", "/dev/video10 is busy."),
        ("MARIA on Muster-PC.example.org, Maria Muster, muster-pc", "(name) on (name), (name), (name)"),
        ("30 frames/s, 1920 x 1080, and/or https://example.org/a/b", "30 frames/s, 1920 x 1080, and/or "
         "https://example.org/a/b"),
        ("Type: python run.py models pull face-landmarker", "Type: python run.py models pull face-landmarker"),
        ("marianne stays", "marianne stays"),
    ],
)  # fmt: skip
def test_what_looks_like_a_path_or_a_name_is_left_out(said: str, clean: str) -> None:
    assert discreet(said) == clean


def test_our_own_files_are_told_from_the_project_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "my private cache"))
    model = tmp_path / "my private cache" / "face.task"
    source = manifest.MANIFEST.parent.parent / "avatar" / "cli.py"
    assert discreet(f"{model} has 7 bytes. {source}, line 3") == "models/face.task has 7 bytes. avatar/cli.py, line 3"
    assert discreet(f'File "{json.decoder.__file__}", line 3') == 'File "python/json/decoder.py", line 3'


@pytest.mark.parametrize("folder", ["/data/a, b (private)/of maria", "relative private/of maria"])
def test_what_was_put_in_is_called_by_its_name(folder: str) -> None:
    known = known_paths(f"{folder}/clip one.mp4")
    absolute = Path(folder).absolute()
    said = f"{folder}/clip one.mp4 and {absolute}/clip one.mp4; {absolute} is full; {absolute}/private other.part"
    clean = discreet(said, known)
    assert not secrets_in(clean) and clean.startswith("clip one.mp4 and clip one.mp4; ")


def test_a_report_is_cleaned_through_and_through() -> None:
    report = {"maria": ["/home/maria/x", {"a": ("on muster-pc", 1.5, None, True)}]}
    assert discreet_report(report) == {"(name)": ["(path)", {"a": ["on (name)", 1.5, None, True]}]}


def run_live(report: Path, options: LiveConfig, statistics: LiveStatistics, *errors: Any) -> str:
    result = SessionResult(statistics, 1.0, 0.5, errors, clean=True, stop_s=0.1)
    args = argparse.Namespace(record=report.with_name("my private film.mp4"), report=report)
    return json.dumps(live._report(args, options, result))


def test_a_live_report_names_files_and_no_camera(tmp_path: Path) -> None:
    folder = tmp_path / "my private, (maria's) folder"
    folder.mkdir()
    clip, portrait = folder / "clip.mp4", folder / "portrait.png"
    clip.touch()
    options = LiveConfig(source=str(clip), avatar=str(portrait))
    error: AvatarError = ImageError(f"{portrait} is damaged.", remedy=f"Look into {folder}.")
    told = run_live(folder / "r.json", options, LiveStatistics(source=str(clip), avatar=str(portrait)), error)
    assert not secrets_in(told) and '"source": "clip.mp4"' in told and '"avatar": "portrait.png"' in told
    assert "portrait.png is damaged." in told
    for camera in (SERIAL, "Maria Muster's iPhone", "0"):
        error = CameraError(f"There is no camera called {camera!r}.")
        told = run_live(folder / "r.json", LiveConfig(source=camera), LiveStatistics(source=camera), error)
        assert not secrets_in(told) and "iPhone" not in told and '"source": "camera"' in told
        assert '"seconds": 1.0' in told


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"HOME": str(home), "LOGNAME": "mariamuster", "USER": "mariamuster", "USERNAME": "mariamuster"}


def test_the_files_that_a_session_leaves_hold_nothing_that_was_put_in(face_model: Path, tmp_path: Path) -> None:
    home = tmp_path / "mariamuster"
    folder = home / "my private holiday Films"
    folder.mkdir(parents=True)
    clip = make_clip(folder / "clip.mp4")
    words = ["live", "--camera", str(clip), "--seconds", "1", "--size", "200", "--report", str(folder / "r.json")]
    command = [sys.executable, str(ROOT / "run.py"), "--no-setup", *words]
    variables = environment(home) | {"MASQUE_MODELS": str(face_model.parent)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = (folder / "r.json").read_text(encoding="utf-8")
    assert '"source": "clip.mp4"' in told
    assert not secrets_in(told, ("mariamuster", "private", "holiday", str(tmp_path)))
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b", told), "a short name may be part of a word"


def test_the_doctor_says_nothing_of_folders_and_names(tmp_path: Path) -> None:
    home = tmp_path / "mariamuster"
    models = home / "my private Models"
    models.mkdir(parents=True)
    (models / "face_landmarker.task").write_bytes(b"damaged")
    variables = environment(home) | {"MASQUE_MODELS": str(models), "MASQUE_AVATARS": str(home / "my private avatars")}
    for options in ([], ["--json"]):
        command = [sys.executable, str(ROOT / "run.py"), "--no-setup", "doctor", *options]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
        assert "models/face_landmarker.task has 7 bytes" in done.stdout, done.stderr
        told = done.stdout + done.stderr
        assert not secrets_in(told, ("mariamuster", "private", str(tmp_path), str(ROOT), "/usr/", "/opt/"))


@pytest.mark.parametrize("command", ["bench", "evaluate"])
def test_other_reports_are_cleaned_too(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky = {"note": "/home/maria/my private x.so on muster-pc"}
    found = SimpleNamespace(as_json=lambda: leaky, table=lambda: "", notes=())
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    monkeypatch.setattr("avatar.offline.bench.run_bench", lambda **_: found)
    monkeypatch.setattr("avatar.offline.evaluate.evaluate", lambda *_, **__: found)
    save_png(tmp_path / "a.png", plain(3))
    words = {"bench": ["bench"], "evaluate": ["evaluate", str(tmp_path / "a.png"), "idle", str(tmp_path / "a.mp4")]}
    assert cli.main([*words[command], "--json", str(tmp_path / "r.json")]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text()) == {"note": "(path) on (name)"}


def test_a_traceback_can_be_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(words: list[str]) -> int:
        raise RuntimeError("/home/maria/my private x.so")

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["doctor", "--debug"]) == 1
    said = capsys.readouterr().err
    assert 'File "avatar/cli.py"' in said and str(ROOT) not in said and not secrets_in(said)
