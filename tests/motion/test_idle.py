from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.motion import idle
from avatar.motion.idle import BLINKS_S, LENGTH_S, RATE, compose_idle, idle_path, load_idle, pose_at
from avatar.motion.reference import neutral_frame
from avatar.motion.track import MotionTrack
from avatar.offline.evaluate_motion import channel_series
from avatar.tracking.regions import EYES


@pytest.fixture(scope="module")
def track() -> MotionTrack:
    return compose_idle()


def test_the_file_that_ships_is_what_the_code_composes(track: MotionTrack) -> None:
    shipped = load_idle()
    assert idle_path().is_file() and shipped.name == "idle"
    assert np.abs(shipped.landmarks - track.landmarks).max() < 0.05
    assert np.abs(shipped.blendshapes - track.blendshapes).max() < 1e-3
    assert np.allclose(shipped.times_s, track.times_s)


def test_without_the_file_it_is_composed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, track: MotionTrack) -> None:
    monkeypatch.setattr(idle, "idle_path", lambda: tmp_path / "missing.masque")
    assert np.array_equal(load_idle().landmarks, track.landmarks)


def test_the_loop_has_no_seam(track: MotionTrack) -> None:
    start, end = pose_at(0.0), pose_at(LENGTH_S)
    assert start.yaw_deg == pytest.approx(end.yaw_deg) and start.closing == end.closing
    steps = np.linalg.norm(np.diff(track.landmarks, axis=0), axis=2).max(axis=1)
    seam = np.linalg.norm(track.landmarks[0] - track.landmarks[-1], axis=1).max()
    assert seam <= np.median(steps) * 2 and len(track) == LENGTH_S * RATE


def test_the_lids_meet_in_every_blink_and_only_there(track: MotionTrack) -> None:
    points = track.landmarks
    gaps = np.stack([np.linalg.norm(points[:, eye.upper] - points[:, eye.lower], axis=2).mean(axis=1) for eye in EYES])
    closed = [round((start_s + 0.12) * RATE) for start_s in BLINKS_S]
    assert gaps[:, closed].max() < 0.05 * np.median(gaps)
    assert ((gaps.max(axis=0) < 0.5 * np.median(gaps)).sum()) < 0.12 * len(track)


def test_it_stays_small_and_alive(track: MotionTrack) -> None:
    series = channel_series(track)
    for name in ("yaw", "pitch", "roll"):
        assert 0.4 < series[name].std() < 3 and np.abs(series[name]).max() < 6
    for name in ("blink", "smile", "gaze_x"):
        assert series[name].std() > 0.02
    assert series["jawOpen"].max() == 0


def test_glances_point_the_way_the_coefficients_say(track: MotionTrack) -> None:
    series = channel_series(track)
    left, right = int(series["gaze_x"].argmin()), int(series["gaze_x"].argmax())
    for eye in EYES:
        middle = track.landmarks[:, [eye.outer, eye.inner], 0].mean(axis=1)
        offset = track.landmarks[:, eye.iris, 0] - middle
        assert offset[left] < offset[0] < offset[right]


def test_a_calm_frame_is_its_reference(track: MotionTrack) -> None:
    pose = pose_at(float(track.times_s[neutral_frame(track)]))
    assert pose.closing == 0 and pose.smile < 0.1 and max(map(abs, pose.gaze_deg)) < 2
