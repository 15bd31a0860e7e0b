"""From the driver's parameters to the portrait's keypoints, with strengths, for a region, retargeted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from liveportrait_samples import random_motion, small_model

from avatar.engines.liveportrait.transfer_torch import Pose, Ratios, mean_motion, target_keypoints, unlikeness
from avatar.liveportrait import absolute_motion, relative_motion
from avatar.liveportrait.motion import BROW_POINTS, EYE_POINTS, LIP_POINTS
from avatar.settings import MotionSettings

MODEL = small_model()
SOURCE, REFERENCE, DRIVING = (
    Pose(random_motion(1, seed=seed), ratios)
    for seed, ratios in ((1, Ratios((0.3, 0.34), 0.1)), (2, Ratios((0.4, 0.4), 0.02)), (3, Ratios((0.1, 0.1), 0.3)))
)
X_S = SOURCE.motion.transformed()


def target(driving: Pose = DRIVING, source: Pose = SOURCE, **motion: object) -> torch.Tensor:
    return target_keypoints(MODEL, source, driving, REFERENCE, MotionSettings(**motion))  # type: ignore[arg-type]


@pytest.mark.parametrize("region", ["all", "exp", "pose", "lip", "eyes"])
def test_without_strengths_it_is_the_models_own_transfer(region: str) -> None:
    relative = relative_motion(SOURCE.motion, DRIVING.motion, REFERENCE.motion, region=region)
    assert torch.equal(target(region=region), MODEL.stitch(X_S, relative))
    absolute = absolute_motion(SOURCE.motion, DRIVING.motion, region)
    assert torch.equal(target(region=region, relative=False), MODEL.stitch(X_S, absolute))


@pytest.mark.parametrize("relative", [True, False])
def test_without_strength_the_portrait_stays_at_rest(relative: bool) -> None:
    at_rest = target(REFERENCE if relative else SOURCE, relative=relative)
    weak = target(relative=relative, strength_head=0.0, strength_expression=0.0)
    assert torch.allclose(weak, at_rest, atol=1e-5)


def test_half_the_strength_of_the_head_is_half_its_turn() -> None:
    turned = Pose(replace(REFERENCE.motion, yaw=REFERENCE.motion.yaw + 20))
    half = Pose(replace(REFERENCE.motion, yaw=REFERENCE.motion.yaw + 10))
    assert torch.allclose(target(turned, strength_head=0.5), target(half), atol=1e-5)


@pytest.mark.parametrize(
    ("strength", "points"),
    [
        ({"strength_mouth": 0.0}, LIP_POINTS),
        ({"strength_eyes": 0.0}, EYE_POINTS),
        ({"strength_brows": 0.0}, BROW_POINTS),
    ],
)
def test_mouth_eyes_and_brows_have_strengths_of_their_own(strength: dict[str, Any], points: tuple[int, ...]) -> None:
    held = DRIVING.motion.expression.clone()
    held[:, list(points)] = REFERENCE.motion.expression[:, list(points)]
    assert torch.allclose(target(**strength), target(Pose(replace(DRIVING.motion, expression=held))), atol=1e-5)


def test_eyes_that_are_retargeted_close_by_the_drivers_share() -> None:
    held = DRIVING.motion.expression.clone()
    held[:, list(EYE_POINTS)] = REFERENCE.motion.expression[:, list(EYE_POINTS)]
    carried = relative_motion(SOURCE.motion, replace(DRIVING.motion, expression=held), REFERENCE.motion)
    shifts = MODEL.retarget_eyes(X_S, torch.tensor([[0.3, 0.34, 0.32 * 0.1 / 0.4]]))
    assert torch.allclose(target(retarget_eyes=True), MODEL.stitch(X_S, carried + shifts), atol=1e-5)
    unseen = Pose(DRIVING.motion)
    assert torch.equal(target(unseen, retarget_eyes=True), target(unseen))  # nothing is known of its eyes


def test_lips_that_are_retargeted_open_as_far_as_the_drivers_in_absolute_motion() -> None:
    held = DRIVING.motion.expression.clone()
    held[:, list(LIP_POINTS)] = SOURCE.motion.expression[:, list(LIP_POINTS)]
    carried = absolute_motion(SOURCE.motion, replace(DRIVING.motion, expression=held))
    shifts = MODEL.retarget_lips(X_S, torch.tensor([[0.1, 0.3]]))
    expected = MODEL.stitch(X_S, carried + shifts)
    assert torch.allclose(target(retarget_lips=True, relative=False), expected, atol=1e-5)


def test_an_open_mouth_is_closed_first_and_a_closed_one_left_alone() -> None:
    shifts = MODEL.retarget_lips(X_S, torch.tensor([[0.1, 0.0]]))
    assert torch.allclose(target(close_mouth=True), target() + shifts, atol=1e-6)
    closed = Pose(SOURCE.motion, Ratios((0.3, 0.3), 0.02))
    assert torch.equal(target(source=closed, close_mouth=True), target(source=closed))
    assert torch.equal(target(close_mouth=True, relative=False), target(relative=False))


def test_the_mean_of_a_moment_is_less_noisy_than_one_of_its_frames() -> None:
    noisy = random_motion(16, seed=5)
    mean = mean_motion(noisy)
    assert len(mean) == 1 and torch.allclose(mean.yaw[0], noisy.yaw.mean(dim=0))
    assert torch.allclose(mean.expression[0], noisy.expression.mean(dim=0))


def test_a_face_is_most_like_itself() -> None:
    assert unlikeness(SOURCE.motion, SOURCE.motion) == 0 < unlikeness(SOURCE.motion, DRIVING.motion)
