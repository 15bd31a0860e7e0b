"""A person whom the edges of a picture cut off goes on beyond them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from motion_samples import make_face

from avatar.engines.warp.beyond import Beyond, Edges, hair_px
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.look_up import Box
from avatar.engines.warp.openings import Openings
from avatar.engines.warp.relief import Relief
from avatar.frames import FloatArray, RgbImage
from avatar.motion.head import HeadMotion
from avatar.tracking.regions import FACE_OVAL

SIDE = 320
IMAGE = Box(0, 0, SIDE, SIDE)


def head(middle: float, radius: float, *, shoulders: bool = True) -> FloatArray:
    """The matte of a round head in the middle of a picture, `middle` px below its upper edge, with shoulders."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    matte = np.hypot(x - SIDE / 2, y - middle) < radius
    return np.asarray(matte | ((y > 280) & shoulders), np.float32)


def oval(middle: float, radius: float) -> FloatArray:
    angle = np.linspace(0, 2 * np.pi, 36)
    return np.stack([SIDE / 2 + radius * np.cos(angle), middle + radius * np.sin(angle)], axis=1).astype(np.float32)


def beyond_of(matte: FloatArray, oval_px: FloatArray) -> Beyond:
    rgb = np.full((SIDE, SIDE, 3), 128, np.uint8)
    return Beyond.of(Edges.of(matte), oval_px).crowned(rgb, matte, oval_px)


def test_a_head_inside_the_picture_is_not_continued() -> None:
    matte = head(150, 90, shoulders=False)
    beyond = beyond_of(matte, oval(160, 60))
    assert (beyond.left, beyond.top, beyond.right) == (0, 0, 0)
    alpha = (255 * matte).astype(np.uint8)
    layer, box = beyond.continued(alpha, IMAGE, SIDE)
    assert layer is alpha and box == IMAGE
    far = np.array([500, 400, 0], np.float32)
    np.testing.assert_array_equal(beyond.bounded(far), far)


def test_shoulders_at_the_sides_do_not_hold_the_head_back() -> None:
    beyond = beyond_of(head(150, 90), oval(160, 60))
    assert (beyond.left, beyond.top, beyond.right) == (0, 0, 0)
    far = np.array([90, 40, 0], np.float32)
    np.testing.assert_array_equal(beyond.bounded(far), far)


def test_a_cut_head_gets_a_crown_that_closes_its_outline() -> None:
    matte = head(70, 100, shoulders=False)  # its upper 30 px are missing
    layer, box = beyond_of(matte, oval(110, 60)).continued((255 * matte).astype(np.uint8), IMAGE, SIDE)
    above = layer[: -box.top] > 128
    np.testing.assert_array_equal(layer[-box.top :], (255 * matte).astype(np.uint8))
    widths = above.sum(axis=1)
    assert (np.diff(widths) >= -1).all(), "narrower and narrower upwards"
    at_edge = int((matte[0] > 0.5).sum())
    assert 0.9 * at_edge < widths[-1] <= at_edge
    assert 20 < (widths > 0).sum() < 40


