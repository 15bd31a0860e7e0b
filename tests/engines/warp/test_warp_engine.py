"""The warp engine as a whole: parts that stay, parts that move, target positions, and artefacts that must not occur."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import plain
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_samples import close_eyes, make_face, open_mouth
from places import ROOT

from avatar.cv import cv2
from avatar.engines.avatar_engine import AvatarEngine
from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.engines.warp.headroom import Head
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.matting import person
from avatar.engines.warp.matting.matte import person_matte
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.errors import EngineError, FaceError
from avatar.frames import FloatArray, Frame, RgbImage
from avatar.motion.expression import Expression, expression_basis, lid_opening, lip_gap
from avatar.motion.head import HeadMotion
from avatar.motion.idle import load_idle
from avatar.settings import MotionSettings
from avatar.tracking import FaceTracker, canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.regions import CHIN, EYES, LEFT_EAR, NOSE_TIP, RIGHT_EAR, RIGHT_EYE

RATE = 30


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> Iterator[FaceTracker]:
    tracker = FaceTracker(face_model)
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    from skimage.data import astronaut

    return np.asarray(astronaut())


@pytest.fixture(scope="module")
def bust(astronaut: RgbImage) -> RgbImage:
    """Head and shoulders, cut off by the lower border only."""
    return np.ascontiguousarray(astronaut[:288, 80:368])


@pytest.fixture(scope="module")
def bust_face(bust: RgbImage, tracker: FaceTracker) -> Face:
    return tracker.detect(bust)[0]


@pytest.fixture(scope="module")
def drawer(bust: RgbImage, tracker: FaceTracker) -> WarpEngine:
    """An engine with the bust, prepared once; whoever uses it sets the reference first."""
    return engine_for(bust, tracker.detect(bust)[0])


def engine_for(rgb: RgbImage, face: Face, size: int | None = None) -> WarpEngine:
    engine = WarpEngine()
    engine.show(engine.prepare(Portrait(rgb, face), size))
    return engine


def silhouette(face: Face, size: tuple[int, int]) -> tuple[RgbImage, np.ndarray]:
    """Somebody all in red before a blue wall, and the alpha that goes with them; size is (width, height)."""
    shape = person.by_shape((size[1], size[0]), Head.of(face.landmarks), room=1.1)
    alpha = cv2.GaussianBlur((shape > 0.5).astype(np.float32), (0, 0), 1.0)
    picture = plain((40, 60, 200), size)
    picture[alpha > 0.5] = (200, 60, 60)
    return picture, np.round(alpha * 255).astype(np.uint8)


def engine_for_silhouette(face: Face, size: tuple[int, int], longer_px: int | None = None) -> WarpEngine:
    """Quick to prepare, since nobody has to be found."""
    picture, alpha = silhouette(face, size)
    engine = WarpEngine()
    engine.show(engine.prepare(Portrait(picture, face, alpha), longer_px))
    return engine


def difference(first: RgbImage, second: RgbImage) -> FloatArray:
    """(H, W) largest difference of a colour, levels."""
    return np.abs(first.astype(np.float32) - second).max(axis=2)


def mirrored(face: Face, width_px: int) -> Face:
    """The face as a mirror shows it."""
    swapped = [
        BLENDSHAPES.index(name.replace("Left", "?").replace("Right", "Left").replace("?", "Right"))
        for name in BLENDSHAPES
    ]
    landmarks = face.landmarks[canonical_face().mirror].copy()
    landmarks[:, 0] = width_px - 1 - landmarks[:, 0]
    return replace(face, landmarks=landmarks, blendshapes=face.blendshapes[swapped], pose=pose_of(landmarks))


def enlivened(face: Face, *, yaw: float = 0.0, jaw: float = 0.0) -> Face:
    """The face turned further and with its jaw lowered."""
    shape = Expression.of(face).shape + jaw * expression_basis()[BLENDSHAPES.index("jawOpen")]
    turn = rotation_from_angles(yaw, 0, 0) @ face.pose.rotation
    landmarks = (shape @ turn.T * face.pose.scale_px + face.pose.centre_px).astype(np.float32)
    blendshapes = face.blendshapes.copy()
    blendshapes[BLENDSHAPES.index("jawOpen")] = jaw
    return replace(face, landmarks=landmarks, blendshapes=blendshapes, pose=pose_of(landmarks))


# What comes back when nobody moves


@pytest.mark.parametrize("size", [(512, 512), (511, 389), (251, 333), (700, 640), (97, 131), (128, 128)], ids=str)
def test_a_driver_as_in_the_reference_frame_gives_back_the_portrait(
    size: tuple[int, int], astronaut: RgbImage, tracker: FaceTracker
) -> None:
    rgb = np.asarray(cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA))
    engine = engine_for(rgb, tracker.detect(rgb)[0])
    drawn = engine.draw(Driving(face=tracker.detect(astronaut)[0]))
    # Most at 128 x 128 and 97 x 131: person and background do not add up to the picture where the matte is
    # half transparent on something that is neither (her black helmet); `_within_reach` lets go there above 0.2.
    assert np.abs(drawn.astype(int) - rgb).mean() <= 1
    np.testing.assert_array_equal(engine.draw(Driving()), drawn)


def test_a_grey_portrait_comes_back_grey(bust: RgbImage, tracker: FaceTracker) -> None:
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(bust, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    engine = engine_for(grey, tracker.detect(grey)[0])
    still = engine.draw(Driving(face=make_face()))
    assert np.abs(still.astype(int) - grey).mean() <= 1
    moved = engine.draw(Driving(face=open_mouth(make_face(yaw=15, pitch=-5), 0.15)))
    assert np.ptp(moved.astype(int), axis=2).max() <= 3
    assert difference(moved, grey).max() > 60


def test_the_reference_of_a_clip_gives_back_the_portrait_wherever_it_lies(
    drawer: WarpEngine,
) -> None:
    clip = [enlivened(make_face(yaw=4 * step - 10, roll=step, centre=(250 + step, 260)), jaw=0.1 * step)
            for step in range(6)]  # fmt: skip
    drawer.calibrate(Driving(face=make_face()))
    at_rest = drawer.draw(Driving(face=make_face()))
    drawer.calibrate(Driving(face=clip[3]))
    drawn = [drawer.draw(Driving(face=face)) for face in clip]
    away = [float(difference(picture, at_rest).mean()) for picture in drawn]
    assert away[3] < 0.01 and min(away[:3] + away[4:]) > 1


def test_without_strength_the_portrait_is_still(bust: RgbImage, drawer: WarpEngine) -> None:
    engine = with_motion(drawer, MotionSettings(strength_head=0, strength_expression=0))
    engine.calibrate(Driving(face=make_face()))
    drawn = engine.draw(Driving(face=close_eyes(enlivened(make_face(), yaw=20, jaw=0.4))))
    assert np.abs(drawn.astype(int) - bust).mean() <= 1


def test_an_absolute_driver_who_is_the_portrait_leaves_it_as_it_is(bust_face: Face, drawer: WarpEngine) -> None:
    pictures = []
    for relative in (True, False):
        engine = with_motion(drawer, MotionSettings(relative=relative))
        engine.calibrate(Driving(face=bust_face))
        pictures.append(engine.draw(Driving(face=bust_face)))
    assert difference(*pictures).mean() < 0.5


def test_a_result_belongs_to_whoever_asked(bust: RgbImage, drawer: WarpEngine) -> None:
    before = bust.copy()
    drawer.calibrate(Driving(face=make_face()))
    first = drawer.draw(Driving(face=make_face()))
    kept = first.copy()
    drawer.draw(Driving(face=make_face(yaw=20)))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(drawer.draw(Driving(face=make_face())), kept)
    np.testing.assert_array_equal(bust, before)


# Where everything goes, by the landmarks alone

SIDE = 96  # of a plain picture: quick to prepare, and the landmarks do not care


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FloatArray]:
    """Animate without drawing: where the portrait's landmarks go; (478, 3)."""
    seen: list[FloatArray] = []

    def note(renderer: ProcessorRenderer, layers: Layers, scene: Scene) -> RgbImage:
        seen.append(scene.target)
        return plain(0, (1, 1))

    monkeypatch.setattr(ProcessorRenderer, "draw", note)

    def go(engine: WarpEngine, face: Face | None, weight: float = 1.0) -> FloatArray:
        engine.draw(Driving(face=face, weight=weight))
        return seen[-1]

    return go


