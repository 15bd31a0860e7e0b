from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from hypothesis import example, given
from hypothesis import strategies as st

from avatar.frames import Frame, PortraitLayers, RgbImage
from avatar.images.load import save_png
from avatar.live.mark import RED as MARK
from avatar.live.mark import as_passed_through
from avatar.outputs.canvas import GREEN, CanvasOptions, CanvasPainter, compose, compose_frame
from avatar.outputs.live.card import BARS, draw_test_card
from avatar.settings import BACKGROUNDS, FITS, CanvasSettings

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
@example((18, 17), (16, 16), "fill", False, False)  # a part of a scaled image
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
    assert np.abs(canvas[90, 75] - RED).max() <= 1 and np.abs(canvas[90, 244] - BLUE).max() <= 1
    left, right = canvas[:, :68].mean(axis=(0, 1)), canvas[:, 252:].mean(axis=(0, 1))
    assert left[0] > 100 and left[2] < 30 and right[2] > 90 and right[0] < 30
    assert left[0] == pytest.approx(RED[0], abs=12), "the same colours go on"


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
    assert np.array_equal(shown.rgb, compose(halves(), options))
    passed = compose_frame(Frame(halves(), 0, 0, passed_through=True), options)
    assert np.array_equal(passed.rgb, compose(halves(), bare(fit="fit")))


@pytest.mark.parametrize("size", [(320, 180), (180, 320)])
@pytest.mark.parametrize("fit", FITS)
def test_no_fit_cuts_the_red_frame_of_a_pass_through(fit: str, size: tuple[int, int]) -> None:
    """Not even on a canvas of another shape than it was marked for: an output that keeps its size."""
    shown = as_passed_through(Frame(plain(90, (64, 48)), 0, 0), CanvasSettings(160, 90))
    picture = compose_frame(shown, CanvasSettings(*size, fit=fit)).rgb.astype(int)
    red = np.abs(picture - MARK).sum(axis=2) < 60
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    inner = red[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert all(edge.mean() > 0.95 for edge in (inner[1], inner[-2], inner[:, 1], inner[:, -2]))
    assert inner.shape[1] / inner.shape[0] == pytest.approx(160 / 90, rel=0.05), "all four sides are in it"


def person(side: int = 120) -> tuple[RgbImage, PortraitLayers]:
    """A red disc before a blue background, with what is known of it."""
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - 0.5 * side) ** 2 + (columns - 0.4 * side) ** 2 < (0.3 * side) ** 2
    background = plain(BLUE, (side, side))
    shown = np.where(disc[..., None], np.array(RED, np.uint8), background).astype(np.uint8)
    return shown, PortraitLayers("Ann", (0.4, 0.5), background, np.where(disc, 255, 0).astype(np.uint8))


def composed(canvas: CanvasSettings, layers: PortraitLayers | None = None, rgb: RgbImage | None = None) -> Frame:
    shown, usual = person()
    return compose_frame(Frame(shown if rgb is None else rgb, 0, 0, layers=layers or usual), canvas)


def test_a_portrait_goes_on_beyond_its_edges_without_a_seam() -> None:
    """A gradient with a stripe that runs into the edge, as a shoulder does."""
    rows, columns = np.mgrid[0:240, 0:240].astype(np.float32)
    rgb = np.stack([60 + 0.4 * columns, 90 + 0.3 * rows, np.full_like(rows, 120)], axis=2).astype(np.uint8)
    background = rgb.copy()
    rgb[160:] = (200, 90, 20)  # the person covers the lower third, up to both edges
    layers = PortraitLayers("Ann", None, background, None)
    canvas = composed(bare(width_px=640, height_px=240), layers, rgb).rgb.astype(int)
    steps = np.abs(np.diff(canvas[:150], axis=1)).max(axis=(0, 2))
    assert steps[180:220].max() <= 3 and steps[420:460].max() <= 3, "no edge at 200 and 440"
    below = np.abs(np.diff(canvas[180:], axis=1)).max(axis=(0, 2))
    assert below.max() <= 12, "and none beside the shoulder"
    assert np.abs(canvas[:120, :40].mean(axis=(0, 1)) - background[:120].mean(axis=(0, 1))).max() < 50
    assert np.array_equal(canvas[100, 320], rgb[100, 120]), "the middle is as it was"


def test_filling_has_the_face_in_the_middle() -> None:
    shown, layers = person()
    canvas = composed(bare(fit="fill"), replace(layers, face=(0.4, 0.3))).rgb
    top = composed(bare(fit="fill"), replace(layers, face=None)).rgb
    assert not np.array_equal(canvas, top)
    assert compose(shown, bare(fit="fill")).shape == canvas.shape


