"""Head pose, and the transfer of the driver's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motion_samples import make_face

from avatar.frames import FloatArray
from avatar.motion.head import (
    PITCH_LIMIT_DEG,
    ROLL_LIMIT_DEG,
    SHIFT_LIMIT,
    YAW_LIMIT_DEG,
    ZOOM_LIMIT,
    HeadMotion,
    head_motion,
    legibility,
    pose_difference,
    soft_limit,
    weaken,
)
from avatar.tracking import canonical_face, pose_of
from avatar.tracking.face import Face
from avatar.tracking.pose import angles_deg, rotation_from_angles
from avatar.tracking.regions import CHIN, FOREHEAD_TOP, LEFT_EAR, NOSE_TIP, RIGHT_EAR

ANGLES = ("yaw", "pitch", "roll")
SMALL = st.floats(-6, 6)
ANY_POSE = st.fixed_dictionaries(
    {"yaw": st.floats(-45, 45), "pitch": st.floats(-30, 30), "roll": st.floats(-40, 40), "scale": st.floats(20, 300)}
)


def turned_by(motion: HeadMotion) -> FloatArray:
    return np.array(angles_deg(motion.rotation))


def applied(motion: HeadMotion, face: Face) -> FloatArray:
    """Where the rigid motion takes the portrait's landmarks."""
    centre = face.pose.centre_px
    return (face.landmarks - centre) @ (motion.zoom * motion.rotation.T) + centre + motion.shift_px


def mirrored(face: Face, width_px: int = 512) -> Face:
    """The face as a mirror shows it."""
    landmarks = face.landmarks[canonical_face().mirror].copy()
    landmarks[:, 0] = width_px - 1 - landmarks[:, 0]
    return replace(face, landmarks=landmarks, pose=pose_of(landmarks))


def moved_clip(face: Face, scale: float, shift: tuple[float, float]) -> Face:
    """The same face filmed at another size and place."""
    landmarks = (face.landmarks * scale + np.array([*shift, 0])).astype(np.float32)
    return replace(face, landmarks=landmarks, pose=pose_of(landmarks))


def assert_still(motion: HeadMotion, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(motion.rotation, np.eye(3), atol=atol)
    np.testing.assert_allclose(motion.shift_px, 0, atol=100 * atol)
    assert motion.zoom == pytest.approx(1, abs=atol)


@given(yaw=st.floats(-175, 175), pitch=st.floats(-85, 85), roll=st.floats(-175, 175))
def test_angles_and_rotations_are_one_thing(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_from_angles(yaw, pitch, roll)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(angles_deg(rotation), (yaw, pitch, roll), atol=0.05)


@given(source=ANY_POSE, driver=ANY_POSE, strength=st.floats(0, 2))
def test_a_driver_as_in_the_reference_frame_keeps_the_head_still(
    source: dict[str, Any], driver: dict[str, Any], strength: float
) -> None:
    face = make_face(**driver)
    assert_still(head_motion(make_face(**source), face, face, strength=strength))


@pytest.mark.parametrize("yaw", [-30, 0, 20])
def test_an_absolute_driver_who_looks_as_the_portrait_does_keeps_it_still(yaw: float) -> None:
    reference, driver = make_face(yaw=-17, pitch=9), make_face(yaw=yaw, pitch=5, roll=-8)
    portrait = make_face(yaw=yaw, pitch=5, roll=-8, scale=60)
    np.testing.assert_allclose(head_motion(portrait, reference, driver, relative=False).rotation, np.eye(3), atol=1e-3)


@pytest.mark.parametrize("reference_yaw", [-15, 0, 15])
def test_absolute_motion_does_not_depend_on_the_reference_frames_turn(reference_yaw: float) -> None:
    driver = make_face(yaw=12, pitch=-4, roll=3)
    motion = head_motion(make_face(yaw=5), make_face(yaw=reference_yaw), driver, relative=False)
    from_front = head_motion(make_face(yaw=5), make_face(), driver, relative=False)
    np.testing.assert_allclose(motion.rotation, from_front.rotation, atol=1e-4)


def test_a_driver_who_turns_to_the_right_turns_the_portrait_there() -> None:
    portrait = make_face()
    moved = applied(head_motion(portrait, make_face(), make_face(yaw=20)), portrait)
    ears = 0.5 * (moved[LEFT_EAR] + moved[RIGHT_EAR])
    assert moved[NOSE_TIP, 0] - ears[0] > 0.15 * portrait.pose.scale_px


def test_a_driver_who_looks_up_lifts_the_portraits_nose() -> None:
    portrait = make_face()
    moved = applied(head_motion(portrait, make_face(), make_face(pitch=15)), portrait)
    before, after = (
        points[NOSE_TIP, 1] - 0.5 * (points[LEFT_EAR, 1] + points[RIGHT_EAR, 1])
        for points in (portrait.landmarks, moved)
    )
    assert after < before - 0.1 * portrait.pose.scale_px


def test_a_driver_who_tilts_clockwise_tilts_the_portrait_so() -> None:
    portrait = make_face()
    moved = applied(head_motion(portrait, make_face(), make_face(roll=15)), portrait)
    assert moved[FOREHEAD_TOP, 0] > moved[CHIN, 0] + 0.3 * portrait.pose.scale_px


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 8), (0, -8), (10, 0), (-7, 5)])
def test_a_face_that_turns_goes_as_far_as_its_drivers(yaw: float, pitch: float) -> None:
    portrait, driver = make_face(), make_face(yaw=yaw, pitch=pitch)
    moved = applied(head_motion(portrait, portrait, driver), portrait)
    middle, true = (points[:468, :2].mean(axis=0) for points in (moved, driver.landmarks))
    np.testing.assert_allclose(middle, true, atol=0.003 * portrait.pose.scale_px)


