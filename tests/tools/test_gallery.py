"""The built-in avatars: shipped files are valid, match the code, and can be animated."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from motion_samples import close_eyes, make_face, open_mouth

from avatar.cv import cv2
from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library import record as library_record
from avatar.library.builtin import GALLERY
from avatar.library.library import Library
from avatar.library.record import Avatar
from avatar.portrait.check import check_portrait
from avatar.portrait.source import read_portrait
from avatar.tracking.face import Face
from avatar.tracking.regions import EYES, LOWER_LIP, UPPER_LIP
from tools.gallery import __main__ as gallery
from tools.gallery.curves import at_fractions, ellipse, mirrored, ribbon, smooth, symmetric
from tools.gallery.design import FaceDesign
from tools.gallery.paint import shape_mask
from tools.gallery.solid import Camera, ball, brick, carved, egg, look, melted, rod, soft_min, two_sided

SIZE = 448
LIBRARY = Library(Path(__file__).parent / "no avatars of a user")


@pytest.fixture(params=list(GALLERY), scope="module")
def avatar(request: pytest.FixtureRequest) -> Avatar:
    return LIBRARY.find(request.param)


def design(name: str) -> tuple[FaceDesign, Camera]:
    module = importlib.import_module(f"tools.gallery.{name.lower()}")
    return module.FACE, module.CAMERA


# What ships


def test_a_shipped_avatar_is_whole_and_small(avatar: Avatar) -> None:
    assert avatar.builtin and not avatar.problem and not avatar.needs_confirming
    assert avatar.source.startswith(GALLERY[avatar.name]) and avatar.licence
    data = avatar.image_path.read_bytes()
    assert len(data) < 150_000 and hashlib.sha256(data).hexdigest() == avatar.sha256
    assert LIBRARY.thumbnail(avatar).shape == (256, 256, 3)


def test_nothing_speaks_against_animating_it(avatar: Avatar) -> None:
    source = read_portrait(LIBRARY.likeness(avatar.name), None)  # type: ignore[arg-type]  # nothing to look for
    assert check_portrait(source.rgb, source.faces).remarks == ()
    pose = source.faces[0].pose
    assert abs(pose.yaw_deg) < 0.01 and abs(pose.roll_deg) < 0.01 and abs(pose.pitch_deg) < 10


def test_its_landmarks_are_those_of_its_drawing(avatar: Avatar) -> None:
    shipped = LIBRARY.face(avatar)
    face, camera = design(avatar.name)
    assert shipped is not None
    np.testing.assert_allclose(shipped.landmarks, face.face(camera).landmarks, atol=0.05)


@pytest.mark.parametrize("name", ["Zuri", "Bolt"])
def test_the_code_draws_what_ships(name: str) -> None:
    small = cv2.resize(gallery.draw(name, scale=0.35).rgb, (150, 150), interpolation=cv2.INTER_AREA)
    shipped = load_image(LIBRARY.find(name).image_path)
    shipped = cv2.resize(shipped, (150, 150), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shipped).mean() < 4


def test_a_drawing_is_written_as_an_avatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = gallery.Drawing(np.full((300, 300, 3), 200, np.uint8), make_face(scale=60, centre=(150, 150)))
    monkeypatch.setattr(gallery, "draw", lambda name: picture)
    assert gallery.main(["Sam", "-o", str(tmp_path)]) == 0
    written = library_record.read(tmp_path / "Sam")
    face = library_record.read_face(written.folder)
    assert not written.problem and face is not None
    assert np.array_equal(face.landmarks, picture.face.landmarks)
    with pytest.raises(SystemExit):
        gallery.main(["Nobody"])


# Animated


@pytest.fixture(scope="module")
def engine(avatar: Avatar) -> WarpEngine:
    source = read_portrait(LIBRARY.likeness(avatar.name), None)  # type: ignore[arg-type]
    opened = WarpEngine()
    opened.show(opened.prepare(Portrait(source.rgb, source.faces[0]), SIZE))
    opened.calibrate(Driving(face=make_face()))
    return opened


def inside(outline: npt.NDArray[np.floating]) -> np.ndarray:
    return shape_mask(SIZE, outline.astype(np.float32)) > 0.9


def test_at_rest_it_is_the_picture(engine: WarpEngine, avatar: Avatar) -> None:
    picture = cv2.resize(load_image(avatar.image_path), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(engine.draw(Driving(face=make_face())).astype(int) - picture).mean() < 1.5


@pytest.mark.parametrize("pitch", [-8, 8])
def test_its_eyes_shut_and_nothing_of_them_is_left(engine: WarpEngine, avatar: Avatar, pitch: int) -> None:
    face, camera = design(avatar.name)
    camera = camera.scaled(SIZE / camera.side_px)
    eye = inside(camera.pixels(face.eye.opening))
    open_eye = engine.draw(Driving(face=make_face()))
    shut = engine.draw(Driving(face=close_eyes(make_face(pitch=pitch))))
    x, y = face.eye.iris
    iris_x, iris_y = camera.pixels([x, y + 0.65 * face.eye.radius]).round().astype(int)
    iris, white = open_eye[iris_y, iris_x].astype(int), open_eye[eye].max(axis=0).astype(int)
    skin = np.median(shut[eye], axis=0)

    def like(colour: np.ndarray, rgb: RgbImage) -> float:
        return float((np.abs(rgb[eye].astype(int) - colour).max(axis=1) < 30).mean())

    for colour in (iris, white):
        if np.abs(colour - skin).max() > 60:  # the robot's face is about as white as its eyes
            assert like(colour, open_eye) > 0.03 and like(colour, shut) < 0.02


def test_its_mouth_opens_on_teeth_and_tongue(engine: WarpEngine, avatar: Avatar) -> None:
    at_rest = engine.draw(Driving(face=make_face()))
    wide = engine.draw(Driving(face=open_mouth(make_face(jawOpen=0.6), 0.25)))
    target = engine._portrait.deformation.landmarks(*engine._carried)  # type: ignore[union-attr, misc]
    lips = np.concatenate([target[UPPER_LIP[3], :2], target[LOWER_LIP[3], :2][::-1]])
    mouth = wide[inside(lips)].astype(int)
    assert len(mouth) > 300
    if avatar.name != "Elise":  # her lip covers them, as people's do
        assert (mouth.min(axis=1) > 150).mean() > 0.02, "no teeth"
    red = (mouth[:, 0] > 1.4 * mouth[:, 1]) & (mouth[:, 0] > 70)
    assert red.mean() > 0.2, "no tongue"
    assert np.abs(wide.astype(int) - at_rest)[: SIZE // 8].max() < 40  # high above nothing stirs


def test_its_gaze_follows(engine: WarpEngine, avatar: Avatar) -> None:
    def looking(shift: float) -> Face:
        face = make_face()
        landmarks = face.landmarks.copy()
        for eye in EYES:
            landmarks[[eye.iris, *eye.iris_rim], 0] += shift * face.pose.scale_px
        return replace(face, landmarks=landmarks)

    def pupil_x(rgb: RgbImage) -> float:
        face, camera = design(avatar.name)
        dark = (rgb.max(axis=2) < 70) & inside(camera.scaled(SIZE / camera.side_px).pixels(face.eye.opening))
        return float(np.nonzero(dark)[1].mean())

    left, right = (pupil_x(engine.draw(Driving(face=looking(shift)))) for shift in (-0.05, 0.05))
    assert right - left > 4


# What draws


def test_a_ball_is_seen_as_a_disc_with_round_normals() -> None:
    camera = Camera(80, 30.0, 39.5, 39.5)
    seen = look([ball((0, 0, 0), 1.0)], camera, (0, 0, 1))
    assert seen.hit.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    np.testing.assert_allclose(seen.normals[seen.hit], seen.points[seen.hit], atol=0.03)
    assert seen.points[40, 40, 2] == pytest.approx(1, abs=0.01) and seen.lit[40, 40] > 0.95
    assert (seen.part[seen.hit] == 0).all() and (seen.part[~seen.hit] == -1).all()


def test_what_stands_before_the_light_casts_a_shadow() -> None:
    camera = Camera(60, 15.0, 29.5, 29.5)
    wall, lamp_post = brick((0, 0, -1), (1.8, 1.8, 0.3), 0.05), ball((-0.8, 0, 0.2), 0.4)
    seen = look([wall, lamp_post], camera, (-1, 0, 1))
    at = lambda x, y: (round(29.5 + 15 * y), round(29.5 + 15 * x))  # noqa: E731
    assert seen.part[at(-0.8, 0)] == 1 and seen.part[at(0.3, 0)] == 0
    assert seen.lit[at(0.1, 0)] < 0.2 < 0.8 < seen.lit[at(0.1, 1.5)]


@pytest.mark.parametrize("solid", [
    ball((0.1, 0.2, 0), 0.7), egg((0, 0, 0), (0.9, 0.5, 0.7)), rod((-0.5, 0, 0), (0.5, 0.2, 0), 0.2, 0.3),
    brick((0, 0.1, 0), (0.6, 0.4, 0.5), 0.1), carved(ball((0, 0, 0), 1), ball((0, 0, 1), 0.5), 0.1),
    melted(0.2, ball((-0.4, 0, 0), 0.4), ball((0.4, 0, 0), 0.4)), two_sided(ball((0.5, 0, 0), 0.3)),
])  # fmt: skip
def test_distances_are_never_too_long(solid: object) -> None:
    """Else a ray would step through the body."""
    random = np.random.default_rng(0)
    points = random.uniform(-1.5, 1.5, (3, 4000)).astype(np.float32)
    distance = solid(points)  # type: ignore[operator]
    surface = points[:, np.abs(distance) < 0.03]
    assert (distance < 0).any() and (distance > 0).any() and surface.shape[1] > 20
    outside = points[:, distance > 0.1]
    nearest = np.linalg.norm(outside[:, :, None] - surface[:, None], axis=0).min(axis=1)
    assert (distance[distance > 0.1] <= 1.25 * nearest + 0.08).all()


def test_soft_minimum_is_below_both_and_exact_apart() -> None:
    a, b = np.array([1, 0, 0.1], np.float32), np.array([0, 1, 0.1], np.float32)
    joined = soft_min(a, b, 0.4)
    np.testing.assert_allclose(joined, [0, 0, 0.0], atol=1e-6)
    np.testing.assert_array_equal(soft_min(a, b, 0), np.minimum(a, b))


def test_curves_pass_through_their_points_and_mirror() -> None:
    points = np.array([(0, 0), (1, 2), (3, 1), (4, 4)], float)
    curve = smooth(points)
    assert all(np.hypot(*(curve - point).T).min() < 1e-9 for point in points)
    np.testing.assert_allclose(at_fractions(curve, [0, 1]), points[[0, -1]])
    outline = symmetric(points)
    np.testing.assert_allclose(outline, mirrored(outline)[::-1])
    circle = smooth(ellipse(0, 0, 2, 2, samples=12), closed=True)
    np.testing.assert_allclose(np.hypot(*circle.T), 2, rtol=0.01)
    band = ribbon(np.stack([np.linspace(0, 10, 50), np.zeros(50)], axis=1), [1, 3])
    np.testing.assert_allclose([np.ptp(band[[0, -1], 1]), np.ptp(band[[49, 50], 1])], [1, 3])


def test_a_camera_sees_the_same_at_any_size() -> None:
    camera = Camera(100, 20.0, 49.5, 40.0)
    at = camera.pixels([1.5, -0.5])
    larger = camera.scaled(2)
    np.testing.assert_allclose(larger.pixels([1.5, -0.5]), (at + 0.5) * 2 - 0.5)
    np.testing.assert_allclose(larger.plane()[100, 60], camera.plane()[50, 30], atol=0.02)
