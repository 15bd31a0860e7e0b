"""The layers of a portrait: how finely the person is kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from avatar.cv import cv2
from avatar.engines.warp.layers import FINER_UP_TO_PX, SHARP_UP_TO_PX, how_fine


def person(sigma_px: float) -> npt.NDArray[np.uint8]:
    """Return an opaque strip of noise, blurred by a Gaussian, (100, 700, 4), beside transparent noise that is sharp."""
    noise = np.random.default_rng(0).normal(0, 1, (100, 400, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma_px)
    shown = np.dstack([np.clip(128 + 30 * soft / soft.std(), 0, 255), np.full((100, 400), 255)])
    hidden = np.dstack([np.clip(128 + 40 * noise[:, :300], 0, 255), np.zeros((100, 300))])
    return np.concatenate([shown, hidden], axis=1).astype(np.uint8)


@pytest.mark.parametrize(
    ("sigma_px", "longest_px", "scale"),
    [(6, 3840, 1), (0.6, 3840, 2), (6, SHARP_UP_TO_PX, 2), (0.6, FINER_UP_TO_PX + 1, 1)],
    ids=["soft", "sharp", "small", "too large"],
)
def test_a_large_person_is_kept_finely_where_she_is_sharp(sigma_px: float, longest_px: int, scale: int) -> None:
    assert how_fine(person(sigma_px), longest_px) == scale


def test_what_is_kept_coarsely_looks_the_same_between_pixels() -> None:
    soft = person(6)[:, :400]
    half = np.array([[1, 0, 0.5], [0, 1, 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    linear, cubic = (
        cv2.warpAffine(soft, half, (400, 100), flags=flags & ~cv2.INTER_LINEAR | kind)[4:-4, 4:-4].astype(int)
        for kind in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    )
    assert np.abs(linear - cubic).max() <= 3


def test_an_edge_of_the_matte_counts_as_sharp() -> None:
    strip = np.full((100, 400, 4), 200, np.uint8)
    strip[:, ::8, 3] = 0
    assert how_fine(strip, 3840) == 2
