"""Transfer of the driver's motion parameters to the portrait's keypoints, with strengths, a region and retargeting."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.liveportrait import LivePortraitModel, MotionParameters, absolute_motion, relative_motion
from avatar.liveportrait.motion import BROW_POINTS, EYE_POINTS, LIP_POINTS
from avatar.settings import MotionSettings

CLOSED_LIPS = 0.03  # a smaller gap counts as a closed mouth


@dataclass(frozen=True)
class Ratios:
    """Opening ratios of a face's eyes and mouth."""

    eyes: tuple[float, float]  # the subject's right, left: lids over corners
    lips: float  # inner lips over corners


@dataclass(frozen=True, eq=False)
class Pose:
    """Motion parameters and opening ratios of a face in one image."""

    motion: MotionParameters  # of one face
    ratios: Ratios | None = None  # None: landmarks are unknown, and nothing is retargeted


def target_keypoints(
    model: LivePortraitModel, source: Pose, driving: Pose, reference: Pose, motion: MotionSettings
) -> Tensor:
    """Compute the portrait's target keypoints (1, K, 3).

    Args:
        model: provides stitching and retargeting.
        source: the portrait.
        driving: the driver now.
        reference: the driver in the reference frame; ignored for absolute motion.
        motion: options of the motion transfer.
    """
    if source.ratios is None or driving.ratios is None:
        motion = replace(motion, retarget_eyes=False, retarget_lips=False)
    x_s = source.motion.transformed()
    start = reference.motion if motion.relative else source.motion
    followed = _followed(driving.motion, start, motion)
    if motion.relative:
        x_d = relative_motion(source.motion, followed, reference.motion, region=motion.region)
    else:
        x_d = absolute_motion(source.motion, followed, motion.region)
    x_d = model.stitch(x_s, x_d + _retargeting(model, source, driving, reference, motion))
    if motion.relative and motion.close_mouth and source.ratios and source.ratios.lips >= CLOSED_LIPS:
        x_d = x_d + model.retarget_lips(x_s, x_s.new_tensor([[source.ratios.lips, 0.0]]))
    return x_d


def mean_motion(motions: MotionParameters) -> MotionParameters:
    """Return the mean of B faces of one person within a moment, as one face."""
    fields = ("pitch", "yaw", "roll", "translation", "expression", "scale", "keypoints")
    return MotionParameters(*(getattr(motions, name).mean(dim=0, keepdim=True) for name in fields))


def unlikeness(source: MotionParameters, driving: MotionParameters) -> float:
    """Return the distance of a driver from the portrait in expression and in rotation, in units of 30 degrees."""
    expression = (driving.expression - source.expression).square().mean().sqrt()
    turn = torch.cat([getattr(driving, name) - getattr(source, name) for name in ("pitch", "yaw", "roll")])
    typical = source.expression.square().mean().sqrt() + 1e-6
    return float(expression / typical + (turn / 30).square().mean().sqrt())


def _followed(driving: MotionParameters, start: MotionParameters, motion: MotionSettings) -> MotionParameters:
    """Scale the driver's motion by the strengths: each parameter is interpolated or extrapolated from its start.

    Args:
        driving, start: of one face each.
        motion: strengths, and which points are retargeted instead.
    """
    weights = _weights(driving.expression, motion)
    if motion.strength_head == 1 and bool((weights == 1).all()):
        return driving
    head = motion.strength_head

    def between(name: str, weight: float | Tensor) -> Tensor:
        """Interpolate one field; any shape."""
        one, other = getattr(start, name), getattr(driving, name)
        mixed: Tensor = one + weight * (other - one)
        return mixed

    return replace(
        driving,
        **{name: between(name, head) for name in ("pitch", "yaw", "roll", "translation", "scale")},
        expression=between("expression", weights),
    )


def _weights(expression: Tensor, motion: MotionSettings) -> Tensor:
    """Return the strength (K, 1) of each point of the expression (1, K, 3)."""
    count = expression.shape[1]
    weights = expression.new_full((count, 1), motion.strength_expression)
    for points, strength, retargeted in (
        (LIP_POINTS, motion.strength_mouth, motion.retarget_lips),
        (EYE_POINTS, motion.strength_eyes, motion.retarget_eyes),
        (BROW_POINTS, motion.strength_brows, False),
    ):
        weights[[point for point in points if point < count]] *= 0.0 if retargeted else strength
    return weights


def _retargeting(
    model: LivePortraitModel, source: Pose, driving: Pose, reference: Pose, motion: MotionSettings
) -> Tensor:
    """Return the shifts (1, K, 3) that give the portrait's eyes and lips the driver's openings (section 3.3).

    In relative motion an opening changes by the driver's factor since the reference frame, so that at rest the
    portrait keeps its own.
    """
    x_s = source.motion.transformed()
    shifts = torch.zeros_like(x_s)
    if source.ratios is None or driving.ratios is None or motion.region == "pose":
        return shifts
    at_rest = reference.ratios if motion.relative else None
    if motion.retarget_eyes and motion.region != "lip":
        own, now = sum(source.ratios.eyes) / 2, sum(driving.ratios.eyes) / 2
        wanted = now if at_rest is None else own * now / max(sum(at_rest.eyes) / 2, 1e-3)
        wanted = own + motion.strength_eyes * (wanted - own)
        shifts = shifts + model.retarget_eyes(x_s, x_s.new_tensor([[*source.ratios.eyes, max(wanted, 0.0)]]))
    if motion.retarget_lips and motion.region != "eyes":
        own, now = source.ratios.lips, driving.ratios.lips
        wanted = now if at_rest is None else own + now - at_rest.lips
        wanted = own + motion.strength_mouth * (wanted - own)
        shifts = shifts + model.retarget_lips(x_s, x_s.new_tensor([[own, max(wanted, 0.0)]]))
    return shifts
