"""Chooses the reference frame of a clip: the one whose expression and pose are nearest to the portrait's own.

Relative motion adds what the driver does since the reference frame to what the portrait shows, so the two should look
alike. Siarohin et al. 2019 look for the frame whose normalised landmarks are nearest; faces of two people differ more
than two expressions of one, so here expressions are compared by coefficients and openings that any face has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avatar.errors import FaceError
from avatar.motion.track import MotionTrack
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, LOWER_LIP, UPPER_LIP

Float64Array = npt.NDArray[np.float64]

# How much a full change of a coefficient costs; what shows most in a portrait costs most.
_OTHER_WEIGHT = 0.2
_WEIGHTS = {
    "_neutral": 0.0, "jawOpen": 4.0, "mouthSmile": 2.0, "mouthPucker": 2.5, "mouthFunnel": 2.0, "eyeBlink": 1.5,
    "eyeSquint": 0.3, "eyeWide": 0.5, "eyeLook": 0.35, "browInnerUp": 0.7, "browDown": 0.7, "browOuterUp": 0.7,
    "mouthLeft": 2.5, "mouthRight": 2.5, "jawLeft": 2.0, "jawRight": 2.0, "mouthUpperUp": 1.0, "mouthLowerDown": 1.0,
    "mouthStretch": 1.0, "mouthShrug": 0.7, "mouthRoll": 0.7, "mouthPress": 0.5, "mouthFrown": 1.0,
}  # fmt: skip
# What portraits really show. A high value of any other coefficient tells the shape of a face, not its expression
# (0.6 of mouthPucker on a calm face with full lips, of browDown over deep-set eyes): there the driver is to be at rest.
_SHOWN = ("jawOpen", "mouthSmile", "mouthUpperUp", "mouthLowerDown", "eye")
_USUAL = ("eyeLook", "brow")  # move both ways, so that a clip's median is rest; the others only rise from rest
_MOUTH_WEIGHT, _PARTED = 1.5, 0.08  # lips this far apart count as nearly open; outer eye corners are 1 apart
_POSE_SCALE_DEG = np.array([30.0, 30.0, 45.0])  # yaw, pitch, roll at which half of what a pose can cost is reached
_POSE_WEIGHT = 1.0  # the most that a pose costs, so that expression comes first
_SHUT_WEIGHT = 25.0  # eyes more closed than the driver's usual, though the portrait's are open
_UNUSUAL_WEIGHT = 0.15  # distance from the clip's usual expression: between two equals, the less odd one
_HASTE_WEIGHT = 0.5  # change from the frame before to the frame after
_DOUBT_WEIGHT = 1.0  # 1 - presence
_SHUT_EYE = 0.5  # eyeBlink from which a portrait counts as having its eyes closed
_LIDS_AT_REST = 0.9  # share of the usual opening that is still open


@dataclass(frozen=True, eq=False)
class _Looks:
    """What N faces look like, in terms that can be compared between people."""

    expression: Float64Array  # (N, F), weighted so that squared differences add up to a cost
    opening: Float64Array  # (N,), of the eyes: mean lid gap over eye width
    blink: Float64Array  # (N,)
    pose: Float64Array  # (N, 3), yaw, pitch, roll over _POSE_SCALE_DEG


def choose_reference(track: MotionTrack, source: Face | None) -> int:
    """The frame of the clip that comes nearest to the portrait: expression first, then pose, open eyes, a calm moment.

    Args:
        source: the portrait's face; None (no face known) takes the clip's most neutral frame.
    Raises:
        FaceError: no frame shows a face.
    """
    if source is None:
        return neutral_frame(track)
    looks = _looks_of_track(track)
    shown = np.array([name.startswith(_SHOWN) for name in BLENDSHAPES] + [True])
    portrait = _looks([source])
    expression = np.where(shown, portrait.expression, _at_rest(track, looks))
    return _nearest(track, looks, replace(portrait, expression=expression))


def neutral_frame(track: MotionTrack) -> int:
    """The frame in which the driver is most at rest: mouth closed, eyes open, looking and facing as they mostly do.

    Raises:
        FaceError: no frame shows a face.
    """
    looks = _looks_of_track(track)
    seen = track.presence > 0
    target = _Looks(
        _at_rest(track, looks),
        np.quantile(looks.opening[seen], 0.75, keepdims=True),
        np.zeros(1),
        np.median(looks.pose[seen], axis=0)[None],
    )
    return _nearest(track, looks, target)


def _at_rest(track: MotionTrack, looks: _Looks) -> Float64Array:
    """The driver's own expression (1, F) at rest, guessed from how often they show what."""
    seen = looks.expression[track.presence > 0]
    both_ways = np.array([name.startswith(_USUAL) for name in BLENDSHAPES] + [False])
    return np.where(both_ways, np.median(seen, axis=0), np.quantile(seen, 0.2, axis=0))[None]


