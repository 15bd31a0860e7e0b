"""FAN as fallback: fitting a mesh to 68 points, and the search for a face, on fake heat maps without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar import weights
from avatar.errors import WeightsError
from avatar.tracking import FaceTracker, canonical_face, find_faces, pose_of
from avatar.tracking.fan import FAN_MAP, FanFaceFinder, FanNetwork, open_fan, read_peaks
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.region import Region
from avatar.tracking.sparse import MESH_OF_68, mesh_from_68

EYE_DISTANCE_PX = 120.0


def turned_face(yaw: float, pitch: float, roll: float) -> np.ndarray:
    turned = canonical_face().points @ rotation_from_angles(yaw, pitch, roll).T
    return (turned * EYE_DISTANCE_PX + (300, 260, 0)).astype(np.float32)


class FakeFan:
    """Marks the 68 points of a known face, if the crop it is shown holds all of them well inside."""

    def __init__(self, points: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points, self.region = points, Region(0, 0, 1, 1, 0)
        self.seen = 0
        crop = Region.crop

        def remember(region: Region, rgb: np.ndarray, size: int, **options: int) -> np.ndarray:
            self.region = region
            return crop(region, rgb, size, **options)

        monkeypatch.setattr(Region, "crop", remember)

    def run(self, values: np.ndarray) -> np.ndarray:
        assert values.shape == (1, 3, 256, 256) and values.dtype == np.float32
        assert 0 <= values.min() <= values.max() <= 1
        self.seen += 1
        region = self.region
        corner = (region.x - region.width / 2, region.y - region.height / 2)
        cells = (self.points + 0.5 - corner) * FAN_MAP / region.width - 0.5
        inside = ((cells > 4) & (cells < FAN_MAP - 5)).all()
        row, column = np.mgrid[0:FAN_MAP, 0:FAN_MAP]
        blobs = [np.exp(-((column - x) ** 2 + (row - y) ** 2) / 2) for x, y in cells]
        return np.array(blobs, np.float32) * np.float32(0.8 if inside else 0.1)


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-40, 10, 5), (5, -20, 30), (0, 15, -20)])
def test_mesh_from_exact_points(angles: tuple[float, float, float]) -> None:
    truth = turned_face(*angles)
    fit = mesh_from_68(truth[MESH_OF_68, :2], canonical_face())
    assert np.linalg.norm((fit.landmarks - truth)[:, :2], axis=1).max() < 0.01 * EYE_DISTANCE_PX
    pose = pose_of(fit.landmarks)
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx(angles, abs=1)
    assert pose.scale_px == pytest.approx(EYE_DISTANCE_PX, rel=0.01)
    assert fit.misfit < 0.005


def test_mesh_from_noisy_points_smooths_them() -> None:
    truth = turned_face(10, 5, 3)
    noise = np.random.default_rng(0).normal(0, 0.02 * EYE_DISTANCE_PX, (68, 2))
    fit = mesh_from_68(truth[MESH_OF_68, :2] + noise, canonical_face())
    error = np.linalg.norm((fit.landmarks - truth)[:, :2], axis=1).mean()
    assert error < 0.02 * EYE_DISTANCE_PX


def test_mesh_follows_an_open_mouth_and_a_wide_jaw() -> None:
    truth = turned_face(0, 0, 0)
    points = truth[MESH_OF_68, :2].copy()
    points[8, 1] += 20  # chin
    points[55:60, 1] += 18  # lower lip, outer edge
    points[65:68, 1] += 18  # and inner edge
    fit = mesh_from_68(points, canonical_face())
    moved = fit.landmarks[:, 1] - truth[:, 1]
    assert moved[14] > 12 and moved[17] > 12  # the lower lip follows
    assert abs(moved[168]) < 4 and abs(moved[33]) < 4  # the eyes do not


def test_points_that_are_no_face_do_not_fit() -> None:
    points = np.random.default_rng(0).uniform(0, 256, (68, 2))
    assert mesh_from_68(points, canonical_face()).misfit > 0.5


def test_peaks_are_read_to_a_quarter_cell() -> None:
    maps = np.zeros((2, FAN_MAP, FAN_MAP), np.float32)
    maps[0, 10, 20], maps[0, 10, 21], maps[0, 9, 20] = 0.8, 0.3, 0.2
    maps[1, 0, 63] = 0.5  # in a corner nothing lies beyond
    places, peaks = read_peaks(maps)
    np.testing.assert_allclose(places[0], (20.25, 9.75))
    assert places[1, 0] == pytest.approx(63, abs=0.25) and places[1, 1] == pytest.approx(0, abs=0.25)
    np.testing.assert_allclose(peaks, (0.8, 0.5))


def test_finds_the_face_of_a_portrait(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = turned_face(15, 0, 5)
    face = FanFaceFinder(FakeFan(truth[MESH_OF_68, :2], monkeypatch)).find(np.full((600, 600, 3), 128, np.uint8))
    assert face is not None
    assert 0.5 < face.presence < 1 and not face.blendshapes.any()
    assert np.linalg.norm((face.landmarks - truth)[:, :2], axis=1).mean() < 0.015 * EYE_DISTANCE_PX
    assert face.pose.yaw_deg == pytest.approx(15, abs=3)


def test_a_hint_spares_the_guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = turned_face(0, 0, 0)
    network = FakeFan(truth[MESH_OF_68, :2], monkeypatch)
    box = np.concatenate([truth[:, :2].min(axis=0), truth[:, :2].max(axis=0)])
    assert FanFaceFinder(network).find(np.full((600, 600, 3), 128, np.uint8), [box]) is not None
    assert network.seen == 2  # once for the hint, once centred on what it found


def test_unsure_or_senseless_marks_are_no_face() -> None:
    class Unsure:
        def run(self, values: np.ndarray) -> np.ndarray:
            return np.random.default_rng(0).uniform(0, 0.2, (68, FAN_MAP, FAN_MAP)).astype(np.float32)

    class Senseless:
        def run(self, values: np.ndarray) -> np.ndarray:
            return np.random.default_rng(0).uniform(0, 1, (68, FAN_MAP, FAN_MAP)).astype(np.float32)

    picture = np.zeros((300, 200, 3), np.uint8)
    assert FanFaceFinder(Unsure()).find(picture) is None
    assert FanFaceFinder(Senseless()).find(picture) is None


def test_without_its_weights_there_is_no_second_opinion(
    face_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    monkeypatch.setattr(weights, "pull", lambda *_: pytest.fail("downloads without being asked"))
    assert open_fan() is None
    assert find_faces(np.zeros((64, 64, 3), np.uint8), FaceTracker(face_model)) == []


def test_find_faces_asks_it_only_where_the_tracker_finds_none(
    face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skimage import data

    truth = turned_face(0, 0, 0)
    second = FanFaceFinder(FakeFan(truth[MESH_OF_68, :2], monkeypatch))
    monkeypatch.setattr("avatar.tracking.fan.open_fan", lambda: second)
    tracker = FaceTracker(face_model)
    assert find_faces(data.astronaut(), tracker)[0].presence > 0.99
    (face,) = find_faces(np.full((600, 600, 3), 128, np.uint8), tracker)
    np.testing.assert_allclose(face.landmarks[4, :2], truth[4, :2], atol=4)


def test_a_file_that_is_not_the_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("face_alignment")
    wrong = tmp_path / "2DFAN4-11f355bf06.pth.tar"
    wrong.write_bytes(b"<html>gone</html>")
    with pytest.raises(WeightsError, match="models pull fan"):
        FanNetwork(wrong)


def test_the_real_network_runs_on_weights_of_the_right_shape(tmp_path: Path) -> None:
    models = pytest.importorskip("face_alignment.models")
    import torch

    with torch.device("meta"):
        shapes = models.FAN(4).state_dict()
    path = tmp_path / "2DFAN4-11f355bf06.pth.tar"
    torch.save({name: torch.full(part.shape, 0.01, dtype=part.dtype) for name, part in shapes.items()}, path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other on a busy machine
    try:
        maps = FanNetwork(path).run(np.zeros((1, 3, 256, 256), np.float32))
    finally:
        torch.set_num_threads(threads)
    assert maps.shape == (68, FAN_MAP, FAN_MAP) and np.isfinite(maps).all()
