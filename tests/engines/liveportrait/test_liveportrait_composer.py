"""The square around a face, and how what was drawn in it comes back into the portrait."""

from __future__ import annotations

import numpy as np
import pytest
from motion_samples import make_face

from avatar.cv import cv2
from avatar.engines.liveportrait.composer import Composer, soft_mask
from avatar.engines.liveportrait.framing import (
    CROP_PX,
    DRIVER,
    POINTS,
    Square,
    eye_ratios,
    lip_ratio,
    square_of_box,
    square_of_portrait,
)
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box

DEPTH, GRID = 16, 64


@pytest.fixture(scope="module")
def portrait() -> RgbImage:
    """A photograph with detail that 512 pixels do not hold."""
    from skimage.data import astronaut

    large = cv2.resize(astronaut(), (1400, 1400), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    rows, columns = np.mgrid[0:1400, 0:1400]
    fine = 16 * np.sin(columns * 1.4 + 3 * np.sin(rows / 60)) * np.sin(rows * 1.3)
    return np.clip(large + fine[..., None], 0, 255).astype(np.uint8)


def volume(shift: FloatArray | None = None) -> FloatArray:
    """A deformation (D, h, w, 3): at rest, or with a shift (h, w, 2) in the slices of the surface only."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (DEPTH, GRID, GRID)), indexing="ij")
    straight = np.stack([x, y, z], axis=-1).astype(np.float32)
    if shift is not None:
        straight[4:9, ..., :2] += shift
    return straight


def psnr_db(a: RgbImage, b: RgbImage) -> float:
    return float(10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-9)))


def test_the_portraits_square_turns_with_the_face() -> None:
    upright = square_of_portrait(make_face(scale=90, centre=(400, 300)).landmarks)
    tilted_face = make_face(scale=90, centre=(400, 300), roll=20)
    tilted = square_of_portrait(tilted_face.landmarks)
    assert upright.angle_rad == pytest.approx(0, abs=0.02) and np.degrees(tilted.angle_rad) == pytest.approx(20, abs=1)
    assert tilted.side == pytest.approx(upright.side, rel=0.02)
    points = make_face(scale=90, centre=(400, 300)).landmarks[POINTS, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    assert upright.side == pytest.approx(2.3 * (high - low).max(), rel=0.01)
    assert upright.y == pytest.approx((low + high)[1] / 2 - 0.125 * upright.side, abs=1)


@pytest.mark.parametrize("angle_rad", [0.0, 0.4])
def test_the_matte_moves_with_what_was_drawn(portrait: RgbImage, angle_rad: float) -> None:
    """A shift of a tenth of the square, along the square's own axis."""
    square = Square(700, 640, 900, angle_rad)
    composer = Composer(portrait, square, detail=False)
    matte = np.zeros(portrait.shape[:2], np.uint8)
    cv2.circle(matte, (700, 640), 150, 255, -1, cv2.LINE_AA)
    drawn = square.crop(portrait, CROP_PX)
    still = composer.matte(matte, drawn, volume())
    assert np.abs(still.astype(int) - matte).max() <= 4
    shift = np.zeros((GRID, GRID, 2), np.float32)
    shift[..., 0] = 0.2
    places = np.stack(np.meshgrid(*(np.arange(CROP_PX, dtype=np.float32),) * 2), axis=-1)
    places[..., 0] += 0.1 * CROP_PX
    moved = cv2.remap(drawn, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    carried = composer.matte(matte, np.asarray(moved), volume(shift))
    rows, columns = np.nonzero(carried > 128)
    middle = np.array([columns.mean(), rows.mean()])
    assert np.allclose(middle, [700 - 90 * np.cos(angle_rad), 640 - 90 * np.sin(angle_rad)], atol=5)


def test_the_drivers_square_is_upright_and_a_bit_tighter() -> None:
    face = make_face(scale=90, centre=(400, 300))
    x, y, side = DRIVER.square(face.landmarks)
    upright = square_of_portrait(face.landmarks)
    assert side == pytest.approx(upright.side * 2.2 / 2.3, rel=0.01) and x == pytest.approx(upright.x, abs=2)
    assert y == pytest.approx(upright.y + (0.125 * 2.3 - 0.1 * 2.2) * upright.side / 2.3, abs=2)


def test_ratios_follow_lids_and_lips() -> None:
    face = make_face()
    assert all(0.05 < ratio < 0.8 for ratio in eye_ratios(face))
    closed = make_face()
    closed.landmarks[[13, 159]] = closed.landmarks[[14, 145]]
    assert lip_ratio(closed) == 0 and eye_ratios(closed)[0] == 0 and eye_ratios(closed)[1] == eye_ratios(face)[1]


@pytest.mark.parametrize("square", [Square(350, 300, 400), Square(350, 300, 400, 0.4), Square(120.5, 90.25, 300, -1.1)])
def test_a_crop_comes_back_to_its_place(portrait: RgbImage, square: Square) -> None:
    small = cv2.GaussianBlur(cv2.resize(portrait, (700, 700), interpolation=cv2.INTER_AREA), (0, 0), 2.0)
    back = Composer(small, square)(square.crop(small, CROP_PX))
    assert back.shape == small.shape and psnr_db(back, small) > 44


def test_what_lies_outside_the_square_stays_to_the_bit(portrait: RgbImage) -> None:
    square = Square(700, 600, 500, 0.5)
    drawn = Composer(portrait, square)(np.full((CROP_PX, CROP_PX, 3), 255, np.uint8))
    rows, columns = np.mgrid[0:1400, 0:1400]
    away = np.hypot(columns - 700, rows - 600)
    assert np.array_equal(drawn[away > 355], portrait[away > 355]) and (drawn[away < 190] == 255).all()


def test_the_mask_is_soft_and_whole_inside() -> None:
    mask = soft_mask(CROP_PX)
    assert mask.max() == 1 and mask[0].max() < 1e-3 and (mask[70:-70, 256] == 1).all()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.05 and np.array_equal(mask, mask[::-1, ::-1])


def test_moved_detail_is_nearer_to_the_truth_than_enlarging(portrait: RgbImage) -> None:
    square = Square(700, 700, 1380, 0.2)
    y, x = np.meshgrid(np.linspace(-1, 1, GRID), np.linspace(-1, 1, GRID), indexing="ij")
    shift = np.stack([0.05 * np.sin(2 * y), 0.04 * np.cos(3 * x)], axis=-1).astype(np.float32)
    inverse = cv2.invertAffineTransform(square.matrix(CROP_PX))
    rows, columns = np.mgrid[0:1400, 0:1400].astype(np.float32)
    within = np.stack([columns, rows], axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    at = (((within + 0.5) / CROP_PX) * GRID - 0.5).astype(np.float32)
    there = cv2.remap(shift, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / 2 * CROP_PX
    places = (np.stack([columns, rows], axis=-1) + there @ square.matrix(CROP_PX)[:, :2].T).astype(np.float32)
    truth = cv2.remap(portrait, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    prediction = square.crop(cv2.GaussianBlur(truth, (0, 0), 1.1), CROP_PX)  # a generator that makes no mistake
    inside = Box(250, 250, 900, 900)
    plain = inside.of(Composer(portrait, square)(prediction))
    drawn = inside.of(Composer(portrait, square)(prediction, volume(shift), np.ones((GRID, GRID), np.float32)))
    assert psnr_db(drawn, inside.of(truth)) > psnr_db(plain, inside.of(truth)) + 4
    hidden = inside.of(Composer(portrait, square)(prediction, volume(shift), np.zeros((GRID, GRID), np.float32)))
    assert np.abs(hidden.astype(int) - plain).max() <= 1


def test_where_something_else_was_drawn_it_gets_no_detail(portrait: RgbImage) -> None:
    square = square_of_box(Box(0, 0, 1400, 1400))
    prediction = square.crop(portrait, CROP_PX)
    prediction[200:300, 200:300] = (20, 200, 60)
    drawn = Composer(portrait, square)(prediction, volume())
    assert np.abs(drawn[590:780, 590:780].astype(int) - (20, 200, 60)).mean() < 2
