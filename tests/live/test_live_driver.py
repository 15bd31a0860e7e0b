"""The motion source: continuous output across all transitions."""

from __future__ import annotations

import numpy as np
import pytest
from live_fakes import as_moment
from motion_samples import close_eyes, make_face

from avatar.live.calibration import Calibration
from avatar.live.motion_source import CATCH_S, EASE_S, MotionSource
from avatar.motion.blend import blend, carry, in_pose, mirrored
from avatar.motion.expression import Expression, lid_opening
from avatar.motion.head import pose_difference
from avatar.motion.idle import compose_idle
from avatar.motion.presence import HOLD_S
from avatar.motion.track import MotionTrack
from avatar.tracking import pose_of
from avatar.tracking.face import Face
from avatar.tracking.regions import EYES

STEP_S = 1 / 30


@pytest.fixture(scope="module")
def idle() -> MotionTrack:
    return compose_idle()


def relative(face: Face, reference: Face) -> np.ndarray:
    """What an engine sees: the pose-free landmarks' and the pose's change since the reference frame."""
    shape = Expression.of(face).shape - Expression.of(reference).shape
    return np.concatenate([shape[:468].ravel(), pose_difference(reference.pose, face.pose)[:3] / 30])


class Play:
    """Runs a driver over time and keeps what it said."""

    def __init__(self, idle: MotionTrack) -> None:
        self.told: list[object] = []
        self.calibration = Calibration(self.told.append)
        self.driver = MotionSource(self.calibration, idle)
        self.now_s = 100.0
        self.shown: list[np.ndarray] = []
        self.following: list[bool] = []

    def run(self, face: Face | None, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.calibration.observe(as_moment(face), self.now_s)
            drive = self.driver.drive(as_moment(face), self.now_s)
            self.shown.append(relative(drive.face, drive.reference))
            self.following.append(drive.following)

    def largest_step(self) -> float:
        return float(np.abs(np.diff(self.shown, axis=0)).max())


def test_without_a_driver_it_idles_as_the_idle_motion_does(idle: MotionTrack) -> None:
    play = Play(idle)
    play.run(None, 3)
    assert not any(play.following)
    assert np.ptp([shown[-3:] for shown in play.shown], axis=0).max() > 0.01


def test_nothing_jumps_when_a_driver_comes_goes_and_comes_back(idle: MotionTrack) -> None:
    play = Play(idle)
    quiet, turned = make_face(centre=(900, 400), scale=200), make_face(yaw=25, pitch=8, centre=(1000, 380), scale=200)
    play.run(None, 1)
    play.run(quiet, 1)
    for share in np.linspace(0, 1, 20):
        play.run(blend(quiet, turned, float(share)), STEP_S)
    play.run(turned, 0.5)
    play.run(None, 2)
    play.run(turned, 1)
    calm = Play(idle)
    calm.run(None, 9)  # the blinks of the idle motion are its quickest
    assert play.largest_step() < 1.5 * calm.largest_step() + 0.05


def test_a_lost_face_is_held_and_idles_within_a_second(idle: MotionTrack) -> None:
    play = Play(idle)
    play.run(make_face(), 1)
    play.run(make_face(yaw=25), 1)
    play.run(None, HOLD_S - STEP_S)
    assert all(play.following) and play.shown[-1][-3] == pytest.approx(25 / 30, abs=0.01)
    play.run(None, 1.0 - HOLD_S + STEP_S)
    assert HOLD_S + EASE_S < 1.0 and not play.following[-1]
    assert abs(play.shown[-1][-3]) < 6 / 30  # as far as the idle motion turns


def test_a_found_face_is_followed_exactly_after_a_moment(idle: MotionTrack) -> None:
    play = Play(idle)
    play.run(make_face(), 1)
    play.run(None, 2)
    face = make_face(yaw=12)
    play.run(face, CATCH_S + 2 * STEP_S)
    drive = play.driver.drive(as_moment(face), play.now_s)
    assert drive.face is face and drive.following


def test_another_person_eases_in(idle: MotionTrack) -> None:
    play = Play(idle)
    play.run(make_face(scale=80, centre=(200, 200)), 1)
    play.run(make_face(yaw=20, scale=80, centre=(200, 200)), 1)
    play.calibration.forget()
    play.run(make_face(scale=300, centre=(900, 500), yaw=-5), 2)
    steps = np.abs(np.diff(play.shown, axis=0)).max(axis=1)
    assert steps[59:].max() < 0.2 * 20 / 30  # the first one was turned by 20 degrees when the second one came
    assert np.abs(play.shown[-1]).max() < 0.02


def test_a_mirrored_driver_goes_over_without_a_jump(idle: MotionTrack) -> None:
    play = Play(idle)
    play.run(make_face(yaw=3, centre=(300, 256)), 2)
    play.run(make_face(yaw=20, centre=(300, 256)), 1)
    before = play.shown[-1][-3]
    play.calibration.mirror(512)
    play.run(mirrored(make_face(yaw=20, centre=(300, 256)), 512), 1)
    steps = np.abs(np.diff([shown[-3] for shown in play.shown[-31:]]))
    assert steps.max() < 0.35 * 2 * before
    assert play.shown[-1][-3] == pytest.approx(-before, abs=0.02)


def test_a_blend_begins_and_ends_at_its_faces_and_is_a_face_between() -> None:
    first, second = make_face(yaw=-10, scale=100, mouthSmile=0.4), make_face(yaw=20, scale=140, centre=(300, 200))
    assert blend(first, second, 0) is first and blend(first, second, 1.5) is second
    half = blend(first, second, 0.5)
    fitted = pose_of(half.landmarks)
    assert half.pose.yaw_deg == pytest.approx(5) and fitted.yaw_deg == pytest.approx(5, abs=0.3)
    assert fitted.scale_px == pytest.approx((100 * 140) ** 0.5, rel=0.01)
    assert half.blendshape("mouthSmileLeft") == pytest.approx(0.2)


def test_carrying_nothing_changes_nothing_and_blinks_close_on_any_face() -> None:
    idle, person = make_face(), make_face(yaw=12, scale=200, centre=(700, 300))
    still = carry(idle, idle, person)
    np.testing.assert_allclose(still.landmarks, person.landmarks, atol=0.05)
    blink = carry(close_eyes(idle), idle, person)
    for eye in EYES:
        assert lid_opening(Expression.of(blink).shape, eye) < 0.02 < lid_opening(Expression.of(person).shape, eye)


def test_carried_turns_and_shifts_are_in_the_other_ones_measure() -> None:
    reference, now = make_face(yaw=2), make_face(yaw=12, centre=(256 + 12, 256))
    person = make_face(yaw=-5, scale=240, centre=(600, 300))
    carried = carry(now, reference, person)
    assert carried.pose.yaw_deg == pytest.approx(5, abs=0.01)
    assert carried.pose.centre_px[0] - person.pose.centre_px[0] == pytest.approx(24, abs=0.5)


def test_a_mirrored_face_turns_the_other_way_and_a_second_mirror_undoes_it() -> None:
    face = make_face(yaw=15, roll=5, centre=(300, 256), eyeBlinkLeft=0.8)
    other = mirrored(face, 640)
    assert other.pose.yaw_deg == pytest.approx(-face.pose.yaw_deg, abs=0.1)
    assert other.blendshape("eyeBlinkRight") == pytest.approx(0.8)
    np.testing.assert_allclose(mirrored(other, 640).landmarks, face.landmarks, atol=1e-3)


def test_a_face_can_be_put_into_another_pose() -> None:
    smiling, turned = make_face(mouthSmile=0.5), make_face(yaw=30, scale=80, centre=(50, 60))
    np.testing.assert_allclose(in_pose(smiling, turned.pose).landmarks, turned.landmarks, atol=0.05)
