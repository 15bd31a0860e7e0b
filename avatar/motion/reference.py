"""Choice of a clip's reference frame: the one whose expression and pose are nearest to the portrait's.

Relative motion adds the driver's change since the reference frame to the portrait, so the two should look alike.
Siarohin et al. 2019 take the frame whose normalised landmarks are nearest. Because landmarks differ more between two
people than between two expressions of one, expressions are compared here by blendshapes and openings instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.errors import FaceError
from avatar.motion.rows import Rows, chunks, let_go
from avatar.motion.track import MotionTrack
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, LOWER_LIP, UPPER_LIP

Float64Array = npt.NDArray[np.float64]

# Cost of a full change of each coefficient; the most visible ones cost most.
_OTHER_WEIGHT = 0.2
_WEIGHTS = {
    "_neutral": 0.0, "jawOpen": 4.0, "mouthSmile": 2.0, "mouthPucker": 2.5, "mouthFunnel": 2.0, "eyeBlink": 1.5,
    "eyeSquint": 0.3, "eyeWide": 0.5, "eyeLook": 0.35, "browInnerUp": 0.7, "browDown": 0.7, "browOuterUp": 0.7,
    "mouthLeft": 2.5, "mouthRight": 2.5, "jawLeft": 2.0, "jawRight": 2.0, "mouthUpperUp": 1.0, "mouthLowerDown": 1.0,
    "mouthStretch": 1.0, "mouthShrug": 0.7, "mouthRoll": 0.7, "mouthPress": 0.5, "mouthFrown": 1.0,
}  # fmt: skip
# Coefficients that are trusted on portraits. A high value of any other one reflects the shape of a face, not its
# expression (0.6 for mouthPucker on a calm face with full lips): for those the target is the driver at rest.
_SHOWN = ("jawOpen", "mouthSmile", "mouthUpperUp", "mouthLowerDown", "eye")
_USUAL = ("eyeLook", "brow")  # these vary both ways, so that a clip's median is rest; the others only rise from rest
_MOUTH_WEIGHT, _PARTED = 1.5, 0.08  # lip gap that counts as nearly open, in distances between the outer eye corners
_POSE_SCALE_DEG = np.array([30.0, 30.0, 45.0])  # yaw, pitch, roll at which half the maximum pose cost is reached
_POSE_WEIGHT = 1.0  # maximum pose cost, so that expression comes first
_SHUT_WEIGHT = 25.0  # cost of eyes more closed than usual, if the portrait's are open
_UNUSUAL_WEIGHT = 0.15  # cost of the distance from the clip's median expression, which breaks ties
_HASTE_WEIGHT = 0.5  # cost of change between the neighbouring frames
_DOUBT_WEIGHT = 1.0  # cost of 1 - presence
_SHUT_EYE = 0.5  # eyeBlink from which a portrait counts as having its eyes closed
_LIDS_AT_REST = 0.9  # fraction of the usual opening that still counts as open


_EXPRESSION = slice(0, len(BLENDSHAPES) + 1)  # columns of a feature table
_OPENING, _BLINK = len(BLENDSHAPES) + 1, len(BLENDSHAPES) + 2
_POSE = slice(len(BLENDSHAPES) + 3, len(BLENDSHAPES) + 6)
_COLUMNS = len(BLENDSHAPES) + 6
_COLUMN_BYTES = 16 * 2**20  # budget for columns that are processed together


@dataclass(frozen=True, eq=False)
class _Features:
    """Features of N faces that can be compared between people; memory-mapped for a long clip."""

    table: Float64Array  # (N, _COLUMNS)

    @property
    def expression(self) -> Float64Array:
        """(N, F) columns, weighted so that squared differences add up to a cost."""
        return self.table[:, _EXPRESSION]

    @property
    def opening(self) -> Float64Array:
        """(N,) opening of the eyes: mean lid gap over eye width."""
        return self.table[:, _OPENING]

    @property
    def blink(self) -> Float64Array:
        """(N,) mean eyeBlink."""
        return self.table[:, _BLINK]

    @property
    def pose(self) -> Float64Array:
        """(N, 3) yaw, pitch, roll over _POSE_SCALE_DEG."""
        return self.table[:, _POSE]


def choose_reference(track: MotionTrack, source: Face | None) -> int:
    """Choose the frame that is nearest to the portrait in expression and pose, with open eyes and little motion.

    Args:
        track: the clip.
        source: the portrait's face; None (no face known) takes the clip's most neutral frame.
    Raises:
        FaceError: no frame shows a face.
    """
    if source is None:
        return neutral_frame(track)
    features = _features_of_track(track)
    shown = np.array([name.startswith(_SHOWN) for name in BLENDSHAPES] + [True])
    portrait = _features([source])
    target = portrait.table.copy()
    target[:, _EXPRESSION] = np.where(shown, portrait.expression, _at_rest(track, features))
    return _nearest(track, features, _Features(target))


def neutral_frame(track: MotionTrack) -> int:
    """Choose the frame in which the driver is most at rest: mouth closed, eyes open, usual gaze and pose.

    Raises:
        FaceError: no frame shows a face.
    """
    features = _features_of_track(track)
    seen = track.presence > 0
    target = np.zeros((1, _COLUMNS))
    target[:, _EXPRESSION] = _at_rest(track, features)
    target[:, _OPENING] = _each_column(features.table[:, _OPENING : _OPENING + 1], seen, _upper_quartile)
    target[:, _POSE] = _each_column(features.pose, seen, _median)
    return _nearest(track, features, _Features(target))


def _median(values: Float64Array) -> Float64Array:
    """Return the (F,) medians of (N, F) values."""
    return np.asarray(np.median(values, axis=0))


def _upper_quartile(values: Float64Array) -> Float64Array:
    """Return the (F,) upper quartiles of (N, F) values."""
    return np.asarray(np.quantile(values, 0.75, axis=0))


def _lowest_quintile(values: Float64Array) -> Float64Array:
    """Return the (F,) 20 % quantiles of (N, F) values."""
    return np.asarray(np.quantile(values, 0.2, axis=0))


def _each_column(
    table: Float64Array, seen: npt.NDArray[np.bool_], statistic: Callable[[Float64Array], Float64Array]
) -> Float64Array:
    """Compute a statistic over the rows of a table where `seen` is true, a few columns at a time to save memory.

    Args:
        table: (N, F).
        seen: (N,).
        statistic: maps (M, G) columns to (G,).
    Returns:
        (F,).
    """
    together = max(1, _COLUMN_BYTES // (8 * len(table)))
    found = []
    for first in range(0, table.shape[1], together):
        columns = table[:, first : first + together]
        parts = []
        for part in chunks(len(table)):
            parts.append(columns[part][seen[part]])
            let_go(table)
        found.append(statistic(np.concatenate(parts)))
    return np.concatenate(found)


def _at_rest(track: MotionTrack, features: _Features) -> Float64Array:
    """Estimate the driver's expression (1, F) at rest from the distribution over the clip."""
    seen = track.presence > 0
    both_ways = np.array([name.startswith(_USUAL) for name in BLENDSHAPES] + [False])
    usual, low = (_each_column(features.expression, seen, statistic) for statistic in (_median, _lowest_quintile))
    return np.where(both_ways, usual, low)[None]


