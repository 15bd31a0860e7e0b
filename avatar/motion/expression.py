"""Expression transfer from one face to another.

Works on pose-free faces: landmarks in the canonical head's frame and unit (HeadPose), which hold identity and
expression only. Displacements since the reference frame are transferred region by region, scaled to the portrait's
proportions; the openings of lids and lips are transferred as ratios, so that closed stays closed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.smoothstep import smoothstep
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import (
    CHEEKS,
    CHIN,
    EYES,
    LEFT_MOUTH_CORNER,
    LOWER_LIP,
    LOWER_LIP_POINTS,
    MOUTH_CORNERS,
    NOSE_BASE,
    RIGHT_MOUTH_CORNER,
    UPPER_LIP,
    UPPER_LIP_POINTS,
    EyeRegion,
)

CLOSED_EYE = 0.03  # lid gap over eye width that the tracker reports for a closed eye
CLOSED_LIPS = 0.012  # inner lip gap over mouth width that it reports for closed lips
LIP_OVERLAP = 0.02  # overlap of closed lips in mouth widths, which hides rims, teeth and shade
PRESS = (0.0, 0.3, 0.7, 1.0)  # shares of the overlap of each row of a lip, from its outer edge to its inner edge
OPEN_LIPS = 0.1  # lip gap over mouth width from which the full overlap is needed
LID_OVERLAP = 0.13  # overlap of a closed upper lid over the lower one in eye widths, which hides the wet rim
LID_GAIN = 1.1  # gain of lid closing: a half-closed eye must look half closed, also with a dark iris and little white
BROW_GAIN = 1.4  # a drawn brow looks raised or knit by seven tenths as much: the skin around it gets no folds
USUAL_EYE = 0.25  # lid gap over eye width from which the full overlap is needed
WIDEST_EYE = 1.45  # limit of the eye opening, relative to the portrait's own
FURTHEST_GAZE = 0.5  # limit of the iris shift in eye widths: from one corner to the other
WIDEST_MOUTH = 0.95  # inner lip gap over mouth width
_LID_PROFILE = np.array([0.75, 0.95, 1.0, 1.0, 1.0, 0.95, 0.75], np.float32)  # less towards the corners
_SMILE = [BLENDSHAPES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]
_LOWER_FACE = np.unique(np.concatenate([UPPER_LIP_POINTS, LOWER_LIP_POINTS, MOUTH_CORNERS, CHEEKS]))
_FREE = 0.35  # displacement in canonical units that is followed exactly; twice that is the limit
_BLINK = {eye: BLENDSHAPES.index(name) for eye, name in zip(EYES, ("eyeBlinkRight", "eyeBlinkLeft"), strict=True)}


@dataclass(frozen=True, eq=False)
class Expression:
    """One face without its pose."""

    shape: FloatArray  # (478, 3), canonical frame and unit
    blendshapes: FloatArray  # (52,)

    @staticmethod
    def of(face: Face) -> Expression:
        """Remove the head pose from a tracked face."""
        pose = face.pose
        shape = (face.landmarks - pose.centre_px) @ pose.rotation / np.float32(max(pose.scale_px, 1e-3))
        return Expression(shape.astype(np.float32), face.blendshapes)


@dataclass(frozen=True)
class PartStrengths:
    """Strengths of the parts of an expression, 0..2, relative to that of the whole."""

    mouth: float = 1.0
    eyes: float = 1.0
    brows: float = 1.0

    def over(self, shape: FloatArray) -> FloatArray:
        """Return the strength (478, 1) at each point of a pose-free shape (478, 3): even from brows to mouth."""
        brows = float(np.mean([shape[eye.brow, 1].mean() for eye in EYES]))
        eyes = float(np.mean([shape[eye.corners, 1].mean() for eye in EYES]))
        nose = float(shape[NOSE_BASE, 1])
        heights = (brows, eyes, 0.5 * (eyes + nose), nose)  # y points down; the nose belongs to no part
        return np.interp(shape[:, 1:2], heights, (self.brows, self.eyes, 1.0, self.mouth)).astype(np.float32)


EVEN = PartStrengths()


def transfer(
    source: Expression,
    reference: Expression,
    driving: Expression,
    *,
    strength: float = 1.0,
    parts: PartStrengths = EVEN,
) -> FloatArray:
    """Transfer the driver's expression since the reference frame to the portrait's pose-free shape.

    Args:
        source: the portrait.
        reference: the driver in the reference frame.
        driving: the driver now.
        strength: 0 = the portrait's own expression, 1 = as the driver, 2 = exaggerated.
        parts: multiplies the strength part by part.
    Returns:
        (478, 3) float32, canonical frame; equal to `source.shape` when `driving` is `reference`.
    """
    moved = (driving.shape - reference.shape) * np.float32(strength)
    moved = moved * _region_scale(source.shape, reference.shape)
    moved *= replace(parts, brows=BROW_GAIN * parts.brows).over(reference.shape)
    of_mouth, of_eyes = strength * parts.mouth, strength * parts.eyes
    moved[_LOWER_FACE, 0] *= np.float32(_room_to_smile(source, reference, driving, of_mouth))
    shape = source.shape + _plausible(moved)
    for eye, openness in zip(EYES, _openness_of_both(reference, driving), strict=True):
        lower_lid = (driving.shape - reference.shape)[eye.lower] * np.float32(of_eyes)
        lower_lid *= np.float32(_distance(source.shape, *eye.corners) / _distance(reference.shape, *eye.corners))
        _place_lids(shape, source.shape, eye, lower_lid, 1 + of_eyes * (openness - 1))
        _place_iris(shape, source, reference, driving, eye, of_eyes)
    _place_lips(shape, source, reference, driving, of_mouth)
    return shape


def as_expressing(driver: Expression, source: Expression, basis: FloatArray) -> Expression:
    """Give the driver the portrait's expression, which makes the reference of absolute motion.

    Args:
        driver: a tracked driver.
        source: the portrait.
        basis: (52, 478, 3) from `expression_basis`.
    """
    difference = source.blendshapes - driver.blendshapes
    return Expression(driver.shape + np.tensordot(difference, basis, axes=1), source.blendshapes)


@functools.cache
def expression_basis() -> FloatArray:
    """Load the displacement of the pose-free landmarks per unit of each blendshape: (52, 478, 3) float32.

    Computed by `fit_expressions`.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    from safetensors.numpy import load

    from avatar.weights import own_weights

    return np.asarray(load(own_weights("expressions").read_bytes())["basis"], np.float32)


