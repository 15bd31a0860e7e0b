"""Cuts of the driving video: distinguished from movement, without a jump of the head."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import plain
from live_fakes import as_moment
from motion_samples import make_face, make_track

from avatar.cv import cv2
from avatar.frames import Frame, RgbImage
from avatar.live.calibration import BLEND_S, Calibration
from avatar.live.motion_source import CATCH_S, MotionSource
from avatar.motion.cuts import CutWatch, is_cut
from avatar.motion.head import pose_difference
from avatar.motion.idle import load_idle
from avatar.motion.shots import Shots
from avatar.motion.template import load_template, save_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.offline.driving_motion import read_motion
from avatar.tracking import Face, FaceTracker
from avatar.tracking.scene import SceneWatch

STEP_S = 1 / 30


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> RgbImage:
    """A picture of soft blotches, (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))


def changes(pictures: Sequence[RgbImage]) -> list[int]:
    watch = SceneWatch()
    return [number for number, picture in enumerate(pictures) if watch.changed(picture)]


def test_another_scene_and_another_size_are_changes() -> None:
    assert changes([scene(1)] * 6 + [scene(2)] * 6 + [scene(1)] * 3) == [6, 12]
    assert changes([scene(1)] * 6 + [scene(1, (120, 160))] * 3) == [6]


def test_a_similar_scene_is_a_change_where_all_was_still() -> None:
    similar = np.asarray(cv2.addWeighted(scene(1), 0.6, scene(2), 0.4, 0))
    assert changes([scene(1)] * 9 + [similar] * 5) == [9]


@pytest.mark.parametrize(("after", "expected"), [(2, True), (1, False)])
def test_a_fade_through_black_is_a_change_where_another_scene_comes_out(after: int, expected: bool) -> None:
    out = [(scene(1) * (1 - n / 10)).astype(np.uint8) for n in range(11)]
    come_in = [(scene(after) * (n / 10)).astype(np.uint8) for n in range(11)]
    found = changes([scene(1)] * 5 + out + come_in + [scene(after)] * 5)
    assert (len(found) == 1 and found[0] > 15) if expected else found == []


