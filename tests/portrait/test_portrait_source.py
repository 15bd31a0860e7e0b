"""Portraits as they are animated: rotated by their face, and cropped as requested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import UsageError
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.images.load import save_png
from avatar.live import events
from avatar.live.terminal import as_text
from avatar.portrait.crop import TURNS_DEG, parse_turn, turn_remark
from avatar.portrait.source import Likeness, read_portrait
from avatar.tracking import FaceTracker
from avatar.tracking.upright import turned


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> FaceTracker:
    return FaceTracker(face_model)


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_the_portrait_comes_out_upright(tmp_path: Path, tracker: FaceTracker, head: RgbImage, turn_deg: int) -> None:
    save_png(tmp_path / "a.png", turned(head, turn_deg))
    portrait = read_portrait(tmp_path / "a.png", tracker)
    np.testing.assert_array_equal(portrait.rgb, head)
    assert abs(portrait.faces[0].pose.roll_deg) < 15 and portrait.faces[0].presence > 0.99
    assert portrait.turn_deg == -turn_deg % 360 and bool(portrait.turn_notes()) == (turn_deg != 0)


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_a_part_is_of_the_picture_as_it_is_stored(
    tmp_path: Path, tracker: FaceTracker, head: RgbImage, turn_deg: int
) -> None:
    part = Box(30, 50, 470, 520)
    height, width = head.shape[:2]
    save_png(tmp_path / "a.png", turned(head, turn_deg))
    stored = part.turned(turn_deg, width, height)
    portrait = read_portrait(tmp_path / "a.png", tracker, stored)
    assert portrait.box == part
    np.testing.assert_array_equal(portrait.rgb, part.of(head))


def test_what_is_asked_for_counts_more_than_the_face(tmp_path: Path, tracker: FaceTracker, head: RgbImage) -> None:
    save_png(tmp_path / "a.png", turned(head, 180))
    portrait = read_portrait(tmp_path / "a.png", tracker, turn_deg=0)
    np.testing.assert_array_equal(portrait.rgb, turned(head, 180))
    assert portrait.turn_notes() == ()
    known = Likeness(tmp_path / "a.png", turn_deg=180)
    np.testing.assert_array_equal(read_portrait(known, tracker).rgb, head)
    assert read_portrait(known, tracker).turn_notes() == ()  # it was said when the avatar was added


def test_traces_of_a_face_on_its_side_are_no_face(tmp_path: Path, head: RgbImage) -> None:
    """Where only a faint face is seen in another position, the one seen as it is would be a false one."""
    save_png(tmp_path / "a.png", head)

    class Faint(FaceTracker):
        def __init__(self) -> None:
            pass

        def detect(self, rgb: RgbImage) -> list:  # type: ignore[type-arg]
            from motion_samples import make_face

            face = make_face()
            sure = 0.6 if np.array_equal(rgb, head) else 0.9 if np.array_equal(rgb, turned(head, 90)) else 0.0
            return [] if not sure else [type(face)(face.landmarks, face.blendshapes, sure, face.pose)]

    assert read_portrait(tmp_path / "a.png", Faint()).faces == ()


def test_boxes_turn_with_their_picture() -> None:
    picture = np.arange(7 * 5).reshape(7, 5).astype(np.uint8)
    part = Box(1, 2, 3, 4)
    for turn_deg in TURNS_DEG:
        np.testing.assert_array_equal(
            part.turned(turn_deg, 5, 7).of(turned(picture, turn_deg)), turned(part.of(picture), turn_deg)
        )


def test_words() -> None:
    assert parse_turn("auto") is None and parse_turn("270") == 270
    with pytest.raises(UsageError):
        parse_turn("45")
    assert "counter-clockwise by 90" in turn_remark(270) and "clockwise by 90" in turn_remark(90)
    assert as_text(events.AvatarReady("a", 1.0, (turn_remark(180),))) == turn_remark(180)
