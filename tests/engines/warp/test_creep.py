"""The creep of lips and skin in a smile."""

from __future__ import annotations

import numpy as np
import pytest
from motion_samples import make_face

from avatar.cv import cv2
from avatar.engines.warp.beyond import Edges
from avatar.engines.warp.creep import Creep, creep_per_unit
from avatar.engines.warp.deformation import Deformation
from avatar.engines.warp.relief import MESH_POINTS
from avatar.engines.warp.shading import MOST, smile_fields
from avatar.frames import FloatArray
from avatar.motion.head import HeadMotion
from avatar.tracking.canonical import canonical_face
from avatar.tracking.face import Face
from avatar.tracking.regions import CHEEKS, EYES, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER

SIDE = 384
BOTH = (1.0, 1.0)


def smile_px(face: Face, units: float, sides: tuple[float, float] = BOTH) -> FloatArray:
    """Displacements (478, 3) in pixels by a smile whose right and left side have these shares."""
    fields = smile_fields()
    moved = np.zeros((478, 3), np.float32)
    for points, direction, share in zip(fields.points, fields.directions, sides, strict=True):
        moved[points] = units * share * direction
    return np.asarray(moved * np.float32(face.pose.scale_px) @ face.pose.rotation.T, np.float32)


def creep(face: Face, units: float, sides: tuple[float, float] = BOTH) -> FloatArray:
    return Creep(face).of(smile_px(face, units, sides))


@pytest.fixture(scope="module")
def face() -> Face:
    return make_face(scale=110, centre=(192, 170))


def test_a_face_at_rest_does_not_creep(face: Face) -> None:
    np.testing.assert_array_equal(creep(face, 0.0), 0)


def test_creep_grows_with_the_smile_up_to_a_limit(face: Face) -> None:
    half, whole, most, more = (creep(face, units) for units in (0.5, 1.0, MOST, 4.0))
    assert np.abs(whole).max() > 0.5
    np.testing.assert_allclose(half, 0.5 * whole, atol=1e-4)
    np.testing.assert_allclose(most, more, atol=1e-4)


def test_creep_is_small_and_spares_the_eyes(face: Face) -> None:
    lids = np.concatenate([eye.contour for eye in EYES])
    for field in creep_per_unit():
        assert np.abs(field).max() < 0.03  # canonical units: 2 % of the face's width
        assert np.abs(field[lids]).max() < 1e-3
        np.testing.assert_allclose(field[canonical_face().mirror[:MESH_POINTS]], field * [-1, 1], atol=1e-6)


def test_one_side_that_smiles_creeps(face: Face) -> None:
    moved = np.linalg.norm(creep(face, 1.0, (0.0, 1.0)), axis=1)
    assert moved[LEFT_MOUTH_CORNER] > 0.3
    assert moved[RIGHT_MOUTH_CORNER] < 1e-4


def test_only_a_portrait_that_smiles_creeps_back(face: Face) -> None:
    np.testing.assert_array_equal(creep(face, -1.0), 0)
    assert np.abs(creep(make_face(scale=110, centre=(192, 170), mouthSmile=0.54), -1.0)).max() > 0.5


def test_creep_turns_and_grows_with_the_face(face: Face) -> None:
    turned = make_face(scale=55, centre=(192, 170), roll=30)
    expected = 0.5 * creep(face, 1.0) @ face.pose.rotation @ turned.pose.rotation.T
    np.testing.assert_allclose(creep(turned, 1.0), expected, atol=0.02)


def test_the_backward_map_creeps_as_the_landmarks_do(face: Face) -> None:
    deformation = Deformation(face, (SIDE, SIDE), lambda: Edges.of(np.ones((SIDE, SIDE), np.float32)))
    expression_px, still = smile_px(face, 1.0), HeadMotion.still()
    target = deformation.landmarks(expression_px, still)
    lands = (target[:MESH_POINTS] + creep(face, 1.0))[CHEEKS, :2].astype(np.float32)
    misses = []
    for how in (True, False):
        found = deformation.backward_map(expression_px, still, target, creep=how).pixels(1)
        looked_up = cv2.remap(found, lands[None], None, cv2.INTER_LINEAR)[0]
        misses.append(np.linalg.norm(looked_up - face.landmarks[CHEEKS, :2], axis=1).mean())
    assert misses[0] < 0.4 * misses[1]  # the spline is a little stiff
