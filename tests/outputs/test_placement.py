from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.outputs.placement import moved, placed, sharpness, zoomed
from avatar.settings import FITS, CanvasSettings, Place

CANVAS = CanvasSettings(320, 180)
sizes = st.tuples(st.integers(20, 900), st.integers(20, 900))
fits = st.sampled_from(FITS)
faces = st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(0, 1)))
shares = st.floats(-2, 2)


def test_an_image_is_centred_as_the_fit_says() -> None:
    box = placed((100, 100), CANVAS, Place())
    assert (box.left, box.top, box.width, box.height) == (70, 0, 180, 180)
    box = placed((100, 100), CanvasSettings(320, 180, fit="fill"), Place())
    assert (box.left, box.top, box.width, box.height) == (0, -70, 320, 320)


@pytest.mark.parametrize("down", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_fill_keeps_the_face_in_the_middle_as_far_as_the_image_reaches(down: float) -> None:
    box = placed((100, 100), CanvasSettings(320, 180, fit="fill"), Place(), (0.5, down))
    assert box.top <= 0 and box.top + box.height >= 180, "no bar"
    face = box.top + down * box.height
    assert 0 <= face <= 180 and (down not in (0.3, 0.5) or face == pytest.approx(0.46 * 180, abs=1))


@given(size=sizes, fit=fits, face=faces, right=shares, down=shares, times=st.floats(0.05, 20))
def test_no_move_or_zoom_loses_the_avatar(
    size: tuple[int, int], fit: str, face: tuple[float, float] | None, right: float, down: float, times: float
) -> None:
    canvas = CanvasSettings(320, 180, fit=fit)
    place = zoomed(moved(Place(), right, down, size, canvas, face), times, (0.3, 0.8), size, canvas, face)
    box = placed(size, canvas, moved(place, right, down, size, canvas, face), face)
    across = min(box.left + box.width, 320) - max(box.left, 0)
    along = min(box.top + box.height, 180) - max(box.top, 0)
    assert across >= 0.15 * min(box.width, 320) - 2 and along >= 0.15 * min(box.height, 180) - 2


@given(fit=fits, times=st.floats(0.8, 2), x=st.floats(0.2, 0.8), y=st.floats(0.2, 0.8))
def test_a_zoom_keeps_the_point_under_the_pointer(fit: str, times: float, x: float, y: float) -> None:
    canvas, size, face = CanvasSettings(1280, 720, fit=fit), (512, 512), (0.5, 0.4)
    before = placed(size, canvas, Place(), face)
    after = placed(size, canvas, zoomed(Place(), times, (x, y), size, canvas, face), face)

    def seen(box: object) -> tuple[float, float]:
        return (1280 * x - box.left) / box.width, (720 * y - box.top) / box.height  # type: ignore[attr-defined]

    assert seen(after) == pytest.approx(seen(before), abs=0.004)


def test_a_drag_follows_the_pointer() -> None:
    place = moved(Place(), 0.25, -0.1, (100, 100), CANVAS)
    before, after = placed((100, 100), CANVAS, Place()), placed((100, 100), CANVAS, place)
    assert (after.left - before.left, after.top - before.top) == (80, -18)


def test_few_zooms_need_a_portrait_drawn_anew() -> None:
    assert {sharpness(each / 100) for each in range(25, 800)} == {1.0, 1.5, 2.0}
    assert sharpness(1.0) == 1.0 and sharpness(0.25) == 1.0
