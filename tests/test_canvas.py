from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import plain
from hypothesis import given
from hypothesis import strategies as st

from avatar.frames import Frame, RgbImage
from avatar.outputs.canvas import CanvasOptions, compose, compose_frame
from avatar.outputs.test_card import BARS, draw_test_card

RED, BLUE = (220, 30, 20), (20, 40, 210)


def halves(width: int = 120, height: int = 120) -> RgbImage:
    """Red on the left, blue on the right."""
    picture = plain(RED, (width, height))
    picture[:, width // 2 :] = BLUE
    return picture


def bare(**changes: Any) -> CanvasOptions:
    """A canvas without the label."""
    return CanvasOptions(**({"width_px": 320, "height_px": 180, "label": False} | changes))


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    canvas=st.tuples(st.integers(16, 200), st.integers(16, 200)),
    fit=st.sampled_from(["blur", "fit", "fill"]),
    mirror=st.booleans(),
    label=st.booleans(),
)
def test_any_picture_gives_a_canvas_of_its_own(
    size: tuple[int, int], canvas: tuple[int, int], fit: Any, mirror: bool, label: bool
) -> None:
    picture = plain(90, size)
    before = picture.copy()
    result = compose(picture, CanvasOptions(*canvas, fit=fit, mirror=mirror, label=label))
    assert result.shape == (canvas[1], canvas[0], 3) and result.dtype == np.uint8
    assert result.flags.c_contiguous and result.flags.writeable
    result[:] = 0
    assert np.array_equal(picture, before)


def test_the_whole_picture_is_seen_between_black_bars() -> None:
    canvas = compose(halves(), bare(fit="fit"))
    assert np.array_equal(canvas[90, 75], RED) and np.array_equal(canvas[90, 244], BLUE)
    assert not canvas[:, :69].any() and not canvas[:, 251:].any()
    assert canvas[0, 100].any() and canvas[179, 100].any()


def test_a_tall_canvas_gets_its_bars_above_and_below() -> None:
    canvas = compose(halves(), bare(width_px=90, height_px=200, fit="fit"))
    assert not canvas[:54].any() and not canvas[146:].any() and canvas[100, 2].any()


def test_blurred_bars_have_the_colours_of_the_picture_beside_them() -> None:
    canvas = compose(halves(), bare(fit="blur")).astype(int)
    assert np.array_equal(canvas[90, 75], RED) and np.array_equal(canvas[90, 244], BLUE)
    left, right = canvas[:, :68].mean(axis=(0, 1)), canvas[:, 252:].mean(axis=(0, 1))
    assert left[0] > 100 and left[2] < 30 and right[2] > 90 and right[0] < 30
    assert left.max() < RED[0], "the backdrop is dimmed"


def test_filling_cuts_above_and_below_and_leaves_no_bar() -> None:
    picture = halves()
    picture[:20] = picture[-20:] = 255
    canvas = compose(picture, bare(fit="fill"))
    assert np.array_equal(canvas[90, 2], RED) and np.array_equal(canvas[90, 317], BLUE)
    assert not (canvas == 255).all(axis=2).any()


@pytest.mark.parametrize("fit", ["blur", "fit", "fill"])
def test_a_mirror_turns_the_picture_and_not_the_label(fit: Any) -> None:
    def composed(**changes: Any) -> RgbImage:
        return compose(halves(160, 90), bare(width_px=640, height_px=360, fit=fit, **changes))

    straight, turned = composed(), composed(mirror=True)
    assert np.array_equal(turned, straight[:, ::-1]) and not np.array_equal(turned, straight)
    straight, turned = (composed(label=True, mirror=mirror).astype(int) for mirror in (False, True))
    corner = np.s_[300:, 480:]
    # white letters stand where they stand, whatever is behind them
    assert np.array_equal((straight[corner] > 235).all(axis=2), (turned[corner] > 235).all(axis=2))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_label_is_read_on_any_ground(level: int) -> None:
    picture = plain(level, (1280, 720))
    canvas = compose(picture, CanvasOptions())
    changed = np.argwhere((canvas != picture).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert top > 0.9 * 720 and left > 0.88 * 1280 and bottom < 719 and right < 1279, "it keeps to its corner"
    spot = canvas[top : bottom + 1, left : right + 1].astype(int)
    assert spot.max() >= 240 and np.quantile(spot, 0.3) <= 115, "white on dark"


def test_the_label_can_be_switched_off() -> None:
    picture = plain(128, (1280, 720))
    assert np.array_equal(compose(picture, CanvasOptions(label=False)), picture)


def test_a_canvas_too_small_for_the_label_goes_without() -> None:
    assert np.array_equal(compose(plain(128, (30, 30)), CanvasOptions(16, 16)), plain(128, (16, 16)))


@pytest.mark.parametrize("wrong", [{"width_px": 15}, {"height_px": 9000}, {"fit": "stretch"}])
def test_impossible_canvases_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        CanvasOptions(**wrong)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (64, 48)])
def test_the_test_card_has_its_bars_in_order_and_says_something(size: tuple[int, int]) -> None:
    card = draw_test_card(*size)
    assert card.shape == (size[1], size[0], 3)
    for number, colour in enumerate(BARS):
        assert np.array_equal(card[size[1] // 3, round((number + 0.5) * size[0] / 7)], colour)
    assert card[round(0.7 * size[1]) :].max() > 100


def test_no_label_calls_the_camera_an_avatar() -> None:
    options = CanvasOptions(320, 180)
    shown = compose_frame(Frame(halves(), 0, 0), options)
    assert np.array_equal(shown, compose(halves(), options))
    passed = compose_frame(Frame(halves(), 0, 0, passed_through=True), options)
    assert np.array_equal(passed, compose(halves(), bare()))
