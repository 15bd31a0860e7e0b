"""The face of a drawn avatar: its curves, and the 478 landmarks that follow exactly from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, FACE_OVAL, LOWER_LIP, UPPER_LIP, EyeRegion
from avatar.tracking.sparse import mesh_from_points
from tools.gallery.curves import Points, PointsLike, at_fractions, mirrored, shifted, smooth
from tools.gallery.solid import Camera

Half = Sequence[tuple[float, float]]
_LID = np.array([0.09, 0.2, 0.35, 0.5, 0.65, 0.79, 0.9])  # shares of a lid's length at its seven points
_LIP = np.linspace(0, 1, 11)[1:-1]  # of a lip's length, at its nine
_CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))  # of the mouth, from the outer edge inwards
_FIRM = (33, 133, 362, 263, 10, 152, 234, 454, 1)  # these say how the head is turned
_STIFFNESS = 1e-4
_BELOW_BROW = 0.05
_UPPER_RINGS = (0.35, 0.7)  # where the rings of skin above an eye are, on the way from its lid to the brow
_LOWER_RINGS = (0.075, 0.15)  # and below the lower lid


@dataclass(frozen=True, eq=False)
class EyeDesign:
    """The person's right eye, at the image's left; curves run from the outer corner to the inner one."""

    upper: Points
    lower: Points
    iris: tuple[float, float]
    radius: float  # of the iris
    brow_top: Points
    brow_bottom: Points

    @staticmethod
    def of(
        outer: tuple[float, float],
        inner: tuple[float, float],
        top: float,
        bottom: float,
        *,
        iris: tuple[float, float],
        radius: float,
        brow: PointsLike,
        brow_thick: float,
        top_at: float = 0.5,
        bottom_at: float = 0.5,
        squareness: float = 0.5,
    ) -> EyeDesign:
        """Create an eye from its corners and the heights of its lids.

        Args:
            top, bottom: y of the highest and the lowest point of the opening.
            top_at, bottom_at: their positions along the eye, as fractions.
            brow: the centre line of the brow, from outside inwards.
            squareness: 0.5 = an ellipse's quarter, less = an almond.
        """
        (ox, oy), (ix, iy) = outer, inner

        def lid(y: float, at: float) -> Points:
            angle = np.linspace(0, np.pi, 61)
            share = (1 - np.cos(angle)) / 2
            warped = np.where(share < 0.5, share * 2 * at, at + (share - 0.5) * 2 * (1 - at))
            base = oy + warped * (iy - oy)
            bulge = np.sin(angle) ** (2 * squareness)
            middle = oy + at * (iy - oy)
            return np.stack([ox + warped * (ix - ox), base + bulge * (y - middle)], axis=1)

        line = smooth(brow)
        share = np.linspace(0, 1, len(line))
        taper = np.minimum(share / 0.45, 1) ** 0.7 * np.minimum((1.02 - share) / 0.06, 1) ** 0.5
        half = brow_thick / 2 * np.stack([np.zeros_like(share), 0.12 + 0.88 * taper], axis=1)
        return EyeDesign(lid(top, top_at), lid(bottom, bottom_at), iris, radius, line - half, line + half)

    @property
    def opening(self) -> Points:
        """The closed outline of the eye opening."""
        return np.concatenate([self.upper, self.lower[::-1]])


@dataclass(frozen=True, eq=False)
class MouthDesign:
    """A closed mouth; curves run from the image's left to its right."""

    line: Points  # where the lips meet
    upper: Points  # the upper lip's upper edge
    lower: Points  # the lower lip's lower edge

    @staticmethod
    def of(line: Half, upper: Half, lower: Half) -> MouthDesign:
        """Create a symmetric mouth from the left halves of its curves, from the corner to the centre."""
        return MouthDesign(*(smooth([*half, *((-x, y) for x, y in half[-2::-1])]) for half in (line, upper, lower)))