def _nearest(track: MotionTrack, looks: _Looks, target: _Looks) -> int:
    seen = track.presence > 0
    usual = np.median(looks.expression[seen], axis=0)
    cost = ((looks.expression - target.expression) ** 2).sum(axis=1)
    turned = ((looks.pose - target.pose) ** 2).sum(axis=1)
    cost += _POSE_WEIGHT * turned / (1 + turned)
    cost += _UNUSUAL_WEIGHT * ((looks.expression - usual) ** 2).sum(axis=1)
    cost += _HASTE_WEIGHT * _haste(np.hstack([looks.expression, looks.pose]))
    cost += _DOUBT_WEIGHT * (1 - track.presence.astype(np.float64))
    if target.blink[0] < _SHUT_EYE:
        typical = float(np.quantile(looks.opening[seen], 0.75))
        shut = np.maximum(0, _LIDS_AT_REST - looks.opening / max(typical, 1e-6))
        cost += _SHUT_WEIGHT * shut**2
    return int(np.argmin(np.where(seen, cost, np.inf)))


def _haste(values: Float64Array) -> Float64Array:
    """Squared change (N,) of (N, F) values from one neighbour to the other; at the ends, of twice the only step."""
    if len(values) < 2:
        return np.zeros(len(values))
    step = np.diff(values, axis=0)
    around = np.concatenate([2 * step[:1], step[1:] + step[:-1], 2 * step[-1:]])
    return np.asarray((around**2).sum(axis=1))


def _looks_of_track(track: MotionTrack) -> _Looks:
    if not (track.presence > 0).any():
        remedy = "Use a clip with one well-lit face in view."
        raise FaceError("No frame of the driving video shows a face.", remedy=remedy)
    return _looks([track.face(index) for index in range(len(track))])


def _looks(faces: list[Face]) -> _Looks:
    canonical = np.stack([_upright(face) for face in faces])  # (N, 478, 3)
    blendshapes = np.stack([face.blendshapes for face in faces]).astype(np.float64)
    mouth = _gap(canonical, UPPER_LIP[3][2:-2], LOWER_LIP[3][2:-2])
    weights = np.sqrt([_weight(name) for name in BLENDSHAPES])
    parted = np.sqrt(_MOUTH_WEIGHT) * np.tanh(mouth / _PARTED)
    expression = np.hstack([blendshapes * weights, parted[:, None]])
    opening = np.mean(
        [
            _gap(canonical, eye.upper, eye.lower)
            / np.linalg.norm(canonical[:, eye.outer] - canonical[:, eye.inner], axis=1)
            for eye in EYES
        ],
        axis=0,
    )
    blinks = [BLENDSHAPES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    angles = np.array([[face.pose.yaw_deg, face.pose.pitch_deg, face.pose.roll_deg] for face in faces])
    return _Looks(expression, opening, blendshapes[:, blinks].mean(axis=1), angles / _POSE_SCALE_DEG)


def _upright(face: Face) -> Float64Array:
    """The landmarks (478, 3) as seen by a viewer in front of the head, in canonical units."""
    moved = (face.landmarks - face.pose.centre_px).astype(np.float64) / face.pose.scale_px
    return np.asarray(moved @ face.pose.rotation)  # rows times R: R^-1 applied to each point


def _gap(points: Float64Array, upper: npt.NDArray[np.intp], lower: npt.NDArray[np.intp]) -> Float64Array:
    """Mean distance (N,) between opposite points of (N, 478, 3) faces."""
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=2).mean(axis=1))


def _weight(blendshape: str) -> float:
    return next((weight for start, weight in _WEIGHTS.items() if blendshape.startswith(start)), _OTHER_WEIGHT)