@pytest.fixture(scope="module")
def plain_portraits() -> dict[str, WarpPortrait]:
    """A face on a plain picture, and its mirror image."""
    portrait = make_face(yaw=8, roll=5, scale=28, centre=(SIDE * 0.45, SIDE * 0.4))
    faces = {"straight": portrait, "mirrored": mirrored(portrait, SIDE)}
    engines = {name: engine_for_silhouette(face, (SIDE, SIDE)) for name, face in faces.items()}
    return {name: engine._portrait for name, engine in engines.items() if engine._portrait}


def plain_engine(face: Face | None = None, motion: MotionSettings | None = None) -> WarpEngine:
    """An engine of which nobody has asked anything yet."""
    engine = engine_for_silhouette(face, (SIDE, SIDE)) if face else _plain_engine()
    return with_motion(engine, motion or MotionSettings())


@functools.cache
def _plain_engine() -> WarpEngine:
    return engine_for_silhouette(make_face(scale=28, centre=(48, 40)), (SIDE, SIDE))


def with_motion(engine: WarpEngine, motion: MotionSettings) -> WarpEngine:
    """Another engine with the same portrait, which need not be prepared again."""
    other = copy.copy(engine)
    other.set_motion(motion)
    return other


@settings(deadline=None, max_examples=40)
@given(
    yaw=st.floats(-40, 40), pitch=st.floats(-25, 25), roll=st.floats(-30, 30), zoom=st.floats(0.8, 1.3),
    across=st.floats(-15, 15), down=st.floats(-15, 15), seed=st.integers(0, 1000),
)  # fmt: skip
def test_mirrored_motion_moves_the_mirrored_portrait_as_a_mirror_shows(
    plain_portraits: dict[str, WarpPortrait],
    yaw: float, pitch: float, roll: float, zoom: float, across: float, down: float, seed: int,
) -> None:  # fmt: skip
    partner, flip = canonical_face().mirror, np.array([-1, 1, 1], np.float32)
    expression = np.random.default_rng(seed).standard_normal((478, 3)).astype(np.float32)
    shift = np.array([across, down, 0], np.float32)
    straight = plain_portraits["straight"].deformation.landmarks(
        expression, HeadMotion(rotation_from_angles(yaw, pitch, roll), shift, zoom)
    )
    flipped = plain_portraits["mirrored"].deformation.landmarks(
        expression[partner] * flip, HeadMotion(rotation_from_angles(-yaw, pitch, -roll), shift * flip, zoom)
    )
    expected = straight[partner] * flip + np.array([SIDE - 1, 0, 0], np.float32)
    np.testing.assert_allclose(flipped[:, :2], expected[:, :2], atol=0.4)


