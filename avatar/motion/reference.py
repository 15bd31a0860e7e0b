"""Chooses the reference frame of a clip: the one whose expression and pose are nearest to the portrait's own.

Relative motion adds what the driver does since the reference frame to what the portrait shows, so the two should look
alike. Siarohin et al. 2019 look for the frame whose normalised landmarks are nearest; faces of two people differ more
than two expressions of one, so here expressions are compared by coefficients and openings that any face has.
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


_EXPRESSION = slice(0, len(BLENDSHAPES) + 1)  # columns of a table of looks
_OPENING, _BLINK = len(BLENDSHAPES) + 1, len(BLENDSHAPES) + 2
_POSE = slice(len(BLENDSHAPES) + 3, len(BLENDSHAPES) + 6)
_COLUMNS = len(BLENDSHAPES) + 6
_COLUMN_BYTES = 16 * 2**20  # of columns that are looked at together


@dataclass(frozen=True, eq=False)
class _Looks:
    """What N faces look like, in terms that can be compared between people; of a long clip mapped from a file."""

    table: Float64Array  # (N, _COLUMNS)

    @property
    def expression(self) -> Float64Array:
        """(N, F), weighted so that squared differences add up to a cost."""
        return self.table[:, _EXPRESSION]

    @property
    def opening(self) -> Float64Array:
        """(N,), of the eyes: mean lid gap over eye width."""
        return self.table[:, _OPENING]

    @property
    def blink(self) -> Float64Array:
        """(N,)."""
        return self.table[:, _BLINK]

    @property
    def pose(self) -> Float64Array:
        """(N, 3), yaw, pitch, roll over _POSE_SCALE_DEG."""
        return self.table[:, _POSE]


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
    target = portrait.table.copy()
    target[:, _EXPRESSION] = np.where(shown, portrait.expression, _at_rest(track, looks))
    return _nearest(track, looks, _Looks(target))


def neutral_frame(track: MotionTrack) -> int:
    """The frame in which the driver is most at rest: mouth closed, eyes open, looking and facing as they mostly do.

    Raises:
        FaceError: no frame shows a face.
    """
    looks = _looks_of_track(track)
    seen = track.presence > 0
    target = np.zeros((1, _COLUMNS))
    target[:, _EXPRESSION] = _at_rest(track, looks)
    target[:, _OPENING] = _each_column(looks.table[:, _OPENING : _OPENING + 1], seen, _upper_quarter)
    target[:, _POSE] = _each_column(looks.pose, seen, _median)
    return _nearest(track, looks, _Looks(target))


def _median(values: Float64Array) -> Float64Array:
    return np.asarray(np.median(values, axis=0))


def _upper_quarter(values: Float64Array) -> Float64Array:
    return np.asarray(np.quantile(values, 0.75, axis=0))


def _lower_fifth(values: Float64Array) -> Float64Array:
    return np.asarray(np.quantile(values, 0.2, axis=0))


def _each_column(
    table: Float64Array, seen: npt.NDArray[np.bool_], statistic: Callable[[Float64Array], Float64Array]
) -> Float64Array:
    """A statistic (F,) over the seen rows of an (N, F) table, a few columns at a time where there are many rows."""
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


def _at_rest(track: MotionTrack, looks: _Looks) -> Float64Array:
    """The driver's own expression (1, F) at rest, guessed from how often they show what."""
    seen = track.presence > 0
    both_ways = np.array([name.startswith(_USUAL) for name in BLENDSHAPES] + [False])
    usual, low = (_each_column(looks.expression, seen, statistic) for statistic in (_median, _lower_fifth))
    return np.where(both_ways, usual, low)[None]


def _nearest(track: MotionTrack, looks: _Looks, target: _Looks) -> int:
    seen = track.presence > 0
    usual = _each_column(looks.expression, seen, _median)
    typical = float(_each_column(looks.table[:, _OPENING : _OPENING + 1], seen, _upper_quarter)[0])
    costs = np.empty(len(track))
    for part in chunks(len(track)):
        here = _Looks(looks.table[part])
        cost = ((here.expression - target.expression) ** 2).sum(axis=1)
        turned = ((here.pose - target.pose) ** 2).sum(axis=1)
        cost += _POSE_WEIGHT * turned / (1 + turned)
        cost += _UNUSUAL_WEIGHT * ((here.expression - usual) ** 2).sum(axis=1)
        cost += _HASTE_WEIGHT * _haste(looks, part)
        cost += _DOUBT_WEIGHT * (1 - track.presence[part].astype(np.float64))
        if target.blink[0] < _SHUT_EYE:
            shut = np.maximum(0, _LIDS_AT_REST - here.opening / max(typical, 1e-6))
            cost += _SHUT_WEIGHT * shut**2
        costs[part] = cost
        let_go(looks.table)
    return int(np.argmin(np.where(seen, costs, np.inf)))


def _haste(looks: _Looks, part: slice) -> Float64Array:
    """Squared change (N,) from one neighbour to the other, of the frames in `part`; at the ends, of twice the step."""
    if len(looks.table) < 2:
        return np.zeros(len(looks.table))
    first = max(part.start - 1, 0)
    around = _Looks(looks.table[first : part.stop + 1])
    step = np.diff(np.hstack([around.expression, around.pose]), axis=0)
    change = np.concatenate([2 * step[:1], step[1:] + step[:-1], 2 * step[-1:]])
    return np.asarray((change**2).sum(axis=1))[part.start - first : part.stop - first]


def _looks_of_track(track: MotionTrack) -> _Looks:
    if not (track.presence > 0).any():
        remedy = "Use a clip with one well-lit face in view."
        raise FaceError("No frame of the driving video shows a face.", remedy=remedy)
    rows = Rows((_COLUMNS,), np.float64)
    for part in chunks(len(track)):
        rows.extend(_looks([track.face(index) for index in range(part.start, part.stop)]).table)
    return _Looks(rows.finish())


def _looks(faces: list[Face]) -> _Looks:
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
    return _Looks(np.hstack(columns))


def _upright(face: Face) -> Float64Array:
    """The landmarks (478, 3) as seen by a viewer in front of the head, in canonical units."""
    moved = (face.landmarks - face.pose.centre_px).astype(np.float64) / face.pose.scale_px
    return np.asarray(moved @ face.pose.rotation)  # rows times R: R^-1 applied to each point


def _gap(points: Float64Array, upper: npt.NDArray[np.intp], lower: npt.NDArray[np.intp]) -> Float64Array:
    """Mean distance (N,) between opposite points of (N, 478, 3) faces."""
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=2).mean(axis=1))


def _weight(blendshape: str) -> float:
    return next((weight for start, weight in _WEIGHTS.items() if blendshape.startswith(start)), _OTHER_WEIGHT)
