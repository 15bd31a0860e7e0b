"""Poses, regions and detections: the tracker's geometry, without networks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.cv import cv2
from avatar.errors import WeightsError
from avatar.tracking import canonical_face, pose_of
from avatar.tracking.canonical import load_canonical
from avatar.tracking.detector import blend_overlapping
from avatar.tracking.pose import angles_deg, fit_similarity, rotation_from_angles
from avatar.tracking.region import MAX_TILES, Region, from_landmarks, letterbox, tiles

ANGLES = st.tuples(st.floats(-80, 80), st.floats(-80, 80), st.floats(-179, 179))


@given(ANGLES)
def test_angles_come_back_from_their_rotation(angles: tuple[float, float, float]) -> None:
    assert angles_deg(rotation_from_angles(*angles)) == pytest.approx(angles, abs=0.01)


def test_signs_of_the_angles() -> None:
    nose = np.array([0, 0, -1.0])  # the head looks at the viewer
    chin = np.array([0, 1.0, 0])
    assert (rotation_from_angles(30, 0, 0) @ nose)[0] > 0.4  # yaw: to the right of the picture
    assert (rotation_from_angles(0, 30, 0) @ nose)[1] < -0.4  # pitch: up
    assert (rotation_from_angles(0, 0, 30) @ chin)[0] < -0.4  # roll: clockwise, so the chin goes left


@settings(deadline=None)
@given(ANGLES, st.floats(20, 900), st.floats(-500, 2000), st.floats(-500, 2000))
def test_pose_of_the_moved_mean_face(angles: tuple[float, float, float], scale: float, x: float, y: float) -> None:
    moved = canonical_face().points @ rotation_from_angles(*angles).T * scale + (x, y, 7)
    pose = pose_of(moved.astype(np.float32))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx(angles, abs=0.1)
    assert pose.scale_px == pytest.approx(scale, rel=1e-3)
    np.testing.assert_allclose(pose.centre_px, (x, y, 7), atol=0.01 * scale)


def test_pose_ignores_what_expression_moves() -> None:
    points = canonical_face().points * np.float32(100)
    before = pose_of(points)
    grimace = points.copy()
    grimace[canonical_face().weights == 0] += np.random.default_rng(0).normal(0, 20, 3).astype(np.float32)
    after = pose_of(grimace)
    np.testing.assert_array_equal(after.rotation, before.rotation)
    assert (canonical_face().weights == 0).sum() > 350


def test_similarity_is_a_rotation_even_for_a_mirrored_target() -> None:
    points = np.random.default_rng(3).normal(size=(20, 3))
    _, rotation, _ = fit_similarity(points, points * (-1, 1, 1), np.ones(20))
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_canonical_face_is_what_head_pose_promises() -> None:
    face = canonical_face()
    np.testing.assert_allclose((face.points[234] + face.points[454]) / 2, 0, atol=1e-6)  # between the ears
    assert np.linalg.norm(face.points[33] - face.points[263]) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(face.mirror[face.mirror], np.arange(478))
    np.testing.assert_allclose(face.points[face.mirror] * (-1, 1, 1), face.points, atol=1e-6)
    assert face.points[4, 2] < face.points[33, 2] < 0  # z goes away from the viewer: nose, eyes, ears
    assert face.points[10, 1] < 0 < face.points[152, 1]  # y goes down: forehead, chin
    assert face.points[33, 0] < 0 < face.points[263, 0]  # the subject's right eye is left in the picture
    assert pose_of(face.points).yaw_deg == pytest.approx(0, abs=1e-3)


def test_mirror_pairs_the_known_points() -> None:
    mirror = canonical_face().mirror
    pairs = ((33, 263), (133, 362), (61, 291), (159, 386), (145, 374), (468, 473), (105, 334), (234, 454))
    for right, left in (*pairs, (1, 1), (152, 152), (13, 13), (14, 14)):
        assert mirror[right] == left


def test_damaged_canonical_face_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "face.safetensors"
    for content in (b"", b"not a tensor file", b"\x08\0\0\0\0\0\0\0{}      "):
        bad.write_bytes(content)
        with pytest.raises(WeightsError, match="missing or damaged"):
            load_canonical(bad)
    with pytest.raises(WeightsError):
        load_canonical(tmp_path / "none.safetensors")


REGIONS = st.builds(
    Region, st.floats(-200, 900), st.floats(-200, 900), st.floats(10, 3000), st.floats(10, 3000), st.floats(-3, 3)
)


@given(REGIONS)
def test_corners_of_a_crop_lie_on_the_region(region: Region) -> None:
    corners = region.to_image(np.array([[0, 0, 1], [256, 0, 2], [128, 128, 3]], np.float32), 256)
    np.testing.assert_allclose(corners[2, :2], (region.x, region.y), atol=0.01)
    assert math.dist(corners[0, :2], corners[1, :2]) == pytest.approx(region.width, rel=1e-3)
    np.testing.assert_allclose(corners[:, 2], np.array([1, 2, 3]) * region.width / 256, rtol=1e-4)


@pytest.mark.parametrize("shrink", [0.7, 1.5, 3, 6.4, 17])
def test_crop_shows_what_lies_at_the_points_it_maps_to(shrink: float) -> None:
    """A smooth ramp reads the same in the crop as at the places that the crop's pixels come from."""
    y, x = np.mgrid[0:600, 0:800]
    ramp = np.stack([x / 800 * 255, y / 600 * 255, np.zeros_like(x)], axis=-1).astype(np.uint8)
    region = Region(400, 300, 32 * shrink, 32 * shrink, 0.5)
    crop = region.crop(ramp, 32)
    cells = np.stack(np.meshgrid(np.arange(32), np.arange(32)), axis=-1).reshape(-1, 2).astype(np.float32)
    places = region.to_image(cells, 32)
    inside = (places > 15).all(axis=1) & (places < (785, 585)).all(axis=1)
    expected = places / (800, 600) * 255
    np.testing.assert_allclose(crop.reshape(-1, 3)[inside, :2], expected[inside], atol=2.1)


