"""Orientation of images: every rotation is found; upright faces and tilted heads are left unchanged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face

from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library.builtin import MADE_HERE
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import TURNS_DEG, how_turned, likeliest_turn, turned, weigh_turns


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> FaceTracker:
    return FaceTracker(face_model)


def tilted(picture: RgbImage, degrees: float) -> RgbImage:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def test_a_single_look_is_deceived(tracker: FaceTracker, head: RgbImage) -> None:
    found = tracker.detect(turned(head, 180))
    assert found and abs(found[0].pose.roll_deg) < 30  # else these tests could not fail


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_every_turn_is_found(tracker: FaceTracker, head: RgbImage, turn_deg: int) -> None:
    picture = turned(head, turn_deg)
    found = how_turned(picture, tracker)
    assert found == (360 - turn_deg) % 360
    np.testing.assert_array_equal(turned(picture, found), head)


@pytest.mark.parametrize("name", ["Sam", "Zuri", "Elise", "Bolt"])
@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_drawings_are_told_as_well(tracker: FaceTracker, name: str, turn_deg: int) -> None:
    picture = load_image(MADE_HERE / name / "picture.jpg")
    assert how_turned(turned(picture, turn_deg), tracker) == (360 - turn_deg) % 360


@pytest.mark.parametrize("degrees", [-50, -45, -30, 30, 45, 50])
def test_a_tilted_head_is_left_alone(tracker: FaceTracker, head: RgbImage, degrees: float) -> None:
    assert how_turned(tilted(head, degrees), tracker) == 0


def test_without_a_face_nothing_is_turned(tracker: FaceTracker) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    assert how_turned(noise, tracker) == 0
    assert not weigh_turns(noise, tracker).any()


def test_a_faint_face_that_is_tilted_is_none() -> None:
    class Tracker(FaceTracker):
        def __init__(self, presence: float, roll: float) -> None:
            self.face = dataclasses.replace(make_face(roll=roll), presence=presence)

        def detect(self, rgb: RgbImage) -> list[Face]:
            return [self.face] if rgb[0, 0, 0] else []  # as the picture is, and in no other position

    picture = np.zeros((20, 20, 3), np.uint8)
    picture[0, 0] = 1
    assert how_turned(picture, Tracker(0.97, 44)) is None
    assert how_turned(picture, Tracker(0.97, 20)) == how_turned(picture, Tracker(0.99999, 44)) == 0


def test_in_doubt_a_picture_is_upright_and_traces_turn_nothing() -> None:
    def told(*weights: float) -> int | None:
        return likeliest_turn(np.array(weights, np.float32))

    assert told(20, 0, 20.5, 0) == 0 and told(20, 0, 22, 0) == 180
    assert told(0, 12, 0, 3) == 90 and told(0, 5, 0, 0) is None
    assert told(0.5, 0, 0, 0) == 0 and told(2, 0, 0, 6) is None  # unlike an upright face, and no other either
