"""Matte, background fill and foreground colours, on images with known truth and on unusual images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_samples import make_face

from avatar.cv import cv2
from avatar.engines.warp.fields import distance_to, nearest, nearest_in_row, smooth_fill, typical
from avatar.engines.warp.headroom import Head
from avatar.engines.warp.layers import in_one_piece
from avatar.engines.warp.matting import person
from avatar.engines.warp.matting.background import Foreground, fill_background, widen_matte
from avatar.engines.warp.matting.guided import LocalLinear, enlarged, fit_local_linear
from avatar.engines.warp.matting.inpaint import continued
from avatar.engines.warp.matting.matte import estimate_matte, person_matte, refine_matte
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import FACE_OVAL

HAIR = np.array([60, 35, 25], np.float32)


def face_at(x: float, y: float, size: float) -> FloatArray:
    """Landmarks of a face `size` pixels wide: its outline, and everything else in its middle."""
    landmarks = np.tile(np.array([x, y, 0], np.float32), (478, 1))
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    landmarks[FACE_OVAL, 0] += 0.5 * size * np.sin(angle)
    landmarks[FACE_OVAL, 1] -= 0.62 * size * np.cos(angle)
    return landmarks


def wall(height: int, width: int, texture: float) -> FloatArray:
    """A wall with light falling on it from one side, and with grain or stains; (H, W, 3) in 0..255."""
    x = np.linspace(0, 1, width, dtype=np.float32)
    plain = 150 + 60 * x[None, :, None] * np.array([1, 0.9, 0.7], np.float32) + np.zeros((height, 1, 1), np.float32)
    stains = np.random.default_rng(3).standard_normal((height, width, 1)).astype(np.float32)
    return np.clip(plain + texture * stains, 0, 255)


def blob(height: int, width: int, landmarks: FloatArray, softness: float) -> FloatArray:
    """The alpha of a head with hair around the face, soft at its edge, on a body; (H, W)."""
    head = Head.of(landmarks)
    mask = (person.by_shape((height, width), head, room=1.2) > 0.5).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), softness))


def scene(texture: float, softness: float = 3.0) -> tuple[RgbImage, FloatArray, FloatArray, FloatArray]:
    """Picture, true alpha, landmarks and the background without the person."""
    height, width = 300, 280
    landmarks = face_at(140, 130, 90)
    alpha = blob(height, width, landmarks, softness)
    background = wall(height, width, texture)
    mixed = alpha[..., None] * HAIR + (1 - alpha[..., None]) * background
    return np.round(mixed).astype(np.uint8), alpha, landmarks, background


def taken_apart(rgb: RgbImage, matte: FloatArray, landmarks: FloatArray) -> tuple[RgbImage, FloatArray, RgbImage]:
    """Person, matte and background, from which the picture can be put together again."""
    background = fill_background(rgb, matte, landmarks)
    wide = matte.copy()
    widen_matte(rgb, wide, background)
    everywhere = slice(0, rgb.shape[0]), slice(0, rgb.shape[1])
    return Foreground(rgb, wide, background).colours(*everywhere), wide, background


def composed(foreground: RgbImage, matte: FloatArray, background: RgbImage) -> FloatArray:
    alpha = matte[..., None]
    return np.asarray(alpha * foreground + (1 - alpha) * background, np.float32)


@pytest.mark.parametrize(("texture", "bound"), [(0.0, 0.04), (3.0, 0.05), (25.0, 0.1)])
def test_refining_finds_the_soft_edge_of_a_rough_answer(texture: float, bound: float) -> None:
    rgb, truth, landmarks, _ = scene(texture)
    head = Head.of(landmarks)
    rough = cv2.GaussianBlur((cv2.erode(truth, np.ones((5, 5))) > 0.6).astype(np.float32), (0, 0), 4)
    found = refine_matte(rgb, rough, head)
    margin = np.abs(truth - 0.5) < 0.499
    assert np.abs(found - truth)[margin].mean() < bound
    assert np.abs(found - truth)[margin].mean() < 0.6 * np.abs(rough - truth)[margin].mean()
    assert np.abs(found - truth)[~margin].mean() < 0.01


def test_a_strand_before_a_plain_wall_is_taken_along_and_leaves_no_trace() -> None:
    rgb, truth, landmarks, background = scene(1.0)
    strand = np.zeros_like(truth)
    cv2.line(strand, (140, 60), (190, 22), 1.0, 2, cv2.LINE_AA)
    rgb = np.round(strand[..., None] * HAIR + (1 - strand[..., None]) * rgb).astype(np.uint8)
    matte = refine_matte(rgb, truth, Head.of(landmarks))
    assert matte[strand > 0.9].mean() > 0.8
    filled = fill_background(rgb, matte, landmarks)
    assert np.abs(filled - background)[strand > 0.1].mean() < 6


def test_before_a_busy_wall_the_outline_stays_tight() -> None:
    rgb, truth, landmarks, _ = scene(0.0)
    board = (np.indices(truth.shape).sum(axis=0) // 9 % 2 * 120).astype(np.float32)[..., None]
    rgb = np.round(truth[..., None] * HAIR + (1 - truth[..., None]) * (90 + board)).astype(np.uint8)
    matte = refine_matte(rgb, truth, Head.of(landmarks))
    away = cv2.distanceTransform((truth < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    assert matte[away > 9].mean() < 0.03
    assert np.abs(matte - truth).mean() < 0.03


def test_the_pictures_own_transparency_is_used() -> None:
    rgb, truth, landmarks, _ = scene(2.0)
    alpha = np.round(255 * truth).astype(np.uint8)
    result = estimate_matte(rgb, landmarks, alpha)
    assert result.source == "alpha" and result.confidence == 1
    assert np.abs(result.alpha - truth).max() < 0.003


def test_a_picture_without_transparency_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person, "MODEL", Path("nowhere.tflite"))
    rgb, truth, landmarks, _ = scene(2.0)
    result = estimate_matte(rgb, landmarks, np.full(truth.shape, 255, np.uint8))
    assert result.source == "colours" and result.confidence <= 0.5
    assert np.abs(result.alpha - truth)[:230].mean() < 0.05


def test_colours_that_tell_nothing_leave_the_usual_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person, "_by_network", lambda rgb, head: None)
    monkeypatch.setattr(person, "_by_colours", lambda rgb, head: None)
    rgb = np.full((200, 160, 3), 120, np.uint8)
    result = estimate_matte(rgb, face_at(80, 90, 60))
    assert result.source == "shape" and result.confidence < 0.4
    assert result.alpha[90, 80] == 1 and result.alpha[5, 5] == 0 and result.alpha[190, 80] == 1


def test_an_answer_that_misses_the_face_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person, "_by_network", lambda rgb, head: np.zeros(rgb.shape[:2], np.float32))
    rgb, _, landmarks, _ = scene(2.0)
    assert person.find_person(rgb, Head.of(landmarks)).source == "colours"


def test_other_people_stay_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    probability = np.zeros((200, 400), np.float32)
    cv2.circle(probability, (100, 100), 50, 1.0, -1)
    cv2.circle(probability, (300, 100), 60, 1.0, -1)
    monkeypatch.setattr(person, "_by_network", lambda rgb, head: probability)
    found = person.find_person(np.zeros((200, 400, 3), np.uint8), Head.of(face_at(100, 100, 50)))
    assert found.probability[100, 100] == 1 and found.probability[:, 230:].max() == 0


def test_the_network_finds_a_real_person() -> None:
    pytest.importorskip("ai_edge_litert")
    data = pytest.importorskip("skimage.data")
    rgb = data.astronaut()  # Eileen Collins, NASA, public domain
    result = estimate_matte(rgb, face_at(223, 115, 85))
    assert result.source == "network" and result.confidence > 0.8
    assert result.alpha[60:150, 200:245].min() > 0.97  # face
    assert result.alpha[300:480, 150:300].mean() > 0.97  # suit
    assert result.alpha[20:200, 330:420].max() < 0.05  # wall
    assert 0.02 < ((result.alpha > 0.05) & (result.alpha < 0.95))[:200].mean() < 0.2  # hair is soft


def test_nothing_of_the_hair_is_left_in_the_background() -> None:
    rgb, truth, landmarks, background = scene(1.0)
    filled = fill_background(rgb, truth, landmarks).astype(np.float32)
    uncovered = (truth > 0) & (cv2.distanceTransform((truth > 0.02).astype(np.uint8), cv2.DIST_L2, 5) < 25)
    assert np.abs(filled - background)[uncovered].mean() < 3
    assert np.abs(filled - background)[:230].max() < 25


def test_filled_places_are_as_grainy_as_the_rest() -> None:
    rgb, truth, landmarks, background = scene(6.0)
    filled = fill_background(rgb, truth, landmarks).astype(np.float32)

    def grain(image: FloatArray, where: npt.NDArray[np.bool_]) -> float:
        return float((image - cv2.blur(image, (3, 3)))[where].std())

    covered = np.asarray(truth > 0.99)
    assert 0.7 < grain(filled, covered) / grain(np.round(background), covered) < 1.4


def test_a_smooth_background_shows_no_rings_between_levels() -> None:
    _, truth, landmarks, _ = scene(0.0)
    background = np.repeat(100 + np.linspace(0, 6, 280, dtype=np.float32)[None, :, None], 3, axis=2)
    rgb = np.round(truth[..., None] * HAIR + (1 - truth[..., None]) * background).astype(np.uint8)
    filled = fill_background(rgb, truth, landmarks)[..., 0]
    inside = distance_to(truth < 0.02) > 10
    together = (filled[:, 1:] == filled[:, :-1]) & (
        filled[:, 1:] == cv2.erode(filled, np.ones((3, 3), np.uint8))[:, 1:]
    )
    assert together[inside[:, 1:]].mean() < 0.6, "flat bands with steps between them"
    assert np.abs(cv2.blur(filled.astype(np.float32), (13, 13)) - background[..., 0])[inside].mean() < 0.5


def test_the_background_is_the_picture_where_nobody_is() -> None:
    rgb, truth, landmarks, _ = scene(25.0)
    matte = np.where(truth < 0.05, 0, truth).astype(np.float32)
    filled = fill_background(rgb, matte, landmarks)
    apart = distance_to(matte > 0) > 0.02 * Head.of(landmarks).size + 2
    assert apart.mean() > 0.3
    assert np.array_equal(filled[apart], rgb[apart])


def test_what_runs_into_the_head_goes_on_behind_it() -> None:
    _, truth, landmarks, background = scene(0.0)
    background[100:130] = 40  # a beam
    rgb = np.round(truth[..., None] * HAIR + (1 - truth[..., None]) * background).astype(np.uint8)
    filled = fill_background(rgb, truth, landmarks).astype(np.float32)
    depth = distance_to(truth < 0.02)
    uncovered = (depth > 0) & (depth < 12)
    for rows in (slice(80, 97), slice(103, 127), slice(133, 150)):
        part = uncovered[rows]
        assert part.any()
        assert np.abs(filled[rows] - background[rows])[part].mean() < 17  # of the 130 between beam and wall


def test_no_edge_is_left_where_two_sides_meet() -> None:
    _, truth, landmarks, background = scene(0.0)
    background[:, :140], background[:, 140:] = 60, 200
    rgb = np.round(truth[..., None] * HAIR + (1 - truth[..., None]) * background).astype(np.uint8)
    filled = fill_background(rgb, truth, landmarks)[:200].astype(np.float32)
    inside = distance_to(truth < 0.02)[:200] > 25
    steps = np.abs(np.diff(filled[..., 1], axis=1))[inside[:, 1:]]
    assert steps.max() < 20


@pytest.mark.parametrize("rim", [230.0, 90.0])
def test_a_rim_along_the_outline_goes_with_the_person(rim: float) -> None:
    rgb, truth, landmarks, background = scene(0.0)
    beyond = (truth < 0.02) & (distance_to(truth > 0.02) < 1.5)  # a halo, or hair that the matte has missed
    rgb[beyond] = rim
    filled = fill_background(rgb, truth, landmarks)
    assert np.abs(rgb - background)[beyond].mean() > 25
    assert np.abs(filled - background)[beyond].mean() < 8
    person, matte, behind = taken_apart(rgb, truth, landmarks)
    assert np.abs(composed(person, matte, behind) - rgb)[beyond].max() < 1.1


@pytest.mark.parametrize("texture", [0.0, 5.0, 40.0])
def test_the_layers_give_back_the_picture(texture: float) -> None:
    rgb, truth, landmarks, _ = scene(texture)
    for matte, bound in ((truth, 0.25), (person_matte(rgb, landmarks), 0.25)):
        assert np.abs(composed(*taken_apart(rgb, matte, landmarks)) - rgb).mean() < bound


def test_the_persons_colours_are_free_of_background() -> None:
    rgb, truth, landmarks, _ = scene(0.0)
    foreground, _, _ = taken_apart(rgb, truth, landmarks)
    soft = (truth > 0.2) & (truth < 0.9)
    assert np.abs(foreground[soft] - HAIR).mean() < 6
    assert np.abs(rgb[soft] - HAIR).mean() > 40


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    x=st.floats(-30, 90),
    y=st.floats(-30, 90),
    size=st.floats(0.1, 80),
    seed=st.integers(0, 3),
)
def test_small_pictures_and_faces_at_the_edge_do_not_fail(
    height: int, width: int, x: float, y: float, size: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rgb = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    landmarks = face_at(x, y, size)
    matte = person_matte(rgb, landmarks)
    assert matte.shape == (height, width) and matte.dtype == np.float32
    assert matte.min() >= 0 and matte.max() <= 1
    foreground, wide, background = taken_apart(rgb, matte, landmarks)
    assert background.shape == foreground.shape == rgb.shape
    assert (wide >= matte).all() and wide.max() <= 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_colour_stays_one(value: int) -> None:
    rgb = np.full((120, 90, 3), value, np.uint8)
    landmarks = face_at(45, 60, 40)
    matte = person_matte(rgb, landmarks)
    foreground, wide, background = taken_apart(rgb, matte, landmarks)
    assert np.abs(background.astype(int) - value).max() <= 1
    assert np.abs(composed(foreground, wide, background) - value).mean() < 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_person_and_no_person(value: float) -> None:
    rgb, truth, landmarks, _ = scene(5.0)
    matte = np.full_like(truth, value)
    foreground, wide, background = taken_apart(rgb, matte, landmarks)
    assert np.array_equal(background, rgb) and np.array_equal(wide, matte)
    assert np.abs(composed(foreground, wide, background) - rgb).max() <= 1


def test_a_small_face_in_a_4k_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, truth, landmarks, _ = scene(2.0)
    monkeypatch.setattr(person, "MODEL", Path("nowhere.tflite"))
    large = np.full((2160, 3840, 3), 150, np.uint8)
    large[1860:, 3300:3580] = rgb
    at = landmarks + np.array([3300, 1860, 0], np.float32)
    result = estimate_matte(large, at)
    assert np.abs(result.alpha[1860:2090, 3300:3580] - truth[:230]).mean() < 0.1
    foreground, matte, background = taken_apart(large, result.alpha, at)
    assert np.array_equal(background[:1000, :2000], large[:1000, :2000])
    part = (slice(1800, 2160), slice(3200, 3700))
    assert np.abs(composed(foreground[part], matte[part], background[part]) - large[part]).mean() < 0.5


def test_a_large_portrait_is_refined_along_its_own_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, truth, landmarks, _ = scene(0.0)
    monkeypatch.setattr(person, "_by_network", lambda small, head: cv2.resize(truth, small.shape[1::-1]))
    large = cv2.resize(rgb, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    result = estimate_matte(large, 5 * landmarks)
    expected = cv2.resize(truth, large.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert result.alpha.shape == expected.shape
    assert np.abs(result.alpha - expected).mean() < 0.01


def test_the_nearest_pixel_is_found_over_the_plane_and_along_rows() -> None:
    random = np.random.default_rng(0)
    mask = random.random((23, 31)) < 0.02
    mask[5] = False
    points = np.argwhere(mask)
    y, x = np.divmod(nearest(mask), 31)
    left, right = (index % 31 for index in nearest_in_row(mask))
    for row in range(23):
        for column in range(31):
            assert mask[y[row, column], x[row, column]]
            best = np.hypot(*(points - [row, column]).T).min()
            assert np.hypot(y[row, column] - row, x[row, column] - column) <= 1.06 * best + 1e-6  # 5 x 5 chamfer
            inside = np.flatnonzero(mask[row])
            before, after = inside[inside <= column], inside[inside >= column]
            expected = before.max() if before.size else (after.min() if after.size else column)
            assert left[row, column] == expected
            expected = after.min() if after.size else expected
            assert right[row, column] == expected


def test_filling_continues_what_is_known() -> None:
    random = np.random.default_rng(0)
    known = (random.random((50, 37)) < 0.3).astype(np.float32)
    ramp = np.linspace(0, 1, 37, dtype=np.float32)[None, :, None] * np.ones((50, 1, 1), np.float32)
    filled = smooth_fill(ramp * known[..., None], known)
    assert np.abs(filled - ramp)[known > 0].max() == 0
    assert np.abs(filled - ramp).mean() < 0.01
    assert not smooth_fill(ramp, np.zeros_like(known)).any()


def test_a_continued_picture_is_kept_where_it_is_known() -> None:
    y, x = np.indices((90, 120), np.float32)
    image = np.dstack([x / 120, y / 90, np.full_like(x, 0.5)])
    known = np.hypot(x - 60, y - 45) > 20
    holed = np.where(known[..., None], image, 1)
    filled = continued(holed, known, 40.0)
    assert np.abs(filled - image)[known].max() < 0.01
    assert np.abs(filled - image).max() < 0.1
    assert np.array_equal(filled, continued(holed, known, 40.0))


def test_a_picture_known_in_a_few_pixels_is_continued_in_their_colour() -> None:
    image, known = np.zeros((600, 500, 3), np.float32), np.zeros((600, 500), np.bool_)
    image[7:11, 9:13], known[7:11, 9:13] = (0.2, 0.4, 0.6), True
    assert np.abs(continued(image, known, 100.0) - image[8, 10]).max() < 0.02


def test_what_is_typical_is_not_moved_by_exceptions() -> None:
    values = np.ones((64, 64), np.float32)
    values[10:14] = 100
    found = typical(values, np.ones((64, 64), np.bool_), 32, 65)
    assert np.allclose(found, 1)
    assert not typical(values, np.zeros((64, 64), np.bool_), 32, 65).any()


def test_a_tile_half_of_which_is_masked_counts_only_what_is_seen() -> None:
    values = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    seen = np.random.default_rng(1).random((40, 40)) > 0.5
    found = typical(values, seen, 40, 65)
    assert np.allclose(found, np.percentile(values[seen], 65), atol=1e-6)


def test_a_fit_is_the_same_where_it_is_wanted_alone() -> None:
    random = np.random.default_rng(0)
    guide, values, weight = (random.random(shape, np.float32) for shape in ((150, 90, 3), (150, 90), (150, 90)))
    wanted = np.zeros(values.shape, np.bool_)
    cv2.circle(wanted.view(np.uint8), (70, 60), 30, 1, -1)
    wanted[149, 3] = True
    everywhere = fit_local_linear(guide, values, 0.1 + weight, 3, 1e-3)
    there = fit_local_linear(guide, values, 0.1 + weight, 3, 1e-3, wanted)
    np.testing.assert_allclose(there.coefficients[wanted], everywhere.coefficients[wanted], rtol=1e-3, atol=1e-4)
    assert not there.coefficients[96:144].any()


def test_a_linear_function_of_the_colours_is_found_and_enlarged() -> None:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    guide = (rgb / 255).astype(np.float32)
    values = (0.3 * guide[..., 0] - 0.2 * guide[..., 1] + 0.1 * guide[..., 2] + 0.4).astype(np.float32)
    fit: LocalLinear = fit_local_linear(guide, values, np.ones_like(values), 3, 1e-6)
    assert np.abs(fit.apply(guide) - values).max() < 1e-3
    part = slice(7, 45)
    assert np.abs(fit.apply_large(rgb, rgb.shape[1::-1], 0, part) - fit.apply(guide)[:, part]).max() < 1e-4
    whole = cv2.resize(guide, (125, 90), interpolation=cv2.INTER_LINEAR)
    assert np.abs(enlarged(guide, (125, 90), 30, 40) - whole[30:70]).max() < 1e-5


def test_a_cloud_beside_the_person_is_left_out_and_an_aerial_stays() -> None:
    """A dark background is now and then taken for half a person, far from her and up to the edge of the picture."""
    face = make_face(scale=30, centre=(300, 200))
    size = round(Head.of(face.landmarks).size)
    matte = np.zeros((500, 600), np.uint8)
    matte[200 - size // 2 :, 300 - size // 2 : 300 + size // 2] = 255  # head and body
    person = matte.copy()
    aerial = slice(200 - size, 200 - size // 2), slice(298, 303)
    person[aerial] = matte[aerial] = 120
    cloud = slice(500 - size, 500), slice(0, 300 - size // 2)
    matte[cloud] = 120  # it touches the body
    matte[-20:, :20] = 255
    left = in_one_piece(matte, face.landmarks)
    assert np.array_equal(left[:, 300 - size // 2 :], person[:, 300 - size // 2 :])
    assert left[:, : 300 - size].max() == 0, "all but what is near enough to be a strand"
