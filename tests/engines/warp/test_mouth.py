"""The interior of the mouth on a painted portrait with known light and teeth."""

from __future__ import annotations

import numpy as np
import pytest
from motion_samples import make_face

from avatar.cv import cv2
from avatar.engines.warp.look_up import Box, CellMap, LookUp
from avatar.engines.warp.mouth.arch import HINGE, UPPER, about_hinge, arch_points
from avatar.engines.warp.mouth.frame import LOWER_INNER, NOSE_BASE, UPPER_INNER
from avatar.engines.warp.mouth.light import LUMA, read_light
from avatar.engines.warp.mouth.mouth import MouthInterior
from avatar.engines.warp.mouth.surface import read_surface
from avatar.engines.warp.openings import Openings
from avatar.engines.warp.scene import Scene
from avatar.frames import FloatArray, RgbImage
from avatar.tracking import canonical_face
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.regions import EYES as REGIONS

SIZE, UNIT = 512, 170.0
SKIN, LIPS, WHITES, TEETH = (205, 160, 138), (170, 92, 90), (225, 220, 215), (214, 206, 178)
UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
FACING = np.eye(3, dtype=np.float32)


def face(gap: float = 0.0, rise: float = 0.0) -> FloatArray:
    """The mean face as landmarks, its lips apart by `gap` mouth widths, of which the upper lip rises by `rise`."""
    base = canonical_face().points * np.float32(UNIT) + np.array([SIZE / 2, SIZE / 2 - 20, 0], np.float32)
    shut = 0.5 * (base[list(UPPER_INNER)] + base[list(LOWER_INNER)])
    base[list(UPPER_INNER)], base[list(LOWER_INNER)] = shut, shut
    moved = base.copy()
    width = float(np.linalg.norm(base[291] - base[61]))
    for row, by in ((UPPER_INNER, -rise), (UPPER_LIP, -rise), (LOWER_INNER, gap - rise), (LOWER_LIP, gap - rise)):
        inner = list(row[1:-1])
        bow = 1 - (np.linspace(-1, 1, len(row))[1:-1]) ** 2
        moved[inner, 1] = base[inner, 1] + (width * by * bow).astype(np.float32)
    return moved


MOUTH_PX = float(np.linalg.norm(face()[291] - face()[61]))


def paint(landmarks: FloatArray, *, inside: tuple[int, int, int] | None = None, light: float = 1.0) -> RgbImage:
    """A portrait of few colours under light from above; `inside` fills the open mouth."""
    lit = 1 + 0.13 * (np.arange(SIZE) - landmarks[0, 1])[:, None, None] / (landmarks[10, 1] - landmarks[0, 1])
    picture = np.repeat(np.clip(np.rint(np.array(SKIN) * lit), 0, 255).astype(np.uint8), SIZE, axis=1)
    fill = lambda points, colour: cv2.fillPoly(picture, [np.rint(points).astype(np.int32)], colour)  # noqa: E731
    for eye in EYES:
        fill(landmarks[list(eye), :2], WHITES)
    fill(landmarks[[*UPPER_LIP, *LOWER_LIP[-2::-1]], :2], LIPS)
    if inside is not None:
        fill(mouth_outline(landmarks), inside)
    return np.rint(picture * light).astype(np.uint8)


def mouth_outline(landmarks: FloatArray) -> FloatArray:
    return landmarks[[*UPPER_INNER, *LOWER_INNER[-2:0:-1]], :2]


def drawn(
    mouth: MouthInterior, picture: RgbImage, landmarks: FloatArray, rotation: FloatArray = FACING, jaw_drop: float = 0.0
) -> RgbImage:
    canvas = picture.copy()
    mouth.draw(canvas, landmarks, rotation, 1.0, jaw_drop)
    return canvas


def between_lips(landmarks: FloatArray, shrink_px: int = 3) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.rint(mouth_outline(landmarks)).astype(np.int32)], 1)
    size = 2 * abs(shrink_px) + 1
    change = cv2.erode if shrink_px > 0 else cv2.dilate
    return change(mask, np.ones((size, size), np.uint8)) > 0