def _nearest(track: MotionTrack, features: _Features, target: _Features) -> int:
    seen = track.presence > 0
    usual = _each_column(features.expression, seen, _median)
    typical = float(_each_column(features.table[:, _OPENING : _OPENING + 1], seen, _upper_quartile)[0])
    costs = np.empty(len(track))
    for part in chunks(len(track)):
        here = _Features(features.table[part])
        cost = ((here.expression - target.expression) ** 2).sum(axis=1)
        turned = ((here.pose - target.pose) ** 2).sum(axis=1)
        cost += _POSE_WEIGHT * turned / (1 + turned)
        cost += _UNUSUAL_WEIGHT * ((here.expression - usual) ** 2).sum(axis=1)
        cost += _HASTE_WEIGHT * _haste(features, part)
        cost += _DOUBT_WEIGHT * (1 - track.presence[part].astype(np.float64))
        if target.blink[0] < _SHUT_EYE:
            shut = np.maximum(0, _LIDS_AT_REST - here.opening / max(typical, 1e-6))
            cost += _SHUT_WEIGHT * shut**2
        costs[part] = cost
        let_go(features.table)
    return int(np.argmin(np.where(seen, costs, np.inf)))


def _haste(features: _Features, part: slice) -> Float64Array:
    """Return (N,) squared changes between the neighbours of each frame in `part`; at the ends, of twice the step."""
    if len(features.table) < 2:
        return np.zeros(len(features.table))
    first = max(part.start - 1, 0)
    around = _Features(features.table[first : part.stop + 1])
    step = np.diff(np.hstack([around.expression, around.pose]), axis=0)
    change = np.concatenate([2 * step[:1], step[1:] + step[:-1], 2 * step[-1:]])
    return np.asarray((change**2).sum(axis=1))[part.start - first : part.stop - first]


def _features_of_track(track: MotionTrack) -> _Features:
    if not (track.presence > 0).any():
        remedy = "Use a clip with one well-lit face in view."
        raise FaceError("No frame of the driving video shows a face.", remedy=remedy)
    rows = Rows((_COLUMNS,), np.float64)
    for part in chunks(len(track)):
        rows.extend(_features([track.face(index) for index in range(part.start, part.stop)]).table)
    return _Features(rows.finish())


def _features(faces: list[Face]) -> _Features:
    canonical = np.stack([_upright(face) for face in faces])  # (N, 478, 3)
    blendshapes = np.stack([face.blendshapes for face in faces]).astype(np.float64)
    mouth = _gap(canonical, UPPER_LIP[3][2:-2], LOWER_LIP[3][2:-2])
    weights = np.sqrt([_weight(name) for name in BLENDSHAPES])
    parted = np.sqrt(_MOUTH_WEIGHT) * np.tanh(mouth / _PARTED)
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
    blink = blendshapes[:, blinks].mean(axis=1)
    columns = [blendshapes * weights, parted[:, None], opening[:, None], blink[:, None], angles / _POSE_SCALE_DEG]
    return _Features(np.hstack(columns))


def _upright(face: Face) -> Float64Array:
    """Remove the pose: (478, 3) float64 landmarks in canonical units."""
    moved = (face.landmarks - face.pose.centre_px).astype(np.float64) / face.pose.scale_px
    return np.asarray(moved @ face.pose.rotation)  # rows times R: R^-1 applied to each point


def _gap(points: Float64Array, upper: npt.NDArray[np.intp], lower: npt.NDArray[np.intp]) -> Float64Array:
    """Return the (N,) mean distances between opposite points of (N, 478, 3) faces; `upper`, `lower`: (M,) indices."""
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=2).mean(axis=1))


def _weight(blendshape: str) -> float:
    return next((weight for start, weight in _WEIGHTS.items() if blendshape.startswith(start)), _OTHER_WEIGHT)
