"""Fitting of the 478-point face mesh to a few points of a face, such as the 68 that older face trackers give.

The mean face is fitted by a similarity under scaled orthographic projection, then bent by a smoothing thin-plate
spline. Depth comes from the mean face alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray
from avatar.tracking.canonical import CanonicalFace
from avatar.tracking.pose import Float64Array, fit_similarity

# The mesh point next to each of the 68 (Sagonas et al. 2013, 300 Faces in-the-Wild, figure 1).
MESH_OF_68 = np.array([
    127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 361, 323, 454, 356,  # jaw line from the right ear
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 195, 4, 98, 97, 2, 326, 327,  # nose: bridge to tip, then below the nostrils
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,  # lips, outer edge
    78, 81, 13, 311, 308, 402, 14, 178,  # lips, inner edge
])  # fmt: skip
_LOWER_LIP_ROWS = (  # from the inner edge outwards
    (95, 88, 178, 87, 14, 317, 402, 318, 324),
    (96, 89, 179, 86, 15, 316, 403, 319, 325),
    (77, 90, 180, 85, 16, 315, 404, 320, 307),
)
_LIPS_APART = (0.1, 0.075, 0.05)  # eye distances, by row
_JAW, _BROWS, _NOSE, _EYES, _LIPS = slice(0, 17), slice(17, 27), slice(27, 36), slice(36, 48), slice(48, 68)
_HELD = 1.0  # stiffness of points that were not marked
_FACE_ROUNDS = 200  # iterations of a few microseconds; a face turned by 45 degrees needs about 100


@dataclass(frozen=True, eq=False)
class SparseFit:
    """A mesh fitted to a few points."""

    landmarks: FloatArray  # (478, 3) as in `Face`
    misfit: float  # residual of the rigid fit, in distances between the outer eye corners


def mesh_from_68(points: npt.NDArray[np.floating], canonical: CanonicalFace, *, stiffness: float = 0.05) -> SparseFit:
    """Fit the mesh to 68 points of a face.

    Args:
        points: (68, 2), image pixels, in the order of the 300-W annotation.
        canonical: the head to start from.
        stiffness: 0 interpolates the points; higher values smooth their errors away.
    """
    return mesh_from_points(MESH_OF_68, points, _trust(), canonical, stiffness=stiffness)


def mesh_from_points(
    mesh: npt.NDArray[np.integer],
    points: npt.NDArray[np.floating],
    trust: npt.NDArray[np.floating],
    canonical: CanonicalFace,
    *,
    stiffness: float,
    held: npt.NDArray[np.integer] | None = None,
) -> SparseFit:
    """Fit the mesh to points of a face.

    Args:
        mesh: (N,), their indices in the mesh.
        points: (N, 2), image pixels.
        trust: (N,) > 0, the weight of each point.
        canonical: the head to start from.
        stiffness: that of a point with weight 1; 0 interpolates it.
        held: (M,) indices of points that were not marked and that the spline keeps near the rigid fit.
    """
    head = canonical.points.astype(np.float64)
    scale, rotation, shift = _fit_from_afar(head[mesh], np.asarray(points, np.float64), trust)
    rigid = scale * head @ rotation.T + shift
    wanted = (points - rigid[mesh, :2]) / scale
    places = _open_mouthed(head)
    held = np.empty(0, np.intp) if held is None else held
    knots, loose = np.concatenate([mesh, held]), np.concatenate([stiffness / trust, np.full(len(held), _HELD)])
    values = np.concatenate([wanted, np.zeros((len(held), 2))])
    landmarks = rigid.copy()
    landmarks[:, :2] += scale * _spline(places[knots], values, places, loose)
    misfit = float(np.sqrt(np.average(wanted**2 @ (1, 1), weights=trust)))
    return SparseFit(landmarks.astype(np.float32), misfit)


def _open_mouthed(head: Float64Array) -> Float64Array:
    """Return the (478, 3) head with its lips apart: a smooth spline cannot separate points that coincide."""
    parted = head.copy()
    for row, gap in zip(_LOWER_LIP_ROWS, _LIPS_APART, strict=True):
        parted[list(row), 1] += gap
    return parted


def _trust() -> Float64Array:
    """Return the (68,) weights of the points; those on the jaw are low because they slide when the head turns."""
    trust = np.ones(len(MESH_OF_68))
    trust[_JAW], trust[_BROWS], trust[_LIPS] = 0.2, 0.5, 0.5
    return trust


def _fit_from_afar(
    head: Float64Array, points: Float64Array, trust: npt.NDArray[np.floating]
) -> tuple[float, Float64Array, Float64Array]:
    """Fit (N, 3) `head` to (N, 2) `points` under scaled orthographic projection, with weights `trust` (N,).

    Alternates between the similarity for a given depth and the depth for a given similarity. Both are closed-form, so
    the error never rises.

    Returns:
        scale, rotation (3, 3) and shift (3,).
    """
    depth = np.zeros(len(points))
    for _ in range(_FACE_ROUNDS):
        scale, rotation, shift = fit_similarity(head, np.column_stack([points, depth]), trust)
        depth = (scale * head @ rotation.T + shift)[:, 2]
    shift[2] = 0  # the canonical head's origin has no depth; only differences mean anything
    return scale, rotation, shift


def _spline(knots: Float64Array, values: Float64Array, places: Float64Array, stiffness: Float64Array) -> Float64Array:
    """Evaluate a smoothing thin-plate spline in 3-D: kernel r plus an affine part (Wahba 1990, section 2.4).

    Args:
        knots: (N, 3).
        values: (N, D) at the knots.
        places: (M, 3) to evaluate at.
        stiffness: (N,), the smoothing at each knot.
    Returns:
        (M, D) float64.
    """
    count = len(knots)
    kernel = -np.linalg.norm(knots[:, None] - knots[None], axis=-1) + np.diag(stiffness)
    affine = np.column_stack([np.ones(count), knots])
    system = np.block([[kernel, affine], [affine.T, np.zeros((4, 4))]])
    solved = np.linalg.solve(system, np.vstack([values, np.zeros((4, values.shape[1]))]))
    reach = -np.linalg.norm(places[:, None] - knots[None], axis=-1)
    return np.asarray(reach @ solved[:count] + np.column_stack([np.ones(len(places)), places]) @ solved[count:])