@pytest.mark.parametrize("relative", [True, False])
def test_a_mirrored_driver_moves_the_mirrored_portrait_as_a_mirror_shows(
    follow: Callable[..., FloatArray], relative: bool
) -> None:
    portrait = make_face(yaw=-6, scale=28, centre=(44, 40), mouthSmile=0.3)
    reference = make_face(yaw=5, roll=-3)
    faces = [enlivened(make_face(roll=8, pitch=-6, centre=(270, 240)), yaw=18, jaw=0.3), close_eyes(make_face(yaw=-20))]
    motion = MotionSettings(relative=relative)
    straight, flipped = plain_engine(portrait, motion), plain_engine(mirrored(portrait, SIDE), motion)
    straight.calibrate(Driving(face=reference))
    flipped.calibrate(Driving(face=mirrored(reference, 512)))
    for face in faces:
        expected = follow(straight, face)[canonical_face().mirror] * [-1, 1, 1] + [SIDE - 1, 0, 0]
        np.testing.assert_allclose(follow(flipped, mirrored(face, 512))[:, :2], expected[:, :2], atol=0.5)


def test_a_driver_who_turns_right_opens_the_mouth_and_shuts_the_eyes_is_followed(
    follow: Callable[..., FloatArray],
) -> None:
    engine = plain_engine()
    rest = follow(engine, make_face())

    def nose(points: FloatArray) -> float:
        return float(points[NOSE_TIP, 0] - 0.5 * (points[LEFT_EAR, 0] + points[RIGHT_EAR, 0]))

    assert nose(follow(engine, make_face(yaw=20))) > nose(rest) + 5 > nose(follow(engine, make_face(yaw=-20))) + 10
    assert follow(engine, make_face(pitch=12))[NOSE_TIP, 1] < rest[NOSE_TIP, 1] - 1.5
    tilted = follow(engine, make_face(roll=15))
    assert tilted[10, 0] - tilted[CHIN, 0] > rest[10, 0] - rest[CHIN, 0] + 5
    assert lip_gap(follow(engine, open_mouth(make_face(), 0.2))) > lip_gap(rest) + 0.2
    assert lid_opening(follow(engine, close_eyes(make_face())), RIGHT_EYE) <= 0 < lid_opening(rest, RIGHT_EYE)