def test_an_avatar_lies_where_its_place_says() -> None:
    def middle(canvas: CanvasSettings) -> tuple[float, float]:
        red = np.argwhere(composed(canvas).rgb[..., 0] > 150)
        return float(red[:, 1].mean()), float(red[:, 0].mean())

    usual = middle(bare())
    x, y = middle(bare(places={"Ann": [1.0, 0.25, -0.1]}))
    assert (x - usual[0], y - usual[1]) == pytest.approx((80, -18), abs=1.5)
    assert middle(bare(places={"Bob": [1.0, 0.25, -0.1]})) == usual, "another avatar's"
    larger = (composed(bare(places={"Ann": [2.0, 0.0, 0.0]})).rgb[..., 0] > 150).sum()
    assert larger > 2.2 * (composed(bare()).rgb[..., 0] > 150).sum()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("background", "seen"),
    [("green", GREEN), ("colour", (255, 128, 0)), ("image", (9, 99, 200)), ("blur", BLUE), ("own", BLUE)],
)
def test_the_person_stays_before_any_background(fit: str, background: str, seen: Any, tmp_path: Path) -> None:
    save_png(tmp_path / "sea.png", plain((9, 99, 200), (64, 64)))
    canvas = bare(
        fit=fit, background=background, background_colour="#ff8000", background_image=str(tmp_path / "sea.png")
    )
    rgb = composed(canvas).rgb.astype(int)
    assert np.abs(rgb[90, 140] - RED).max() <= 3
    if fit != "fill" and not (fit == "fit" and background == "own"):
        assert np.abs(rgb[5, 5] - seen).max() <= 12 and np.abs(rgb[5, 316] - seen).max() <= 12
    assert np.abs(rgb[10, 232] - seen).max() <= 12, "inside the portrait too"


def test_a_picture_that_is_gone_gives_the_colour(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name in ("gone.png", "broken.png"):
        canvas = bare(background="image", background_colour="#ff8000", background_image=str(tmp_path / name))
        assert np.array_equal(composed(canvas).rgb[5, 5], (255, 128, 0))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_transparent_canvas_has_alpha_and_the_label(mirror: bool) -> None:
    frame = composed(bare(width_px=640, height_px=360, background="transparent", mirror=mirror, label=True))
    assert frame.alpha is not None and frame.alpha.shape == (360, 640)
    assert frame.alpha[0, 0] == 0 and not frame.rgb[0, 0].any(), "premultiplied"
    column = 640 - 284 if mirror else 284
    assert frame.alpha[180, column] == 255 and np.abs(frame.rgb[180, column].astype(int) - RED).max() <= 3
    corner = frame.alpha[320:, 480:]
    assert corner.max() > 200 and (frame.rgb[320:, 480:].max(axis=2) <= corner).all()


def test_no_background_is_put_behind_what_has_no_matte() -> None:
    layers = replace(person()[1], matte=None)
    frame = composed(bare(background="transparent"), layers)
    assert frame.alpha is None and np.array_equal(frame.rgb, composed(bare(), layers).rgb)


def test_a_camera_frame_has_neither_place_nor_another_background() -> None:
    shown, layers = person()
    frame = Frame(shown, 0, 0, passed_through=True, layers=layers)
    canvas = bare(background="transparent", places={"Ann": [3.0, 0.5, 0.5], "": [3.0, 0.5, 0.5]})
    result = compose_frame(frame, canvas)
    assert result.alpha is None and np.array_equal(result.rgb, compose(shown, bare(fit="fit")))


def test_a_painter_that_is_reused_composes_as_a_new_one() -> None:
    painter, random = CanvasPainter(), np.random.default_rng(3)
    shown, layers = person()
    for _ in range(60):
        canvas = bare(
            fit=str(random.choice(FITS)),
            background=str(random.choice(BACKGROUNDS)),
            places={"Ann": [float(random.choice([0.5, 1.0, 1.7])), float(random.choice([0.0, 0.3])), 0.0]},
        )
        frame = Frame(shown, 0, 0, layers=replace(layers, background=layers.background.copy()))  # type: ignore[union-attr]
        reused, fresh = painter.compose(frame, canvas), compose_frame(frame, canvas)
        assert np.array_equal(reused.rgb, fresh.rgb) and (reused.alpha is None) == (fresh.alpha is None)
