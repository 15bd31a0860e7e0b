"""Neutrality of the driver's face: a score, and the reasons why a frame cannot be the reference frame."""

from __future__ import annotations

import math

import numpy as np

from avatar.motion.expression import Expression, lip_gap
from avatar.tracking.face import BLENDSHAPES, Face

# Cost of a full change of each coefficient. Left out are coefficients that depend on the shape of a face as much as
# on its expression, such as mouthPucker (full lips) and browDown (deep-set eyes).
_COSTS = {
    "jawOpen": 4.0, "mouthSmile": 1.0, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5, "mouthLeft": 1.0, "mouthRight": 1.0,
    "eyeBlink": 1.0, "eyeWide": 0.5, "eyeLook": 0.25, "browInnerUp": 0.5,
}  # fmt: skip
_WEIGHTS = np.array([next((w for start, w in _COSTS.items() if name.startswith(start)), 0.0) for name in BLENDSHAPES])
_PARTED, _PARTED_COST = 0.1, 1.0  # lip gap over mouth width that counts as nearly open, and its cost
_TURN_DEG = np.array([20.0, 30.0, 25.0])  # yaw, pitch, roll that cost 1

_SHUT, _OPEN, _GAP = 0.55, 0.22, 0.14  # limits of eyeBlink, jawOpen and the lip gap over mouth width
_FURTHEST_DEG = np.array([18.0, 28.0, 22.0])  # yaw, pitch, roll; from a camera below the screen everybody looks up

CLOSED_EYES, OPEN_MOUTH, TURNED_HEAD = "closed eyes", "an open mouth", "a turned head"


def neutrality(face: Face) -> float:
    """Score a face: 1 for a neutral face that looks straight ahead, approaching 0 with expression and rotation."""
    cost = float(_WEIGHTS @ np.square(face.blendshapes.astype(np.float64)))
    cost += _PARTED_COST * math.tanh(max(lip_gap(Expression.of(face).shape), 0.0) / _PARTED) ** 2
    cost += float(np.square(_angles(face) / _TURN_DEG).sum())
    return math.exp(-cost)


def flaw(face: Face) -> str | None:
    """Return the reason why this face cannot be the reference: CLOSED_EYES, OPEN_MOUTH or TURNED_HEAD; else None."""
    if (np.abs(_angles(face)) > _FURTHEST_DEG).any():
        return TURNED_HEAD
    if max(face.blendshape("eyeBlinkLeft"), face.blendshape("eyeBlinkRight")) > _SHUT:
        return CLOSED_EYES
    if face.blendshape("jawOpen") > _OPEN or lip_gap(Expression.of(face).shape) > _GAP:
        return OPEN_MOUTH
    return None


def _angles(face: Face) -> np.ndarray:
    """Return (3,) float64 yaw, pitch and roll in degrees."""
    return np.array([face.pose.yaw_deg, face.pose.pitch_deg, face.pose.roll_deg])
