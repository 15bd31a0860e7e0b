"""A driver who is lost and comes back."""

from __future__ import annotations

import itertools

import pytest

from avatar.motion.presence import CATCH_S, HOLD_S, RELEASE_S, Presence


@pytest.mark.parametrize("rate", [10, 30, 60])
def test_a_lost_driver_is_held_then_let_go_and_caught_again_without_a_jump(rate: int) -> None:
    presence = Presence()
    assert presence.update(True, 0.0) == presence.update(True, 1 / rate) == 1
    lost = [presence.update(False, (2 + index) / rate) for index in range(2 * rate)]
    assert lost[0] == lost[int(HOLD_S * rate) - 1] == 1
    assert lost[-1] == 0 and lost == sorted(lost, reverse=True)
    over = int((HOLD_S + RELEASE_S) * rate) + 2
    assert lost[over] == 0
    back = [0.0, *(presence.update(True, (2 + 2 * rate + index) / rate) for index in range(rate))]
    assert back[-1] == 1 and back == sorted(back)
    for values, length_s in ((lost, RELEASE_S), (back, CATCH_S)):
        steps = [abs(after - before) for before, after in itertools.pairwise(values)]
        assert max(steps) <= 1 / (length_s * rate) + 1e-9


def test_a_frame_or_two_without_a_face_go_unnoticed() -> None:
    presence = Presence()
    told = [presence.update(seen, time_s) for seen, time_s in ((True, 0), (True, 0.03), (False, 0.07), (False, 0.1))]
    assert told == [1, 1, 1, 1] and presence.update(True, 0.13) == 1


def test_before_anybody_is_seen_nothing_is_let_go() -> None:
    presence = Presence()
    assert [presence.update(False, time_s) for time_s in (0.0, 0.5, 5.0)] == [1, 1, 1]


def test_a_clip_that_begins_again_does_not_freeze() -> None:
    presence = Presence()
    presence.update(True, 100.0)
    assert presence.update(True, 0.0) == 1
    assert [presence.update(False, index / 30) for index in range(1, 60)][-1] == 0
