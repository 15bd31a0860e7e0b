"""The One-Euro filter: steady at rest, fast in motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.tracking import FaceTracker, canonical_face
from avatar.tracking.smoothing import OneEuroFilter, landmark_filter

RATE = 30.0
UNIT_PX = 100.0
FACE = (canonical_face().points * UNIT_PX + 300).astype(np.float32)
LID, BRIDGE = 159, 168


def run(frames: list[np.ndarray], rate: float = RATE) -> np.ndarray:
    smooth = landmark_filter()
    return np.stack([smooth.filter(frame, index / rate, UNIT_PX) for index, frame in enumerate(frames)])


def test_first_values_pass_unchanged() -> None:
    np.testing.assert_array_equal(landmark_filter().filter(FACE, 5.0, UNIT_PX), FACE)


def test_noise_on_a_still_face_is_mostly_gone() -> None:
    rng = np.random.default_rng(0)
    noisy = [(FACE + rng.normal(0, 0.15, FACE.shape)).astype(np.float32) for _ in range(120)]
    left = (run(noisy)[40:] - FACE).std(axis=(0, 2)) / 0.15
    assert left[BRIDGE] < 0.35 and left[LID] < 0.6 and left.mean() < 0.45


def test_a_step_is_followed_within_three_frames() -> None:
    stepped = [FACE] * 10 + [FACE + np.float32(20)] * 10  # a fifth of the eyes' distance at once
    done = (run(stepped) - FACE).mean(axis=(1, 2)) / 20
    assert done[9] == pytest.approx(0, abs=1e-5)
    assert done[10] > 0.8 and done[12] > 0.97


def test_a_blink_keeps_its_depth() -> None:
    closed = FACE.copy()
    closed[LID, 1] += 10
    depth = np.array([0, 0, 0, 0.5, 1, 1, 0.6, 0.2, 0, 0])
    frames = [FACE] * 10 + [(FACE + (closed - FACE) * np.float32(share)) for share in depth]
    lid = (run(frames)[10:, LID, 1] - FACE[LID, 1]) / 10
    assert lid.max() > 0.95
    assert abs(int(lid.argmax()) - 4.5) <= 0.5


def test_result_depends_on_seconds_not_on_frames() -> None:
    def swaying(rate: float) -> np.ndarray:
        times = np.arange(int(2 * rate)) / rate
        return run([(FACE + np.float32(15 * np.sin(3 * t))).astype(np.float32) for t in times], rate)[-1]

    np.testing.assert_allclose(swaying(30), swaying(120), atol=1.5)


def test_size_of_the_face_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.normal(0, 0.3, FACE.shape).astype(np.float32) for _ in range(20)]
    small, large = landmark_filter(), landmark_filter()
    for index, part in enumerate(noise):
        one = small.filter(FACE + part, index / RATE, UNIT_PX)
        eight = large.filter((FACE + part) * np.float32(8), index / RATE, UNIT_PX * 8)
    np.testing.assert_allclose(eight / 8, one, rtol=1e-4)


def test_time_that_stands_still_changes_nothing() -> None:
    smooth = OneEuroFilter(1.0, 0.0)
    smooth.filter(FACE, 0.0)
    after = smooth.filter(FACE + 5, 0.1)
    np.testing.assert_array_equal(smooth.filter(FACE + 50, 0.1), after)


def test_time_that_runs_back_starts_afresh() -> None:
    smooth = OneEuroFilter(1.0, 0.0)
    smooth.filter(FACE, 9.0)
    np.testing.assert_array_equal(smooth.filter(FACE + 50, 0.0), FACE + 50)
    assert smooth.filter(FACE, 0.01).mean() > FACE.mean() + 40


def test_plain_filter_follows_the_paper() -> None:
    """With beta 0 it is an exponential filter: alpha = 1 / (1 + tau / Te), tau = 1 / (2 pi cut-off)."""
    smooth = OneEuroFilter(2.0, 0.0)
    smooth.filter(np.zeros(1, np.float32), 0.0)
    alpha = 1 / (1 + RATE / (2 * np.pi * 2.0))
    assert smooth.filter(np.ones(1, np.float32), 1 / RATE)[0] == pytest.approx(alpha, rel=1e-5)


def test_tracker_smooths_live_video_only_when_asked(face_model: Path) -> None:
    from skimage import data

    astronaut = data.astronaut()
    rng = np.random.default_rng(2)
    frames = [np.clip(astronaut + rng.normal(0, 6, astronaut.shape), 0, 255).astype(np.uint8) for _ in range(25)]

    def jitter(smoothing: bool) -> float:
        tracker = FaceTracker(face_model, smoothing=smoothing)
        faces = [tracker.track(frame, index / RATE) for index, frame in enumerate(frames)]
        return float(np.stack([face.landmarks for face in faces if face])[8:, :, :2].std(axis=0).mean())

    assert jitter(smoothing=True) < 0.55 * jitter(smoothing=False)
