"""Motion of a whole clip, including frames without a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face

from avatar.errors import FaceError, VideoError
from avatar.frames import Frame
from avatar.motion.track import MotionTrack, track_frames
from avatar.tracking import Face, FaceTracker


class Script(FaceTracker):
    """Answers in order, as a tracker would; notes the times it is given."""

    def __init__(self, answers: list[Face | None]) -> None:
        self._answers = iter(answers)
        self.times_s: list[float | None] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def track(self, rgb: np.ndarray, time_s: float | None = None) -> Face | None:
        self.times_s.append(time_s)
        return next(self._answers)


def frames(count: int, start_ns: int = 0) -> list[Frame]:
    return [Frame(np.zeros((48, 64, 3), np.uint8), n, start_ns + n * 40_000_000) for n in range(count)]


def test_gaps_repeat_the_last_good_frame() -> None:
    first, second = make_face(yaw=5), make_face(yaw=20, jawOpen=0.5, presence=0.8)
    script = Script([None, first, None, second, None])
    track = track_frames(frames(5, start_ns=7_000_000_000), script, name="clip.mp4")
    np.testing.assert_allclose(track.presence, [0, 1, 0, 0.8, 0])
    for index, expected in enumerate([first, first, first, second, second]):
        np.testing.assert_array_equal(track.landmarks[index], expected.landmarks)
        np.testing.assert_array_equal(track.blendshapes[index], expected.blendshapes)
    np.testing.assert_allclose(track.times_s, np.arange(5) * 0.04)
    assert script.times_s == pytest.approx(list(track.times_s)) and script.resets == 1
    assert (track.width_px, track.height_px, track.name, len(track)) == (64, 48, "clip.mp4", 5)
    assert track.landmarks.dtype == track.blendshapes.dtype == track.presence.dtype == np.float32


def test_faces_come_back_with_their_pose() -> None:
    track = track_frames(frames(2), Script([make_face(yaw=10), None]))
    assert track.face(0).pose.yaw_deg == pytest.approx(10, abs=0.1)
    assert track.face(0).presence == 1 and track.face(1).presence == 0
    assert track.face(1).pose.yaw_deg == pytest.approx(10, abs=0.1)


def test_nothing_to_track_is_said() -> None:
    with pytest.raises(VideoError, match="no frames"):
        track_frames([], Script([]), name="empty.mp4")
    with pytest.raises(FaceError, match=r"wall\.mp4 shows no face"):
        track_frames(frames(3), Script([None] * 3), name="wall.mp4")


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    face = make_face()
    with pytest.raises(ValueError, match="cannot have arrays"):
        MotionTrack(face.landmarks[None], face.blendshapes[None], np.ones(2, np.float32), np.zeros(2), 1, 1, "")


def test_a_real_picture_through_the_real_tracker(face_model: Path) -> None:
    from skimage import data

    still = data.astronaut()
    empty = np.zeros_like(still)
    clip = [Frame(rgb, n, n * 33_000_000) for n, rgb in enumerate([still, empty, still, still])]
    track = track_frames(clip, FaceTracker(face_model))
    assert list(track.presence > 0.9) == [True, False, True, True]
    assert np.abs(track.landmarks[3] - track.landmarks[0]).max() < 2
