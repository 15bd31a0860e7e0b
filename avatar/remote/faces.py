"""A face as few bytes: its pose, and how its shape differs from the reference face, in units that suit a portrait.

A shape is measured in the head's own frame, where the outer corners of the eyes are 1 apart; a step of STEP is a fifth
of a pixel of a face as large as a portrait of 512 pixels. Most landmarks differ little from the reference, which
zlib turns into 1.5 kB for a frame; the reference itself travels once, as it is.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.remote.protocol import ProtocolError, Refusal
from avatar.tracking.face import BLENDSHAPES, LANDMARKS, Face, HeadPose
from avatar.tracking.pose import angles_deg

STEP = 1 / 1024  # head units
_POSE = struct.Struct("<3f3fff")  # rotation vector, centre, scale, presence
_SHAPE_BYTES = LANDMARKS * 3 * 2
_MOTION_BYTES = _SHAPE_BYTES + len(BLENDSHAPES)
_FARTHEST_PX, _SCALES_PX = 1e5, (1e-2, 1e5)
_LEVEL = 6  # of zlib, 0.1 ms

FloatArray = npt.NDArray[np.float32]


def pack_reference(face: Face) -> bytes:
    """Pack a whole face: exactly its landmarks and blendshapes."""
    return _pose_bytes(face) + face.landmarks.astype("<f4").tobytes() + face.blendshapes.astype("<f4").tobytes()


def unpack_reference(data: bytes) -> Face:
    """Unpack a whole face. Raises: ProtocolError: it is none, or out of all proportion."""
    if len(data) != _POSE.size + 4 * (LANDMARKS * 3 + len(BLENDSHAPES)):
        raise ProtocolError(Refusal.MALFORMED)
    pose, presence = _pose_of(data[: _POSE.size])
    values = np.frombuffer(data, "<f4", offset=_POSE.size).astype(np.float32)
    landmarks = values[: LANDMARKS * 3].reshape(LANDMARKS, 3)
    return _checked(landmarks, values[LANDMARKS * 3 :], presence, pose)


def pack_motion(face: Face, reference: Face) -> bytes:
    """Pack a face against a reference; the landmarks are rounded to STEP, the blendshapes to 1/255."""
    steps = np.clip(np.rint((_shape(face) - _shape(reference)) / STEP), -32768, 32767).astype("<i2")
    planes = steps.T.copy().view(np.uint8).reshape(3, LANDMARKS, 2)  # high bytes apart: nearly all alike
    levels = np.clip(np.rint(face.blendshapes * 255), 0, 255).astype(np.uint8)
    return _pose_bytes(face) + zlib.compress(planes.transpose(2, 0, 1).tobytes() + levels.tobytes(), _LEVEL)


def unpack_motion(data: bytes, reference: Face) -> Face:
    """Unpack a face against the reference that it was packed against. Raises: ProtocolError: it is none."""
    pose, presence = _pose_of(data[: _POSE.size])
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data[_POSE.size :], _MOTION_BYTES + 1)  # a few bytes could hold gigabytes
    except zlib.error as error:
        raise ProtocolError(Refusal.MALFORMED) from error
    if len(plain) != _MOTION_BYTES or not unpacker.eof or unpacker.unused_data:
        raise ProtocolError(Refusal.MALFORMED)
    planes = np.frombuffer(plain, np.uint8, _SHAPE_BYTES).reshape(2, 3, LANDMARKS)
    steps = np.ascontiguousarray(planes.transpose(1, 2, 0)).view("<i2")[..., 0].T
    shape = _shape(reference) + steps.astype(np.float32) * np.float32(STEP)
    landmarks = shape @ pose.rotation.T * np.float32(pose.scale_px) + pose.centre_px
    levels = np.frombuffer(plain, np.uint8, offset=_SHAPE_BYTES)
    return _checked(np.asarray(landmarks, np.float32), levels.astype(np.float32) / np.float32(255), presence, pose)


def _shape(face: Face) -> FloatArray:
    """Return the landmarks (478, 3) in the head's own frame and unit."""
    pose = face.pose
    return np.asarray((face.landmarks - pose.centre_px) @ pose.rotation / np.float32(pose.scale_px), np.float32)


def _pose_bytes(face: Face) -> bytes:
    vector, _ = cv2.Rodrigues(face.pose.rotation.astype(np.float64))
    return _POSE.pack(*vector.ravel(), *face.pose.centre_px, face.pose.scale_px, face.presence)


def _pose_of(data: bytes) -> tuple[HeadPose, float]:
    """Return a pose and the face's presence. Raises: ProtocolError."""
    if len(data) != _POSE.size:
        raise ProtocolError(Refusal.MALFORMED)
    *values, scale_px, presence = _POSE.unpack(data)
    numbers = np.array(values, np.float64)
    sound = np.isfinite(numbers).all() and np.abs(numbers[:3]).max() < 10 and np.abs(numbers[3:]).max() < _FARTHEST_PX
    if not (sound and _SCALES_PX[0] <= scale_px <= _SCALES_PX[1] and 0 <= presence <= 1):
        raise ProtocolError(Refusal.MALFORMED)
    rotation, _ = cv2.Rodrigues(numbers[:3])
    pose = HeadPose(
        np.asarray(rotation, np.float32), numbers[3:].astype(np.float32), float(scale_px), *angles_deg(rotation)
    )
    return pose, float(presence)


def _checked(landmarks: FloatArray, blendshapes: FloatArray, presence: float, pose: HeadPose) -> Face:
    """Build a face of (478, 3) landmarks and (52,) blendshapes. Raises: ProtocolError: values out of range."""
    with np.errstate(invalid="ignore"):
        sound = np.abs(landmarks).max() < _FARTHEST_PX and blendshapes.min() >= -0.01 and blendshapes.max() <= 1.01
    if not sound:  # nor NaN
        raise ProtocolError(Refusal.MALFORMED)
    return Face(landmarks, blendshapes, presence, pose)
