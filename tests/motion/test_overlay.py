"""Expressions put on over the driver's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.motion.expression import Expression, lid_opening, lip_gap
from avatar.motion.idle import face_of, pose_at
from avatar.motion.overlay import (
    EXPRESSIONS,
    FADE_S,
    ExpressionOverlay,
    coefficients,
    expression_of,
    expression_text,
    parse_expression,
)
from avatar.motion.voice import neutral_face
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES

REST = neutral_face()


def wearing(name: str, face: Face = REST) -> Face:
    overlay = ExpressionOverlay()
    overlay.fade_to(EXPRESSIONS[name], 0.0)
    return overlay.put_on(face, REST, FADE_S)


def shape(face: Face) -> np.ndarray:
    return Expression.of(face).shape


def test_each_expression_shows_what_its_name_says() -> None:
    corners = [61, 291]
    assert (shape(wearing("smile"))[corners, 1] < shape(REST)[corners, 1] - 0.02).all()
    assert (shape(wearing("sad"))[corners, 1] > shape(REST)[corners, 1] + 0.01).all()
    surprised = wearing("surprise")
    assert lip_gap(shape(surprised)) > 0.1
    assert shape(surprised)[EYES[0].brow, 1].mean() < shape(REST)[EYES[0].brow, 1].mean() - 0.03
    right, left = (lid_opening(shape(wearing("wink")), eye) for eye in EYES)
    assert min(right, left) < 0.4 * max(right, left)


def test_it_fades_in_and_out_without_a_jump() -> None:
    overlay, seen = ExpressionOverlay(), []
    times_s = np.arange(0, 2, 0.02)
    for time_s in times_s:
        if time_s == 0:
            overlay.fade_to(EXPRESSIONS["smile"], time_s)
        if round(time_s, 2) == 0.16:  # in the middle of the first
            overlay.fade_to(EXPRESSIONS["surprise"], time_s)
        if round(time_s, 2) == 1.0:
            overlay.fade_to({}, time_s)
        seen.append(overlay.put_on(REST, REST, time_s).landmarks)
    steps = np.abs(np.diff(seen, axis=0)).max(axis=(1, 2))
    assert steps.max() < 0.15 * np.abs(np.array(seen) - seen[0]).max()
    assert np.array_equal(seen[-1], REST.landmarks) and overlay.put_on(REST, REST, 9.0) is REST


def test_a_smile_is_not_doubled() -> None:
    smiling = wearing("smile")
    assert np.abs(wearing("smile", smiling).landmarks - smiling.landmarks).max() < 1e-3


def test_it_moves_with_the_head() -> None:
    turned = face_of(pose_at(2.0))
    moved = Expression.of(wearing("surprise", turned)).shape - Expression.of(turned).shape
    straight = shape(wearing("surprise")) - shape(REST)
    assert np.abs(moved - straight).max() < 0.05


def test_the_present_face_is_kept_without_its_gaze() -> None:
    caught = expression_of(wearing("surprise", face_of(pose_at(3.0))), REST)
    assert caught["browInnerUp"] == pytest.approx(0.9, abs=0.1) and not any(
        name.startswith("eyeLook") for name in caught
    )
    assert expression_of(REST, REST) == {}


@given(st.dictionaries(st.sampled_from(BLENDSHAPES), st.floats(0, 1).map(lambda value: round(value, 2))))
def test_it_is_written_and_read(expression: dict[str, float]) -> None:
    assert parse_expression(expression_text(expression)) == expression


@pytest.mark.parametrize(
    "text", ["smile", "jawOpen", "jawOpen=wide", "jawOpen=7", "jawOpen=nan", "jawOpen=-1", "=1", "x=1"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_expression(text)
    assert not coefficients({}).any()
