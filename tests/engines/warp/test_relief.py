"""The relief of a portrait: motion weights and depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_samples import make_face

from avatar.engines.warp.relief import MESH_POINTS, Relief
from avatar.frames import FloatArray
from avatar.motion.head import HeadMotion
from avatar.tracking.face import Face
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.regions import CHIN, FACE_OVAL, NOSE_TIP

SIDE = 512
NOBODY, EVERYWHERE = np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)


def standing() -> FloatArray:
    """The matte of a person in the middle, cut off by the lower border only."""
    matte = NOBODY.copy()
    matte[100:, 120:392] = 1
    return matte


def move(relief: Relief, points: FloatArray, motion: HeadMotion, expression: FloatArray | None = None) -> FloatArray:
    spatial = np.concatenate([points, relief.depth(points)[:, None]], axis=1)
    nothing = np.zeros((1, 3), np.float32)
    return relief.move(spatial, relief.share(points), nothing if expression is None else expression, motion)


def scatter(seed: int, count: int = 80) -> FloatArray:
    return np.random.default_rng(seed).uniform(-40, SIDE + 40, (count, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def face() -> Face:
    return make_face(scale=90, centre=(256, 230))


def test_the_face_goes_all_the_way_and_the_chest_stays(face: Face) -> None:
    relief = Relief.of(face, standing())
    inner = face.landmarks[face.landmarks[:, 1] < face.landmarks[NOSE_TIP, 1] + 20, :2]
    assert relief.share(inner).min() > 0.99
    chest = np.array([[256, 480], [200, 500], [300, 490]], np.float32)
    assert relief.share(chest).max() < 0.02
    assert relief.share(face.landmarks[[CHIN], :2])[0] > 0.99


def test_down_the_neck_the_share_only_falls(face: Face) -> None:
    relief = Relief.of(face, standing())
    down = np.stack([np.full(300, 256), np.linspace(230, 511, 300)], axis=1).astype(np.float32)
    share = relief.share(down)
    assert np.diff(share).max() <= 1e-6
    assert np.abs(np.diff(share)).max() < 0.03  # no step: the neck would tear there


@settings(deadline=None, max_examples=12)
@given(
    yaw=st.floats(-40, 40), pitch=st.floats(-25, 25), roll=st.floats(-60, 60), scale=st.floats(15, 160),
    x=st.floats(0, SIDE), y=st.floats(0, SIDE), seed=st.integers(0, 99),
)  # fmt: skip
def test_shares_and_depths_are_sane_for_any_face(
    yaw: float, pitch: float, roll: float, scale: float, x: float, y: float, seed: int
) -> None:
    face = make_face(yaw=yaw, pitch=pitch, roll=roll, scale=scale, centre=(x, y))
    relief = Relief.of(face, standing())
    points = scatter(seed)
    share, depth = relief.share(points), relief.depth(points)
    assert share.shape == depth.shape == (len(points),)
    assert share.min() >= 0 and share.max() <= 1
    assert np.isfinite(depth).all() and np.abs(depth).max() < 3 * scale


def test_the_face_is_as_deep_as_its_landmarks_and_the_rest_lies_behind(face: Face) -> None:
    relief = Relief.of(face, standing())
    mesh = face.landmarks[:MESH_POINTS]
    missing = relief.depth(mesh[:, :2]) - mesh[:, 2]
    assert np.abs(missing).mean() < 0.02 * 90 and np.abs(missing).max() < 0.15 * 90
    far = relief.depth(np.array([[20, 20], [490, 30], [256, 500]], np.float32))
    assert far.min() > mesh[FACE_OVAL, 2].min() > mesh[NOSE_TIP, 2]


def test_depth_has_no_steps(face: Face) -> None:
    relief = Relief.of(face, standing())
    across = np.stack([np.linspace(0, 511, 1024), np.full(1024, 220)], axis=1).astype(np.float32)
    assert np.abs(np.diff(relief.depth(across))).max() < 0.03 * 90


def test_where_the_lower_edge_cuts_the_person_off_nothing_moves() -> None:
    face = make_face(scale=150, centre=(256, 250))  # a tight crop: hair and neck reach all four borders
    relief = Relief.of(face, EVERYWHERE)
    ends = np.linspace(0, SIDE - 1, 40)
    floor = np.stack([ends, np.full(40, SIDE - 1.0)], axis=1).astype(np.float32)
    assert relief.share(floor).max() < 1e-3
    wild = HeadMotion(rotation_from_angles(35, -20, 30), np.array([60, -50, 0], np.float32), 1.3)
    assert np.abs(move(relief, floor, wild) - floor).max() < 0.2
    assert relief.share(np.array([[256, 250], [256, 0]], np.float32)).min() > 0.9  # hair goes on beyond the edge


def test_background_at_the_border_holds_nothing_back(face: Face) -> None:
    """A head that comes near the border where nobody touches it moves on freely."""
    free = Relief.of(make_face(scale=90, centre=(256, 120)), standing())
    hair = np.array([[256, 20], [230, 10], [280, 15]], np.float32)
    assert free.share(hair).min() > 0.95


def test_without_motion_every_point_stays(face: Face) -> None:
    relief, points = Relief.of(face, standing()), scatter(1)
    np.testing.assert_allclose(move(relief, points, HeadMotion.still()), points, atol=1e-3)


def test_a_shift_moves_each_point_by_its_share(face: Face) -> None:
    relief, points = Relief.of(face, standing()), scatter(2)
    shift = np.array([12.0, -7.0, 0.0], np.float32)
    moved = move(relief, points, HeadMotion(np.eye(3, dtype=np.float32), shift, 1.0))
    np.testing.assert_allclose(moved - points, relief.share(points)[:, None] * shift[:2], atol=1e-3)


def test_expression_moves_even_what_the_head_leaves(face: Face) -> None:
    relief, points = Relief.of(face, standing()), scatter(3)
    moved = move(relief, points, HeadMotion.still(), np.array([[3.0, 4.0, 100.0]], np.float32))
    np.testing.assert_allclose(moved - points, np.tile([3.0, 4.0], (len(points), 1)), atol=1e-3)


def test_a_turn_brings_the_nose_further_than_the_ears(face: Face) -> None:
    relief = Relief.of(face, standing())
    motion = HeadMotion(rotation_from_angles(20, 0, 0), np.zeros(3, np.float32), 1.0)
    points = face.landmarks[[NOSE_TIP, 234, 454], :2]
    travelled = (move(relief, points, motion) - points)[:, 0]
    assert travelled[0] > 10 and travelled[0] > travelled[1:].max() + 5


@settings(deadline=None, max_examples=8)
@given(roll=st.floats(-75, 75), seed=st.integers(0, 99))
def test_a_tilted_head_is_the_same_head(roll: float, seed: int) -> None:
    """Share and depth follow the head, not the picture."""
    upright = make_face(scale=60, centre=(256, 256))
    tilted = make_face(roll=roll, scale=60, centre=(256, 256))
    points = scatter(seed)
    turn = rotation_from_angles(0, 0, roll)[:2, :2]
    turned = ((points - 256) @ turn.T + 256).astype(np.float32)
    first, second = Relief.of(upright, NOBODY), Relief.of(tilted, NOBODY)
    np.testing.assert_allclose(first.share(points), second.share(turned), atol=0.01)
    np.testing.assert_allclose(first.depth(points), second.depth(turned), atol=0.02 * 60)


def test_rings_grow_with_their_scale(face: Face) -> None:
    relief = Relief.of(face, standing())
    for scale in (0.5, 1.0, 1.7):
        ring = relief.ring(scale)
        np.testing.assert_allclose(relief.oval_distance(ring), scale, atol=1e-3)
    assert np.median(relief.oval_distance(face.landmarks[FACE_OVAL, :2])) == pytest.approx(1, abs=0.15)
