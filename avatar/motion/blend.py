"""Arithmetic on tracked faces: interpolation, and transfer of one face's motion to another."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.expression import Expression, transfer
from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import MIRRORED_BLENDSHAPES, Face, HeadPose
from avatar.tracking.pose import pose_of_angles


def face_from(shape: FloatArray, blendshapes: FloatArray, presence: float, pose: HeadPose) -> Face:
    """Build a face from a pose-free shape and a pose: the inverse of `Expression.of`.

    Args:
        shape: (478, 3) float32, canonical frame and unit.
        blendshapes: (52,) in [0, 1].
        presence: [0, 1].
        pose: the head pose to place it in.
    """
    landmarks = shape @ pose.rotation.T * np.float32(pose.scale_px) + pose.centre_px
    return Face(landmarks.astype(np.float32), blendshapes, presence, pose)


def blend(first: Face, second: Face, share: float) -> Face:
    """Interpolate between two faces by `share` in [0, 1]; expression and pose are interpolated separately."""
    if share <= 0 or share >= 1:
        return second if share >= 1 else first
    to, of = np.float32(share), np.float32(1 - share)
    one, other = first.pose, second.pose
    pose = pose_of_angles(
        one.yaw_deg + share * (other.yaw_deg - one.yaw_deg),
        one.pitch_deg + share * (other.pitch_deg - one.pitch_deg),
        one.roll_deg + share * (other.roll_deg - one.roll_deg),
        of * one.centre_px + to * other.centre_px,
        _size(one) ** (1 - share) * _size(other) ** share,
    )
    return face_from(
        of * Expression.of(first).shape + to * Expression.of(second).shape,
        of * first.blendshapes + to * second.blendshapes,
        (1 - share) * first.presence + share * second.presence,
        pose,
    )


def carry(face: Face, reference: Face, onto: Face) -> Face:
    """Apply the motion of `face` since `reference` to `onto`.

    The expression is transferred as to a portrait; rotation angles are added; shift and scale are relative to the
    head size.
    """
    shape = transfer(*(Expression.of(each) for each in (onto, reference, face)))
    now, then, base = face.pose, reference.pose, onto.pose
    pose = pose_of_angles(
        base.yaw_deg + now.yaw_deg - then.yaw_deg,
        base.pitch_deg + now.pitch_deg - then.pitch_deg,
        base.roll_deg + now.roll_deg - then.roll_deg,
        base.centre_px + (now.centre_px - then.centre_px) * np.float32(_size(base) / _size(then)),
        _size(base) * _size(now) / _size(then),
    )
    blendshapes = np.clip(onto.blendshapes + face.blendshapes - reference.blendshapes, 0, 1)
    return face_from(shape, blendshapes, face.presence, pose)


def in_pose(face: Face, pose: HeadPose) -> Face:
    """Return the face with the same expression in another pose."""
    return face_from(Expression.of(face).shape, face.blendshapes, face.presence, pose)


def mirrored(face: Face, width_px: int) -> Face:
    """Mirror a face in an image of this width."""
    landmarks = face.landmarks[canonical_face().mirror].copy()
    landmarks[:, 0] = width_px - 1 - landmarks[:, 0]
    return replace(
        face, landmarks=landmarks, blendshapes=face.blendshapes[MIRRORED_BLENDSHAPES], pose=pose_of(landmarks)
    )


def _size(pose: HeadPose) -> float:
    return max(pose.scale_px, 1e-3) if math.isfinite(pose.scale_px) else 1e-3
