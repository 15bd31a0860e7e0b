"""Detail beyond the generator's resolution: closer to the truth than upscaling, on a scene with known motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.cv import cv2
from avatar.engines.crop import cut, face_square, feather, scaled, square_of_track
from avatar.engines.fomm.detail import Composer, MatteMover, between, enlarged
from avatar.engines.fomm.detail_torch import TorchComposer
from avatar.engines.panels import TITLES, MotionFacts, deformation_colours, draw_panels
from avatar.fomm.dense_motion import DenseMotion
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box
from avatar.motion.nearest import nearest_by_points

SIDE, MODEL, GRID = 512, 256, 64
ALL = Box(0, 0, SIDE, SIDE)


@pytest.fixture(scope="module")
def portrait() -> RgbImage:
    from skimage.data import astronaut

    return np.asarray(astronaut())


def motion(count: int) -> FloatArray:
    """A scene that turns and bends a little: (count, count, 2) positions in the portrait."""
    y, x = np.meshgrid(np.linspace(-1, 1, count), np.linspace(-1, 1, count), indexing="ij")
    angle = 0.12
    along = x * np.cos(angle) - y * np.sin(angle) + 0.05 * np.sin(2 * y)
    down = x * np.sin(angle) + y * np.cos(angle) + 0.04 * np.cos(3 * x)
    return np.stack([along, down], axis=-1).astype(np.float32)


def moved(picture: RgbImage) -> RgbImage:
    """The truth: the picture moved at its own resolution."""
    places = ((motion(SIDE) + 1) / 2 * (SIDE - 1)).astype(np.float32)
    return np.asarray(cv2.remap(picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def psnr_db(a: RgbImage, b: RgbImage) -> float:
    return float(10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-9)))


def sharpness(picture: RgbImage) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std())


def test_the_matte_moves_with_the_motion() -> None:
    matte = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(matte, (256, 300), (120, 170), 0, 0, 360, 255, -1, cv2.LINE_AA)
    drawn = MatteMover(matte, ALL)(motion(GRID))
    apart = np.abs(drawn.astype(int) - moved(matte))
    assert apart.mean() < 0.03 * np.abs(drawn.astype(int) - matte).mean()
    part = Box(100, 100, 300, 300)
    at_rest = np.stack(np.meshgrid(np.linspace(-1, 1, GRID), np.linspace(-1, 1, GRID)), axis=-1).astype(np.float32)
    assert np.abs(MatteMover(matte, part)(at_rest).astype(int) - matte).max() <= 2
    near = MatteMover(matte, part)(at_rest + 0.2)
    assert np.array_equal(near[:100], matte[:100]) and not np.array_equal(part.of(near), part.of(matte))
    assert np.abs(np.diff(near[100:104, 120:380].astype(int), axis=0)).max() < 40, "no step where the part begins"


def test_moved_detail_is_nearer_to_the_truth_than_enlarging(portrait: RgbImage) -> None:
    truth = moved(portrait)
    prediction = scaled(truth, MODEL, MODEL)  # a generator that makes no mistake
    plain = scaled(prediction, SIDE, SIDE)
    drawn = Composer(portrait, ALL)(prediction, motion(GRID), np.ones((GRID, GRID), np.float32))
    assert psnr_db(drawn, truth) > psnr_db(plain, truth) + 8
    assert sharpness(plain) < 0.55 * sharpness(truth)
    assert 0.75 * sharpness(truth) < sharpness(drawn) < 1.02 * sharpness(truth)


def test_without_motion_the_portrait_comes_back(portrait: RgbImage) -> None:
    y, x = np.meshgrid(np.linspace(-1, 1, GRID), np.linspace(-1, 1, GRID), indexing="ij")
    straight = np.stack([x, y], axis=-1).astype(np.float32)
    drawn = Composer(portrait, ALL)(scaled(portrait, MODEL, MODEL), straight)
    assert psnr_db(drawn, portrait) > 48


def test_what_the_portrait_does_not_show_gets_no_detail(portrait: RgbImage) -> None:
    prediction = scaled(moved(portrait), MODEL, MODEL)
    hidden = np.zeros((GRID, GRID), np.float32)
    hidden[:, GRID // 2 + 4 :] = 1
    drawn = Composer(portrait, ALL)(prediction, motion(GRID), hidden)
    plain = scaled(prediction, SIDE, SIDE)
    assert np.abs(drawn[:, : SIDE // 2].astype(int) - plain[:, : SIDE // 2]).max() <= 1
    assert sharpness(drawn[:, SIDE // 2 + 64 :]) > 1.4 * sharpness(plain[:, SIDE // 2 + 64 :])


def test_where_the_generator_drew_something_else_it_gets_no_detail(portrait: RgbImage) -> None:
    prediction = scaled(moved(portrait), MODEL, MODEL).copy()
    prediction[60:120, 60:120] = (20, 200, 60)
    drawn = Composer(portrait, ALL)(prediction, motion(GRID))
    inside = drawn[140:220, 140:220].astype(int)
    assert np.abs(inside - (20, 200, 60)).mean() < 2


def test_small_parts_are_made_smaller_and_get_no_detail(portrait: RgbImage) -> None:
    box = Box(200, 50, 100, 100)
    drawn = Composer(portrait, box)(scaled(moved(portrait), MODEL, MODEL), motion(GRID))
    assert drawn.shape == portrait.shape


def test_all_at_the_models_size_is_the_prediction_itself(portrait: RgbImage) -> None:
    small, prediction = scaled(portrait, MODEL, MODEL), scaled(moved(portrait), MODEL, MODEL)
    assert (Composer(small, Box(0, 0, MODEL, MODEL))(prediction, motion(GRID)) == prediction).all()


@pytest.mark.parametrize("box", [ALL, Box(60, 20, 400, 400), Box(0, 100, 300, 380), Box(200, 50, 100, 120)])
@pytest.mark.parametrize("occludes", [True, False])
def test_a_gpu_finishes_as_the_processor_does(portrait: RgbImage, box: Box, occludes: bool) -> None:
    prediction = cut(moved(portrait), box, MODEL)
    occlusion = (motion(GRID)[..., 0] / 2 + 0.5).astype(np.float32) if occludes else None
    wanted = Composer(portrait, box)(prediction, motion(GRID), occlusion)
    finish = TorchComposer(portrait, box, MODEL, torch.device("cpu"))
    image = torch.from_numpy(prediction).permute(2, 0, 1)[None] / 255
    maps = None if occlusion is None else torch.from_numpy(occlusion)[None, None]
    got = finish(image, DenseMotion(torch.from_numpy(motion(GRID))[None], torch.empty(0), maps)).numpy()
    assert psnr_db(got, wanted) > 45
    outside = np.ones(portrait.shape[:2], bool)
    box.of(outside)[:] = False
    assert (got[outside] == portrait[outside]).all() and (wanted[outside] == portrait[outside]).all()


def test_the_seam_fades_where_the_part_ends_inside_the_portrait(portrait: RgbImage) -> None:
    box = Box(100, 0, 300, 300)  # touches the upper edge
    weight = feather(box, portrait)[..., 0]
    assert weight[0, 150] == 1 and weight[150, 150] == 1
    assert weight[150, 0] < 0.05 and weight[150, -1] < 0.05 and weight[-1, 150] < 0.05
    drawn = Composer(portrait, box)(np.full((MODEL, MODEL, 3), 255, np.uint8))
    assert (drawn[:, :100] == portrait[:, :100]).all() and (drawn[150, 250] == 255).all()
    seam = np.abs(drawn[150, 100].astype(int) - portrait[150, 100]).max()
    assert seam <= 2


def test_grids_keep_their_corners() -> None:
    grid = motion(GRID)
    large = enlarged(grid, 500, 300)
    assert large.shape == (300, 500, 2)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_allclose(large[corner], grid[corner], atol=1e-6)
    np.testing.assert_allclose(enlarged(grid, SIDE, SIDE), motion(SIDE), atol=2e-3)
    np.testing.assert_allclose(between(7, 7), np.eye(7), atol=1e-6)


# Crops


def test_the_square_is_the_one_that_face_models_are_trained_on() -> None:
    points = np.array([[300, 200], [400, 200], [300, 320], [400, 320]], np.float32)
    box = face_square(points, 120.0, 1280, 720)
    assert (box.width, box.height) == (204, 204)
    assert abs(box.left + box.width / 2 - 350) <= 1 and abs(box.top + box.height / 2 - 260) <= 1
    assert face_square(points, 120.0, 210, 210) == Box(0, 0, 210, 210)  # as training pictures are: used as it is
    near_the_edge = face_square(points - 250, 120.0, 1280, 720)
    assert near_the_edge.left == 0 and near_the_edge.top == 0
    assert face_square(points, 600.0, 640, 480) == Box(110, 0, 480, 480)


def test_one_square_holds_the_whole_track() -> None:
    face = np.array([[0, 0, 5], [100, 0, 5], [0, 120, 5], [100, 120, 5]], np.float32)
    track = np.stack([face + np.array([x, 300, 0], np.float32) for x in (300, 350, 400)])
    box = square_of_track(track, 1920, 1080)
    assert box.width == 204 and abs(box.left + 102 - 400) <= 1


# Panels and reference frames


def facts(**changes: object) -> MotionFacts:
    picture = np.full((64, 64, 3), 90, np.uint8)
    points = np.array([[-0.5, 0.0], [0.5, 0.2], [float("nan"), 9e9]], np.float32)
    frames = np.tile(np.eye(2, dtype=np.float32), (3, 1, 1))
    given = {
        "driving": picture, "source": picture, "kp_driving": points, "kp_source": points, "kp_norm": points,
        "jacobian_driving": frames, "jacobian_norm": frames, "deformation": motion(GRID),
        "occlusion": np.tile(np.linspace(0, 1, GRID, dtype=np.float32), (GRID, 1)),
    }  # fmt: skip
    return MotionFacts(**{**given, **changes})  # type: ignore[arg-type]


def test_panels_show_points_frames_motion_and_occlusion() -> None:
    picture = draw_panels(facts(), 512)
    assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8 and len(TITLES) == 4
    driver = picture[:256, :256].astype(int)
    coloured = np.ptp(driver, axis=2) > 60
    assert coloured[:, :128].any() and coloured[:, 128:].any()
    occlusion = picture[300:480, 256:].astype(int).mean(axis=(0, 2))
    assert occlusion[10] < 30 and occlusion[-10] > 220


def test_panels_do_without_frames_and_occlusion() -> None:
    plain = draw_panels(facts(jacobian_driving=None, jacobian_norm=None, occlusion=None), 300)
    assert plain.shape == (300, 300, 3)


def test_colours_tell_where_a_pixel_comes_from() -> None:
    y, x = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 8), indexing="ij")
    straight = np.stack([x, y], axis=-1).astype(np.float32)
    assert (deformation_colours(straight) >= 254).all()
    shifted = (deformation_colours(straight + np.array([shift, 0], np.float32)) for shift in (0.5, -0.5))
    right, left = (colours[4, 4].astype(int) for colours in shifted)
    assert np.ptp(right) > 100 and np.ptp(left) > 100 and np.abs(right - left).max() > 100


def test_the_reference_is_the_frame_whose_points_lie_most_alike() -> None:
    random = np.random.default_rng(1)
    source = random.normal(size=(12, 2))
    bent = [source * np.array([1 + bend, 1.0]) for bend in (0.8, 0.3, 0.02, 0.5)]
    elsewhere = zip(bent, (5, 3, 40, 2), (1, 9, 100, 4), strict=True)
    clip = np.stack([points * scale + shift for points, scale, shift in elsewhere])
    assert nearest_by_points(source, clip) == 2
    assert nearest_by_points(source, clip, [True, True, False, True]) == 1


def test_points_on_a_line_or_one_alone_have_a_nearest_frame_too() -> None:
    line = np.stack([np.linspace(0, 1, 5), np.zeros(5)], axis=1)
    assert nearest_by_points(line, np.stack([line[::-1], line * 3])) == 1
    assert nearest_by_points(np.zeros((1, 2)), np.ones((3, 1, 2))) == 0