def test_a_driver_who_comes_nearer_enlarges_the_portrait() -> None:
    portrait = make_face(scale=50)
    assert head_motion(portrait, make_face(scale=100), make_face(scale=110)).zoom == pytest.approx(1.1, abs=1e-3)
    assert head_motion(portrait, make_face(scale=110), make_face(scale=100)).zoom == pytest.approx(1 / 1.1, abs=1e-3)


def test_a_shift_is_measured_in_heads() -> None:
    portrait = make_face(scale=50)
    motion = head_motion(portrait, make_face(scale=100), make_face(scale=100, centre=(276, 246)))
    np.testing.assert_allclose(motion.shift_px, (10, -5, 0), atol=1e-3)


@given(yaw=SMALL, pitch=SMALL, roll=SMALL, strength=st.floats(0, 2), portrait=ANY_POSE)
def test_small_turns_are_followed_in_proportion_to_the_strength(
    yaw: float, pitch: float, roll: float, strength: float, portrait: dict[str, Any]
) -> None:
    front = make_face(scale=80)
    once = turned_by(head_motion(front, make_face(), make_face(yaw=yaw, pitch=pitch, roll=roll)))
    scaled = turned_by(head_motion(front, make_face(), make_face(yaw=yaw, pitch=pitch, roll=roll), strength=strength))
    np.testing.assert_allclose(scaled, strength * once, atol=0.05)
    assert np.all(np.abs(once) >= 0.95 * np.abs([yaw, pitch, roll]) - 0.05)  # and at strength 1 by as much or more
    assert np.all(np.abs(once) <= 1.5 * np.abs([yaw, pitch, roll]) + 0.05)
    wherever = make_face(**portrait)
    assert_still(head_motion(wherever, make_face(), make_face(yaw=yaw, pitch=pitch, roll=roll), strength=0))


@given(source=ANY_POSE, reference=ANY_POSE, driver=ANY_POSE, strength=st.floats(0, 2), relative=st.booleans())
def test_no_motion_goes_beyond_its_limits(
    source: dict[str, Any], reference: dict[str, Any], driver: dict[str, Any], strength: float, relative: bool
) -> None:
    portrait = make_face(**source)
    driving = make_face(**driver, centre=(256 + 400 * np.sin(driver["yaw"]), 100))
    motion = head_motion(portrait, make_face(**reference), driving, strength=strength, relative=relative)
    yaw, pitch, roll = angles_deg(motion.rotation @ portrait.pose.rotation)
    assert abs(yaw) <= max(YAW_LIMIT_DEG, abs(portrait.pose.yaw_deg) + 0.25 * YAW_LIMIT_DEG) + 0.1
    assert abs(pitch) <= max(PITCH_LIMIT_DEG, abs(portrait.pose.pitch_deg) + 0.25 * PITCH_LIMIT_DEG) + 0.1
    assert abs(roll - portrait.pose.roll_deg) <= ROLL_LIMIT_DEG + 0.1
    assert np.linalg.norm(motion.shift_px) <= SHIFT_LIMIT * portrait.pose.scale_px * 1.001
    assert 1 / ZOOM_LIMIT - 1e-6 <= motion.zoom <= ZOOM_LIMIT + 1e-6
    assert np.isfinite(motion.rotation).all()


