"""Drawing only what moves gives the same frame as drawing everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatar.cv import cv2
from avatar.engines.warp.grid import Grid
from avatar.engines.warp.look_up import Box, CellMap, LookUp
from avatar.engines.warp.moving_parts import MovingParts
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage
from avatar.motion.head import HeadMotion
from avatar.offline.bench import bench_portrait
from avatar.tracking import FaceTracker
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.regions import FACE_OVAL

WIDTH, HEIGHT = 640, 360


@pytest.fixture(scope="module")
def portrait(face_model: Path) -> Iterator[WarpPortrait]:
    tracker, picture = FaceTracker(face_model), bench_portrait(WIDTH, HEIGHT)
    yield WarpPortrait.of(picture, tracker.detect(picture)[0])
    tracker.close()


def expression(portrait: WarpPortrait, strength: float, seed: int) -> np.ndarray:
    """(478, 3) displacements, smooth over the face."""
    face = portrait.deformation.face
    random = np.random.default_rng(seed)
    local = (face.landmarks - face.pose.centre_px) / np.float32(face.pose.scale_px)
    waves = np.sin(local @ random.standard_normal((3, 3)) * 2 + random.uniform(0, 6, 3))
    return np.asarray(strength * face.pose.scale_px * waves, np.float32)


@pytest.fixture(scope="module")
def cut_out(face_model: Path) -> Iterator[WarpPortrait]:
    """A head alone, without a neck below its chin."""
    tracker, picture = FaceTracker(face_model), bench_portrait(WIDTH, HEIGHT)
    face = tracker.detect(picture)[0]
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillConvexPoly(alpha, cv2.convexHull(np.round(face.landmarks[FACE_OVAL, :2]).astype(np.int32)), 255)
    yield WarpPortrait.of(picture, face, alpha)
    tracker.close()


FRAMES = st.tuples(
    st.floats(-40, 40),
    st.floats(-30, 30),
    st.floats(-40, 40),
    st.floats(0.75, 1.35),
    st.one_of(st.tuples(*[st.floats(-0.1, 0.1)] * 2), st.tuples(*[st.floats(-4, 4)] * 2)),  # shift, image widths
    st.sampled_from([0.0, 0.03, 0.08, 0.5]),  # of the expression
    st.integers(0, 100),
)


def scene_of(portrait: WarpPortrait, frame: tuple[Any, ...]) -> Scene:
    yaw, pitch, roll, zoom, shift, strength, seed = frame
    shift_px = np.array([*shift, 0], np.float32) * np.float32(WIDTH)
    motion = HeadMotion(rotation_from_angles(yaw, pitch, roll), shift_px, zoom)
    return portrait.scene(expression(portrait, strength, seed), motion)


def check_drawn(portrait: WarpPortrait, scene: Scene, drawn: RgbImage) -> None:
    """Compare a frame with the same one without knowledge of what moves.

    The positions of a part are interpolated from its own corner, and `remap` rounds them to 1/32 pixel: a few are
    rounded the other way.
    """
    expected = portrait.layers.compose(scene.look_up)
    portrait.layers.openings.draw(expected, scene)
    difference = cv2.absdiff(drawn, expected).max(axis=2)
    assert difference.max() <= 12
    assert np.count_nonzero(difference) <= difference.size / 1000


@settings(deadline=None, max_examples=25)
@example(whole=True, frames=[(-1.0, 0.0, 9.0, 1.28125, (0.0, 0.0703125), 0.0, 0)])  # one row of the face in a part
@example(whole=False, frames=[(0.0, 0.0, 0.0, 1.0, (0.0, 0.375), 0.03, 0)])  # eyes and mouth are below the frame
@given(whole=st.booleans(), frames=st.lists(FRAMES, min_size=1, max_size=3))
def test_a_frame_is_the_same_as_if_all_of_it_were_drawn_whatever_came_before(
    portrait: WarpPortrait, cut_out: WarpPortrait, whole: bool, frames: list[tuple[Any, ...]]
) -> None:
    drawn_one = portrait if whole else cut_out
    renderer = ProcessorRenderer()
    for frame in frames:
        scene = scene_of(drawn_one, frame)
        drawn = renderer.draw(drawn_one.layers, scene)
        check_drawn(drawn_one, scene, drawn)
        np.testing.assert_array_equal(ProcessorRenderer().draw(drawn_one.layers, scene), drawn)


@pytest.mark.parametrize("shift", [(0.3, 0.5), (1.0, 0.5), (3.0, 0.5), (5.0, 0.5), (40.0, 0.5)])
def test_a_head_far_outside_the_frame_leaves_nothing_behind(portrait: WarpPortrait, shift: tuple[float, float]) -> None:
    scene = scene_of(portrait, (10, 5, 3, 1.1, shift, 0.05, 1))
    check_drawn(portrait, scene, ProcessorRenderer().draw(portrait.layers, scene))


def test_a_chin_that_drops_into_the_background_is_drawn(cut_out: WarpPortrait) -> None:
    face = cut_out.deformation.face
    low = np.clip((face.landmarks[:, 1] - face.pose.centre_px[1]) / np.float32(face.pose.scale_px), 0, 1)
    down = np.zeros((478, 3), np.float32)
    down[:, 1] = np.float32(0.8 * face.pose.scale_px) * low
    scene = cut_out.scene(down, HeadMotion.still())
    check_drawn(cut_out, scene, ProcessorRenderer().draw(cut_out.layers, scene))


def test_at_rest_nothing_but_the_face_is_drawn(portrait: WarpPortrait) -> None:
    scene = portrait.scene(np.zeros((478, 3), np.float32), HeadMotion.still())
    parts = portrait.layers.moving_parts.of(scene.look_up)
    assert scene.look_up.face is not None
    face, margin = scene.look_up.face.around.box, 2 * scene.look_up.whole.step
    for part in parts:
        assert part.top >= face.top - 64 - margin and part.bottom <= face.bottom + 64 + margin
        assert part.left >= face.left - margin and part.right <= face.right + margin
    assert sum(part.width * part.height for part in parts) < 0.5 * WIDTH * HEIGHT
    difference = np.abs(portrait.layers.compose(scene.look_up).astype(np.int16) - portrait.layers.at_rest())
    face.view(difference, scene.look_up.whole.box)[:] = 0
    assert difference.max() <= 1


def test_only_the_persons_box_is_kept_finely(cut_out: WarpPortrait) -> None:
    layers, box = cut_out.layers, cut_out.layers.person_box
    assert box.width * box.height < 0.3 * WIDTH * HEIGHT
    assert layers.person.shape == ((box.height - 1) * 2 + 1, (box.width - 1) * 2 + 1, 4)
    edges = [layers.person[:2], layers.person[-2:], layers.person[:, :2], layers.person[:, -2:]]
    assert not any(edge.any() for edge in edges)  # so that nothing is continued beyond it
    outside = np.ones((HEIGHT, WIDTH), np.bool_)
    outside[box.top : box.bottom, box.left : box.right] = False
    np.testing.assert_array_equal(layers.at_rest()[outside], layers.background[outside])


def test_every_frame_is_a_new_array(portrait: WarpPortrait) -> None:
    scene = portrait.scene(np.zeros((478, 3), np.float32), HeadMotion.still())
    first = ProcessorRenderer().draw(portrait.layers, scene)
    kept = portrait.layers.at_rest()
    first[:] = 7
    np.testing.assert_array_equal(portrait.layers.at_rest(), kept)


@pytest.mark.parametrize(("width", "height", "step"), [(50, 40, 4), (33, 70, 7), (64, 64, 64), (9, 9, 4)])
def test_parts_cover_what_moves_and_do_not_overlap(width: int, height: int, step: int) -> None:
    parts = MovingParts(np.full((height, width), 255, np.uint8), Box(0, 0, width, height))
    cells = Grid.over_cells(0, 0, width, height, step)
    everything = CellMap(Box(0, 0, width, height), step, cells.points() + np.float32(3))
    count = np.zeros((height, width), int)
    for part in parts.of(LookUp(everything, None)):
        count[part.top : part.bottom, part.left : part.right] += 1
    assert (count == 1).all()
    still = CellMap(Box(0, 0, width, height), step, cells.points())
    assert parts.of(LookUp(still, None)) == []


def test_where_there_is_no_person_nothing_is_drawn() -> None:
    alpha = np.zeros((200, 300), np.uint8)
    alpha[150:, :40] = 255
    parts = MovingParts(alpha, Box(0, 0, alpha.shape[1], alpha.shape[0]))
    cells = Grid.over_cells(0, 0, 300, 200, 6)
    boxes = parts.of(LookUp(CellMap(Box(0, 0, 300, 200), 6, cells.points() + np.float32(2)), None))
    assert boxes and all(box.right < 90 and box.top > 60 for box in boxes)