def lid_opening(shape: FloatArray, eye: EyeRegion) -> float:
    """Return the mean gap between the lids over the width of the eye in a (478, 3) pose-free shape."""
    gap = shape[eye.lower, 1] - shape[eye.upper, 1]
    return float(gap[1:-1].mean() / _distance(shape, *eye.corners))


def lip_gap(shape: FloatArray) -> float:
    """Return the mean gap between the inner lips over the width of the mouth in a (478, 3) pose-free shape."""
    gap = shape[LOWER_LIP[3], 1] - shape[UPPER_LIP[3], 1]
    return float(gap[2:-2].mean() / _distance(shape, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER))


def _region_scale(source: FloatArray, reference: FloatArray) -> FloatArray:
    """Compute the size of each part of the portrait's face relative to the driver's.

    Args:
        source, reference: (478, 3) pose-free shapes of the portrait and the driver.
    Returns:
        (478, 3) float32 scales of the x, y and z displacements.
    """
    mouth = _ratio(source, reference, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER, 0.75, 1.3)
    lower_face = _ratio(source, reference, NOSE_BASE, CHIN, 0.75, 1.35)
    own_brows, brows_of_driver = (np.mean([_brow_height(face, eye) for eye in EYES]) for face in (source, reference))
    brows = float(np.clip(own_brows / max(float(brows_of_driver), 1e-6), 0.7, 1.4))
    height = source[:, 1:2]
    upper = smoothstep((source[NOSE_BASE, 1] * 0.4 - height) / 0.25)  # 1 above the eyes, 0 from the nose down
    sideways = upper + (1 - upper) * mouth
    upright = upper * brows + (1 - upper) * (0.5 * lower_face + 0.5 * mouth)
    return np.asarray(np.hstack([sideways, upright, 0.5 * (sideways + upright)]), np.float32)


