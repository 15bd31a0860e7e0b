"""Head pose from landmarks: a similarity between a canonical head and the points that expression does not move."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray
from avatar.tracking.face import HeadPose

Float64Array = npt.NDArray[np.float64]


def fit_similarity(
    source: npt.NDArray[np.floating], target: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
) -> tuple[float, Float64Array, Float64Array]:
    """Fit `target ~ scale * rotation @ source + shift` by weighted least squares.

    Umeyama 1991, Eq. 40-42, with weights. Works in any dimension.

    Args:
        source: (N, D).
        target: (N, D).
        weights: (N,), >= 0, not all 0.
    Returns:
        scale, rotation (D, D) and shift (D,).
    """
    share = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    source_mean, target_mean = share @ source, share @ target
    centred = source - source_mean
    covariance = (target - target_mean).T @ (centred * share[:, None])
    left, spread, right = np.linalg.svd(covariance)
    flips = np.ones(len(spread))
    if np.linalg.det(left) * np.linalg.det(right) < 0:
        flips[-1] = -1  # the nearest orthogonal matrix is a mirror; the nearest rotation flips its weakest axis
    rotation = (left * flips) @ right
    variance = float(share @ (centred**2).sum(axis=1))
    scale = float(spread @ flips) / max(variance, 1e-12)
    return scale, rotation, target_mean - scale * rotation @ source_mean


def angles_deg(rotation: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """Decompose a (3, 3) rotation into yaw, pitch and roll in degrees, in the order and signs of `HeadPose`."""
    pitch = math.asin(min(max(float(rotation[2, 1]), -1.0), 1.0))
    yaw = math.atan2(-float(rotation[2, 0]), float(rotation[2, 2]))
    roll = math.atan2(-float(rotation[0, 1]), float(rotation[1, 1]))
    return -math.degrees(yaw), -math.degrees(pitch), math.degrees(roll)


def rotation_from_angles(yaw_deg: float, pitch_deg: float, roll_deg: float) -> FloatArray:
    """Compose the (3, 3) float32 rotation of yaw, then pitch, then roll, in the signs of `HeadPose`."""
    yaw, pitch, roll = math.radians(-yaw_deg), math.radians(-pitch_deg), math.radians(roll_deg)
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


def pose_of_angles(
    yaw_deg: float, pitch_deg: float, roll_deg: float, centre_px: FloatArray, scale_px: float
) -> HeadPose:
    """Build the pose of a head turned by yaw, then pitch, then roll, with its origin at `centre_px` (3,)."""
    rotation = rotation_from_angles(yaw_deg, pitch_deg, roll_deg)
    return HeadPose(rotation, np.asarray(centre_px, np.float32), scale_px, yaw_deg, pitch_deg, roll_deg)


def head_pose(landmarks: FloatArray, canonical: FloatArray, weights: FloatArray) -> HeadPose:
    """Fit a (478, 3) canonical head to (478, 3) landmarks, with weights (478,)."""
    used = np.flatnonzero(weights)
    scale, rotation, centre = fit_similarity(canonical[used], landmarks[used], weights[used])
    yaw, pitch, roll = angles_deg(rotation)
    return HeadPose(rotation.astype(np.float32), centre.astype(np.float32), scale, yaw, pitch, roll)