def test_lights_fades_noise_and_pans_are_no_changes() -> None:
    random = np.random.default_rng(3)
    base = scene(1).astype(float)
    noisy = [np.clip(base + random.normal(0, 12, base.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    lights = [np.clip(base * gain, 0, 255).astype(np.uint8) for gain in (1, 1, 1, 1, 0.6, 0.6, 0.6, 1.1, 1.1)]
    fade = [np.asarray(cv2.addWeighted(scene(1), 1 - n / 20, scene(2), n / 20, 0)) for n in range(21)]
    wide = scene(4, (640, 240))
    pan = [np.ascontiguousarray(wide[:, 6 * n : 6 * n + 320]) for n in range(40)]
    flat = [plain(level) for level in (0, 40, 128, 255, 0)]
    for pictures in (noisy, lights, fade, pan, flat):
        assert changes(pictures) == []


@pytest.mark.parametrize(
    ("moved", "elapsed_s", "scene_changed", "cut"),
    [
        ({"centre": (256 + 0.15 * 120, 256)}, STEP_S, False, False),  # quick, as measured
        ({"centre": (256 + 0.8 * 120, 256)}, STEP_S, False, False),  # a head that is thrown aside
        ({"centre": (256 + 3 * 120, 256)}, STEP_S, False, True),
        ({"scale": 120 * 1.1}, STEP_S, False, False),
        ({"scale": 120 * 1.6}, STEP_S, False, True),
        ({"centre": (256 + 3 * 120, 256)}, 0.3, False, False),  # somebody hurries
        ({"centre": (256 + 3 * 120, 256), "scale": 60}, 5.0, False, False),  # left, and came back elsewhere
        ({"centre": (256 + 3 * 120, 256), "scale": 60}, 5.0, True, True),
        ({"centre": (256 + 0.5 * 120, 256)}, STEP_S, True, True),
        ({"centre": (256 + 0.1 * 120, 256), "scale": 125}, STEP_S, True, False),  # the same framing goes on
        ({"yaw": 40}, STEP_S, True, False),
    ],
)
def test_a_jump_that_no_head_makes_is_a_cut(
    moved: dict[str, object], elapsed_s: float, scene_changed: bool, cut: bool
) -> None:
    before, after = make_face(), make_face(**moved)  # type: ignore[arg-type]
    assert is_cut(before.pose, after.pose, elapsed_s, scene_changed=scene_changed) is cut


class Script:
    """A tracker that answers in order, and counts its resets."""

    def __init__(self, faces: Sequence[Face | None]) -> None:
        self._faces = iter(faces)
        self.resets = 0

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        return next(self._faces)

    def reset(self) -> None:
        self.resets += 1


def follow(pictures: Sequence[RgbImage], faces: Sequence[Face | None]) -> tuple[MotionTrack, Script]:
    script = Script(faces)
    frames = [Frame(rgb, number, round(number * STEP_S * 1e9)) for number, rgb in enumerate(pictures)]
    return track_frames(frames, script), script  # type: ignore[arg-type]


FIRST, SECOND = [scene(1)] * 10, [scene(2)] * 10
HERE = [make_face(centre=(250 + n, 256), yaw=n) for n in range(10)]
THERE = [make_face(centre=(900 + n, 300), scale=60, yaw=n) for n in range(10)]


def test_after_a_cut_the_head_is_where_it_was() -> None:
    track, script = follow(FIRST + SECOND, HERE + THERE)
    assert track.cuts == (10,) and script.resets == 2
    shots = Shots(track, reference=5)
    for number in range(10):
        np.testing.assert_array_equal(shots.face(number).landmarks, track.face(number).landmarks)
    for number in range(10, 20):
        *turn, across, down, zoom = pose_difference(track.face(5).pose, shots.face(number).pose)
        assert abs(across) < 0.1 and abs(down) < 0.02 and abs(zoom) < 0.02
        assert turn[0] == pytest.approx(number - 10 - 5, abs=0.1)  # turns go on counting from the reference frame
    moved = pose_difference(shots.face(19).pose, shots.face(10).pose)[3]
    assert moved == pytest.approx(-9 / 60, abs=0.01)  # and movement within the shot stays


def test_the_shot_of_the_reference_frame_stays_whichever_it_is() -> None:
    track, _ = follow(FIRST + SECOND, HERE + THERE)
    shots = Shots(track, reference=15)
    np.testing.assert_array_equal(shots.face(12).landmarks, track.face(12).landmarks)
    assert abs(pose_difference(track.face(15).pose, shots.face(4).pose)[3:]).max() < 0.1


def test_a_cut_while_nobody_is_seen_counts_when_somebody_is() -> None:
    track, _ = follow(FIRST + SECOND, [*HERE, None, None, *THERE[2:]])
    assert track.cuts == (12,)


@pytest.mark.parametrize("faces", [
    [make_face(scale=120 + 4 * n) for n in range(20)],  # leans in
    [make_face(centre=(256 + 15 * n, 256)) for n in range(20)],  # moves fast
    [make_face(), *[None] * 18, make_face(centre=(330, 256), scale=100)],  # leaves and comes back
])  # fmt: skip
def test_people_who_move_are_no_cut(faces: list[Face | None]) -> None:
    track, script = follow(FIRST * 2, faces)
    assert track.cuts == () and script.resets == 1


def test_a_clip_that_changes_its_resolution_is_no_cut() -> None:
    half = [make_face(centre=(125 + n / 2, 128), scale=60, yaw=n) for n in range(10)]
    track, _ = follow([*[scene(1, (160, 120))] * 10, *[scene(1, (80, 60))] * 10], [*HERE, *half])
    assert track.cuts == ()
    np.testing.assert_allclose(track.face(14).pose.centre_px, track.face(4).pose.centre_px, atol=1)


def test_cuts_are_kept_in_a_template(tmp_path: Path) -> None:
    track, _ = follow(FIRST + SECOND, HERE + THERE)
    save_template(track, tmp_path / "a.masque")
    assert load_template(tmp_path / "a.masque").cuts == (10,)
    motion = read_motion(tmp_path / "a.masque", FaceTracker.__new__(FaceTracker), lambda *_: None)
    assert motion.notes == ("The clip has a cut; after it the head's position and size are measured again.",)
    save_template(make_track(HERE), tmp_path / "b.masque")
    assert load_template(tmp_path / "b.masque").cuts == ()


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    from skimage import data

    return np.asarray(data.astronaut())


def framed(picture: RgbImage, scale: float, left: int, top: int, level: int) -> RgbImage:
    canvas = np.full((480, 854, 3), level, np.uint8)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    part = small[: 480 - top, : 854 - left]
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


def test_a_real_face_is_followed_at_once_after_a_cut(face_model: Path, astronaut: RgbImage) -> None:
    """The tracker waits a second for a face it has lost before it takes one elsewhere: not after a cut."""
    pictures = [framed(astronaut, 0.9, 10, 10, 200)] * 8 + [framed(astronaut, 0.4, 600, 200, 30)] * 8
    frames = [Frame(rgb, number, round(number * STEP_S * 1e9)) for number, rgb in enumerate(pictures)]
    track = track_frames(frames, FaceTracker(face_model))
    assert (track.presence > 0).all() and track.cuts == (8,)
    shots = Shots(track, 2)
    *_, across, down, zoom = pose_difference(track.face(2).pose, shots.face(8).pose)
    assert math.hypot(across, down) < 0.05 and abs(zoom) < 0.05


class Live:
    """Calibration, driver and cut watch as the engine thread uses them."""

    def __init__(self) -> None:
        self.calibration = Calibration(lambda event: None)
        self.driver = MotionSource(self.calibration, load_idle())
        self.cuts = CutWatch()
        self.now_s = 50.0

    def look(self, rgb: RgbImage, face: Face | None) -> list[float]:
        """How far the head shown is from rest: shifts and log zoom."""
        self.now_s += STEP_S
        self.cuts.scene_changed(rgb)
        if self.cuts.is_cut(face, self.now_s) and face is not None:
            self.calibration.rebase(face)
        moment = as_moment(face)
        self.calibration.observe(moment, self.now_s)
        drive = self.driver.drive(moment, self.now_s)
        return [float(value) for value in pose_difference(drive.reference.pose, drive.face.pose)[3:]]


def test_live_a_cut_never_displaces_the_head() -> None:
    live = Live()
    for number in range(120):
        live.look(scene(1), make_face(mouthSmile=0.1, centre=(256 + number % 2, 256)))
    assert live.calibration.reference(live.now_s) is not None
    shown = [live.look(scene(2), make_face(centre=(900, 300), scale=60, yaw=5)) for _ in range(30)]
    assert np.abs(shown).max() < 0.05
    reference = live.calibration.reference(live.now_s)
    assert reference is not None and abs(reference.pose.yaw_deg) < 1  # turns keep the reference frame
    live.calibration.undo(live.now_s)


def test_live_what_was_shown_goes_over_into_the_new_shot() -> None:
    live = Live()
    for _ in range(120):
        live.look(scene(1), make_face())
    leaning = live.look(scene(1), make_face(centre=(256 + 40, 256)))[0]
    for _ in range(round(CATCH_S / STEP_S) + 5):
        leaning = live.look(scene(1), make_face(centre=(256 + 40, 256)))[0]
    after = [live.look(scene(2), make_face(centre=(900, 300), scale=60))[0] for _ in range(30)]
    assert leaning == pytest.approx(40 / 120, abs=0.01)
    steps = np.diff([leaning, *after])
    assert np.abs(steps).max() < 0.06 and after[-1] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("aside", [lambda n: (256 + 4.0 * n, 256.0), lambda n: (256.0, 256.0)])
def test_live_somebody_who_moves_keeps_the_reference(aside: Callable[[int], tuple[float, float]]) -> None:
    live = Live()
    for _ in range(120):
        live.look(scene(1), make_face())
    before = live.calibration.reference(live.now_s + BLEND_S)
    for number in range(30):
        live.look(scene(1), make_face(centre=aside(number), scale=120 + number))
    assert live.calibration.reference(live.now_s + BLEND_S) is before


def test_live_a_camera_that_changes_its_resolution_goes_on() -> None:
    calibration = Calibration(lambda event: None)
    calibration.observe(as_moment(make_face(centre=(256, 256))), 1.0)
    calibration.rescale(0.5)
    reference = calibration.reference(2.0)
    assert reference is not None
    assert abs(pose_difference(reference.pose, make_face(centre=(127.75, 127.75), scale=60).pose)).max() < 0.01
