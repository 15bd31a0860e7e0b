from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motion_samples import close_eyes, make_face

from avatar.cv import cv2
from avatar.errors import FaceError
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library.builtin import builtin_avatars
from avatar.portrait.check import Level, PortraitReport, check_portrait, ear_to_ear_px
from avatar.tracking import FaceTracker, open_tracker
from avatar.tracking.face import Face
from avatar.tracking.regions import FACE_OVAL

BLANK = np.zeros((512, 512, 3), np.uint8)


def codes(report: PortraitReport) -> list[str]:
    return [remark.code for remark in report.remarks]


def judge(*faces: Face, rgb: RgbImage = BLANK) -> PortraitReport:
    return check_portrait(rgb, faces)


def test_a_good_portrait_has_nothing_against_it() -> None:
    report = judge(make_face())
    assert report.ok and report.remarks == () and report.face is not None
    report.raise_if_refused()


def test_no_face_is_refused() -> None:
    report = judge()
    assert codes(report) == ["no-face"] and not report.ok
    with pytest.raises(FaceError, match="no face"):
        report.raise_if_refused()


def test_the_largest_of_two_faces_is_taken_and_both_are_placed() -> None:
    large, small = make_face(scale=90, centre=(150, 300)), make_face(scale=60, centre=(400, 300))
    report = judge(large, small)
    assert report.face is large and report.ok
    (remark,) = [remark for remark in report.warnings if remark.code == "several-faces"]
    assert "2 faces" in remark.what
    left = round(float(small.landmarks[:, 0].min()))
    assert f"x {left}.." in remark.what.split("Ignored")[1]


@pytest.mark.parametrize(
    ("width", "found"), [(79, Level.REFUSAL), (81, Level.WARNING), (159, Level.WARNING), (161, None)]
)
def test_small_faces(width: float, found: Level | None) -> None:
    face = make_face(yaw=30)
    face = make_face(yaw=30, scale=120 * width / ear_to_ear_px(face))
    levels = [remark.level for remark in judge(face).remarks if remark.code == "small"]
    assert levels == ([] if found is None else [found])


@pytest.mark.parametrize(("yaw", "pitch", "words"), [
    (46, 0, "46 degrees to the right"), (-50, 0, "50 degrees to the left"), (0, 36, "looks up by 36"),
    (0, -40, "looks down by 40"), (44, 0, ""), (0, 34, ""),
])  # fmt: skip
def test_turned_faces(yaw: float, pitch: float, words: str) -> None:
    report = judge(make_face(yaw=yaw, pitch=pitch))
    assert report.ok == (not words)
    if words:
        assert report.refusal is not None and words in report.refusal.what


def test_a_face_at_the_edge() -> None:
    face = make_face()
    left, top = face.landmarks[:, :2].min(axis=0)
    touching = make_face(centre=(256 - left, 256))
    assert judge(touching).ok and codes(judge(touching)) == ["edge"]
    cut = make_face(centre=(256, 256 - top - 60))
    assert codes(judge(cut)) == ["cut"] and not judge(cut).ok


def test_a_picture_cropped_close_to_the_head_is_noted() -> None:
    face = make_face()
    ears = ear_to_ear_px(face)
    low, high = (float(found) for found in (face.landmarks[FACE_OVAL, 1].min(), face.landmarks[FACE_OVAL, 1].max()))
    for shift, words in (
        (0.2 * ears - low, "cuts off the hair"),
        (511 - 0.2 * ears - high, "ends below the chin"),
        (0.4 * ears - low, ""),
    ):
        report = judge(make_face(centre=(256, 256 + shift)))
        assert report.ok and codes(report) == (["tight"] if words else [])
        assert all(words in remark.what for remark in report.remarks)


def test_closed_eyes_and_open_mouth() -> None:
    report = judge(close_eyes(make_face(jawOpen=0.5)))
    assert codes(report) == ["eyes", "mouth"] and report.ok
    wink = replace(make_face(), blendshapes=make_face(eyeBlinkLeft=0.9).blendshapes)
    assert "left eye is" in str(judge(wink).warnings[0])


def test_a_huge_picture_is_noted() -> None:
    huge = np.broadcast_to(np.uint8(0), (6000, 5000, 3))
    assert codes(judge(make_face(scale=900, centre=(2500, 3000)), rgb=huge)) == ["size"]


def test_every_remark_has_a_remedy() -> None:
    faces = [[], [make_face(yaw=60)], [close_eyes(make_face(jawOpen=0.9, scale=70, centre=(60, 60)))] * 2]
    for found in faces:
        for remark in judge(*found).remarks:
            assert remark.what.endswith(".") and remark.remedy.endswith(".")


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> FaceTracker:
    return open_tracker()


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    return load_image(builtin_avatars()[0].image_path)


def look(tracker: FaceTracker, rgb: RgbImage) -> PortraitReport:
    return check_portrait(rgb, tracker.detect(rgb))


def test_the_built_in_portrait_is_fine(tracker: FaceTracker, astronaut: RgbImage) -> None:
    report = look(tracker, astronaut)
    assert report.ok and len(report.warnings) <= 1  # her face is 100 pixels wide


def test_two_astronauts(tracker: FaceTracker, astronaut: RgbImage) -> None:
    head = astronaut[:280, 90:370]
    pair = np.hstack([cv2.resize(head, (230, 230), interpolation=cv2.INTER_AREA), head[:230]])
    report = look(tracker, pair)
    assert "several-faces" in codes(report) and "2 faces" in report.warnings[0].what + report.warnings[-1].what
    assert report.face is not None and report.face.landmarks[:, 0].min() > 230  # the right one is the larger


def test_a_shrunk_astronaut_is_too_small(tracker: FaceTracker, astronaut: RgbImage) -> None:
    report = look(tracker, cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA))
    assert report.refusal is not None and report.refusal.code == "small"


def test_half_an_astronaut_is_cut(tracker: FaceTracker, astronaut: RgbImage) -> None:
    report = look(tracker, np.ascontiguousarray(astronaut[:, 225:]))
    assert report.refusal is not None and report.refusal.code in {"cut", "no-face"}


def test_noise_has_no_face(tracker: FaceTracker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    assert codes(look(tracker, noise)) == ["no-face"]


@pytest.mark.parametrize("name", ["mona_lisa", "pearl_earring", "sfhq_003"])
def test_known_portraits_are_fine(tracker: FaceTracker, shared_data: Path, name: str) -> None:
    assert look(tracker, load_image(shared_data / "portraits" / f"{name}.jpg")).ok
