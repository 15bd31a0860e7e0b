"""How the head moves relative to the reference frame, and how far a flat portrait can follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from avatar.tracking.face import Face, HeadPose
from avatar.tracking.pose import angles_deg, rotation_from_angles

YAW_LIMIT_DEG, PITCH_LIMIT_DEG, ROLL_LIMIT_DEG = 42.0, 30.0, 40.0
SHIFT_LIMIT = 0.75  # in units of the canonical head (outer eye corners), sideways and up or down
ZOOM_LIMIT = 1.35
SEEN_TURN = np.array([1.1, 1.15, 1.0], np.float32)  # a relief must turn further than a head to be seen turned as far
LEGIBLE_DEG, PROFILE_DEG = 40.0, 70.0
KNEE = 0.6  # share of a limit up to which motion is followed exactly


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A rigid motion of the portrait's head: x -> zoom * rotation @ (x - centre) + centre + shift."""

    rotation: FloatArray  # (3, 3), proper
    shift_px: FloatArray  # (3,), pixels of the portrait
    zoom: float  # > 1: nearer

    @staticmethod
    def still() -> HeadMotion:
        """No motion at all."""
        return HeadMotion(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), 1.0)


def head_motion(
    source: Face, reference: Face, driving: Face, *, strength: float = 1.0, relative: bool = True
) -> HeadMotion:
    """Carry the driver's head motion since the reference frame over to the portrait.

    Yaw, pitch and roll change by as much as the driver's have; composing R_driving R_reference^-1 (as the paper does
    with jacobians) would make a portrait that merely looks up tilt its head with every turn. Absolute motion turns the
    head exactly as the driver's is. Shift and zoom are measured in head sizes. All are followed exactly when small and
    ease into a limit, where a flat picture has nothing more to show.

    Args:
        source: the portrait.
        reference: the driver in the reference frame.
        driving: the driver now.
        strength: 0 = head kept still, 1 = as the driver, 2 = twice as far.
    """
    pose = source.pose
    moved = pose_difference(reference.pose, driving.pose)
    if not relative:
        moved[:3] = _angles(driving.pose) - _angles(pose)
    moved[:3] *= SEEN_TURN
    yaw, pitch, roll, across, down, log_zoom = (strength * float(value) for value in moved)
    turned = rotation_from_angles(
        pose.yaw_deg + _follow(yaw, pose.yaw_deg, YAW_LIMIT_DEG),
        pose.pitch_deg + _follow(pitch, pose.pitch_deg, PITCH_LIMIT_DEG),
        pose.roll_deg + _follow(roll, 0.0, ROLL_LIMIT_DEG),
    )
    rotation = turned @ rotation_from_angles(pose.yaw_deg, pose.pitch_deg, pose.roll_deg).T
    distance = math.hypot(across, down)
    within = soft_limit(distance, SHIFT_LIMIT) / distance if distance > 0 else 1.0
    shift = np.array([across * within, down * within, 0.0], np.float32) * np.float32(pose.scale_px)
    return HeadMotion(rotation, shift, math.exp(soft_limit(log_zoom, math.log(ZOOM_LIMIT))))


def pose_difference(first: HeadPose, second: HeadPose) -> FloatArray:
    """How `second` differs from `first`: yaw, pitch, roll (degrees), shift x and y (head sizes), log zoom; (6,)."""
    turn = _angles(second) - _angles(first)
    first_px, second_px = (max(pose.scale_px, 1e-3) for pose in (first, second))  # a stranger's template may hold 0
    shift = (second.centre_px - first.centre_px)[:2] / first_px
    return np.array([*turn, *shift, math.log(second_px / first_px)], np.float32)


def _angles(pose: HeadPose) -> FloatArray:
    return np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg], np.float32)


def soft_limit(value: float, limit: float) -> float:
    """`value` itself up to KNEE * limit, then easing towards +-limit without a kink."""
    knee, size = KNEE * limit, abs(value)
    if size <= knee:
        return value
    return math.copysign(knee + (limit - knee) * math.tanh((size - knee) / (limit - knee)), value)


def _follow(angle_deg: float, portrait_deg: float, limit_deg: float) -> float:
    """Turn by `angle_deg`, but no further than a total of `limit_deg` from the viewer when turning away."""
    away = portrait_deg * angle_deg > 0
    room = max(limit_deg - abs(portrait_deg), 0.25 * limit_deg) if away else limit_deg
    return soft_limit(angle_deg, room)


def legibility(driving: HeadPose) -> float:
    """How far the expression of a head turned this far can be read: 1 up to LEGIBLE_DEG, 0 near the profile."""
    away = max(abs(driving.yaw_deg), abs(driving.pitch_deg)) - LEGIBLE_DEG
    return float(np.clip(1 - away / (PROFILE_DEG - LEGIBLE_DEG), 0.0, 1.0))


def weaken(motion: HeadMotion, share: float) -> HeadMotion:
    """A share (0 to 1) of a motion: 0 = none of it, 1 = all of it."""
    if share >= 1:
        return motion
    rotation = rotation_from_angles(*(share * angle for angle in angles_deg(motion.rotation)))
    return HeadMotion(rotation, motion.shift_px * np.float32(share), motion.zoom**share)