@pytest.fixture(scope="module")
def shut() -> tuple[MouthInterior, RgbImage]:
    picture = paint(face())
    return MouthInterior(picture, face()), picture


@pytest.fixture(scope="module")
def smiling() -> tuple[MouthInterior, RgbImage]:
    picture = paint(face(0.17, rise=0.1), inside=TEETH)
    return MouthInterior(picture, face(0.17, rise=0.1)), picture


@pytest.mark.parametrize("turn", [(0, 0, 0), (25, 0, 0), (0, -15, 0), (10, 10, 30)])
def test_closed_lips_show_nothing(shut: tuple[MouthInterior, RgbImage], turn: tuple[float, float, float]) -> None:
    mouth, picture = shut
    rotation = rotation_from_angles(*turn)
    landmarks = (face() - SIZE / 2) @ rotation.T + SIZE / 2
    assert np.array_equal(drawn(mouth, picture, landmarks.astype(np.float32), rotation), picture)


def test_an_open_mouth_that_does_not_move_stays_as_it_is(smiling: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = smiling
    assert np.array_equal(drawn(mouth, picture, face(0.17, rise=0.1)), picture)


@pytest.mark.parametrize("gap", [0.02, 0.1, 0.6])
def test_only_what_lies_between_the_lips_is_drawn(shut: tuple[MouthInterior, RgbImage], gap: float) -> None:
    mouth, picture = shut
    changed = np.any(drawn(mouth, picture, face(gap), jaw_drop=gap) != picture, axis=2)
    assert changed.any()
    assert not np.any(changed & ~between_lips(face(gap), shrink_px=-3))


def test_a_small_opening_is_darker_than_the_lips(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    inside = between_lips(face(0.08), shrink_px=2)
    luma = drawn(mouth, picture, face(0.08), jaw_drop=0.08)[inside] @ LUMA
    assert luma.mean() < 0.9 * float(np.array(LIPS) @ LUMA)
    assert luma.min() > 3  # no black hole


def test_upper_teeth_belong_to_the_skull_and_lower_ones_to_the_jaw(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    less, more = face(0.45, rise=0.15), face(0.6, rise=0.15)
    rows = np.arange(int(less[13, 1]) + 4, int(less[13, 1]) + 16)
    middle = slice(int(less[13, 0]) - 8, int(less[13, 0]) + 8)
    before, after = (
        drawn(mouth, picture, landmarks, jaw_drop=drop)[rows, middle].astype(float)
        for landmarks, drop in ((less, 0.3), (more, 0.45))
    )
    assert np.abs(before - after).mean() < 12
    assert (before @ LUMA).mean() > 120  # it is teeth that are seen
    bared = face(0.15)
    rows = np.arange(int(bared[14, 1]) - 8, int(bared[14, 1]) - 3)
    jaw_up, jaw_down = (drawn(mouth, picture, bared, jaw_drop=drop)[rows, middle] for drop in (0.0, 0.5))
    assert (jaw_up @ LUMA).mean() > (jaw_down @ LUMA).mean() + 15


def tongue_px(mouth: MouthInterior, picture: RgbImage, landmarks: FloatArray, jaw_drop: float) -> int:
    """Pixels of flesh or darkness, not of teeth, in the middle of the opening, away from the lips."""
    x, top, bottom = int(landmarks[13, 0]), int(landmarks[13, 1]) + 3, int(landmarks[14, 1]) - 4
    middle = drawn(mouth, picture, landmarks, jaw_drop=jaw_drop)[top:bottom, x - 10 : x + 10]
    return int(np.sum(middle @ LUMA < 0.45 * float(np.array(WHITES) @ LUMA)))


def test_a_grin_shows_closed_teeth_and_a_dropped_jaw_what_lies_behind(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    area = 20 * (0.3 * MOUTH_PX - 7)
    grin, speech, laugh = face(0.3, rise=0.12), face(0.3, rise=0.02), face(0.3, rise=0.12)
    assert tongue_px(mouth, picture, grin, 0.06) < 0.15 * area
    assert tongue_px(mouth, picture, speech, 0.06) > 0.4 * area
    assert tongue_px(mouth, picture, laugh, 0.2) > 0.25 * area


def test_a_wide_open_mouth_has_a_dropped_jaw_whatever_the_chin_says(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    assert tongue_px(mouth, picture, face(0.6, rise=0.2), 0.0) > 0.25 * 20 * (0.6 * MOUTH_PX - 7)


def test_the_upper_row_fills_most_of_a_grin(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    grin = face(0.27, rise=0.12)
    x, top, bottom = int(grin[13, 0]), int(grin[13, 1]) + 4, int(grin[14, 1]) - 4
    luma = drawn(mouth, picture, grin)[top:bottom, x - 4 : x + 5].astype(float).mean(axis=1) @ LUMA
    half = len(luma) // 2
    assert np.argmin(luma[half:]) + half > 0.7 * len(luma)  # the line between the rows
    assert luma[-1] < 0.9 * luma[:half].max()  # the lower row is behind


def test_teeth_that_a_wide_smile_bares_catch_more_light() -> None:
    picture = paint(face(), light=0.7)
    picture[:20] = 235  # a wall: the light is not dim
    mouth = MouthInterior(picture, face())
    narrow, wide = (
        float(np.percentile(drawn(mouth, picture, landmarks)[between_lips(landmarks, 6)] @ LUMA, 90))
        for landmarks in (face(0.13, rise=0.09), face(0.35, rise=0.17))
    )
    assert 1.07 * narrow < wide < 225


def test_a_raised_upper_lip_bares_teeth_that_a_low_one_hides(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    bright = 0.6 * float(np.array(SKIN) @ LUMA)

    def teeth_px(landmarks: FloatArray) -> int:
        return int(np.sum((drawn(mouth, picture, landmarks, jaw_drop=0.3) @ LUMA > bright) & between_lips(landmarks)))

    assert teeth_px(face(0.3, rise=0.12)) > 3 * max(teeth_px(face(0.3, rise=-0.05)), 20)


def test_nothing_is_whiter_than_the_eyes() -> None:
    landmarks = face(0.4, rise=0.15)
    mouth = MouthInterior(paint(face()), face())
    inside = drawn(mouth, paint(face()), landmarks, jaw_drop=0.3)[between_lips(landmarks)]
    assert (inside @ LUMA).max() <= float(np.array(WHITES) @ LUMA) * 1.02


def test_a_grey_portrait_has_a_grey_mouth() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(paint(face()), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    canvas = drawn(MouthInterior(grey, face()), grey, face(0.4, rise=0.1), jaw_drop=0.3).astype(int)
    assert np.ptp(canvas, axis=2).max() <= 2


def test_a_dark_portrait_has_a_dark_mouth() -> None:
    landmarks = face(0.4, rise=0.1)
    inside = between_lips(landmarks)
    means = []
    for light in (1.0, 0.4):
        picture = paint(face(), light=light)
        means.append(float(drawn(MouthInterior(picture, face()), picture, landmarks, jaw_drop=0.3)[inside].mean()))
    assert means[1] == pytest.approx(0.4 * means[0], rel=0.15)


def test_teeth_under_an_old_varnish_are_no_whiter_than_anything_in_the_face() -> None:
    varnish = np.array([1.0, 0.78, 0.42])
    plain = paint(face())
    old = np.rint(plain * varnish).astype(np.uint8)
    white, aged = (read_light(picture, face()).tooth for picture in (plain, old))
    eyes = np.array(WHITES) * varnish
    assert aged[2] / aged[0] == pytest.approx(eyes[2] / eyes[0], rel=0.05)
    assert white[2] / white[0] > 0.85, "a photograph's stay as they were"


def test_a_canvas_gives_the_teeth_its_grain_and_the_noise_of_a_photograph_does_not() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), 0.8)
    noise /= noise.std()
    rough = []
    for deviation in (0.0, 0.01, 0.06):
        picture = np.clip(paint(face()) * (1 + deviation * noise[..., None]), 0, 255).astype(np.uint8)
        layer = read_surface(picture, face()).on(np.full((60, 60, 4), 200.0, np.float32), 1.0, 2.0)
        rough.append(float(layer[..., :3].std()) / 200)
    assert max(rough[:2]) < 1e-3
    assert 0.03 < rough[2] < 0.07


def test_a_soft_picture_gets_soft_teeth() -> None:
    picture, landmarks = paint(face()), face(0.4, rise=0.1)
    inside, steepest = between_lips(landmarks, 8), []
    for each in (picture, cv2.GaussianBlur(picture, (0, 0), 2.0)):
        luma = drawn(MouthInterior(each, face()), each, landmarks, jaw_drop=0.3).astype(np.float32) @ LUMA
        slope = np.abs(cv2.Sobel(luma, -1, 1, 0, scale=1 / 8))[inside]
        steepest.append(float(np.percentile(slope, 99)) / float(luma[inside].mean()))
    assert read_surface(picture, face()).softness_px == 0
    assert steepest[1] < 0.8 * steepest[0]


def test_a_lifted_nose_does_not_lift_the_teeth(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    smile = face(0.2, rise=0.12)
    lifted = smile.copy()
    lifted[list(NOSE_BASE), 1] -= 0.08 * MOUTH_PX
    expected, canvas = drawn(mouth, picture, smile), picture.copy()
    mouth.draw(canvas, lifted, FACING, 1.0, 0.0, skull=smile)
    assert np.array_equal(canvas, expected)
    assert not np.array_equal(drawn(mouth, picture, lifted), expected)


def test_openings_tell_a_nose_that_smiles_from_one_that_a_jaw_drags() -> None:
    picture, start = paint(face()), make_face(scale=UNIT, centre=(SIZE / 2, SIZE / 2 - 20))
    openings = Openings(picture, start)
    anywhere = LookUp(CellMap(Box(0, 0, SIZE, SIZE), SIZE, np.zeros((3, 3, 2), np.float32)), None)

    def nose_moved(mouth_widths: float) -> RgbImage:
        """Draw a grin whose nose has moved down."""
        moved = face(0.2, rise=0.12) - face()
        moved[list(NOSE_BASE), 1] += mouth_widths * MOUTH_PX
        canvas = picture.copy()
        openings.draw(canvas, Scene(anywhere, start.landmarks + moved, moved, FACING), shaded=False)
        return canvas

    lifted, still, dragged = (nose_moved(by)[between_lips(face(0.2, rise=0.12))] for by in (-0.08, 0.0, 0.08))
    assert cv2.norm(lifted, still, cv2.NORM_L1) < cv2.norm(dragged, still, cv2.NORM_L1)


@pytest.mark.parametrize("skin", [SKIN, (96, 66, 52)])
def test_teeth_are_whiter_than_eyes_in_the_shade_of_lids(skin: tuple[int, int, int]) -> None:
    picture = paint(face(), light=0.68)
    for row in picture:
        row[np.all(row == row[0], axis=1)] = skin
    light = read_light(picture, face())
    whites = 0.68 * float(np.array(WHITES) @ LUMA)
    assert 1.1 * whites < light.tooth @ LUMA < 1.3 * whites


def test_teeth_are_lit_from_the_side_that_the_face_is() -> None:
    picture = paint(face())
    picture = np.rint(picture * np.linspace(0.25, 1.0, SIZE)[None, :, None]).astype(np.uint8)
    assert read_light(picture, face()).sideways > 0.08
    landmarks = face(0.3, rise=0.15)
    canvas = drawn(MouthInterior(picture, face()), picture, landmarks, jaw_drop=0.2)
    band = slice(int(landmarks[13, 1]) + 4, int(landmarks[13, 1]) + 12)
    centre = int(landmarks[13, 0])
    assert canvas[band, centre + 8 : centre + 24].mean() > 1.05 * canvas[band, centre - 24 : centre - 8].mean()


def test_a_smile_keeps_its_own_teeth_when_it_opens(smiling: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = smiling
    landmarks = face(0.35, rise=0.1)
    canvas = drawn(mouth, picture, landmarks, jaw_drop=0.18)
    at = face(0.17, rise=0.1)
    x, y = int(at[13, 0]), int(at[13, 1])
    kept = canvas[y + 6 : y + 14, x - 12 : x + 12].reshape(-1, 3).mean(axis=0)
    assert np.abs(kept - np.array(TEETH)).max() < 25
    below = canvas[int(at[14, 1]) + 6 : int(landmarks[14, 1]) - 8, x - 12 : x + 12] @ LUMA
    assert below.mean() < 0.6 * float(np.array(TEETH) @ LUMA)  # where the lip was there is no tooth


def striped() -> tuple[MouthInterior, RgbImage]:
    """A smile whose teeth differ in colour from column to column, as no painted row does."""
    landmarks = face(0.17, rise=0.1)
    picture = paint(landmarks, inside=TEETH)
    inside = between_lips(landmarks, shrink_px=0)
    stripes = TEETH * (1 - 0.12 * (np.arange(SIZE) // 5 % 2))[:, None]
    picture[inside] = np.rint(np.broadcast_to(stripes, picture.shape))[inside]
    return MouthInterior(picture, landmarks), picture


def test_own_teeth_stay_pixel_by_pixel_when_the_mouth_opens() -> None:
    mouth, picture = striped()
    opened = drawn(mouth, picture, face(0.4, rise=0.12), jaw_drop=0.2).astype(int)
    seen = between_lips(face(0.17, rise=0.1), shrink_px=6)
    assert np.abs(opened - picture)[seen].mean() < 9


def test_own_teeth_are_covered_by_a_lip_that_comes_down_and_do_not_follow_it() -> None:
    mouth, picture = striped()
    canvas = np.full_like(picture, LIPS)
    mouth.draw(canvas, face(0.12, rise=0.05), FACING, 1.0, 0.0)
    seen = between_lips(face(0.12, rise=0.05)) & between_lips(face(0.17, rise=0.1))
    assert seen.sum() > 100 and np.abs(canvas.astype(int) - picture)[seen].mean() < 25


def test_teeth_go_on_where_the_lower_lip_hid_them() -> None:
    landmarks, wide = face(0.12, rise=0.08), face(0.4, rise=0.08)
    picture = paint(landmarks, inside=TEETH)
    canvas = drawn(MouthInterior(picture, landmarks), np.full_like(picture, LIPS), wide, jaw_drop=0.25)
    x, lip = int(landmarks[14, 0]), int(landmarks[14, 1])
    assert (canvas[lip : lip + 2, x - 8 : x + 8] @ LUMA).min() > 0.75 * float(np.array(TEETH) @ LUMA)
    assert (canvas[lip + 8 : lip + 12, x - 8 : x + 8] @ LUMA).max() < 0.5 * float(np.array(TEETH) @ LUMA)


def test_a_strip_of_teeth_is_not_repeated_into_bars() -> None:
    landmarks = face(0.04, rise=0.02)
    picture = paint(landmarks, inside=TEETH)
    inside = between_lips(landmarks, shrink_px=0)
    picture[:, SIZE // 2 - 4 : SIZE // 2 + 4][inside[:, SIZE // 2 - 4 : SIZE // 2 + 4]] = (200, 60, 60)
    wide = face(0.4, rise=0.2)
    canvas = drawn(MouthInterior(picture, landmarks), picture, wide, jaw_drop=0.2).astype(int)
    row = canvas[int(wide[13, 1]) + 10, SIZE // 2 - 12 : SIZE // 2 + 12]
    assert (row[:, 0] - row[:, 1]).max() < 40


@pytest.mark.parametrize("drop", [0.0, 0.1])
def test_no_second_row_stands_below_the_teeth_that_a_portrait_shows(
    smiling: tuple[MouthInterior, RgbImage], drop: float
) -> None:
    mouth, picture = smiling
    wider = face(0.32, rise=0.1)
    canvas = drawn(mouth, np.full_like(picture, LIPS), wider, jaw_drop=drop)
    below = between_lips(wider, shrink_px=2)
    below[: int(face(0.17, rise=0.1)[14, 1]) + 4] = False
    assert below.sum() > 200 and (canvas[below] @ LUMA).max() < 0.6 * float(np.array(TEETH) @ LUMA)


def test_two_rows_of_own_teeth_part_where_they_meet() -> None:
    landmarks = face(0.24, rise=0.12)
    picture = paint(landmarks, inside=TEETH)
    line = int(landmarks[13, 1]) + 16
    inside = between_lips(landmarks, shrink_px=0)
    inside[: line - 1], inside[line + 2 :] = False, False
    picture[inside] = (90, 60, 50)
    wide = face(0.4, rise=0.12)
    opened = drawn(MouthInterior(picture, landmarks), picture, wide, jaw_drop=0.16) @ LUMA
    column = opened[int(wide[13, 1]) + 4 : int(wide[14, 1]) - 6, SIZE // 2]
    bright = column > 0.6 * float(np.array(TEETH) @ LUMA)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], bright.astype(int), [0]])))
    assert len(runs) == 4  # a row, a gap, a row
    assert runs[2] - runs[1] > 0.08 * MOUTH_PX  # as far apart as the jaw has dropped


def test_lips_that_close_over_teeth_hide_them(smiling: tuple[MouthInterior, RgbImage]) -> None:
    mouth, _ = smiling
    shut = face()
    canvas = paint(shut)
    line = np.rint(shut[list(UPPER_INNER), :2]).astype(np.int32)
    cv2.polylines(canvas, [line], False, TEETH, 1)  # what a warp leaves of them
    mouth.draw(canvas, shut, FACING, 1.0, -0.1)
    across, row = slice(int(line[2, 0]), int(line[-3, 0])), int(line[len(line) // 2, 1])
    luma = canvas[row - 6 : row + 7, across] @ LUMA
    assert luma.max() < 1.1 * float(np.array(LIPS) @ LUMA)
    assert luma.min() > 0.25 * float(np.array(LIPS) @ LUMA)  # a shadow, no black line


def round_eyed(landmarks: FloatArray) -> FloatArray:
    for eye in REGIONS:
        landmarks[eye.upper, 1] -= 0.14 * UNIT
    return landmarks


def test_a_grey_cats_tongue_is_red_unless_the_whole_picture_is_grey() -> None:
    shut, wide = round_eyed(face()), round_eyed(face(0.8))
    picture = np.rint(paint(shut) @ LUMA)[..., None].repeat(3, axis=2).astype(np.uint8)
    for coloured in (False, True):
        if coloured:
            cv2.circle(picture, (SIZE // 2, SIZE // 2), 40, (240, 140, 145), -1)  # a pink nose
        inside = drawn(MouthInterior(picture, shut), picture, wide, jaw_drop=0.8)[between_lips(wide)].astype(int)
        redness = inside[:, 0] - inside[:, 1]
        assert (redness.max() > 60) if coloured else (np.ptp(inside, axis=1).max() < 8)


def test_a_cartoon_with_round_eyes_has_one_bright_band_for_teeth() -> None:
    rows = []
    for change in (lambda landmarks: landmarks, round_eyed):
        shut, open_face = change(face()), change(face(0.3, rise=0.2))
        picture = paint(shut)
        result = drawn(MouthInterior(picture, shut), picture, open_face).astype(np.float32) @ LUMA
        middle, top = SIZE // 2, int(open_face[13, 1])
        rows.append(result[top + 7, middle - 20 : middle + 21])
    person, cartoon = rows
    assert np.ptp(cartoon) < 0.4 * np.ptp(person)  # no gap between two teeth
    assert cartoon.min() > person.max()


def test_a_dark_open_mouth_is_not_taken_for_teeth() -> None:
    landmarks = face(0.17, rise=0.05)
    picture = paint(landmarks, inside=(40, 20, 18))
    wider = face(0.3, rise=0.05)
    canvas = drawn(MouthInterior(picture, landmarks), picture, wider, jaw_drop=0.15)
    middle = 0.5 * (wider[13] + wider[14])
    assert (canvas[int(middle[1]), int(middle[0])] @ LUMA) < 90


@pytest.mark.parametrize("open_portrait", [False, True])
def test_the_picture_changes_evenly_as_the_mouth_opens(
    open_portrait: bool, shut: tuple[MouthInterior, RgbImage], smiling: tuple[MouthInterior, RgbImage]
) -> None:
    mouth, picture = smiling if open_portrait else shut
    steps, before = [], None
    for gap in np.arange(0.0, 0.6, 0.006):
        rotation = rotation_from_angles(20 * gap, 10 * gap, 0)
        landmarks = face(float(gap), rise=0.1 * float(open_portrait))
        canvas = drawn(mouth, picture, landmarks, rotation, float(gap)).astype(int)
        if before is not None:
            steps.append(np.abs(canvas - before).sum())
        before = canvas
    assert max(steps) < 4 * np.median(steps)


def test_a_larger_canvas_shows_the_same_mouth(shut: tuple[MouthInterior, RgbImage]) -> None:
    mouth, picture = shut
    landmarks = face(0.3, rise=0.1)
    canvas = cv2.resize(picture, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_LINEAR)
    mouth.draw(canvas, 2 * landmarks + np.array([0.5, 0.5, 0], np.float32), FACING, 2.0, 0.2)
    halved = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(int)
    inside = between_lips(landmarks, shrink_px=2)
    assert np.abs(halved - drawn(mouth, picture, landmarks, jaw_drop=0.2))[inside].mean() < 5


@pytest.mark.parametrize("shift", [(-180, 0), (0, 165), (600, 600)])
def test_a_mouth_at_or_beyond_the_border_is_cut_there(
    shut: tuple[MouthInterior, RgbImage], shift: tuple[int, int]
) -> None:
    mouth, picture = shut
    canvas = drawn(mouth, picture, face(0.3) + np.array([*shift, 0], np.float32), jaw_drop=0.3)
    assert canvas.shape == picture.shape
    assert np.any(canvas != picture) == (shift != (600, 600))


def test_a_tiny_face_and_a_collapsed_one_do_no_harm() -> None:
    tiny = face() * np.float32(0.04)
    picture = cv2.resize(paint(face()), (21, 21), interpolation=cv2.INTER_AREA)
    mouth = MouthInterior(picture, tiny)
    for landmarks in (face(0.3) * np.float32(0.04), np.zeros_like(tiny)):
        canvas = picture.copy()
        mouth.draw(canvas, landmarks, FACING, 1.0, 0.2)


def test_the_jaw_turns_about_its_hinge() -> None:
    along, points = arch_points(UPPER)
    assert along[len(along) // 2] == 0 and np.all(np.diff(along) > 0)
    dropped = about_hinge(points, 25.0)
    middle = len(points) // 2
    assert dropped[middle, 1] - points[middle, 1] == pytest.approx(25.0, abs=0.1)
    np.testing.assert_allclose(
        np.linalg.norm(dropped - HINGE, axis=1), np.linalg.norm(points - HINGE, axis=1), rtol=1e-4
    )
    assert dropped[0, 1] < dropped[middle, 1]  # the back teeth go down less
    np.testing.assert_allclose(about_hinge(points, 0.0), points, atol=1e-3)