def _room_to_smile(source: Expression, reference: Expression, driving: Expression, strength: float) -> float:
    """Return the share, in [0, 1], of the driver's smile to transfer so that a smiling portrait stays plausible."""
    own = float(source.blendshapes[_SMILE].mean())
    added = strength * float((driving.blendshapes - reference.blendshapes)[_SMILE].mean())
    if own + added <= 1 or added <= 0:
        return 1.0
    return max((1 - own) / added, 0.0)


def _plausible(moved: FloatArray) -> FloatArray:
    """Soft-limit (478, 3) displacements, so that a tracking failure cannot tear the face apart."""
    size = np.linalg.norm(moved, axis=1, keepdims=True)
    over = np.maximum(size - _FREE, 0.0)
    eased = np.minimum(size, _FREE) + _FREE * np.tanh(over / _FREE)
    return np.asarray(moved * (eased / np.maximum(size, 1e-9)), np.float32)


def _place_lids(shape: FloatArray, source: FloatArray, eye: EyeRegion, lower_lid: FloatArray, openness: float) -> None:
    """Set the lids to a given opening, relative to the portrait's own.

    Args:
        shape: (478, 3), changed in place.
        source: (478, 3), the portrait's own shape.
        eye: the eye to change.
        lower_lid: (7, 3), displacement of the driver's lower lid, scaled to the portrait.
        openness: 0 closed, 1 the portrait's own.
    """
    if openness < 1:
        openness = 1 - LID_GAIN * (1 - openness)
    openness = float(np.clip(openness, 0.0, WIDEST_EYE))
    drift = (shape[eye.corners] - source[eye.corners]).mean(axis=0)
    lower = source[eye.lower] + drift + np.clip(lower_lid - drift, -0.04, 0.04)
    closed = np.float32(max(1.0 - openness, 0.0))
    gap = source[eye.lower] - source[eye.upper]
    upper = lower - gap * np.float32(openness)
    overlap = LID_OVERLAP * _distance(source, *eye.corners) * min(lid_opening(source, eye) / USUAL_EYE, 1.0)
    upper[:, 1] += np.float32(overlap) * closed**3 * _LID_PROFILE
    meet = np.float32(0.12) * closed * gap  # a closing lower lid rises slightly to meet the upper one
    before = shape[eye.upper].copy()
    shape[eye.lower], shape[eye.upper] = lower - meet, upper - meet
    travelled = shape[eye.upper] - source[eye.upper]
    # The lid of a cartoon's large eye travels far: its skin must follow all of it, or the lash line would be stretched.
    large = max(lid_opening(source, eye) / USUAL_EYE, 1.0)
    whole, limit = np.float32(min(large - 1, 1.0)), np.float32(0.3 * large)
    for lag, ring in zip((0.45 / large, 0.8 / large**0.5), eye.upper_rings, strict=True):
        behind = travelled - (shape[ring] - source[ring])
        follow = shape[eye.upper] - before
        shape[ring] += np.float32(1 - lag) * np.clip(follow + whole * (behind - follow), -limit, limit)


def _openness_of_both(reference: Expression, driving: Expression) -> tuple[float, float]:
    """Return the opening of the right and the left eye, as `_openness`, averaged unless the driver winks.

    With a turned head the tracker reports different openings for eyes that move together; a wink differs by more.
    """
    right, left = (_openness(reference, driving, eye) for eye in EYES)
    wink = float(smoothstep((abs(right - left) - 0.4) / 0.25))
    shared = 0.5 * (right + left)
    return shared + wink * (right - shared), shared + wink * (left - shared)


def _openness(reference: Expression, driving: Expression, eye: EyeRegion) -> float:
    """Return the opening of the driver's eye: 0 closed, 1 as in the reference frame, above 1 wider."""
    at_rest, now = lid_opening(reference.shape, eye), lid_opening(driving.shape, eye)
    by_gap = (now - CLOSED_EYE) / max(at_rest - CLOSED_EYE, 0.05)
    rest_blink, blink = float(reference.blendshapes[_BLINK[eye]]), float(driving.blendshapes[_BLINK[eye]])
    by_blink = 1 - (blink - rest_blink) / max(0.66 - rest_blink, 0.2)
    if by_gap > 1 and by_blink > 1:
        return min(by_gap, 1 + 0.5 * (by_gap - 1))
    return 0.5 * (min(by_gap, 1.0) + min(by_blink, 1.0))