def test_the_first_face_is_the_reference_until_another_is_kept(follow: Callable[..., FloatArray]) -> None:
    engine = plain_engine()
    rest = follow(engine, None)
    np.testing.assert_allclose(follow(engine, make_face(yaw=15)), rest, atol=0.01)
    moved = follow(engine, make_face(yaw=25))
    assert np.abs(moved - rest).max() > 2
    engine.calibrate(Driving(face=make_face(yaw=25)))
    np.testing.assert_allclose(follow(engine, make_face(yaw=25)), rest, atol=0.01)


def test_a_shift_counts_in_heads_or_in_pictures(follow: Callable[..., FloatArray]) -> None:
    near, moved = make_face(scale=120), make_face(scale=120, centre=(276, 256))
    for adapt_scale, expected in ((True, 20 / 120 * 28), (False, 20 / 512 * SIDE)):
        engine = plain_engine(motion=MotionSettings(adapt_scale=adapt_scale))
        engine.calibrate(Driving(face=near, frame_width_px=512))
        shift = follow(engine, moved)[NOSE_TIP, 0] - follow(engine, near)[NOSE_TIP, 0]
        assert shift == pytest.approx(expected, rel=0.1)


def test_the_motion_is_that_of_the_new_portrait_after_a_swap(follow: Callable[..., FloatArray]) -> None:
    engine = plain_engine()
    engine.calibrate(Driving(face=make_face()))
    turned = follow(engine, make_face(yaw=20))
    small = make_face(scale=14, centre=(40, 60))
    picture, alpha = silhouette(small, (SIDE, SIDE))
    engine.show(engine.prepare(Portrait(picture, small, alpha)))
    smaller = follow(engine, make_face(yaw=20))  # the reference was kept
    at_home, away = (points - points[[LEFT_EAR, RIGHT_EAR]].mean(axis=0) for points in (turned, smaller))
    np.testing.assert_allclose(away[NOSE_TIP, :2], 0.5 * at_home[NOSE_TIP, :2], atol=1.0)


def test_a_swap_while_the_driver_is_out_of_sight_does_not_carry_old_pixels_over(
    follow: Callable[..., FloatArray],
) -> None:
    engine = plain_engine(make_face(scale=40, centre=(48, 45)))
    engine.calibrate(Driving(face=make_face()))
    follow(engine, open_mouth(make_face(yaw=20, centre=(300, 240)), 0.2))
    small = make_face(scale=5, centre=(60, 50))
    picture, alpha = silhouette(small, (SIDE, SIDE))
    engine.show(engine.prepare(Portrait(picture, small, alpha)))
    assert np.abs(follow(engine, None) - small.landmarks)[:, :2].max() < small.pose.scale_px