@dataclass(frozen=True, eq=False)
class FaceDesign:
    """A symmetric face that looks straight ahead, in units of its camera, x = 0 in its middle."""

    outline: Points  # its right half as the image shows it, from the top of the forehead to the chin
    eye: EyeDesign
    mouth: MouthDesign
    nose_tip: tuple[float, float]
    nose_base: float  # y
    nose_half: float  # from the middle to the wing
    bridge: float  # y, between the eyes
    knots: dict[int, tuple[float, float]] = field(default_factory=dict)  # any further landmarks

    def landmarks(self, camera: Camera) -> npt.NDArray[np.float32]:
        """Compute (478, 3) landmarks in pixels, as in `Face`, with the depth of the mean face."""
        known = self._known()
        mesh = np.array(list(known))
        places = camera.pixels(list(known.values()))
        trust = np.where(np.isin(mesh, _FIRM), 1.0, 0.15)
        landmarks = mesh_from_points(mesh, places, trust, canonical_face(), stiffness=_STIFFNESS).landmarks
        landmarks[mesh, :2] = places
        for eye, side in zip(EYES, (1, -1), strict=True):
            x, y = self.eye.iris
            centre = camera.pixels([side * x, y])
            rim = landmarks[eye.iris_rim, :2] - landmarks[eye.iris_rim, :2].mean(axis=0)
            rim *= self.eye.radius * camera.unit_px / np.linalg.norm(rim, axis=1, keepdims=True)
            landmarks[eye.iris, :2], landmarks[eye.iris_rim, :2] = centre, centre + rim
        return landmarks

    def face(self, camera: Camera) -> Face:
        """Build the face that a perfect tracker would find."""
        landmarks = self.landmarks(camera)
        return Face(landmarks, np.zeros(len(BLENDSHAPES), np.float32), 1.0, pose_of(landmarks))

    def _known(self) -> dict[int, tuple[float, float]]:
        known: dict[int, tuple[float, float]] = {}
        half = at_fractions(self.outline, _oval_fractions())
        whole = np.concatenate([half, mirrored(half)[-2:0:-1]])  # clockwise from the top, as FACE_OVAL runs
        _put(known, FACE_OVAL, whole)
        for eye, side in zip(EYES, (1, -1), strict=True):
            self._add_eye(known, eye, side)
        self._add_mouth(known)
        x, y = self.nose_tip
        _put(known, [1, 4], [(x, y + 0.03), (x, y - 0.04)])
        _put(known, [168, 2, 94], [(0, self.bridge), (0, self.nose_base), (0, self.nose_base - 0.03)])
        _put(known, [129, 358], [(-self.nose_half, y + 0.04), (self.nose_half, y + 0.04)])
        wing = 0.55 * self.nose_half
        _put(known, [98, 327], [(-wing, self.nose_base - 0.01), (wing, self.nose_base - 0.01)])
        known.update(self.knots)
        return known

    def _add_eye(self, known: dict[int, tuple[float, float]], eye: EyeRegion, side: int) -> None:
        flip = (side, 1)
        design = self.eye
        _put(known, [eye.outer, eye.inner], design.upper[[0, -1]] * flip)
        _put(known, eye.upper, at_fractions(design.upper, _LID) * flip)
        _put(known, eye.lower, at_fractions(design.lower, _LID) * flip)
        spread = np.linspace(0, 1, 5)
        _put(known, eye.brow[:5], at_fractions(design.brow_top, spread) * flip)
        # The lid's skin stretches from there on, and must not take the brow's edge along.
        brow = shifted(at_fractions(design.brow_bottom, spread), 0, _BELOW_BROW)
        _put(known, eye.brow[5:], brow * flip)
        upper, lower = at_fractions(design.upper, _LID), at_fractions(design.lower, _LID)
        over = np.stack([upper[:, 0], np.interp(upper[:, 0], brow[:, 0], brow[:, 1])], axis=1)
        for share, ring in zip(_UPPER_RINGS, eye.upper_rings, strict=True):
            _put(known, ring, (upper + share * (over - upper)) * flip)
        for away, ring in zip(_LOWER_RINGS, eye.lower_rings, strict=True):
            _put(known, ring, shifted(lower, 0, away) * flip)

    def _add_mouth(self, known: dict[int, tuple[float, float]]) -> None:
        mouth = self.mouth
        line = at_fractions(mouth.line, _LIP)
        for rows, edge in ((UPPER_LIP, mouth.upper), (LOWER_LIP, mouth.lower)):
            outer = at_fractions(edge, _LIP)
            for row, share in zip(rows, np.linspace(0, 1, 4), strict=True):
                _put(known, row, outer + share * (line - outer))
        corner = mouth.line[0]
        inward = np.array([1.0, 0]) * 0.012
        for indices, side in zip(_CORNERS, (1, -1), strict=True):
            _put(known, indices, [(corner + k * inward) * (side, 1) for k in range(4)])


def _oval_fractions() -> npt.NDArray[np.float64]:
    """Return the (19,) fractions of the half outline's length at the points of FACE_OVAL, as on the mean face."""
    half = canonical_face().points[FACE_OVAL[:19], :2].astype(np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(half, axis=0).T))])
    return np.asarray(along / along[-1])


def _put(known: dict[int, tuple[float, float]], indices: npt.ArrayLike, places: npt.ArrayLike) -> None:
    """Store the places (N, 2) of landmarks, given by indices (N,)."""
    for index, place in zip(np.asarray(indices).tolist(), np.asarray(places, np.float64), strict=True):
        known[index] = (float(place[0]), float(place[1]))
