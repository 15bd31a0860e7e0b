"""Faces marked by hand: fitting a mesh to ten points, and refusal of impossible marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_samples import make_face

from avatar.errors import AvatarError, FaceError, UsageError
from avatar.tracking.face import Face
from avatar.tracking.marks import MARKS, NEEDED, OPTIONAL, Marks, fit_marks, parse_marks, read_marks
from avatar.tracking.regions import EYES

SIZE = (512, 512)


def marks_of(face: Face, *more: str) -> dict[str, tuple[float, float]]:
    """The marks that a careful hand would set."""
    indices = {**{name: NEEDED[name][0] for name in NEEDED}, **{name: OPTIONAL[name][0] for name in more}}
    return {name: (float(face.landmarks[at, 0]), float(face.landmarks[at, 1])) for name, at in indices.items()}


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-30, 10, 5), (0, 15, -20), (5, -15, 175)])
def test_ten_marks_make_the_whole_face(angles: tuple[float, float, float]) -> None:
    truth = make_face(yaw=angles[0], pitch=angles[1], roll=angles[2])
    face = fit_marks(marks_of(truth), *SIZE)
    assert np.linalg.norm((face.landmarks - truth.landmarks)[:, :2], axis=1).max() < 0.04 * truth.pose.scale_px
    pose = face.pose
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx(angles, abs=1)
    assert face.presence == 1 and not face.blendshapes.any()


def test_the_mesh_passes_near_its_marks_however_a_cartoon_is_drawn() -> None:
    marks = marks_of(make_face(), "right_eye_top", "right_eye_bottom", "mouth_line")
    x, y = marks["right_eye_top"]
    marks |= {"right_eye_top": (x, y - 25), "chin": (256, marks["chin"][1] + 30), "nose_tip": (256, 270)}
    marks |= {"right_iris": (x + 4, y - 6)}
    face = fit_marks(marks, *SIZE)
    for name, place in marks.items():
        for index in (NEEDED | OPTIONAL)[name]:
            tolerance = 4 if name in ("chin", "mouth_right", "mouth_left") else 2.5
            assert np.linalg.norm(face.landmarks[index, :2] - place) < tolerance, name
    assert face.landmarks[468, :2] == pytest.approx(marks["right_iris"])
    right, left = (face.landmarks[eye.lower[3], 1] - face.landmarks[eye.upper[3], 1] for eye in EYES)
    assert right > left + 15


def test_without_a_mark_an_iris_is_midway_between_the_lids() -> None:
    face = fit_marks(marks_of(make_face(pitch=10)), *SIZE)
    for eye in EYES:
        lids = (face.landmarks[eye.upper[3], :2] + face.landmarks[eye.lower[3], :2]) / 2
        assert face.landmarks[eye.iris, :2] == pytest.approx(lids, abs=0.01)
        assert face.landmarks[eye.iris_rim, :2].mean(axis=0) == pytest.approx(lids, abs=2)


def swapped(marks: Marks, *pairs: tuple[str, str]) -> dict[str, tuple[float, float]]:
    changed = dict(marks)
    for first, second in pairs:
        changed[first], changed[second] = marks[second], marks[first]
    return changed


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("right_eye_outer", "left_eye_outer"), ("right_eye_inner", "left_eye_inner")], "mouth lies above the eyes"),
        ([("right_eye_outer", "right_eye_inner")], "right eye inner lies on the wrong side"),
        ([("mouth_right", "mouth_left")], "mouth left lies on the wrong side"),
        ([("upper_lip", "lower_lip")], "lower lip lies above the upper lip"),
        ([("chin", "nose_tip")], "lies above"),
        ([("right_eye_top", "right_eye_bottom")], "right eye bottom lies above"),
    ],
)
def test_crossed_marks_are_named(pairs: list[tuple[str, str]], words: str) -> None:
    marks = swapped(marks_of(make_face(), "right_eye_top", "right_eye_bottom"), *pairs)
    with pytest.raises(FaceError, match=words) as caught:
        fit_marks(marks, *SIZE)
    assert caught.value.remedy


def test_marks_that_are_no_face() -> None:
    marks = marks_of(make_face())
    with pytest.raises(FaceError, match="only 12 pixels"):
        fit_marks(marks_of(make_face(scale=12)), *SIZE)
    with pytest.raises(FaceError, match="not lie as in a face"):
        fit_marks({**marks, "chin": (256, 505), "lower_lip": (400, 500), "mouth_left": (500, 256)}, *SIZE)
    with pytest.raises(UsageError, match="chin is missing"):
        fit_marks({name: place for name, place in marks.items() if name != "chin"}, *SIZE)
    with pytest.raises(UsageError, match='no mark called "tail"'):
        fit_marks({**marks, "tail": (1, 1)}, *SIZE)
    with pytest.raises(UsageError, match="outside the picture"):
        fit_marks({**marks, "chin": (256, 900)}, *SIZE)
    for no_place in ((float("nan"), 1), (1e300, 1), (1, 2, 3)):
        with pytest.raises(UsageError, match="is not a position"):
            fit_marks({**marks, "chin": no_place}, *SIZE)  # type: ignore[dict-item]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-100, 600)] * 2), min_size=len(MARKS), max_size=len(MARKS)))
def test_any_marks_give_a_face_or_a_sentence(places: list[tuple[float, float]]) -> None:
    try:
        face = fit_marks(dict(zip(MARKS, places, strict=True)), *SIZE)
    except AvatarError as error:
        assert error.what and error.remedy
    else:
        assert np.isfinite(face.landmarks).all()


def test_marks_as_a_command_line_gives_them(tmp_path: Path) -> None:
    texts = [f"{number},{number + 0.5}" for number in range(len(NEEDED))]
    marks = parse_marks([*texts, "forehead=7,8"])
    assert list(marks) == [*NEEDED, "forehead"] and marks["chin"] == (9.0, 9.5) and marks["forehead"] == (7.0, 8.0)
    file = tmp_path / "marks.toml"
    file.write_text("".join(f"{name} = [{x}, {y}]\n" for name, (x, y) in marks.items()))
    assert read_marks(file) == marks
    for wrong in ("1", "1,2,3", "a,b", "chin=1;2"):
        with pytest.raises(UsageError, match="not understood"):
            parse_marks([wrong])
    with pytest.raises(UsageError, match="one too many"):
        parse_marks([*texts, "1,2"])
    for text in ("[", "chin = 3", "chin = [1]", 'chin = ["a", 2]', "marks = 4"):
        file.write_text(text)
        with pytest.raises(UsageError, match="does not hold marks"):
            read_marks(file)
    with pytest.raises(UsageError, match="cannot be read"):
        read_marks(tmp_path / "none.toml")