# A face that is lost, and comes back


@pytest.mark.parametrize("weight", [1.0, 0.6, 0.0])
def test_a_lost_face_holds_as_far_as_the_weight_says(follow: Callable[..., FloatArray], weight: float) -> None:
    engine = plain_engine()
    rest = follow(engine, make_face())
    moved = follow(engine, open_mouth(make_face(yaw=25, roll=10, centre=(290, 240)), 0.15))
    total = float(np.abs(moved - rest).max())
    lost = follow(engine, None, weight)
    assert np.abs(lost - rest).max() == pytest.approx(weight * total, rel=0.15, abs=0.05)
    np.testing.assert_array_equal(follow(engine, None), moved)


def test_before_any_face_is_seen_the_portrait_rests(follow: Callable[..., FloatArray]) -> None:
    portrait = make_face(scale=28, centre=(48, 40))
    np.testing.assert_allclose(follow(plain_engine(portrait), None), portrait.landmarks, atol=1e-3)


# What nobody may ever see


def edge_of(rgb: RgbImage) -> np.ndarray:
    edge = np.zeros(rgb.shape[:2], bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    return edge


STRONG = {
    "right": make_face(yaw=38, roll=25),
    "left and down": make_face(yaw=-38, pitch=-20),
    "up and tilted": make_face(pitch=25, roll=-30),
    "farther": make_face(scale=85),
    "nearer": make_face(scale=126),
    "aside": make_face(centre=(330, 256)),
    "other side": make_face(centre=(200, 280)),
}


@pytest.mark.parametrize("driver", STRONG.values(), ids=STRONG)
def test_the_border_of_the_picture_never_moves(
    driver: Face, bust: RgbImage, bust_face: Face, drawer: WarpEngine
) -> None:
    drawer.calibrate(Driving(face=make_face()))
    away = difference(drawer.draw(Driving(face=driver)), bust)
    matte = person_matte(bust, bust_face.landmarks)
    edge = edge_of(bust)
    cut_off, background = edge & (matte > 0.9), edge & (matte < 0.02)
    assert cut_off.sum() > 150 and background.sum() > 600
    assert away[background].max() <= 8
    assert away[cut_off].mean() < 1 and np.percentile(away[cut_off], 98) <= 8


@pytest.fixture(scope="module")
def red_drawer() -> WarpEngine:
    engine = engine_for_silhouette(make_face(scale=44, centre=(120, 90)), (240, 220))
    engine.calibrate(Driving(face=make_face()))
    return engine


@pytest.mark.parametrize("zoom", [0.85, 1.0, 1.15])
@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"),
    [(25, 0, 0), (-30, 0, 0), (42, 0, 0), (-42, 10, 0), (30, 15, 0), (-25, -15, 10), (35, 0, 25), (0, 25, 0)],
)
def test_a_turning_head_neither_tears_nor_leaves_pieces_behind(
    red_drawer: WarpEngine, yaw: float, pitch: float, roll: float, zoom: float
) -> None:
    drawn = red_drawer.draw(Driving(face=make_face(yaw=yaw, pitch=pitch, roll=roll, scale=120 * zoom)))
    red = (drawn[..., 0].astype(int) > drawn[..., 2]).astype(np.uint8)
    parts, _, _, _ = cv2.connectedComponentsWithStats(red, connectivity=8)
    walls, label, sizes, _ = cv2.connectedComponentsWithStats(1 - red, connectivity=4)
    at_border = np.unique(label[edge_of(drawn)])
    holes = [int(sizes[index, cv2.CC_STAT_AREA]) for index in range(1, walls) if index not in at_border]
    assert parts == 2 and sum(holes) <= 3  # nobody else is there, and nothing shines through


