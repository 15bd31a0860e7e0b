from __future__ import annotations

import numpy as np
import pytest
from fakes import plain
from hypothesis import given
from hypothesis import strategies as st

from avatar.outputs.yuv import to_yuv420p


@pytest.mark.parametrize(
    ("colour", "expected"),  # ITU-R BT.709, 8 bits, limited range
    [
        ((255, 255, 255), (235, 128, 128)), ((0, 0, 0), (16, 128, 128)), ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)), ((0, 0, 255), (32, 240, 118)), ((128, 128, 128), (126, 128, 128)),
    ],
)  # fmt: skip
def test_colours_are_those_of_the_standard(colour: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    planes = to_yuv420p(plain(colour, (16, 8))).to_ndarray()
    found = [np.unique(plane).tolist() for plane in (planes[:8], planes[8:10], planes[10:])]
    assert found == [[level] for level in expected]


@given(st.integers(1, 40), st.integers(1, 40))
def test_odd_sizes_become_even_by_a_repeated_edge(width: int, height: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    frame = to_yuv420p(picture)
    assert (frame.width, frame.height) == (width + width % 2, height + height % 2)
    luma = frame.to_ndarray()[: frame.height]
    assert np.array_equal(luma[:height, width - 1], luma[:height, -1])


def test_colour_is_the_mean_of_four_pixels_and_the_planes_are_in_order() -> None:
    picture = plain((0, 0, 255), (4, 4))
    picture[:, 2:] = (255, 0, 0)
    planes = to_yuv420p(picture).to_ndarray()
    assert planes[4].tolist() == [240, 102, 240, 102] and planes[5].tolist() == [118, 240, 118, 240]
    picture[:, 1::2] = picture[:, ::2][:, ::-1]
    mixed = to_yuv420p(picture).to_ndarray()[4:]
    assert np.abs(mixed[0].astype(int) - 171).max() <= 1 and np.abs(mixed[1].astype(int) - 179).max() <= 1