def test_a_turn_that_grows_never_turns_the_portrait_back() -> None:
    portrait = make_face(yaw=-10, scale=60)
    turned = [
        angles_deg(head_motion(portrait, make_face(), make_face(yaw=yaw)).rotation @ portrait.pose.rotation)[0]
        for yaw in np.linspace(-70, 70, 141)
    ]
    assert np.diff(turned).min() > -1e-3 and np.diff(turned).max() < 3


@given(
    pose=ANY_POSE, then=ANY_POSE, scale=st.floats(0.3, 3), shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300))
)
def test_the_size_of_the_clip_does_not_matter(
    pose: dict[str, Any], then: dict[str, Any], scale: float, shift: tuple[float, float]
) -> None:
    portrait, reference, driver = make_face(yaw=7, scale=55), make_face(**pose), make_face(**then, centre=(280, 230))
    here = head_motion(portrait, reference, driver)
    there = head_motion(portrait, moved_clip(reference, scale, shift), moved_clip(driver, scale, shift))
    np.testing.assert_allclose(here.rotation, there.rotation, atol=2e-3)
    np.testing.assert_allclose(here.shift_px, there.shift_px, atol=0.3)
    assert here.zoom == pytest.approx(there.zoom, rel=2e-3)


@given(source=ANY_POSE, reference=ANY_POSE, driver=ANY_POSE, x=st.floats(150, 350), relative=st.booleans())
def test_a_mirrored_driver_moves_a_mirrored_portrait_as_a_mirror_shows(
    source: dict[str, Any], reference: dict[str, Any], driver: dict[str, Any], x: float, relative: bool
) -> None:
    faces = [make_face(**source), make_face(**reference), make_face(**driver, centre=(x, 240))]
    straight = head_motion(*faces, relative=relative)
    flipped = head_motion(*(mirrored(face) for face in faces), relative=relative)
    flip = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(flipped.rotation, flip @ straight.rotation @ flip, atol=5e-3)
    np.testing.assert_allclose(flipped.shift_px, straight.shift_px * [-1, 1, 1], atol=0.01 * faces[0].pose.scale_px)
    assert flipped.zoom == pytest.approx(straight.zoom, rel=2e-3)


def test_poses_differ_by_what_was_changed() -> None:
    first, second = make_face(), make_face(yaw=4, pitch=-3, roll=2, scale=132, centre=(280, 250))
    yaw, pitch, roll, across, down, log_zoom = pose_difference(first.pose, second.pose)
    np.testing.assert_allclose((yaw, pitch, roll), (4, -3, 2), atol=0.05)
    np.testing.assert_allclose((across, down), (0.2, -0.05), atol=2e-3)
    assert np.exp(log_zoom) == pytest.approx(1.1, abs=1e-3)
    np.testing.assert_allclose(pose_difference(first.pose, first.pose), 0, atol=1e-6)


def test_the_expression_of_a_profile_is_not_trusted() -> None:
    read = [legibility(make_face(yaw=yaw).pose) for yaw in range(0, 91, 5)]
    assert read == sorted(read, reverse=True) and read[5] == 1 and read[-1] == 0
    assert legibility(make_face(yaw=-80).pose) == legibility(make_face(pitch=80).pose) == 0


@given(value=st.floats(-1e6, 1e6), limit=st.floats(0.1, 100))
def test_a_soft_limit_is_odd_bounded_and_never_more_than_the_value(value: float, limit: float) -> None:
    limited = soft_limit(value, limit)
    assert abs(limited) <= min(abs(value), limit) + 1e-9
    assert soft_limit(-value, limit) == pytest.approx(-limited)
    assert soft_limit(0.5 * limit, limit) == 0.5 * limit


def test_a_soft_limit_rises_without_a_kink() -> None:
    values = np.linspace(-3, 3, 6001)
    slope = np.diff([soft_limit(float(value), 1.0) for value in values]) / np.diff(values)
    assert slope.min() >= 0 and slope.max() <= 1 + 1e-6
    assert np.abs(np.diff(slope)).max() < 0.01


@given(pose=ANY_POSE, share=st.floats(0, 1))
def test_a_share_of_a_motion(pose: dict[str, Any], share: float) -> None:
    motion = head_motion(make_face(), make_face(), make_face(**pose, centre=(300, 200)))
    part = weaken(motion, share)
    np.testing.assert_allclose(turned_by(part), share * turned_by(motion), atol=0.05)
    np.testing.assert_allclose(part.shift_px, share * motion.shift_px, atol=1e-3)
    assert np.log(part.zoom) == pytest.approx(share * np.log(motion.zoom), abs=1e-5)
    assert_still(weaken(motion, 0))
    assert weaken(motion, 1) is motion
