"""The commands avatars, template, evaluate and bench, run from a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from avatar.cli import main
from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.images.load import load_image, save_png
from avatar.library.builtin import builtin_avatars
from avatar.library.library import Library
from avatar.motion.template import load_template


@pytest.fixture(scope="module")
def astronaut(face_model: Path) -> RgbImage:
    head = load_image(builtin_avatars()[0].image_path)[:280, 90:370]
    return cv2.resize(head, (560, 560), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def portrait(tmp_path: Path, astronaut: RgbImage) -> Path:
    save_png(tmp_path / "Eileen.png", astronaut)
    return tmp_path / "Eileen.png"


@pytest.fixture
def clip(tmp_path: Path, astronaut: RgbImage) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(8):
        turn = cv2.getRotationMatrix2D((280, 280), 8 * np.sin(number), 0.5)
        turned = cv2.warpAffine(astronaut, turn, (560, 560), borderMode=cv2.BORDER_REPLICATE)
        save_png(folder / f"{number:03}.png", turned)
    return folder


def test_an_avatar_comes_and_goes(portrait: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["avatars", "add", str(portrait), "--source", "NASA", "--licence", "public domain"]) == 0
    assert main(["avatars", "list"]) == 0
    assert "Eileen" in (shown := capsys.readouterr().out) and "NASA; public domain" in shown and "built in" in shown
    assert main(["avatars", "remove", "eileen"]) == 0
    assert "avatars restore Eileen" in capsys.readouterr().out
    assert main(["avatars", "restore", "Eileen"]) == 0
    assert main(["avatars", "remove", "Astronaut"]) == 1
    assert "built in" in capsys.readouterr().err


def test_the_good_files_are_added_though_one_is_bad(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_png(tmp_path / "blank.png", np.zeros((300, 300, 3), np.uint8))
    assert main(["avatars", "add", str(tmp_path / "blank.png"), str(portrait), str(tmp_path / "missing.png")]) == 1
    said = capsys.readouterr()
    assert "Eileen is added" in said.out and "no face" in said.err and "missing.png" in said.err
    assert main(["avatars", "add", str(portrait), str(portrait), "--name", "x"]) == 2


def test_the_right_to_a_likeness(
    portrait: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["avatars", "add", str(portrait)]) == 0  # nobody is there to be asked
    assert "avatars confirm Eileen" in capsys.readouterr().out
    assert main(["avatars", "list"]) == 0 and "not confirmed" in capsys.readouterr().out
    assert main(["avatars", "confirm", "eileen"]) == 0
    assert main(["avatars", "list"]) == 0 and "not confirmed" not in capsys.readouterr().out.split("Eileen Collins")[1]
    assert main(["avatars", "remove", "eileen"]) == 0
    for answer, code in (("", 2), ("n", 2), ("Y", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["avatars", "add", str(portrait)]) == code
    assert not Library().find("eileen").needs_confirming


def test_a_drawing_is_marked_by_hand(tmp_path: Path, face_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "Cat.png"
    save_png(picture, np.zeros((500, 500, 3), np.uint8))
    eyes = ["150,200", "220,205", "280,205", "350,200"]
    places = [*eyes, "250,270", "200,330", "300,330", "250,315", "250,350", "250,420"]
    assert main(["avatars", "add", str(picture), "--marks", *places, "forehead=250,90"]) == 0
    marks = Library().find("cat").marks
    assert marks is not None and marks["chin"] == (250.0, 420.0) and marks["forehead"] == (250.0, 90.0)
    assert main(["avatars", "check", "cat"]) == 0 and "can be animated" in capsys.readouterr().out
    file = tmp_path / "marks.toml"
    file.write_text("".join(f"{name} = [{x}, {y + 20}]\n" for name, (x, y) in marks.items()))
    assert main(["avatars", "change", "cat", "--marks", str(file), "--crop", "20,30,450,450"]) == 0
    changed = Library().find("cat")
    assert changed.crop == Box(20, 30, 450, 450)
    assert changed.marks is not None and changed.marks["chin"] == (250.0, 440.0)
    assert main(["avatars", "change", "cat"]) == 1 and "no face" in capsys.readouterr().err
    for wrong in (["--marks", *places, "--face", "1"], ["--marks", "1,2"], ["--crop", "1,2,3"], ["--marks", "1;2"]):
        assert main(["avatars", "change", "cat", *wrong]) == 2
    assert Library().find("cat") == changed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_check_says_why_not(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["avatars", "check", str(portrait)]) == 0
    assert "can be animated" in capsys.readouterr().out
    assert main(["avatars", "check", "astronaut"]) == 0
    save_png(tmp_path / "blank.png", np.zeros((300, 300, 3), np.uint8))
    capsys.readouterr()
    assert main(["avatars", "check", str(tmp_path / "blank.png")]) == 1
    assert "cannot be animated" in (said := capsys.readouterr().out) and "- There is no face" in said


def test_a_clip_becomes_a_template(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "nod.masque"
    assert main(["template", str(clip), "-o", str(target)]) == 0
    assert "8 frames" in capsys.readouterr().out
    track = load_template(target)
    assert len(track) == 8 and np.ptp([track.face(number).pose.roll_deg for number in range(8)]) > 10


def test_wrong_use_of_template(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["template", str(clip), "-o", str(tmp_path / "nod.mp4")]) == 2
    assert main(["template", str(clip), "-o", str(tmp_path / "missing" / "nod.masque")]) == 1
    assert main(["template", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "nod.masque")]) == 1
    assert not list(tmp_path.glob("*.masque"))


def test_evaluate_prints_a_table_and_writes_json(
    portrait: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    assert main(["evaluate", str(portrait), str(clip), str(clip), "--json", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "roll" in shown and "sharpness" in shown and "not moved" in shown
    facts = json.loads(report.read_text())
    assert facts["channels"]["roll"]["correlation"] == pytest.approx(1) and facts["frames_lost"] == 0
    assert main(["evaluate", str(portrait), str(clip), str(clip), "--json", str(tmp_path / "no" / "r.json")]) == 2
    assert main(["evaluate", str(portrait), str(tmp_path / "none.mp4"), str(clip)]) == 1


def test_bench_refuses_no_frames() -> None:
    assert main(["bench", "--frames", "0"]) == 2


@pytest.fixture
def upside_down(tmp_path: Path, astronaut: RgbImage) -> Path:
    """One in which the tracker sees an upright face, on the forehead."""
    from avatar.tracking import open_tracker

    head = np.ascontiguousarray(load_image(builtin_avatars()[0].image_path)[:240, 120:330][::-1, ::-1])
    picture = np.asarray(cv2.resize(head, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC))
    found = open_tracker().detect(picture)
    assert found and abs(found[0].pose.roll_deg) < 30  # else these tests could not fail
    save_png(tmp_path / "Head.png", picture)
    return tmp_path / "Head.png"


def eyes_above_mouth(landmarks: np.ndarray) -> bool:
    return bool(landmarks[[33, 263], 1].max() < landmarks[[61, 291], 1].min())


def test_an_upside_down_portrait_is_added_turned(upside_down: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["avatars", "check", str(upside_down)]) == 0
    assert "turned by 180 degrees" in capsys.readouterr().out
    assert main(["avatars", "add", str(upside_down)]) == 0
    assert "turned by 180 degrees" in capsys.readouterr().out
    library = Library()
    avatar, known = library.find("Head"), library.likeness("Head")
    assert avatar.turn_deg == known.turn_deg == 180
    assert avatar.image_path.read_bytes() == upside_down.read_bytes()
    assert known.face is not None and eyes_above_mouth(known.face.landmarks) and known.face.presence > 0.999
    assert main(["avatars", "change", "Head", "--turn", "90"]) == 0 and library.find("Head").turn_deg == 90
    assert main(["avatars", "change", "Head", "--crop", "0,30,525,540"]) == 0  # in pixels of the file
    assert library.find("Head").crop == Box(0, 30, 525, 540) and library.find("Head").turn_deg == 180
    assert main(["avatars", "change", "Head", "--turn", "7"]) == 2


def test_an_upside_down_portrait_is_animated_turned(
    upside_down: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["animate", str(upside_down), str(clip), "--size", "256", "-o"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert "upside down, so the picture was turned by 180 degrees" in capsys.readouterr().err
    upright = tmp_path / "upright.png"
    save_png(upright, load_image(upside_down)[::-1, ::-1])
    assert main(["animate", str(upright), str(clip), "--size", "256", "-o", str(tmp_path / "b")]) == 0
    assert "turned" not in capsys.readouterr().err
    drawn, wanted = (load_image(sorted((tmp_path / name).glob("*.png"))[5]) for name in "ab")
    np.testing.assert_array_equal(drawn, wanted)
    assert main([*words, str(tmp_path / "c"), "--turn", "0"]) == 0
    assert "turned by" not in capsys.readouterr().err