def _place_iris(
    shape: FloatArray, source: Expression, reference: Expression, driving: Expression, eye: EyeRegion, strength: float
) -> None:
    """Shift the irises by the driver's change of gaze, in eye widths, averaged over both eyes to reduce noise.

    Args:
        shape: (478, 3), changed in place.
        source, reference, driving: as in `transfer`.
        eye: the eye to change.
        strength: as in `transfer`.
    """
    turns = [_gaze(driving.shape, each) - _gaze(reference.shape, each) for each in EYES]
    turn = np.clip(np.mean(turns, axis=0) * np.float32(strength), -FURTHEST_GAZE, FURTHEST_GAZE)
    width = _distance(source.shape, *eye.corners)
    drift = (shape[eye.corners] - source.shape[eye.corners]).mean(axis=0)
    offset = drift + np.array([turn[0] * width, turn[1] * width, 0.0], np.float32)
    for index in (eye.iris, *eye.iris_rim):
        shape[index] = source.shape[index] + offset


def _gaze(shape: FloatArray, eye: EyeRegion) -> FloatArray:
    """Return the (2,) iris centre of a (478, 3) shape relative to the middle of the eye's corners, in eye widths."""
    middle = 0.5 * (shape[eye.outer, :2] + shape[eye.inner, :2])
    return np.asarray((shape[eye.iris, :2] - middle) / _distance(shape, *eye.corners), np.float32)


def _place_lips(
    shape: FloatArray, source: Expression, reference: Expression, driving: Expression, strength: float
) -> None:
    """Set the gap between the lips relative to the width of the mouth, preserving the thickness of the lips.

    Args:
        shape: (478, 3), changed in place.
        source, reference, driving: as in `transfer`.
        strength: as in `transfer`.
    """
    width = _distance(source.shape, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER)
    driver_width = _distance(reference.shape, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER)
    own, at_rest, now = (
        (face.shape[LOWER_LIP[3], 1] - face.shape[UPPER_LIP[3], 1]) / size
        for face, size in ((source, width), (reference, driver_width), (driving, driver_width))
    )
    at_rest = np.maximum(at_rest, 0.0)  # the tracker lets closed lips cross slightly
    now = np.maximum(at_rest + strength * (np.maximum(now, 0.0) - at_rest), 0.0)
    closing = np.clip((now + CLOSED_LIPS) / (at_rest + CLOSED_LIPS), 0.0, 1.0)  # 1 unless the driver closes further
    gap = np.where(own > 0, own * closing, own) + np.maximum(now - at_rest, 0.0)
    shut = np.clip(1 - now / (3 * CLOSED_LIPS), 0.0, 1.0) * smoothstep((at_rest - CLOSED_LIPS) / (2 * CLOSED_LIPS))
    shut *= np.clip(own / OPEN_LIPS, 0.0, 1.0)
    gap -= shut * np.maximum(own * closing, 0.0)
    gap = np.minimum(gap, np.maximum(own, WIDEST_MOUTH))
    missing = np.clip(gap * width - (shape[LOWER_LIP[3], 1] - shape[UPPER_LIP[3], 1]), -2 * _FREE, 2 * _FREE)
    for upper, lower, press in zip(UPPER_LIP, LOWER_LIP, PRESS, strict=True):
        change = missing - press * shut * LIP_OVERLAP * width
        shape[upper, 1] -= 0.4 * change
        shape[lower, 1] += 0.6 * change


def _ratio(source: FloatArray, reference: FloatArray, first: int, second: int, low: float, high: float) -> float:
    """Return the ratio of a distance between two points in two (478, 3) shapes, clipped to [low, high]."""
    return float(np.clip(_distance(source, first, second) / _distance(reference, first, second), low, high))


def _distance(shape: FloatArray, first: int, second: int) -> float:
    """Return the distance between two points of a (478, 3) shape, at least 1e-6."""
    return max(float(np.linalg.norm(shape[first] - shape[second])), 1e-6)


def _brow_height(shape: FloatArray, eye: EyeRegion) -> float:
    """Return the height of the brow above the corners of the eye in a (478, 3) shape."""
    return float(shape[eye.corners, 1].mean() - shape[eye.brow, 1].mean())