def test_a_mirrored_portrait_is_drawn_as_a_mirror_shows(bust: RgbImage, bust_face: Face, drawer: WarpEngine) -> None:
    other = engine_for(np.ascontiguousarray(bust[:, ::-1]), mirrored(bust_face, bust.shape[1]))
    driver = enlivened(make_face(roll=6), yaw=15, jaw=0.3)
    drawer.calibrate(Driving(face=make_face()))
    other.calibrate(Driving(face=mirrored(make_face(), 512)))
    pictures = [drawer.draw(Driving(face=driver)), other.draw(Driving(face=mirrored(driver, 512)))]
    away = difference(pictures[1][:, ::-1], pictures[0])
    assert away.mean() < 0.15 * difference(pictures[0], bust).mean()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 100_000), noise=st.floats(0, 60), yaw=st.floats(-90, 90), pitch=st.floats(-60, 60),
    roll=st.floats(-180, 180), scale=st.floats(1, 2000), x=st.floats(-5000, 5000), y=st.floats(-5000, 5000),
)  # fmt: skip
def test_whatever_the_tracker_says_a_picture_comes_out(
    plain_drawer: WarpEngine, seed: int, noise: float, yaw: float, pitch: float, roll: float, scale: float,
    x: float, y: float,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    face = make_face(yaw=yaw, pitch=pitch, roll=roll, scale=scale, centre=(x, y))
    landmarks = (face.landmarks + random.standard_normal((478, 3)) * noise).astype(np.float32)
    wild = replace(
        face, landmarks=landmarks, pose=pose_of(landmarks), blendshapes=random.uniform(0, 1, 52).astype(np.float32)
    )
    drawn = plain_drawer.draw(Driving(face=wild))
    assert drawn.shape == (SIDE, SIDE, 3) and drawn.dtype == np.uint8


@pytest.fixture(scope="module")
def plain_drawer() -> WarpEngine:
    engine = plain_engine()
    engine.calibrate(Driving(face=make_face()))
    return engine


@pytest.mark.parametrize("as_reference", [False, True])
def test_a_driver_that_is_a_single_point_does_no_harm(plain_drawer: WarpEngine, as_reference: bool) -> None:
    """A template from a stranger may hold such a face."""
    landmarks = np.zeros((478, 3), np.float32)
    point = replace(make_face(), landmarks=landmarks, pose=pose_of(landmarks))
    plain_drawer.calibrate(Driving(face=point if as_reference else make_face()))
    drawn = plain_drawer.draw(Driving(face=make_face() if as_reference else point))
    plain_drawer.calibrate(Driving(face=make_face()))
    assert drawn.shape == (SIDE, SIDE, 3)


# Frames in, frames out


@pytest.mark.parametrize(
    ("picture", "size", "expected"),
    [
        ((389, 512), 200, (152, 200)), ((512, 389), 200, (200, 152)), ((96, 120), 333, (266, 333)),
        ((96, 120), None, (96, 120)), ((97, 97), 97, (97, 97)),
    ],
)  # fmt: skip
def test_the_longer_side_is_as_long_as_asked(
    picture: tuple[int, int], size: int | None, expected: tuple[int, int]
) -> None:
    height, width = picture
    face = make_face(scale=0.2 * width, centre=(width / 2, height / 2))
    engine = engine_for_silhouette(face, (width, height), size)
    assert engine.draw(Driving(face=make_face())).shape == (*expected, 3)


def test_another_size_shows_the_same(bust: RgbImage, bust_face: Face, drawer: WarpEngine) -> None:
    driver = enlivened(make_face(), yaw=12, jaw=0.2)
    sizes = [3 * max(bust.shape) // 2, max(bust.shape) // 2]
    engines = [drawer, *(engine_for(bust, bust_face, size) for size in sizes)]
    pictures = []
    for engine in engines:
        engine.calibrate(Driving(face=make_face()))
        pictures.append(cv2.resize(engine.draw(Driving(face=driver)), (144, 144), interpolation=cv2.INTER_AREA))
    own, larger, smaller = pictures
    still = cv2.resize(bust, (144, 144), interpolation=cv2.INTER_AREA)
    for other in (larger, smaller):
        assert difference(other, own).mean() < 0.25 * difference(still, own).mean()


@pytest.mark.parametrize(
    "picture",
    [plain(120, (1, 1)), plain(120, (1, 300)), plain(200, (300, 200)),
     np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)],
    ids=["one pixel", "a line", "a wall", "noise"],
)  # fmt: skip
def test_a_picture_without_a_face_is_refused(picture: RgbImage, tracker: FaceTracker) -> None:
    with pytest.raises(FaceError, match="No face was found in the portrait") as raised:
        AvatarEngine(WarpEngine(), tracker).set_source(Frame(picture, 0, 0))
    assert raised.value.remedy


def test_a_refused_portrait_leaves_the_old_one(bust: RgbImage, drawer: WarpEngine) -> None:
    with pytest.raises(FaceError):
        drawer.show(drawer.prepare(Portrait(plain(120))))
    assert drawer.draw(Driving(face=make_face())).shape == bust.shape


def test_without_a_portrait_there_is_nothing_to_animate() -> None:
    with pytest.raises(EngineError, match="no portrait") as raised:
        WarpEngine().draw(Driving(face=make_face()))
    assert "set_source" in raised.value.remedy


# A portrait that lives


def test_the_portrait_does_what_the_driver_does(bust: RgbImage, tracker: FaceTracker) -> None:
    """The idle motion with a turning head and a speaking mouth, and what a tracker sees of it in the result."""
    rgb = np.asarray(cv2.resize(bust, (384, 384), interpolation=cv2.INTER_CUBIC))
    idle = load_idle()
    frames = range(122, 164)  # with a blink in the middle
    drivers = [
        enlivened(idle.face(frame), yaw=14 * np.sin(0.21 * index), jaw=0.3 - 0.3 * np.cos(0.47 * index))
        for index, frame in enumerate(frames)
    ]
    engine = engine_for(rgb, tracker.detect(rgb)[0])
    engine.calibrate(Driving(face=enlivened(idle.face(60), jaw=0.15)))
    tracker.reset()
    seen = [tracker.track(engine.draw(Driving(face=face))) for face in drivers]
    assert all(seen)
    results = [face for face in seen if face is not None]

    def correlation(channel: Callable[[Face], float]) -> float:
        return float(np.corrcoef([channel(face) for face in drivers], [channel(face) for face in results])[0, 1])

    assert correlation(lambda face: face.pose.yaw_deg) > 0.95
    assert correlation(lambda face: face.blendshape("jawOpen")) > 0.8
    assert correlation(lambda face: lip_gap(Expression.of(face).shape)) > 0.8
    assert correlation(lambda face: face.blendshape("eyeBlinkLeft") + face.blendshape("eyeBlinkRight")) > 0.8
    assert correlation(lambda face: -sum(float(lid_opening(Expression.of(face).shape, eye)) for eye in EYES)) > 0.8
    turned = np.ptp([face.pose.yaw_deg for face in results]) / np.ptp([face.pose.yaw_deg for face in drivers])
    assert 0.7 < turned < 1.3


# A large picture

ANIMATE_4K = """
import sys
import numpy as np
from skimage.data import astronaut
from avatar.cv import cv2
from avatar.engine import open_engine
from avatar.frames import Frame

portrait = cv2.resize(astronaut()[:288], (3840, 2160), interpolation=cv2.INTER_LINEAR)
engine = open_engine()
engine.set_source(Frame(portrait, 0, 0))
engine.calibrate(Frame(portrait, 0, 0))
drawn = engine.animate(Frame(np.ascontiguousarray(portrait[:, ::-1]), 1, 40_000_000)).rgb
assert drawn.shape == portrait.shape and np.any(drawn != portrait)
engine.close()
"""
# The peak of this program alone: what `getrusage` says on Linux counts the memory of the parent it was forked from.
PEAK = """
import resource
from pathlib import Path
status = Path("/proc/self/status")
if status.is_file():
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def test_a_4k_portrait_takes_less_than_a_gigabyte(face_model: Path) -> None:
    pytest.importorskip("resource", reason="no peak memory to be read on this system")
    environment = os.environ | {"MASQUE_MODELS": str(face_model.parent), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ANIMATE_4K + PEAK], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 100e6 < int(done.stdout.split()[-1]) < 1e9
