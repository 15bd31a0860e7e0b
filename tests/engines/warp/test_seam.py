"""The seam between lips that are open in the portrait and closed in the frame."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.engines.warp.mouth.frame import MouthFrame, Opening
from avatar.engines.warp.mouth.light import MouthLight, line_between_lips
from avatar.engines.warp.mouth.seam import close_lips
from avatar.frames import FloatArray, RgbImage

LIP = np.array([190, 130, 125], np.float32)
GAP_MM = np.array([0, 0.8, 2.5, 5, 7, 8, 7, 5, 2.5, 0.8, 0], np.float32)  # of a laugh, from corner to corner


def drawn(px_per_mm: float, gap_mm: FloatArray = GAP_MM, open_px: float = 0.0) -> tuple[RgbImage, RgbImage]:
    """Lips of 50 mm that have closed, with specks of teeth between and dark corners: before and after."""
    width = round(50 * px_per_mm)
    canvas = np.empty((width, 2 * width, 3), np.uint8)
    canvas[:] = LIP
    middle, left = width // 2, width // 2
    canvas[middle, left + width // 4 : left + 3 * width // 4] = 240
    for corner in (left, left + width):
        reach = round(1.1 * px_per_mm)
        inside, outside = (2 * reach, round(0.9 * px_per_mm))[:: 1 if corner > left else -1]
        canvas[middle - reach : middle + reach + 1, corner - inside : corner + outside] = 25
    frame = MouthFrame(
        np.array([width, middle], np.float32), np.eye(2, dtype=np.float32), np.zeros((2, 3), np.float32), px_per_mm
    )
    across = np.linspace(-0.5 * width, 0.5 * width, 51, dtype=np.float32)
    level = np.zeros(51, np.float32)
    light = MouthLight(LIP, LIP, LIP, LIP, 150.0, 200.0, 0.0, 1.0)
    before = canvas.copy()
    close_lips(
        canvas, frame, Opening(across, level - open_px / 2, level + open_px / 2), gap_mm, line_between_lips(light)
    )
    return before, canvas


@pytest.mark.parametrize("px_per_mm", [1.2, 4.0])
def test_neither_specks_nor_dark_corners_of_a_laugh_remain(px_per_mm: float) -> None:
    before, after = drawn(px_per_mm)
    assert before.min() == 25 and before.max() == 240
    assert after.max() < LIP.max() + 20  # sharp edges ring a little
    assert after[..., 0].min() > 0.5 * LIP[0]  # the line itself is darker, but no hole


def test_the_line_between_lips_is_redder_than_they_are() -> None:
    _, after = drawn(2.0)
    line = after[50, 75:125].astype(np.float32).mean(axis=0) / LIP
    assert line[0] > line[1] + 0.08 and line[0] > line[2] + 0.05
    assert 0.5 < line[1] < 0.8


def test_a_mouth_that_was_shut_or_is_open_is_left_alone() -> None:
    for gap_mm, open_px in ((np.asarray(GAP_MM / 80, np.float32), 0.0), (GAP_MM, 4.0)):
        before, after = drawn(2.0, gap_mm, open_px)
        np.testing.assert_array_equal(before, after)