def test_the_crown_has_the_hairs_own_texture() -> None:
    matte = head(70, 100, shoulders=False)
    layer = np.zeros((SIDE, SIDE, 4), np.uint8)
    layer[..., 3] = 255 * matte
    layer[..., 0] = (np.arange(SIDE) % 50 * 5)[:, None] * (matte > 0)
    wider, box = beyond_of(matte, oval(110, 60)).continued(layer, IMAGE, SIDE)
    for up in (1, 5, 12):
        np.testing.assert_array_equal(wider[-box.top - up, SIDE // 2], layer[up - 1, SIDE // 2])


def test_loose_strands_above_end_softly() -> None:
    matte = head(70, 100, shoulders=False)
    matte[:60, 12:16] = 1  # beside the head
    layer, box = beyond_of(matte, oval(110, 60)).continued((255 * matte).astype(np.uint8), IMAGE, SIDE)
    strand = layer[: -box.top, 13].astype(int)
    assert strand[-1] > 200 and strand[0] == 0 and (np.diff(strand) >= 0).all()
    assert np.abs(np.diff(strand)).max() < 40


@pytest.mark.parametrize("side", ["left", "right"])
def test_beside_a_cut_no_second_outline_appears(side: str) -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    matte = np.asarray(np.hypot(x - 150, y - 160) < 155, np.float32)  # its edge cuts off a few rows, and others nearly
    outline = oval(160, 60)
    if side == "right":
        matte, outline = matte[:, ::-1].copy(), outline * (-1, 1) + (SIDE - 1, 0)
    beyond = Beyond.of(Edges.of(matte), outline.astype(np.float32))
    layer, box = beyond.continued((255 * matte).astype(np.uint8), IMAGE, SIDE)
    outwards = layer[:, : -box.left][:, ::-1] if side == "left" else layer[:, SIDE - box.left :]
    assert outwards.shape[1] > 20 and (outwards[155:165, 0] > 128).all(), "it is continued"
    cut = np.flatnonzero(matte[:, 0 if side == "left" else -1])
    within, above = slice(cut[0] + 3, cut[-1] - 2), slice(0, cut[0] - 2)  # but for a few rows at the end of the cut
    assert (np.diff(outwards[within].astype(int), axis=1) <= 0).all()
    assert not outwards[above].any()


def test_only_motion_away_from_the_cut_is_eased() -> None:
    beyond = beyond_of(head(70, 100), oval(110, 60))
    assert beyond.top > 20
    little, much, back = (np.array([0, down, 0], np.float32) for down in (10, 200, -200))
    np.testing.assert_allclose(beyond.bounded(little), little)
    np.testing.assert_allclose(beyond.bounded(back), back)
    assert 0.6 * beyond.top < beyond.bounded(much)[1] <= beyond.top


@pytest.mark.parametrize("middle", [-40, 0, 8, 300, 400])
def test_any_place_of_the_face_is_taken(middle: float) -> None:
    """Faces that leave the picture, and pictures that hold nothing but a person."""
    everywhere = np.ones((SIDE, SIDE), np.float32)
    for matte in (everywhere, 0 * everywhere, head(middle, 100)):
        beyond = beyond_of(matte, oval(middle, 60))
        layer, box = beyond.continued((255 * matte).astype(np.uint8), IMAGE, SIDE)
        assert layer.shape == (box.height, box.width)
        assert max(beyond.left, beyond.top, beyond.right) <= 0.35 * SIDE + 8


@pytest.fixture(scope="module")
def striped() -> tuple[RgbImage, FloatArray]:
    """A head whose hair the upper edge cuts, striped across, and its matte."""
    matte = head(90, 130, shoulders=False)
    stripes = (np.arange(SIDE) // 8 % 2 * 200)[:, None] * matte
    return np.stack([stripes, 40 + 0 * stripes, 255 * (1 - matte)], axis=2).astype(np.uint8), matte


def test_a_head_that_moves_down_brings_hair_along_instead_of_stretching_it(
    striped: tuple[RgbImage, FloatArray],
) -> None:
    from avatar.engines.warp.deformation import Deformation

    rgb, matte = striped
    face = make_face(scale=62, centre=(160, 165))
    relief = Relief.of(face, matte)
    assert relief.share(face.landmarks[FACE_OVAL, :2]).min() > 0.99
    deformation = Deformation(face, (SIDE, SIDE), lambda: Edges.of(matte))
    layers = Layers(rgb, face, matte.copy(), Openings(rgb, face))
    np.testing.assert_allclose(layers.at_rest().astype(int), rgb, atol=2)
    motion = relief.bounded(HeadMotion(np.eye(3, dtype=np.float32), np.array([0, 16, 0], np.float32), 1.0))
    still = np.zeros((478, 3), np.float32)
    look_up = deformation.backward_map(still, motion, deformation.landmarks(still, motion))
    drawn = layers.compose(look_up)[:, 160].astype(int)
    # Stripes 8 px high come down unchanged, and above them one that mirrors the first.
    np.testing.assert_allclose(drawn[16:60], rgb[:44, 160], atol=12)
    np.testing.assert_allclose(drawn[1:16], rgb[:15, 160][::-1], atol=12)


def framed(hair: tuple[int, int, int], skin: tuple[int, int, int], hairline: int) -> RgbImage:
    rgb = np.full((SIDE, SIDE, 3), skin, np.uint8)
    rgb[:hairline] = hair
    return rgb


def test_hair_is_measured_down_to_the_skin() -> None:
    outline = oval(160, 70)
    assert 16 <= hair_px(framed((60, 40, 30), (220, 180, 160), 24), outline) <= 24
    assert hair_px(framed((60, 40, 30), (220, 180, 160), 95), outline) == 0  # down to the face
    assert hair_px(framed((220, 180, 160), (220, 180, 160), 24), outline) == 0  # bald
    streaked = framed((60, 40, 30), (220, 180, 160), 95)
    streaked[:4] = 170  # a highlight at the very edge
    assert hair_px(streaked, outline) == 0


def test_thin_hair_is_repeated_and_no_forehead_shows_above_it() -> None:
    matte = head(70, 100, shoulders=False)
    rgb = framed((60, 40, 30), (220, 180, 160), 20)
    layer = np.dstack([rgb, (255 * matte).astype(np.uint8)])
    beyond = replace(beyond_of(matte, oval(160, 60)), hair_px=12)
    wider, box = beyond.continued(layer, IMAGE, SIDE)
    above = wider[: -box.top]
    assert (above[..., 3] > 200).sum() > 500
    assert above[..., :3].max() <= 60, "no skin, which is brighter"
