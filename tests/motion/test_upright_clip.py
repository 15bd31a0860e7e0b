"""Clips with the face upside down or on its side: rotated once, with a note; upright ones are left unchanged."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeTracker, make_clip
from live_fakes import FakeSource
from motion_samples import make_face

from avatar.commands import template as template_command
from avatar.cv import cv2
from avatar.errors import FaceError
from avatar.frames import RgbImage
from avatar.live.turn_watch import TurnWatch
from avatar.live.upright_source import TurnedSource, as_upright
from avatar.motion.template import load_template
from avatar.motion.upright_clip import EVERY, VOTES, open_turned, settle_turn, turn_of_clip
from avatar.offline.animate import animate
from avatar.offline.driving_motion import read_motion
from avatar.offline.job import AnimateOptions, Tools
from avatar.sources.open import open_source
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import TURNS_DEG, turned

FRAMES = 8


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> FaceTracker:
    return FaceTracker(face_model)


@pytest.fixture(scope="module")
def head() -> RgbImage:
    """A face, wider than high: (200, 256, 3)."""
    from skimage import data

    return np.asarray(cv2.resize(data.astronaut()[10:210, 95:351], None, fx=1, fy=1))


def clip_of(head: RgbImage, path: Path, turn_deg: int) -> Path:
    """A clip of a head that moves across a little, turned as a whole."""
    frames = [np.roll(head, 2 * number, axis=1) for number in range(FRAMES)]
    return make_clip(path, [turned(frame, turn_deg) for frame in frames], codec_options={"crf": "12"})


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_the_first_frames_settle_the_turn(tracker: FaceTracker, head: RgbImage, turn_deg: int) -> None:
    empty = np.full_like(head, 90)
    frames = [turned(frame, turn_deg) for frame in [empty] * (EVERY + 2) + [head] * 40]
    assert settle_turn(frames, tracker) == -turn_deg % 360


def test_a_clip_without_a_face_is_left_alone(tracker: FaceTracker, head: RgbImage) -> None:
    assert settle_turn([np.full_like(head, 90)] * 12, tracker) == 0


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_a_turned_clip_is_followed_upright_and_that_is_said(
    tracker: FaceTracker, head: RgbImage, tmp_path: Path, turn_deg: int
) -> None:
    path = clip_of(head, tmp_path / "clip.mp4", turn_deg)
    motion = read_motion(path, tracker, lambda *_: None)
    assert motion.faces == FRAMES and motion.turn_deg == -turn_deg % 360
    assert all(abs(motion.track.face(number).pose.roll_deg) < 25 for number in range(FRAMES))
    assert (motion.facts.width_px, motion.facts.height_px) == (256, 200)
    assert (motion.track.width_px, motion.track.height_px) == (256, 200)
    if turn_deg == 0:
        assert motion.notes == ()
    else:
        how = "is upside down" if turn_deg == 180 else "lies on its side"
        said = f"The face in clip.mp4 {how}, so the frames are turned by {-turn_deg % 360} degrees."
        assert motion.notes == (said,)


def test_the_driver_at_the_side_is_turned_as_well(face_model: Path, head: RgbImage, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(head).save(tmp_path / "portrait.png")
    clip = clip_of(head, tmp_path / "clip.mp4", 90)
    options = AnimateOptions(
        tmp_path / "portrait.png", clip, tmp_path / "frames", side_by_side=True, crop="none", size=256
    )
    result = animate(options, tools=Tools(open_tracker=lambda: FaceTracker(face_model)))
    assert (result.width_px, result.height_px) == (512, 200) and "on its side" in " ".join(result.notes)
    first = np.asarray(Image.open(sorted((tmp_path / "frames").glob("*.png"))[0]).convert("RGB"))
    assert np.abs(first[:, :256].astype(int) - head).mean() < 8


def test_a_template_holds_the_turned_motion(
    face_model: Path, head: RgbImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    clip = clip_of(head, tmp_path / "clip.mp4", 180)
    args = argparse.Namespace(driving=clip, output=tmp_path / "a.masque", engine="warp", model=None)
    assert template_command.run(args) == 0
    assert "is upside down" in capsys.readouterr().err
    assert abs(load_template(tmp_path / "a.masque").face(0).pose.roll_deg) < 25


class Unsure(FakeTracker):
    """Sees a faint face that lies on its side, and nothing in the picture turned."""

    looks = 0

    def detect(self, rgb: RgbImage) -> list[Face]:
        self.looks += 1
        return [] if (self.looks - 1) % len(TURNS_DEG) else [replace(make_face(roll=90), presence=0.7)]


def test_where_the_votes_are_faint_the_clip_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", [np.full((48, 64, 3), 90 + n, np.uint8) for n in range(60)])
    unsure: Any = Unsure()
    with pytest.raises(FaceError, match=r"which way up the face in clip\.mp4 is") as caught:
        turn_of_clip(path, unsure)
    assert "upright" in caught.value.remedy
    assert unsure.looks == VOTES * len(TURNS_DEG)  # and no more of it is read


@pytest.mark.parametrize("turn_deg", [90, 180])
def test_a_file_that_plays_as_a_camera_is_turned(
    face_model: Path, head: RgbImage, tmp_path: Path, turn_deg: int
) -> None:
    path = clip_of(head, tmp_path / "clip.mp4", turn_deg)
    with contextlib.closing(as_upright(open_source(str(path)))) as source:
        frame = source.read()
        assert isinstance(source, TurnedSource) and frame.rgb.shape == head.shape
        assert (source.facts.width_px, source.facts.height_px) == (256, 200)
        assert "so the frames are turned" in source.facts.notes[-1]
        assert np.abs(frame.rgb.astype(int) - head).mean() < 8
    still = tmp_path / "still.png"
    cv2.imwrite(str(still), turned(head, turn_deg)[..., ::-1])
    with contextlib.closing(as_upright(open_source(str(still)))) as source:
        np.testing.assert_array_equal(source.read().rgb, head)


def test_upright_files_and_cameras_stay_as_they_are(face_model: Path, head: RgbImage, tmp_path: Path) -> None:
    path = clip_of(head, tmp_path / "clip.mp4", 0)
    opened = open_source(str(path))
    with contextlib.closing(as_upright(opened)) as source:
        assert source is opened
    camera = FakeSource()
    assert as_upright(camera) is camera


def watched(tracker: FaceTracker, picture: RgbImage, seconds: float = 10) -> list[str]:
    watch, notes = TurnWatch(), []
    tracker.reset()
    for number in range(round(seconds * 4)):
        note = watch.note(picture, tracker.track(picture), tracker, 50 + number / 4)
        notes += [] if note is None else [note]
    return notes


@pytest.mark.parametrize(("turn_deg", "how"), [(90, "lies on its side"), (180, "is upside down")])
def test_a_camera_that_is_mounted_upside_down_is_told_of_once(
    tracker: FaceTracker, head: RgbImage, turn_deg: int, how: str
) -> None:
    (note,) = watched(tracker, turned(head, turn_deg))
    assert how in note and "Turn the camera" in note


def test_an_upright_camera_is_not_told_of(tracker: FaceTracker, head: RgbImage) -> None:
    assert watched(tracker, head) == []
    assert watched(tracker, np.full_like(head, 90)) == []
    matrix = cv2.getRotationMatrix2D((128, 100), 40, 1)
    leaning = np.asarray(cv2.warpAffine(head, matrix, (256, 200), borderMode=cv2.BORDER_REPLICATE))
    assert watched(tracker, leaning) == []


def test_a_turned_clip_can_be_played_again(head: RgbImage, tmp_path: Path) -> None:
    with open_turned(clip_of(head, tmp_path / "clip.mp4", 270), 90) as clip:
        first = [frame.rgb for frame in clip]
        assert clip.rewind()
        again = [frame.rgb for frame in clip]
    assert len(first) == len(again) == FRAMES and clip.end_s > 0
    np.testing.assert_array_equal(first, again)
