"""The shading that a smile brings and takes away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_samples import make_face

from avatar.cv import cv2
from avatar.engines.warp.beyond import Edges
from avatar.engines.warp.deformation import Deformation
from avatar.engines.warp.mouth.light import flatness
from avatar.engines.warp.scene import Scene
from avatar.engines.warp.shading import (
    MOST,
    SmileFields,
    SmileShading,
    face_grid,
    mean_face_positions,
    own_contrast,
    smile_fields,
)
from avatar.frames import FloatArray, RgbImage
from avatar.motion.head import HeadMotion
from avatar.tracking import canonical_face
from avatar.tracking.face import Face

SIDE = 384
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)
RIGHT_FOLD, LEFT_FOLD = (
    np.array([-0.27, 0.37], np.float32),
    np.array([0.27, 0.37], np.float32),
)  # beside the nose, on the mean face
RIGHT, LEFT = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


@pytest.fixture(scope="module")
def face() -> Face:
    return make_face(scale=110, centre=(192, 170))


def smile(fields: SmileFields, units: float, sides: FloatArray = RIGHT + LEFT) -> FloatArray:
    """Displacements (478, 3) in the canonical frame, of `units` on the sides (right, left) whose share is 1."""
    moved = np.zeros((478, 3), np.float32)
    for points, direction, share in zip(fields.points, fields.directions, sides, strict=True):
        moved[points] = units * share * direction
    return moved


def shaded(
    face: Face,
    units: float,
    sides: FloatArray = RIGHT + LEFT,
    canvas: RgbImage = GREY,
    portrait: RgbImage = GREY,
    **how: float,
) -> RgbImage:
    moved = smile(smile_fields(), units, sides) * np.float32(face.pose.scale_px) @ face.pose.rotation.T
    expression_px = np.asarray(moved, np.float32)
    deformation = Deformation(face, (SIDE, SIDE), lambda: Edges.of(np.ones((SIDE, SIDE), np.float32)))
    target = deformation.landmarks(expression_px, HeadMotion.still())
    look_up = deformation.backward_map(expression_px, HeadMotion.still(), target)
    drawn = canvas.copy()
    SmileShading(portrait, face, **how).draw(drawn, Scene(look_up, target, expression_px, np.eye(3, dtype=np.float32)))
    return drawn


def at(face: Face, drawn: RgbImage, place: FloatArray, reach: int = 5) -> float:
    """Mean brightness around a place of the mean face."""
    x, y = np.rint(place * face.pose.scale_px + face.pose.centre_px[:2]).astype(int)
    return float(drawn[y - reach : y + reach + 1, x - reach : x + reach + 1].mean())


def test_a_face_at_rest_keeps_its_light(face: Face) -> None:
    np.testing.assert_array_equal(shaded(face, 0.0), GREY)


def test_a_smile_darkens_the_folds_and_nothing_beside_the_face(face: Face) -> None:
    drawn = shaded(face, 1.0)
    for fold in (RIGHT_FOLD, LEFT_FOLD):
        assert at(face, drawn, fold) < 128 - 3
    outside = np.ones((SIDE, SIDE), bool)
    outside[60:310, 90:294] = False
    np.testing.assert_array_equal(drawn[outside], GREY[outside])


def test_the_shading_grows_with_the_smile_up_to_a_limit(face: Face) -> None:
    folds = [at(face, shaded(face, units), RIGHT_FOLD) for units in (0.4, 0.8, 1.2, MOST, 4.0)]
    assert np.diff(folds[:4]).max() < -0.5
    assert folds[4] > folds[3] - 12  # the warp goes on, the shade does not


def test_a_smile_on_one_side_shades_that_side(face: Face) -> None:
    drawn = shaded(face, 1.0, LEFT)
    assert at(face, drawn, LEFT_FOLD) < 128 - 3
    assert at(face, drawn, RIGHT_FOLD) == pytest.approx(128, abs=0.5)


def test_only_a_portrait_that_smiles_can_stop_smiling(face: Face) -> None:
    np.testing.assert_array_equal(shaded(face, -1.0), GREY)
    smiling = make_face(scale=110, centre=(192, 170), mouthSmile=0.54)
    drawn = shaded(smiling, -1.0)
    assert at(smiling, drawn, RIGHT_FOLD) > 128 + 2 and at(smiling, drawn, LEFT_FOLD) > 128 + 2


def folded(face: Face, picture: RgbImage = GREY) -> RgbImage:
    """A portrait with a dark fold on either side of the nose."""
    folds = np.zeros(picture.shape[:2], np.float32)
    for fold in (RIGHT_FOLD, LEFT_FOLD):
        x, y = np.rint(fold * face.pose.scale_px + face.pose.centre_px[:2]).astype(int).tolist()
        cv2.line(folds, (x, y - 12), (x, y + 12), 0.4, 5)
    return np.rint(picture * (1 - cv2.GaussianBlur(folds, (0, 0), 1.5)[..., None])).astype(np.uint8)


def test_the_folds_of_a_portrait_go_with_its_smile() -> None:
    smiling = make_face(scale=110, centre=(192, 170), mouthSmile=0.54)
    portrait = folded(smiling)
    kept, gone = (shaded(smiling, -1.0, canvas=portrait, portrait=rgb) for rgb in (GREY, portrait))
    for fold in (RIGHT_FOLD, LEFT_FOLD):
        beside = fold + np.sign(fold) * [0.15, 0]
        depths = [at(smiling, drawn, beside, 2) - at(smiling, drawn, fold, 2) for drawn in (kept, gone)]
        assert depths[1] < 0.95 * depths[0]


def test_own_contrast_is_that_of_the_skin_at_any_size_and_in_any_light(face: Face) -> None:
    twice = make_face(scale=220, centre=(384, 340))
    found = []
    for each, light in ((face, 1.0), (face, 0.6), (twice, 1.0)):
        side = 384 if each is face else 768
        picture = folded(each, np.full((side, side, 3), 200, np.uint8))
        grid = face_grid(each)
        fold = (RIGHT_FOLD * each.pose.scale_px + each.pose.centre_px[:2]).astype(np.float32)
        contrast = own_contrast(np.rint(light * picture).astype(np.uint8), each, grid)
        found.append(float(grid.sample(contrast, fold[None, None])[0, 0]))
    assert found[0] < -0.1
    assert found[1] == pytest.approx(found[0], abs=0.02)
    even = own_contrast(GREY, face, face_grid(face))
    np.testing.assert_allclose(even, 0, atol=1e-3)
    outside = make_face(scale=110, centre=(-400, 170))
    np.testing.assert_array_equal(own_contrast(GREY, outside, face_grid(outside)), 0)


def test_a_grey_image_stays_grey_and_a_flat_drawing_as_it_is(face: Face) -> None:
    coloured, grey = shaded(face, 1.0), shaded(face, 1.0, colour=0.0)
    assert np.ptp(coloured.astype(int), axis=2).max() > 3
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    assert grey.min() < 124
    np.testing.assert_array_equal(shaded(face, 1.0, weight=0.0), GREY)


def test_the_shading_is_as_the_light_was_on_any_skin(face: Face) -> None:
    dark = shaded(face, 1.0, canvas=np.full_like(GREY, 64))
    light = shaded(face, 1.0, canvas=np.full_like(GREY, 192))
    assert at(face, light, RIGHT_FOLD) == pytest.approx(3 * at(face, dark, RIGHT_FOLD), rel=0.02)


@pytest.mark.parametrize("scale", [24, 110])
def test_a_head_out_of_the_frame_is_no_trouble(scale: float) -> None:
    for centre in ((-300, 170), (2, 2), (SIDE, SIDE)):
        assert shaded(make_face(scale=scale, centre=centre), 1.0).shape == GREY.shape


def test_a_portrait_lies_on_the_mean_face(face: Face) -> None:
    turned = replace(make_face(yaw=12, roll=8, scale=90), presence=1.0)
    for each in (face, turned):
        found = mean_face_positions(each.landmarks, each.landmarks[[1, 61, 291, 152], :2])
        np.testing.assert_allclose(found, canonical_face().points[[1, 61, 291, 152], :2], atol=0.01)


def test_flat_colours_are_told_from_skin_that_light_models(face: Face) -> None:
    across, noise = np.mgrid[0:SIDE, 0:SIDE][1], np.random.default_rng(5).normal(0, 1.5, (SIDE, SIDE))
    flat = np.clip(200 + noise, 0, 255)
    flat[150:158] = 60  # drawn lines
    modelled = np.clip(90 + 0.4 * across + noise, 0, 255)
    for grey, expected in ((flat, 1.0), (modelled, 0.0)):
        rgb = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
        assert flatness(rgb, face.landmarks) == pytest.approx(expected, abs=0.02)
    assert 0 <= flatness(GREY, make_face(centre=(-900, 50)).landmarks) <= 1
