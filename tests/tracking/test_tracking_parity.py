"""Parity of our tracker with Google's own runtime, whose results are in tests/data (make_tracking_reference.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatar.frames import RgbImage
from avatar.tracking import FaceTracker
from avatar.tracking.smoothing import OneEuroFilter

REFERENCE = Path(__file__).resolve().parents[1] / "data" / "tracking-reference.npz"
MAX_LANDMARK_ERROR = 0.015  # of the distance between the pupils, mean over points
MAX_BLENDSHAPE_ERROR = 0.05  # mean over coefficients
CLIPS = ("liveportrait_d0", "liveportrait_d3", "liveportrait_d9", "liveportrait_s18", "pyfeat_webcam")


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def facts(reference: dict[str, np.ndarray]) -> dict[str, float]:
    return json.loads(str(reference["facts"]))


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    from skimage import data

    return np.asarray(data.astronaut())


def landmark_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    pupils = np.linalg.norm(theirs[468, :2] - theirs[473, :2])
    return float(np.linalg.norm((ours - theirs)[:, :2], axis=1).mean() / pupils)


@pytest.mark.parametrize(
    ("name", "limit"), [("astronaut", MAX_LANDMARK_ERROR), ("astronaut again", MAX_LANDMARK_ERROR / 5)]
)
def test_photograph(
    face_model: Path, reference: dict[str, np.ndarray], facts: dict[str, float], astronaut: RgbImage,
    name: str, limit: float,
) -> None:  # fmt: skip
    """MediaPipe's first look at a still comes from the detector's box, its second from landmarks, as ours does."""
    (face,) = FaceTracker(face_model).detect(astronaut)
    theirs = reference[f"{name}/landmarks"] / facts["steps_per_px"]
    assert landmark_error(face.landmarks, theirs) < limit
    assert np.abs(face.blendshapes - reference[f"{name}/blendshapes"]).mean() < MAX_BLENDSHAPE_ERROR
    depth_error = np.abs(face.landmarks[:, 2] - theirs[:, 2]).mean()
    assert depth_error < 0.02 * np.linalg.norm(theirs[468] - theirs[473])


@pytest.mark.parametrize("name", CLIPS)
def test_clip(
    face_model: Path, reference: dict[str, np.ndarray], facts: dict[str, float], shared_data: Path, name: str
) -> None:
    import av

    key = f"faces/driving/{name}.mp4"
    if not (shared_data / key).is_file():
        pytest.skip(f"{shared_data / key} is missing")
    tracker, smooth = FaceTracker(face_model), OneEuroFilter(0.05, 80.0)  # MediaPipe's own smoothing
    kept = {int(frame): index for index, frame in enumerate(reference[f"{key}/frames"])}
    landmarks, blendshapes = [], []
    with av.open(str(shared_data / key)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            face = tracker.track(frame.to_ndarray(format="rgb24"))
            assert face is not None
            size = np.ptp(face.landmarks[:, :2], axis=0).mean()
            smoothed = smooth.filter(face.landmarks, round(index * facts["frame_ms"]) * 1e-3, float(size))
            if index in kept:
                theirs = reference[f"{key}/landmarks"][kept[index]] / facts["steps_per_px"]
                landmarks.append(landmark_error(smoothed, theirs))
                blendshapes.append(np.abs(face.blendshapes - reference[f"{key}/blendshapes"][kept[index]]).mean())
    assert len(landmarks) == len(kept) >= 9
    assert max(landmarks) < MAX_LANDMARK_ERROR and max(blendshapes) < MAX_BLENDSHAPE_ERROR
    # After the first frame, for which MediaPipe knows no landmarks yet, the answers are all but the same.
    assert np.mean(landmarks[1:]) < 0.001