def test_shrinking_a_lot_averages_instead_of_picking() -> None:
    fine = np.zeros((1024, 1024, 3), np.uint8)
    fine[:, ::2] = 255  # stripes that a sampler would turn into all black or all white
    crop = letterbox(1024, 1024).crop(fine, 128)
    np.testing.assert_allclose(crop[8:-8, 8:-8], 128, atol=3)


def test_outside_of_the_picture_is_border() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    region = Region(25, 25, 100, 100, 0)
    assert region.crop(white, 64, border=cv2.BORDER_CONSTANT)[:10].max() == 0
    assert region.crop(white, 64).min() == 255


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([2, 4, 8, 16]))
def test_tiles_cover_the_picture(width: int, height: int, parts: int) -> None:
    squares = tiles(width, height, parts)
    assert len(squares) <= MAX_TILES
    if squares:
        for x, y in ((0, 0), (width, 0), (0, height), (width / 2, height / 2), (width, height), (width / 3, height)):
            assert any(abs(s.x - x) <= s.width / 2 + 1e-6 and abs(s.y - y) <= s.height / 2 + 1e-6 for s in squares)


def test_region_of_landmarks_is_level_with_the_eyes() -> None:
    landmarks = canonical_face().points @ rotation_from_angles(0, 0, 25).T * 100 + (300, 200, 0)
    region = from_landmarks(landmarks.astype(np.float32))
    assert math.degrees(region.angle_rad) == pytest.approx(25, abs=0.5)
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    assert region.width == region.height == pytest.approx(1.5 * (high - low).max(), rel=1e-4)


def _box(left: float, top: float, side: float) -> np.ndarray:
    return np.array([left, top, left + side, top + side, *[left] * 12], np.float32)


def test_overlapping_detections_blend_by_their_scores() -> None:
    found = np.stack([_box(10, 10, 20), _box(12, 10, 20), _box(80, 80, 20)])
    (first, best), (second, other) = blend_overlapping(found, np.array([0.9, 0.6, 0.7], np.float32))
    assert (best, other) == pytest.approx((0.9, 0.7))
    assert first[0] == pytest.approx((10 * 0.9 + 12 * 0.6) / 1.5)
    np.testing.assert_allclose(second, found[2])


def test_empty_boxes_do_not_hang() -> None:
    nothing = np.zeros((3, 16), np.float32)
    assert len(blend_overlapping(nothing, np.array([0.9, 0.8, 0.7], np.float32))) == 3
