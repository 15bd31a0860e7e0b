from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_samples import close_eyes, make_face, make_track, open_mouth

from avatar.errors import FaceError
from avatar.motion.reference import choose_reference, neutral_frame
from avatar.tracking.face import Face


def held(face: Face, count: int = 5) -> list[Face]:
    return [face] * count


def test_a_smiling_portrait_takes_the_smile() -> None:
    track = make_track(held(make_face()) + held(make_face(mouthSmile=0.8)) + held(make_face(mouthPucker=0.8)))
    assert 5 <= choose_reference(track, make_face(mouthSmile=0.7, scale=60, centre=(99, 80))) < 10
    assert choose_reference(track, make_face()) < 5


def test_an_open_mouth_takes_the_open_mouth() -> None:
    talking = open_mouth(make_face(jawOpen=0.5), 0.2)
    track = make_track(held(make_face()) + held(talking))
    assert choose_reference(track, talking) >= 5
    assert choose_reference(track, make_face()) < 5


def test_expression_comes_before_pose() -> None:
    turned_smile = make_face(yaw=30, mouthSmile=0.8, jawOpen=0.2)
    track = make_track(held(make_face(yaw=30)) + held(make_face(mouthSmile=0.8, jawOpen=0.2)))
    assert choose_reference(track, turned_smile) >= 5


def test_pose_decides_between_equal_expressions() -> None:
    track = make_track(
        held(make_face(yaw=-20)) + held(make_face(mouthSmile=0.02)) + held(make_face(yaw=20, mouthSmile=0.04))
    )
    assert choose_reference(track, make_face(yaw=25)) >= 10
    assert 5 <= choose_reference(track, make_face(yaw=2)) < 10


def test_a_blink_is_not_taken_for_open_eyes() -> None:
    drooping, turned = close_eyes(make_face(yaw=20), share=0.5, blink=0.2), make_face(yaw=-10)
    track = make_track(held(turned, 20) + held(drooping, 5))
    assert choose_reference(track, make_face(yaw=20)) < 20


def test_resting_lips_that_read_as_a_pucker_do_not_ask_for_one() -> None:
    track = make_track(held(make_face(mouthPucker=0.6, mouthRight=0.4)) + held(make_face()))
    assert choose_reference(track, make_face(mouthPucker=0.6)) >= 5


def test_a_calm_moment_is_preferred() -> None:
    passing = [make_face(yaw=yaw) for yaw in (-30, -15, 0, 15, 30)]
    track = make_track(passing + held(make_face(yaw=3)))
    assert choose_reference(track, make_face()) >= 5


def test_frames_without_a_face_are_not_chosen() -> None:
    lost = [replace(make_face(), presence=0.0)] * 5
    track = make_track(lost + held(make_face(yaw=30, mouthSmile=0.9)))
    assert choose_reference(track, make_face()) >= 5
    assert neutral_frame(track) >= 5


def test_a_doubtful_face_is_not_preferred() -> None:
    track = make_track(held(make_face(presence=0.5)) + held(make_face(presence=1.0)))
    assert choose_reference(track, make_face()) >= 5


def test_no_face_at_all() -> None:
    track = make_track(held(make_face(presence=0.0)))
    for source in (make_face(), None):
        with pytest.raises(FaceError, match="shows a face"):
            choose_reference(track, source)


def test_without_a_portrait_the_neutral_frame_is_taken() -> None:
    grimace = open_mouth(make_face(jawOpen=0.6, mouthLeft=0.5), 0.3)
    track = make_track(held(grimace, 4) + held(close_eyes(make_face()), 3) + held(make_face(), 4) + held(grimace, 4))
    assert 7 <= neutral_frame(track) < 11
    assert choose_reference(track, None) == neutral_frame(track)


def test_one_frame_is_its_own_reference() -> None:
    assert choose_reference(make_track([make_face(yaw=20)]), make_face()) == 0


@pytest.mark.parametrize("index", [0, 13, 29])
def test_a_portrait_out_of_the_clip_finds_its_own_frame(index: int) -> None:
    waves = np.sin(np.arange(30) / 8)
    faces = [open_mouth(make_face(yaw=10 * wave, mouthSmile=0.4 + 0.3 * wave), 0.1 + 0.1 * wave) for wave in waves]
    assert abs(choose_reference(make_track(faces), faces[index]) - index) <= 3
