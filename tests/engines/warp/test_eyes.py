"""The eye layer on a drawn face with known geometry, and on photographs measured by a tracker."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.cv import cv2
from avatar.engines.warp.eye.ball import EyeBall
from avatar.engines.warp.eye.eyes import EyeLayer
from avatar.engines.warp.eye.iris import find_irises
from avatar.engines.warp.eye.lids import (
    IRIS_CENTRE,
    IRIS_RIM,
    LOWER_LID,
    SIDES,
    TABLE,
    UPPER_LID,
    Lids,
    Side,
    read_lids,
)
from avatar.engines.warp.eye.seam import REACH, Seam
from avatar.frames import FloatArray, RgbImage
from avatar.images.load import load_image
from avatar.tracking import FaceTracker

SKIN, WHITE, IRIS, PUPIL, LASHES = (200, 150, 120), (235, 235, 235), (60, 90, 130), (15, 15, 15), (50, 35, 30)
STILL = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class Eyes:
    """A pair of drawn eyes."""

    width_px: float = 80.0
    opening: float = 0.36  # of the width
    radius: float = 0.21  # of the iris, in widths
    look: tuple[float, float] = (0.0, 0.0)  # where the irises are, in widths off the middle
    iris: tuple[int, int, int] = IRIS
    glint: bool = True
    line: float = 0.03  # thickness of the upper lid's line, in widths

    def centre(self, side: Side) -> FloatArray:
        x = 1.2 if side == "right" else 2.8
        return np.array([x, 1.0], np.float32) * self.width_px

    def iris_px(self, side: Side) -> FloatArray:
        return self.centre(side) + np.array(self.look, np.float32) * self.width_px

    def landmarks(self, *, opening: float | None = None, lift: float = 0.0) -> FloatArray:
        """(478, 3): the lids as a lens; opening another than drawn moves them, `lift` shifts both up, in widths."""
        points = np.zeros((478, 3), np.float32)
        along = np.linspace(0, 1, 9)
        height = (self.opening if opening is None else opening) * self.width_px
        bow = np.sin(np.pi * along)
        for side in SIDES:
            x = self.centre(side)[0] + (along - 0.5) * self.width_px
            middle = self.centre(side)[1] + self.opening * self.width_px * 0.1 * bow - lift * self.width_px * bow
            points[list(UPPER_LID[side]), 0] = points[list(LOWER_LID[side]), 0] = x
            bottom = self.opening * self.width_px * 0.4 * bow  # the lower lid stays, the upper one does the moving
            points[list(LOWER_LID[side]), 1] = middle + bottom
            points[list(UPPER_LID[side]), 1] = middle + bottom - height * bow
            points[IRIS_CENTRE[side], :2] = self.iris_px(side)
            around = np.array([[1, 0], [0, -1], [-1, 0], [0, 1]]) * self.radius * self.width_px
            points[list(IRIS_RIM[side]), :2] = self.iris_px(side) + around
        return points

    def picture(self) -> RgbImage:
        """(H, W, 3): drawn four times as large, then made smaller."""
        scale = 4
        shape = (round(2 * self.width_px) * scale, round(4 * self.width_px) * scale, 3)
        picture = np.full(shape, SKIN, np.uint8)
        landmarks = self.landmarks() * scale + (scale - 1) / 2  # the centre of a pixel is the middle of four by four
        for side in SIDES:
            lids = read_lids(landmarks, side)
            along = np.linspace(0, 1, 64, dtype=np.float32)
            outline = np.concatenate([lids.points(along, lids.upper), lids.points(along, lids.lower)[::-1]])
            ball = np.full(shape, WHITE, np.uint8)
            centre, radius = landmarks[IRIS_CENTRE[side], :2], self.radius * self.width_px * scale
            _disc(ball, centre, radius, self.iris)
            _disc(ball, centre, radius * 0.4, PUPIL)
            if self.glint:
                _disc(ball, centre + radius * np.array([-0.3, -0.2]), radius * 0.14, (255, 255, 255))
            opening = np.zeros(shape[:2], np.uint8)
            cv2.fillPoly(opening, [np.round(outline).astype(np.int32)], 255)
            picture = np.where(opening[..., None] > 0, ball, picture)
            lashes = np.round(lids.points(along, lids.upper)).astype(np.int32)
            cv2.polylines(picture, [lashes], False, LASHES, round(self.line * self.width_px * scale))
        return np.asarray(cv2.resize(picture, (shape[1] // scale, shape[0] // scale), interpolation=cv2.INTER_AREA))


def _disc(picture: RgbImage, centre: npt.NDArray[np.floating], radius: float, colour: tuple[int, int, int]) -> None:
    x, y = np.round(centre * 16).astype(int)
    cv2.circle(picture, (int(x), int(y)), round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def drawn(
    eyes: Eyes,
    *,
    opening: float | None = None,
    gaze: tuple[float, float] = (0.0, 0.0),
    affine: FloatArray = STILL,
    side: Side = "right",
    canvas: RgbImage | None = None,
) -> RgbImage:
    """One eye drawn on a copy of the portrait, its iris moved by `gaze` eye widths."""
    layer = EyeLayer(eyes.picture(), eyes.landmarks(), side)
    return redrawn(layer, eyes, opening=opening, gaze=gaze, affine=affine, side=side, canvas=canvas)


def redrawn(
    layer: EyeLayer,
    eyes: Eyes,
    *,
    opening: float | None = None,
    gaze: tuple[float, float] = (0.0, 0.0),
    affine: FloatArray = STILL,
    side: Side = "right",
    canvas: RgbImage | None = None,
) -> RgbImage:
    canvas = eyes.picture() if canvas is None else canvas.copy()
    target = eyes.landmarks(opening=opening)
    target[:, :2] = target[:, :2] @ affine[:, :2].T + affine[:, 2]
    moved = affine[:, :2] @ (eyes.iris_px(side) + np.array(gaze, np.float32) * eyes.width_px) + affine[:, 2]
    layer.draw(canvas, target, moved.astype(np.float32), affine)
    return canvas


def iris_mask(picture: RgbImage) -> npt.NDArray[np.bool_]:
    """Where the half with the right eye is blue, as the iris is, or black, as the pupil."""
    rgb = picture[:, : picture.shape[1] // 2].astype(int)
    return (rgb[..., 2] - rgb[..., 0] > 25) | (rgb.max(axis=2) < 32)


def middle(mask: npt.NDArray[np.bool_]) -> FloatArray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()], np.float32)


def extent(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


OPEN = Eyes(opening=0.6, radius=0.18)  # the whole iris shows
USUAL = Eyes()


def mean_error(one: RgbImage, other: RgbImage) -> float:
    return float(np.abs(one.astype(float) - other).mean())


# What stays as it is


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "eyes",
    [
        pytest.param(USUAL, id="usual"),
        pytest.param(OPEN, id="open"),
        pytest.param(Eyes(look=(0.2, 0.0)), id="looks aside"),
        pytest.param(Eyes(width_px=15), id="small"),
        pytest.param(Eyes(opening=0.12), id="squints"),
        pytest.param(Eyes(iris=(215, 215, 225)), id="pale"),
        pytest.param(Eyes(radius=0.4), id="large iris"),
    ],
)
def test_at_rest_the_portraits_own_pixels_remain(eyes: Eyes, side: Side) -> None:
    picture = eyes.picture()
    result = drawn(eyes, side=side)
    assert np.abs(result.astype(int) - picture).max() <= 1


def test_at_rest_a_larger_canvas_shows_the_portrait_enlarged() -> None:
    affine = np.array([[2, 0, 0.5], [0, 2, 0.5]], np.float32)
    picture = USUAL.picture()
    large = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    result = drawn(USUAL, affine=affine, canvas=large)
    changed = np.abs(result.astype(int) - large).max(axis=2)
    assert changed.max() < 40 and mean_error(result, large) < 0.2


def test_only_the_eyes_box_is_touched() -> None:
    canvas = np.full_like(USUAL.picture(), 77)
    for opening in (None, 0.15, 0.0):
        result = drawn(USUAL, opening=opening, gaze=(0.1, 0.0), canvas=canvas)
        lids = read_lids(USUAL.landmarks(), "right")
        margin = REACH * USUAL.width_px + 2
        left, right = lids.origin[0] - margin, lids.origin[0] + lids.width_px + margin
        rows, columns = np.nonzero((result != 77).any(axis=2))
        assert len(rows) > 0 and columns.min() >= left and columns.max() <= right
        assert rows.min() >= lids.origin[1] + lids.upper.min() - margin
        assert rows.max() <= lids.origin[1] + lids.lower.max() + margin


# The iris


def test_the_iris_goes_where_it_is_asked_to_and_keeps_its_size() -> None:
    layer = EyeLayer(OPEN.picture(), OPEN.landmarks(), "right")
    rest = iris_mask(redrawn(layer, OPEN))
    for gaze in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.06), (0.05, -0.04)):
        moved = iris_mask(redrawn(layer, OPEN, gaze=gaze))
        shift = middle(moved) - middle(rest)
        assert np.abs(shift - np.array(gaze) * OPEN.width_px).max() < 1.0
        assert abs(moved.sum() / rest.sum() - 1) < 0.08
        width, height = extent(moved)
        assert abs(width / height - 1) < 0.12


def test_the_lids_cover_the_iris_and_do_not_squash_it() -> None:
    whole = iris_mask(drawn(OPEN))
    half = iris_mask(drawn(OPEN, opening=0.33, canvas=np.full_like(OPEN.picture(), SKIN)))
    lids = read_lids(OPEN.landmarks(opening=0.33), "right")
    along, across = lids.coordinates(np.stack(np.meshgrid(*(np.arange(n) for n in whole.shape[::-1])), axis=-1))
    upper, lower = lids.at(along)
    inside = (across > upper + 3) & (across < lower - 3)
    assert np.array_equal(half[inside], whole[inside])
    assert half.sum() < 0.75 * whole.sum()


def test_an_impossible_gaze_keeps_the_iris_in_the_eye() -> None:
    layer = EyeLayer(OPEN.picture(), OPEN.landmarks(), "right")
    places = [middle(iris_mask(redrawn(layer, OPEN, gaze=(gaze, 0.0))))[0] for gaze in (0.1, 0.2, 0.4, 0.8, 3.0)]
    assert all(later >= earlier - 0.3 for earlier, later in pairwise(places))
    assert places[-1] < OPEN.centre("right")[0] + 0.4 * OPEN.width_px
    assert iris_mask(redrawn(layer, OPEN, gaze=(3.0, 0.0))).sum() > 0.5 * iris_mask(OPEN.picture()).sum()


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.25, 0.25), st.floats(-0.1, 0.1))
@settings(max_examples=60, deadline=None)
def test_the_eyeball_turns_softly_and_within_reach(x: float, y: float, own_x: float, own_y: float) -> None:
    lids = read_lids(USUAL.landmarks(), "right")
    ball = EyeBall.of(lids, 0.21 * USUAL.width_px)
    own = ball.centre + np.array([own_x, own_y], np.float32) * USUAL.width_px
    wanted = ball.centre + np.array([x, y], np.float32) * USUAL.width_px
    assert np.allclose(ball.turn(own, own), own, atol=1e-3)
    turned = ball.turn(own, wanted)
    assert np.hypot(*(turned - ball.centre)) <= ball.reach_px + np.hypot(*(own - ball.centre)) + 1e-3
    nudged = ball.turn(own, wanted + np.array([0.5, 0.0], np.float32))
    assert np.hypot(*(nudged - turned)) < 0.6


def test_where_the_iris_was_the_white_is_completed() -> None:
    result = drawn(OPEN, gaze=(0.2, 0.0)).astype(int)
    x, y = np.round(OPEN.iris_px("right")).astype(int)
    left_of_it = result[y - 2 : y + 3, x - 14 : x - 8].reshape(-1, 3)
    assert np.abs(left_of_it - np.array(WHITE)).max() < 25


def test_a_glint_lags_behind_the_iris() -> None:
    layer = EyeLayer(OPEN.picture(), OPEN.landmarks(), "right")
    x, y = np.round(OPEN.iris_px("right")).astype(int)
    reach = round(0.5 * OPEN.radius * OPEN.width_px)

    def glint(gaze: float) -> float:
        picture = redrawn(layer, OPEN, gaze=(gaze, 0.0)).astype(int)
        shift = round(gaze * OPEN.width_px)
        near = picture[y - reach : y + reach, x + shift - reach : x + shift + reach].min(axis=2)
        return float(middle(near > 200)[0]) + shift

    moved = glint(0.1) - glint(0.0)
    assert 0.3 < moved / (0.1 * OPEN.width_px) < 0.7


@pytest.mark.parametrize("off", [(0.0, 0.0), (0.03, -0.02), (-0.04, 0.03)])
def test_the_iris_is_found_in_the_picture_when_the_tracker_is_off(off: tuple[float, float]) -> None:
    picture, landmarks = USUAL.picture(), USUAL.landmarks()
    for side in SIDES:
        points = [IRIS_CENTRE[side], *IRIS_RIM[side]]
        centre = landmarks[IRIS_CENTRE[side], :2].copy()
        landmarks[points, :2] = centre + 1.2 * (landmarks[points, :2] - centre) + np.array(off) * USUAL.width_px
    for side, iris in find_irises(picture, landmarks).items():
        assert np.abs(iris.centre - USUAL.iris_px(side)).max() < 1.5
        assert abs(iris.radius_px / (USUAL.radius * USUAL.width_px) - 1) < 0.08
        assert iris.contrast > 0.3


# The lids


def test_a_shut_eye_shows_neither_white_nor_iris() -> None:
    result = drawn(USUAL, opening=0.0, canvas=np.full_like(USUAL.picture(), SKIN))
    lids = read_lids(USUAL.landmarks(opening=0.0), "right")
    box = result[
        round(lids.origin[1] + lids.lower.min()) - 3 : round(lids.origin[1] + lids.lower.max()) + 4,
        round(lids.origin[0]) : round(lids.origin[0] + lids.width_px),
    ]
    assert not iris_mask(box).any()
    assert box.min(axis=2).max() <= max(SKIN[2], 150)


def test_an_eye_as_high_as_wide_shuts_without_a_rest_of_itself() -> None:
    tall = Eyes(opening=1.1, radius=0.3)
    result = drawn(tall, opening=0.0, canvas=np.full_like(tall.picture(), SKIN))
    white = result[:, : result.shape[1] // 2].min(axis=2)
    assert white.max() <= max(SKIN[2], 150) and not iris_mask(result).any()


def test_a_drawing_shuts_its_eyes_to_the_line_that_it_has() -> None:
    """The warp stretches a thick line over the lid, to a bar with a ragged edge; what is drawn has the line's width."""
    cartoon = Eyes(line=0.2)
    shut = read_lids(cartoon.landmarks(opening=0.0), "right")
    x, y = round(shut.origin[0] + shut.width_px / 2), round(shut.origin[1] + shut.upper[len(shut.upper) // 2])
    canvas = np.full_like(cartoon.picture(), SKIN)
    canvas[y - 18 : y + 1, x - 40 : x + 40 : 2] = LASHES
    middle = drawn(cartoon, opening=0.0, canvas=canvas)[:, x - 8 : x + 8]
    dark = np.flatnonzero((middle.max(axis=2) < 100).any(axis=1))
    assert 0.06 < (y - dark.min()) / cartoon.width_px < 0.13, "half of the line lies above the lid's edge"
    assert np.ptp(dark) == len(dark) - 1, "in one piece"


def test_an_eye_opened_wider_than_the_portraits_shows_what_the_lid_hid_of_the_iris() -> None:
    narrow = Eyes(opening=0.22)
    bare = np.full_like(narrow.picture(), SKIN)
    wide = iris_mask(drawn(narrow, opening=0.62, canvas=bare))
    shown = iris_mask(narrow.picture())
    assert wide.sum() > 1.3 * shown.sum()
    hidden_top = narrow.iris_px("right")[1] - narrow.radius * narrow.width_px
    assert np.nonzero(wide)[0].min() < hidden_top + 2


def test_small_changes_change_the_picture_a_little() -> None:
    """Opening, gaze and both at once, from shut to wide open: half the step, about half the change, and no jump."""
    picture = USUAL.picture()
    layer = EyeLayer(picture, USUAL.landmarks(), "right")

    def largest_change(steps: int) -> float:
        frames = [
            redrawn(layer, USUAL, opening=0.5 * at, gaze=(0.5 * np.sin(3 * at), 0.1 * at), canvas=picture).astype(float)
            for at in np.linspace(0, 1, steps)
        ]
        return max(float(np.abs(b - a).mean()) for a, b in pairwise(frames))

    coarse, fine = largest_change(30), largest_change(120)
    assert fine < 0.45 * coarse


def test_the_layer_may_be_drawn_again_without_memory_of_what_it_drew() -> None:
    layer = EyeLayer(USUAL.picture(), USUAL.landmarks(), "left")
    first = redrawn(layer, USUAL, opening=0.2, gaze=(0.1, 0.0), side="left")
    redrawn(layer, USUAL, opening=0.0, side="left")
    assert np.array_equal(redrawn(layer, USUAL, opening=0.2, gaze=(0.1, 0.0), side="left"), first)


# Eyes that are hard to read


def test_an_eye_without_a_visible_rim_is_pulled_and_keeps_its_colours() -> None:
    dull = Eyes(iris=(225, 228, 232), glint=False)
    picture = dull.picture()
    speck = np.round(dull.iris_px("right")).astype(int)
    picture[speck[1] - 3 : speck[1] + 4, speck[0] - 3 : speck[0] + 4] = (230, 232, 236)
    layer = EyeLayer(picture, dull.landmarks(), "right")
    canvas = picture.copy()
    iris = dull.iris_px("right") + np.array([0.1 * dull.width_px, 0], np.float32)
    layer.draw(canvas, dull.landmarks(), iris, STILL)
    lids = read_lids(dull.landmarks(), "right")
    rows = slice(round(float(lids.origin[1] + lids.upper.min())), round(float(lids.origin[1] + lids.lower.max())))
    assert canvas[rows].max() <= picture[rows].max() and canvas[rows].min() >= picture[rows].min()


@pytest.mark.parametrize("width_px", [3.0, 8.0, 15.0])
def test_tiny_eyes_are_drawn_without_complaint(width_px: float) -> None:
    tiny = Eyes(width_px=width_px)
    result = drawn(tiny, opening=0.2, gaze=(0.1, 0.0))
    assert result.shape == tiny.picture().shape


def test_a_grey_picture_stays_grey() -> None:
    grey = np.repeat(cv2.cvtColor(USUAL.picture(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    layer = EyeLayer(grey, USUAL.landmarks(), "right")
    canvas = grey.copy()
    layer.draw(canvas, USUAL.landmarks(opening=0.25), USUAL.iris_px("right") + np.float32(6), STILL)
    assert np.ptp(canvas.astype(int), axis=2).max() <= 1
    assert not np.array_equal(canvas, grey)


@pytest.mark.parametrize("shift", [(-90.0, 0.0), (0.0, -75.0), (260.0, 0.0), (5000.0, 0.0), (-5000.0, -5000.0)])
def test_an_eye_across_or_beyond_the_canvas_border_is_cut_off(shift: tuple[float, float]) -> None:
    affine = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    result = drawn(USUAL, opening=0.2, affine=affine, canvas=np.full_like(USUAL.picture(), 77))
    assert result.shape == USUAL.picture().shape
    assert (result == 77).all() == (abs(shift[0]) > 1000)


def test_a_face_cut_by_the_portraits_border_still_works() -> None:
    picture, landmarks = USUAL.picture()[:, 90:], USUAL.landmarks()
    landmarks[:, 0] -= 90
    canvas = picture.copy()
    EyeLayer(picture, landmarks, "right").draw(canvas, landmarks, landmarks[IRIS_CENTRE["right"], :2], STILL)
    assert mean_error(canvas, picture) < 1


# Photographs


@pytest.mark.parametrize("name", ["sfhq_003", "london_034", "einstein"])
def test_a_tracker_sees_the_iris_where_it_was_put(shared_data: Path, face_model: Path, name: str) -> None:
    picture = load_image(shared_data / "portraits" / f"{name}.jpg")
    tracker = FaceTracker(face_model)
    try:
        landmarks = tracker.detect(picture)[0].landmarks
        layers = {side: EyeLayer(picture, landmarks, side) for side in SIDES}

        def seen(gaze: float) -> float:
            canvas = picture.copy()
            for side, layer in layers.items():
                lids = read_lids(landmarks, side)
                iris = landmarks[IRIS_CENTRE[side], :2] + gaze * lids.width_px * lids.axis
                layer.draw(canvas, landmarks, iris.astype(np.float32), STILL)
            found = tracker.detect(canvas)[0].landmarks
            places = [read_lids(found, side).coordinates(found[IRIS_CENTRE[side], :2])[0] for side in SIDES]
            return float(np.mean(places))

        left, right = seen(-0.15), seen(0.15)
    finally:
        tracker.close()
    assert right - left > 0.5 * 0.3


def test_the_skin_above_a_closed_lid_covers_the_stretched_lash_line() -> None:
    image = np.full((80, 120, 3), 180, np.float32)
    steps = np.linspace(0, np.pi, TABLE, dtype=np.float32)
    arch = np.asarray(20 * np.sin(steps), np.float32)
    origin, axis = np.array([20, 40], np.float32), np.array([1, 0], np.float32)
    seam = Seam(image, Lids(origin, axis, 80, -arch, arch))
    closed = Lids(origin, axis, 80, arch * 0.9, arch * 0.9).places(
        np.arange(120, dtype=np.float32), np.arange(80, dtype=np.float32)
    )
    drawn = np.full((80, 120, 3), 30, np.float32)  # of the warp beneath
    seam.draw(drawn, np.zeros((80, 120, 2), np.float32), closed, 1.0)
    above = np.abs(closed.outside_px() / closed.width_px - 0.55 * REACH) < 0.02
    above &= (closed.below_px < 0) & (np.abs(closed.along - 0.5) < 0.1)
    assert above.sum() > 10 and drawn[above].min() > 150
