"""Calibration: at first sight, instant, by a countdown, by search, and undone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from live_fakes import as_moment
from motion_samples import close_eyes, make_face, open_mouth

from avatar.live.calibration import BLEND_S, FIRST_S, LONGEST_LOOK_S, LOOK_S, Calibration
from avatar.live.drift import LONG_S, Drift
from avatar.live.events import CalibrationCountdown, CalibrationDone, CalibrationRefused, DriftHint, Event
from avatar.motion.neutrality import CLOSED_EYES, OPEN_MOUTH, TURNED_HEAD, flaw, neutrality
from avatar.tracking.face import Face

STEP_S = 1 / 30


class Sitting:
    """A calibration and somebody before the camera."""

    def __init__(self, **options: bool) -> None:
        self.told: list[Event] = []
        self.calibration = Calibration(self.told.append, **options)
        self.now_s = 50.0

    def look(self, face: Face | None, seconds: float = STEP_S) -> None:
        for _ in range(max(1, round(seconds / STEP_S))):
            self.now_s += STEP_S
            self.calibration.observe(as_moment(face), self.now_s)

    def settled(self) -> Sitting:
        """After the first look."""
        self.look(make_face(), FIRST_S + 0.5)
        self.told.clear()
        return self

    def yaw(self) -> float:
        reference = self.calibration.reference(self.now_s)
        assert reference is not None
        return reference.pose.yaw_deg

    def done(self) -> list[str]:
        return [event.how for event in self.told if isinstance(event, CalibrationDone)]


def test_the_first_face_is_the_reference_at_once_and_a_better_one_soon_after() -> None:
    sitting = Sitting()
    assert sitting.calibration.reference(sitting.now_s) is None
    sitting.look(make_face(yaw=10, jawOpen=0.5))
    assert sitting.yaw() == pytest.approx(10, abs=0.1) and sitting.done() == ["first"]
    sitting.look(make_face(yaw=2), 0.3)
    assert sitting.done() == ["first", "first"]
    sitting.look(make_face(yaw=2), BLEND_S)
    assert sitting.yaw() == pytest.approx(2, abs=0.1)


def test_later_a_better_moment_replaces_it_only_while_searching() -> None:
    for search in (False, True):
        sitting = Sitting(search=search)
        sitting.look(make_face(yaw=12), FIRST_S + 1)
        sitting.look(make_face(yaw=1), 3)
        assert ("search" in sitting.done()) is search
        assert sitting.yaw() == pytest.approx(1 if search else 12, abs=0.2)


def test_a_search_takes_no_moving_and_no_blinking_face() -> None:
    sitting = Sitting(search=True)
    sitting.look(make_face(yaw=12), FIRST_S + 1)
    for number in range(60):
        sitting.look(make_face(yaw=4.0 if number % 2 else -4.0))
        sitting.look(close_eyes(make_face()))
    assert "search" not in sitting.done()


def test_an_instant_calibration_takes_the_best_of_the_last_moments() -> None:
    sitting = Sitting().settled()
    sitting.look(make_face(yaw=6), 0.4)
    sitting.look(close_eyes(make_face(yaw=6.5)), 0.05)
    sitting.calibration.calibrate(sitting.now_s)
    assert sitting.done() == ["instant"]
    sitting.now_s += BLEND_S
    assert sitting.yaw() == pytest.approx(6, abs=0.1)


def test_a_change_of_the_reference_blends_over_half_a_second() -> None:
    sitting = Sitting().settled()
    sitting.look(make_face(yaw=20), 0.5)
    sitting.calibration.calibrate(sitting.now_s)
    yaws = []
    for _ in range(20):
        yaws.append(sitting.yaw())
        sitting.look(make_face(yaw=20))
    assert yaws[0] == pytest.approx(0, abs=0.5) and yaws[-1] == pytest.approx(20, abs=0.1)
    assert np.diff(yaws).min() >= -1e-4 and np.diff(yaws).max() < 3.0
    assert sum(0.5 < yaw < 19.5 for yaw in yaws) >= 10


def test_without_a_face_nothing_is_calibrated() -> None:
    sitting = Sitting()
    for ask in (sitting.calibration.calibrate, sitting.calibration.recentre, sitting.calibration.undo):
        ask(sitting.now_s)
    assert [type(event) for event in sitting.told] == [CalibrationRefused] * 3
    assert all(isinstance(event, CalibrationRefused) and event.why for event in sitting.told)


def test_the_countdown_is_told_second_by_second() -> None:
    sitting = Sitting().settled()
    sitting.calibration.start_guided(sitting.now_s)
    sitting.look(make_face(yaw=1), 3 + LOOK_S + 0.1)
    counted = [event.seconds for event in sitting.told if isinstance(event, CalibrationCountdown)]
    assert counted == [3, 2, 1, 0] and sitting.done() == ["guided"]


def test_a_guided_calibration_takes_the_most_neutral_moment_of_its_own_time() -> None:
    sitting = Sitting().settled()
    sitting.calibration.start_guided(sitting.now_s)
    sitting.look(make_face(yaw=-9), 3.05)  # before it looks, nothing counts
    calm, smiling = make_face(yaw=3), make_face(yaw=3, mouthSmile=0.7)
    for face in (smiling, close_eyes(calm), open_mouth(calm, 0.25), make_face(yaw=30), calm, calm, calm):
        sitting.look(face, LOOK_S / 7)
    sitting.look(calm, 0.2)
    score = next(event.score for event in sitting.told if isinstance(event, CalibrationDone))
    sitting.now_s += BLEND_S
    reference = sitting.calibration.reference(sitting.now_s)
    assert reference is not None and reference.blendshape("mouthSmileLeft") == 0
    assert sitting.yaw() == pytest.approx(3, abs=0.1) and score == pytest.approx(neutrality(calm))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (close_eyes, "eyes"),
        (lambda face: open_mouth(face, 0.25), "mouth"),
        (lambda face: make_face(yaw=30), "turned"),
        (lambda face: None, "No face"),
    ],
)
def test_a_guided_calibration_says_what_was_wrong(spoil: Callable[[Face], Face | None], word: str) -> None:
    sitting = Sitting().settled()
    before = sitting.yaw()
    sitting.calibration.start_guided(sitting.now_s)
    sitting.look(spoil(make_face(yaw=1)), 3 + LONGEST_LOOK_S + 0.2)
    refused = [event for event in sitting.told if isinstance(event, CalibrationRefused)]
    assert len(refused) == 1 and word in refused[0].why and sitting.yaw() == before and not sitting.done()


def test_a_slow_engine_gets_a_longer_look() -> None:
    sitting = Sitting().settled()
    sitting.calibration.start_guided(sitting.now_s)
    for _ in range(12):  # two frames a second
        sitting.now_s += 0.5
        sitting.calibration.observe(as_moment(make_face(yaw=2)), sitting.now_s)
    assert sitting.done() == ["guided"]


def test_a_slow_camera_is_not_taken_for_somebody_who_hides() -> None:
    sitting = Sitting().settled()
    sitting.calibration.start_guided(sitting.now_s)
    for number in range(300):
        sitting.now_s += 0.02
        if number % 6 == 0:
            sitting.calibration.observe(as_moment(make_face(yaw=2)), sitting.now_s)
        else:
            sitting.calibration.pass_time(sitting.now_s)
    assert sitting.done() == ["guided"]


def test_without_a_camera_a_countdown_ends_too() -> None:
    sitting = Sitting()
    sitting.calibration.start_guided(sitting.now_s)
    for _ in range(100):
        sitting.now_s += 0.1
        sitting.calibration.pass_time(sitting.now_s)
    counted = [event.seconds for event in sitting.told if isinstance(event, CalibrationCountdown)]
    refused = [event for event in sitting.told if isinstance(event, CalibrationRefused)]
    assert counted == [3, 2, 1, 0] and len(refused) == 1


def test_undo_goes_back_step_by_step_and_ends_a_countdown() -> None:
    sitting = Sitting().settled()
    for yaw in (5, 10):
        sitting.look(make_face(yaw=yaw), 1)
        sitting.calibration.calibrate(sitting.now_s)
        sitting.now_s += BLEND_S
    sitting.calibration.start_guided(sitting.now_s)
    for expected in (5, 0):
        sitting.calibration.undo(sitting.now_s)
        sitting.now_s += BLEND_S
        assert sitting.yaw() == pytest.approx(expected, abs=0.2)
    sitting.look(make_face(yaw=10), 6)
    assert sitting.done() == ["instant", "instant", "undo", "undo"]


def test_recentring_takes_the_place_and_keeps_the_expression() -> None:
    sitting = Sitting().settled()
    aside = make_face(yaw=9, centre=(400, 300), mouthSmile=0.9)
    sitting.look(aside, 1)
    sitting.calibration.recentre(sitting.now_s)
    sitting.now_s += BLEND_S
    reference = sitting.calibration.reference(sitting.now_s)
    assert reference is not None and reference.blendshape("mouthSmileLeft") == 0
    np.testing.assert_allclose(reference.pose.centre_px, aside.pose.centre_px, atol=0.5)
    assert reference.pose.yaw_deg == pytest.approx(9, abs=0.1)


def test_what_the_user_chose_is_not_replaced_unasked() -> None:
    sitting = Sitting()
    sitting.look(make_face(yaw=8), 0.2)
    sitting.calibration.calibrate(sitting.now_s)
    sitting.look(make_face(), 3)
    assert sitting.yaw() == pytest.approx(8, abs=0.1)


def test_somebody_who_sits_elsewhere_for_long_is_told_once() -> None:
    sitting = Sitting().settled()
    away = make_face(centre=(256 + 120, 256))
    sitting.look(away, LONG_S - 1)
    assert not sitting.told
    sitting.look(away, 30)
    assert sitting.told == [DriftHint()]
    sitting.look(make_face(), 20)
    sitting.look(away, LONG_S + 5)
    assert sitting.told == [DriftHint()] * 2


def test_recentring_ends_the_drift_and_the_hint_can_be_switched_off() -> None:
    sitting = Sitting().settled()
    away = make_face(centre=(256 + 120, 256))
    sitting.look(away, 5)
    sitting.calibration.recentre(sitting.now_s)
    sitting.look(away, 30)
    assert DriftHint() not in sitting.told
    quiet = Sitting(drift_hint=False).settled()
    quiet.look(away, 40)
    assert not quiet.told


def test_looking_around_is_no_drift() -> None:
    drift, reference = Drift(), make_face()
    far = [
        drift.far_for_long(reference, make_face(yaw=28 * np.sin(number * 0.1)), number * STEP_S)
        for number in range(30 * 30)
    ]
    assert not any(far)


def test_every_flaw_is_named_and_a_calm_face_has_none() -> None:
    calm = make_face()
    assert flaw(calm) is None and flaw(make_face(pitch=15)) is None
    assert flaw(close_eyes(calm)) == CLOSED_EYES
    assert flaw(open_mouth(calm, 0.3)) == OPEN_MOUTH == flaw(make_face(jawOpen=0.5))
    assert flaw(make_face(yaw=-25)) == TURNED_HEAD == flaw(make_face(roll=30))


def test_the_calmer_a_face_the_higher_its_score() -> None:
    faces = [
        make_face(), make_face(mouthSmile=0.3), make_face(mouthSmile=0.3, yaw=8),
        make_face(mouthSmile=0.6, yaw=12), make_face(jawOpen=0.8, yaw=15, eyeBlink=0.9),
    ]  # fmt: skip
    scores = [neutrality(face) for face in faces]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.95 and 0 < scores[-1] < 0.1
