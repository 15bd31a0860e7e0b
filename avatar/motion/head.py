"""Head motion relative to the reference frame, limited to what a flat portrait can show."""

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
SEEN_TURN = np.array([1.1, 1.15, 1.0], np.float32)  # gains of yaw, pitch, roll: a relief looks turned less than a head
LEGIBLE_DEG, PROFILE_DEG = 40.0, 70.0
MESH_POINTS = 468  # landmarks of the face's surface; the irises follow them
KNEE = 0.6  # fraction of a limit up to which motion is followed exactly


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A rigid motion of the portrait's head: x -> zoom * rotation @ (x - centre) + centre + shift."""

    rotation: FloatArray  # (3, 3), determinant +1
    shift_px: FloatArray  # (3,), pixels of the portrait
    zoom: float  # > 1: nearer

    @staticmethod
    def still() -> HeadMotion:
        """Return the identity: no motion."""
        return HeadMotion(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), 1.0)


def head_motion(
    source: Face, reference: Face, driving: Face, *, strength: float = 1.0, relative: bool = True
) -> HeadMotion:
    """Transfer the driver's head motion since the reference frame to the portrait.

    Yaw, pitch and roll change by as much as the driver's have; composing R_driving R_reference^-1 (as the paper does
    with jacobians) would make a portrait that merely looks up tilt its head with every turn. Absolute motion gives the
    head the driver's own angles. Shift and zoom are relative to the head size. All are followed exactly when small and
    ease into a limit, because a flat portrait cannot show more.

    Args:
        source: the portrait.
        reference: the driver in the reference frame.
        driving: the driver now.
        strength: 0 = head kept still, 1 = as the driver, 2 = twice as far.
        relative: False for absolute motion.
    """
    pose = source.pose
    moved = pose_difference(reference.pose, driving.pose)
    if not relative:
        moved[:3] = _angles(driving.pose) - _angles(pose)
    zoom = math.exp(soft_limit(strength * float(moved[5]), math.log(ZOOM_LIMIT)))
    turn = np.float32(strength) * moved[:3]
    rotation, true = _rotation(pose, SEEN_TURN * turn), _rotation(pose, turn)
    # The face's middle lies in front of the centre of rotation: without this, the gain would carry it too far.
    middle = (source.landmarks[:MESH_POINTS].mean(axis=0) - pose.centre_px) / np.float32(pose.scale_px)
    across, down = np.float32(strength) * moved[3:5] + (np.float32(zoom) * (true - rotation) @ middle)[:2]
    distance = math.hypot(across, down)
    within = soft_limit(distance, SHIFT_LIMIT) / distance if distance > 0 else 1.0
    shift = np.array([across * within, down * within, 0.0], np.float32) * np.float32(pose.scale_px)
    return HeadMotion(rotation, shift, zoom)


def _rotation(pose: HeadPose, turn_deg: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) that turns a portrait's head by (3,) yaw, pitch and roll, within the limits."""
    yaw, pitch, roll = turn_deg.tolist()
    turned = rotation_from_angles(
        pose.yaw_deg + _follow(yaw, pose.yaw_deg, YAW_LIMIT_DEG),
        pose.pitch_deg + _follow(pitch, pose.pitch_deg, PITCH_LIMIT_DEG),
        pose.roll_deg + _follow(roll, 0.0, ROLL_LIMIT_DEG),
    )
    return np.asarray(turned @ rotation_from_angles(pose.yaw_deg, pose.pitch_deg, pose.roll_deg).T, np.float32)


def pose_difference(first: HeadPose, second: HeadPose) -> FloatArray:
    """Return the change of pose: (6,) yaw, pitch, roll (degrees), shift x and y (head sizes), log zoom."""
    turn = _angles(second) - _angles(first)
    first_px, second_px = (max(pose.scale_px, 1e-3) for pose in (first, second))  # an imported template may hold 0
    shift = (second.centre_px - first.centre_px)[:2] / first_px
    return np.array([*turn, *shift, math.log(second_px / first_px)], np.float32)


def _angles(pose: HeadPose) -> FloatArray:
    """Return (3,) float32 yaw, pitch and roll in degrees."""
    return np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg], np.float32)


def soft_limit(value: float, limit: float) -> float:
    """Return `value` up to KNEE * limit, then a smooth saturation towards +-limit."""
    knee, size = KNEE * limit, abs(value)
    if size <= knee:
        return value
    return math.copysign(knee + (limit - knee) * math.tanh((size - knee) / (limit - knee)), value)


def _follow(angle_deg: float, portrait_deg: float, limit_deg: float) -> float:
    """Soft-limit a rotation so that the portrait turns at most `limit_deg` away from the viewer in total."""
    away = portrait_deg * angle_deg > 0
    room = max(limit_deg - abs(portrait_deg), 0.25 * limit_deg) if away else limit_deg
    return soft_limit(angle_deg, room)


def legibility(driving: HeadPose) -> float:
    """Return the reliability of the expression at this pose: 1 up to LEGIBLE_DEG, falling to 0 at PROFILE_DEG."""
    away = max(abs(driving.yaw_deg), abs(driving.pitch_deg)) - LEGIBLE_DEG
    return float(np.clip(1 - away / (PROFILE_DEG - LEGIBLE_DEG), 0.0, 1.0))


def weaken(motion: HeadMotion, share: float) -> HeadMotion:
    """Scale a motion by `share`: 0 = no motion, 1 = unchanged."""
    if share >= 1:
        return motion
    rotation = rotation_from_angles(*(share * angle for angle in angles_deg(motion.rotation)))
    return HeadMotion(rotation, motion.shift_px * np.float32(share), motion.zoom**share)
