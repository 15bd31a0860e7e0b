"""The tracker on images: detection, following, and unusual images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from avatar.cv import cv2
from avatar.errors import WeightsError
from avatar.frames import RgbImage
from avatar.tracking import Face, FaceTracker
from avatar.tracking.detector import Detection
from avatar.tracking.region import Region
from avatar.tracking.tracker import LARGER_EVERY, LOST_FRAMES, TILES_A_LIVE_FRAME

EYES = (33, 263)  # outer corners


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> FaceTracker:
    return FaceTracker(face_model)


@pytest.fixture(autouse=True)
def forget(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "tracker" in request.fixturenames:
        request.getfixturevalue("tracker").reset()


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    from skimage import data

    return np.asarray(data.astronaut())


def paste(width: int, height: int, *placed: tuple[RgbImage, int, int]) -> RgbImage:
    canvas = np.full((height, width, 3), 90, np.uint8)
    for picture, x, y in placed:
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def scaled(picture: RgbImage, factor: float) -> RgbImage:
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def head(astronaut: RgbImage, factor: float = 1.0) -> RgbImage:
    return scaled(astronaut[0:240, 120:330], factor)  # middle of the eyes at about (104, 101)


def eye_distance(face: Face) -> float:
    return float(np.linalg.norm(face.landmarks[EYES[0]] - face.landmarks[EYES[1]]))


def assert_same_face(face: Face, other_landmarks: np.ndarray, tolerance: float) -> None:
    error = np.linalg.norm((face.landmarks - other_landmarks)[:, :2], axis=1).mean()
    assert error < tolerance * eye_distance(face)


def test_astronaut_smiles_with_open_eyes(tracker: FaceTracker, astronaut: RgbImage) -> None:
    (face,) = tracker.detect(astronaut)
    assert face.presence > 0.99
    assert face.blendshape("mouthSmileLeft") > 0.7 and face.blendshape("mouthSmileRight") > 0.7
    assert face.blendshape("eyeBlinkLeft") < 0.3
    # Marked by hand in the photograph: middle of each pupil, tip of the nose, corners of the mouth.
    np.testing.assert_allclose(face.landmarks[468, :2], (203, 101), atol=2)
    np.testing.assert_allclose(face.landmarks[473, :2], (246, 103), atol=2)
    np.testing.assert_allclose(face.landmarks[4, :2], (222, 127), atol=4)
    np.testing.assert_allclose(face.landmarks[[61, 291], :2], [(202, 139), (245, 138)], atol=4)


def test_depth_rises_from_nose_to_ears(tracker: FaceTracker, astronaut: RgbImage) -> None:
    (face,) = tracker.detect(astronaut)
    nose, eye, ear = face.landmarks[[4, 33, 234], 2]
    assert nose < eye < ear
    assert 0.5 * eye_distance(face) < ear - nose < 2 * eye_distance(face)


def test_tracking_a_still_stays_where_detection_found_it(tracker: FaceTracker, astronaut: RgbImage) -> None:
    (found,) = tracker.detect(astronaut)
    for _ in range(5):
        face = tracker.track(astronaut)
        assert face is not None
        assert_same_face(face, found.landmarks, 0.01)


def test_mirrored_picture_gives_mirrored_face(tracker: FaceTracker, astronaut: RgbImage) -> None:
    from avatar.tracking import canonical_face

    (face,) = tracker.detect(astronaut)
    (mirrored,) = tracker.detect(astronaut[:, ::-1])
    expected = face.landmarks[canonical_face().mirror] * (-1, 1, 1) + (astronaut.shape[1] - 1, 0, 0)
    assert_same_face(mirrored, expected, 0.025)
    assert mirrored.pose.yaw_deg == pytest.approx(-face.pose.yaw_deg, abs=2)
    assert mirrored.pose.roll_deg == pytest.approx(-face.pose.roll_deg, abs=1)
    assert mirrored.pose.pitch_deg == pytest.approx(face.pose.pitch_deg, abs=1.5)


@pytest.mark.parametrize("angle_deg", [-80, -35, 20, 60])
def test_picture_turned_turns_roll(tracker: FaceTracker, astronaut: RgbImage, angle_deg: float) -> None:
    (face,) = tracker.detect(astronaut)
    middle = (float(face.landmarks[6, 0]), float(face.landmarks[6, 1]))
    clockwise = cv2.getRotationMatrix2D(middle, -angle_deg, 1)
    (turned,) = tracker.detect(cv2.warpAffine(astronaut, clockwise, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    assert (turned.pose.roll_deg - face.pose.roll_deg - angle_deg + 180) % 360 - 180 == pytest.approx(0, abs=2.5)
    assert abs(turned.pose.yaw_deg - face.pose.yaw_deg) < 3


@pytest.mark.parametrize("factor", [0.25, 0.5, 4])
def test_scale_and_place_follow_the_picture(tracker: FaceTracker, astronaut: RgbImage, factor: float) -> None:
    (face,) = tracker.detect(astronaut)
    (larger,) = tracker.detect(scaled(astronaut, factor))
    assert larger.pose.scale_px == pytest.approx(face.pose.scale_px * factor, rel=0.03)
    assert_same_face(larger, face.landmarks * factor + (factor - 1) / 2 * np.array((1, 1, 0)), 0.03)


def test_small_face_in_a_large_still_is_found(tracker: FaceTracker, astronaut: RgbImage) -> None:
    (face,) = tracker.detect(paste(1920, 1080, (head(astronaut, 0.5), 1300, 700)))
    np.testing.assert_allclose(face.landmarks[6, :2], (1300 + 52, 700 + 50), atol=6)


def test_all_faces_of_a_still_come_largest_first(tracker: FaceTracker, astronaut: RgbImage) -> None:
    picture = paste(800, 500, (head(astronaut, 0.5), 20, 50), (head(astronaut, 0.8), 450, 50))
    large, small = tracker.detect(picture)
    assert large.landmarks[6, 0] > 400 > small.landmarks[6, 0]
    assert large.pose.scale_px > 1.4 * small.pose.scale_px


def test_a_far_smaller_face_beside_a_large_one_is_found_too(tracker: FaceTracker, astronaut: RgbImage) -> None:
    picture = paste(1200, 700, (head(astronaut), 40, 60), (head(astronaut, 2.5), 560, 30))
    large, small = tracker.detect(picture)  # in the first look the small one is a dozen pixels wide
    assert large.landmarks[6, 0] > 560 and large.pose.scale_px > 2 * small.pose.scale_px
    np.testing.assert_allclose(small.landmarks[6, :2], (40 + 104, 60 + 100), atol=8)


def test_follows_the_same_face_when_another_grows_larger(tracker: FaceTracker, astronaut: RgbImage) -> None:
    mine = (head(astronaut, 1.2), 20, 50)
    assert tracker.track(paste(900, 600, mine, (head(astronaut), 500, 50))) is not None
    face = tracker.track(paste(900, 600, mine, (head(astronaut, 1.8), 450, 50)))
    assert face is not None and face.landmarks[6, 0] < 300


def test_waits_for_a_lost_face_before_it_takes_another(tracker: FaceTracker, astronaut: RgbImage) -> None:
    mine, other = (head(astronaut, 1.2), 20, 50), (head(astronaut), 1000, 50)
    assert tracker.track(paste(1300, 600, mine, other)) is not None
    alone = paste(1300, 600, other)
    assert tracker.track(alone) is None
    back = tracker.track(paste(1300, 600, mine, other))
    assert back is not None and back.landmarks[6, 0] < 300
    answers = [tracker.track(alone) for _ in range(LOST_FRAMES + 1)]
    assert answers[-1] is not None and answers[-1].landmarks[6, 0] > 1000


def test_a_lost_face_is_found_again_elsewhere(tracker: FaceTracker, astronaut: RgbImage) -> None:
    assert tracker.track(paste(900, 600, (head(astronaut), 20, 50))) is not None
    assert tracker.track(paste(900, 600)) is None
    moved = paste(900, 600, (head(astronaut), 200, 250))
    answers = [tracker.track(moved) for _ in range(10)]  # so far away it is believed after a few frames only
    face = answers[-1]
    assert answers[0] is None and face is not None
    np.testing.assert_allclose(face.landmarks[6, :2], (200 + 104, 250 + 101), atol=8)


@pytest.mark.parametrize("live", [False, True])
def test_a_small_face_in_a_4k_clip_is_followed_from_its_first_frame(
    face_model: Path, astronaut: RgbImage, live: bool
) -> None:
    frame = paste(3840, 2160, (head(astronaut, 0.9), 1850, 350))  # its face is some 120 pixels high
    tracker = FaceTracker(face_model, live=live)
    for _ in range(2):
        face = tracker.track(frame)
        assert face is not None
        np.testing.assert_allclose(face.landmarks[6, :2], (1850 + 0.9 * 104, 350 + 0.9 * 101), atol=6)


@pytest.mark.parametrize("live", [False, True])
def test_a_small_face_that_comes_later_is_found_within_two_seconds(
    face_model: Path, astronaut: RgbImage, live: bool
) -> None:
    tracker, empty = FaceTracker(face_model, live=live), paste(1920, 1080)
    frame = paste(1920, 1080, (head(astronaut, 0.3), 1500, 700))
    assert all(tracker.track(empty) is None for _ in range(3))
    found = [tracker.track(frame) is not None for _ in range(60)]
    assert found[-1] and found == sorted(found)
    assert all(tracker.track(empty) is None for _ in range(3))
    found = [tracker.track(frame) is not None for _ in range(60)]  # and once more when it was lost
    assert found[-1]


def test_looking_for_small_faces_costs_no_more_than_its_share(
    face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, empty, looks = FaceTracker(face_model, live=True), paste(1280, 720), list[int]()
    detect = tracker._detector.detect

    def counted(rgb: RgbImage, regions: Sequence[Region], *rest: float) -> list[Detection]:
        looks.append(len(regions))
        return detect(rgb, regions, *rest)

    monkeypatch.setattr(tracker._detector, "detect", counted)
    counts = []
    for _ in range(40):
        looks.clear()
        assert tracker.track(empty) is None
        counts.append(sum(looks))
    assert 100 < counts[0] < 200  # all of it, once
    assert max(counts[1:]) <= 1 + 7 + TILES_A_LIVE_FRAME
    tracker.reset()  # as at a cut: no second round
    looks.clear()
    tracker.track(empty)
    assert sum(looks) <= 1 + 7 + TILES_A_LIVE_FRAME


def test_somebody_who_sits_down_in_front_is_followed_instead_of_a_face_far_away(
    tracker: FaceTracker, astronaut: RgbImage
) -> None:
    far = (head(astronaut, 0.3), 1500, 100)
    face = tracker.track(paste(1920, 1080, far))
    assert face is not None and face.landmarks[6, 0] > 1500
    answers = [tracker.track(paste(1920, 1080, far, (head(astronaut, 3.0), 300, 300))) for _ in range(LARGER_EVERY + 1)]
    assert answers[-1] is not None and answers[-1].landmarks[6, 0] < 1000


def test_reset_forgets_whom_it_followed(tracker: FaceTracker, astronaut: RgbImage) -> None:
    mine, larger = (head(astronaut), 20, 50), (head(astronaut, 1.8), 450, 50)
    tracker.track(paste(900, 600, mine))
    tracker.reset()
    face = tracker.track(paste(900, 600, mine, larger))
    assert face is not None and face.landmarks[6, 0] > 400


@pytest.mark.parametrize(("left", "top"), [(200, 0), (0, 80), (190, 70)])
def test_face_cut_by_the_edge_keeps_its_place(tracker: FaceTracker, astronaut: RgbImage, left: int, top: int) -> None:
    (whole,) = tracker.detect(astronaut)
    (cut,) = tracker.detect(astronaut[top:, left:])
    assert_same_face(cut, whole.landmarks - (left, top, 0), 0.12)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 700), (700, 1), (2, 3), (9, 9), (20, 33_000), (33_000, 20), (1500, 2000)]
)
def test_noise_of_any_size_holds_no_face(tracker: FaceTracker, height: int, width: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert tracker.detect(noise) == []
    assert tracker.track(noise) is None


def test_face_in_a_panorama(tracker: FaceTracker, astronaut: RgbImage) -> None:
    (face,) = tracker.detect(paste(33_000, 512, (astronaut, 30_000, 0)))
    np.testing.assert_allclose(face.landmarks[468, :2], (30_203, 101), atol=4)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_not_a_picture_is_refused(tracker: FaceTracker, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rgb must be"):
        tracker.track(bad)


def test_closed_tracker_can_be_closed_again(face_model: Path) -> None:
    tracker = FaceTracker(face_model)
    tracker.close()
    tracker.close()


def test_missing_or_wrong_model_says_how_to_get_it(tmp_path: Path) -> None:
    wrong = tmp_path / "face_landmarker.task"
    for content in (None, b"", b"<html>not found</html>"):
        if content is not None:
            wrong.write_bytes(content)
        with pytest.raises(WeightsError, match="models pull face-landmarker"):
            FaceTracker(wrong)


def test_turned_heads_in_a_clip_read_as_turned(tracker: FaceTracker, shared_data: Path) -> None:
    """In this clip the head goes to both sides; the nose leaves the middle of the face to the same side as the yaw."""
    import av

    clip = shared_data / "faces/driving/liveportrait_d3.mp4"
    if not clip.is_file():
        pytest.skip(f"{clip} is missing")
    with av.open(str(clip)) as container:
        faces = [tracker.track(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert all(faces)
    yaw = np.array([face.pose.yaw_deg for face in faces if face])
    nose = np.array([_nose_aside(face) for face in faces if face])
    assert yaw.max() > 15 and yaw.min() < -8
    assert np.corrcoef(yaw, nose)[0, 1] > 0.98


def _nose_aside(face: Face) -> float:
    ears = face.landmarks[[234, 454], 0]
    return float((face.landmarks[4, 0] - ears.mean()) / (ears[1] - ears[0]))
