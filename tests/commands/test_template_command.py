"""`run.py template`, and the files it leaves when it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import FakeTracker, make_clip, plain
from voices import syllables, write_wav

from avatar import cli
from avatar.motion.idle import idle_path
from avatar.motion.template import load_template
from avatar.offline.driving_motion import named_driving, speak
from avatar.tracking.face import BLENDSHAPES


@pytest.fixture(autouse=True)
def fake_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    monkeypatch.setattr("avatar.tracking.open_tracker", FakeTracker)


def template(*words: object) -> int:
    return cli.main(["template", *map(str, words)])


def test_a_clip_becomes_a_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "a.mp4", [plain(level) for level in (100, 120, 140)])
    assert template(clip, "-o", tmp_path / "a.masque") == 0
    assert len(load_template(tmp_path / "a.masque")) == 3
    assert "a face in 3 of them" in capsys.readouterr().out
    assert template(tmp_path / "a.masque", "-o", tmp_path / "b.masque") == 2
    assert "a template already" in capsys.readouterr().err


def test_a_voice_becomes_a_template_that_drives_as_the_voice_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = write_wav(tmp_path / "speech.wav", syllables(4))
    assert template(speech, "-o", tmp_path / "talk.masque") == 0
    assert "a face in" in capsys.readouterr().out
    kept = load_template(tmp_path / "talk.masque")
    heard = speak(speech, lambda done, total: None).track
    assert len(kept) == len(heard) and np.abs(kept.times_s - heard.times_s).max() < 1e-3
    jaw = BLENDSHAPES.index("jawOpen")
    assert np.abs(kept.blendshapes[:, jaw] - heard.blendshapes[:, jaw]).max() < 0.01
    assert kept.blendshapes[0, jaw] < 0.1 < kept.blendshapes[:, jaw].max()
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nothing")
    assert template(broken, "-o", tmp_path / "b.masque") == 1 and not (tmp_path / "b.masque").exists()
    assert template(speech, "-o", tmp_path / "c.masque", "--engine", "liveportrait") == 2
    assert "sound without images" in capsys.readouterr().err
    assert template(speech, "-o", tmp_path / "c.masque", "--model", "x") == 2


def test_joined_recordings_make_one_template_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = make_clip(tmp_path / "part.ts", [plain(level) for level in range(100, 130)])
    clip = tmp_path / "a.ts"
    clip.write_bytes(part.read_bytes() * 2)
    assert template(clip, "-o", tmp_path / "a.masque") == 0
    assert "joined recordings" in capsys.readouterr().err
    times_s = load_template(tmp_path / "a.masque").times_s
    assert np.diff(times_s) == pytest.approx(np.full(59, 0.04), abs=0.005)


@pytest.mark.parametrize(
    ("target", "code", "expected"),
    [
        ("a.txt", 2, "-o a.masque"),
        ("a", 2, "-o a.masque"),
        ("nowhere/a.masque", 1, "no folder"),
        ("a.mp4/a.masque", 1, "is a file"),
        ("folder.masque", 2, "is a folder"),
    ],
)
def test_a_place_it_cannot_go_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, code: int, expected: str
) -> None:
    clip = make_clip(tmp_path / "a.mp4", [plain(120)] * 3)
    (tmp_path / "folder.masque").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert template(clip, "-o", tmp_path / target) == code
    said = capsys.readouterr().err
    assert expected in said and "Following" not in said, "noticed only after the work"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_clip_without_a_face_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "a.mp4", [plain(0)] * 3)
    assert template(clip, "-o", tmp_path / "a.masque") == 1
    assert "no face" in capsys.readouterr().err and not (tmp_path / "a.masque").exists()


def test_the_built_in_motion_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_driving(Path("idle")) == idle_path()
    (tmp_path / "idle").mkdir()  # a folder of pictures of that name comes first
    assert named_driving(Path("idle")) == Path("idle")
