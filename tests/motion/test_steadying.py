"""Smoothing of motion that is known in full: gaps, cuts, and clips of another rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_samples import make_face, make_track

from avatar.motion.parameters import ParameterTrack
from avatar.motion.steadying import presence_weights, steady_outline, steady_parameters


def parameters(values: np.ndarray, rate: float = 25) -> ParameterTrack:
    """A track whose yaw and first expression offset are `values`, (T,)."""
    count = len(values)
    angles, expression = np.zeros((count, 3), np.float32), np.zeros((count, 5, 3), np.float32)
    angles[:, 1], expression[:, 0, 0] = values, values
    return ParameterTrack(
        angles, np.zeros((count, 3), np.float32), np.ones((count, 1), np.float32), expression,
        np.zeros((count, 3), np.float32), np.ones(count, np.float32), (np.arange(count) / rate).astype(np.float32),
    )  # fmt: skip


def test_motion_eases_out_before_a_gap_and_in_after_it() -> None:
    seen, times_s = np.ones(100, np.float32), np.arange(100) / 25
    seen[40:60] = 0
    weights = presence_weights(seen, times_s)
    assert (weights[40:60] == 0).all() and (weights[:30] == 1).all() and (weights[70:] == 1).all()
    assert (np.diff(weights[30:41]) <= 0).all() and 0 < weights[38] < 0.5
    assert np.allclose(weights[30:40], weights[60:70][::-1], atol=1e-6)


def test_short_gaps_are_bridged_but_not_at_cuts_or_ends() -> None:
    seen, times_s = np.ones(50, np.float32), np.arange(50) / 25
    seen[20:23] = 0
    assert (presence_weights(seen, times_s) == 1).all()
    assert (presence_weights(seen, times_s, cuts=(23,))[20:23] == 0).all()
    seen[20:23], seen[-2:] = 1, 0
    assert (presence_weights(seen, times_s)[-2:] == 0).all()


def test_an_outline_is_averaged_within_its_shot() -> None:
    faces = [make_face(centre=(200 + 3 * (-1) ** n, 200)) for n in range(40)]
    faces += [make_face(centre=(400, 200)) for _ in range(40)]
    track = replace(make_track(faces), cuts=(40,))
    middles = np.array([steady_outline(track, n)[:, 0].mean() - make_face().landmarks[:, 0].mean() for n in range(80)])
    assert np.abs(middles[:40] - (200 - 256)).max() < 1.0  # trembles by 3
    assert np.abs(middles[40:] - (400 - 256)).max() < 0.01


def test_a_face_that_is_not_seen_does_not_count() -> None:
    faces = [make_face(centre=(200, 200), presence=float(n not in (10, 11))) for n in range(21)]
    track = make_track(faces)
    track.landmarks[10:12] += 50
    outline = steady_outline(track, 10)
    assert np.abs(outline - track.landmarks[0, :, :2]).max() < 0.01


@pytest.mark.parametrize("rate", [8, 25])
def test_motion_between_frames_is_between_theirs_and_smooth(rate: int) -> None:
    track = parameters(np.arange(2 * rate, dtype=np.float32) / rate, rate)  # 1 a second
    times_s = np.arange(25, 75) / 50 + 0.2
    yaws = np.array([steady_parameters(track, at).angles_deg[1] for at in times_s])
    assert np.abs(yaws - times_s).max() < 0.03 and (np.diff(yaws) > 0).all()


def test_noise_is_less_and_a_blink_stays() -> None:
    noise = np.random.default_rng(0).normal(size=100).astype(np.float32)
    track = parameters(noise)
    smooth = np.array([steady_parameters(track, at).angles_deg[1] for at in track.times_s])
    assert smooth.std() < 0.6 * noise.std()
    blink = np.zeros(50, np.float32)
    blink[24:27] = 1
    track = parameters(blink)
    assert steady_parameters(track, 1.0).expression[0, 0] > 0.95


def test_nothing_is_smoothed_across_a_cut() -> None:
    track = parameters(np.repeat([0.0, 10.0], 25).astype(np.float32))
    yaws = [steady_parameters(track, at, cuts=(25,)).angles_deg[1] for at in track.times_s]
    assert set(np.round(yaws, 4)) == {0.0, 10.0}
    assert steady_parameters(track, 99.0, cuts=(25,)).angles_deg[1] == 10
