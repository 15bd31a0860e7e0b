"""Write tracking-reference.npz: results of Google's own runtime on a photograph and a few clips.

Not part of the test run. Once, in an environment of its own (it wants an older NumPy than ours):

    python -m venv /tmp/reference && /tmp/reference/bin/pip install mediapipe==0.10.21 scikit-image av
    /tmp/reference/bin/python tests/data/make_tracking_reference.py face_landmarker.task ../shared/data

The photograph goes through IMAGE mode, the clips frame by frame through VIDEO mode, of which every Nth frame is kept.
In VIDEO mode MediaPipe smooths the landmarks with a One-Euro filter (cut-off 0.05 Hz, beta 80, speeds relative to the
face's size), which the test has to do as well; it does not smooth the blendshapes. The astronaut is shown in VIDEO
mode too, twice, so that the second answer comes from a region around landmarks as ours does.
Landmarks are stored as int16 in sixteenths of a pixel, blendshapes as float16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import av
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode
from skimage import data

CLIPS = {  # path below the data folder: every Nth frame is kept
    "faces/driving/liveportrait_d0.mp4": 9,
    "faces/driving/liveportrait_d3.mp4": 17,
    "faces/driving/liveportrait_d9.mp4": 17,
    "faces/driving/liveportrait_s18.mp4": 17,
    "faces/driving/pyfeat_webcam.mp4": 8,
}
STEPS_PER_PX = 16
FRAME_MS = 1000 / 30


def open_landmarker(model: Path, mode: RunningMode) -> FaceLandmarker:
    return FaceLandmarker.create_from_options(
        FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)),
            running_mode=mode,
            num_faces=1,
            output_face_blendshapes=True,
        )
    )


def to_arrays(result: Any, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.array([(point.x, point.y, point.z) for point in result.face_landmarks[0]])
    points *= (width, height, width)  # depth is relative to the picture's width
    shapes = np.array([category.score for category in result.face_blendshapes[0]])
    return np.round(points * STEPS_PER_PX).astype(np.int16), shapes.astype(np.float16)


def photograph(model: Path) -> dict[str, np.ndarray]:
    rgb = data.astronaut()
    image = mediapipe.Image(mediapipe.ImageFormat.SRGB, rgb)
    with open_landmarker(model, RunningMode.IMAGE) as landmarker:
        landmarks, blendshapes = to_arrays(landmarker.detect(image), rgb.shape[1], rgb.shape[0])
    arrays = {"astronaut/landmarks": landmarks, "astronaut/blendshapes": blendshapes}
    with open_landmarker(model, RunningMode.VIDEO) as landmarker:
        landmarker.detect_for_video(image, 1)  # a time of 0 would pass for "no time yet"
        result = landmarker.detect_for_video(image, 3_600_001)  # an hour later no smoothing is left
    landmarks, blendshapes = to_arrays(result, rgb.shape[1], rgb.shape[0])
    return arrays | {"astronaut again/landmarks": landmarks, "astronaut again/blendshapes": blendshapes}


def clip(model: Path, path: Path, every: int) -> tuple[list[int], np.ndarray, np.ndarray]:
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    with open_landmarker(model, RunningMode.VIDEO) as landmarker, av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            rgb = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
            image = mediapipe.Image(mediapipe.ImageFormat.SRGB, rgb)
            result = landmarker.detect_for_video(image, 1 + round(index * FRAME_MS))
            if index % every == 0:
                kept.append((index, *to_arrays(result, frame.width, frame.height)))
    indices, landmarks, blendshapes = zip(*kept, strict=True)
    return list(indices), np.stack(landmarks), np.stack(blendshapes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tracking-reference.npz"))
    options = parser.parse_args()
    arrays: dict[str, Any] = photograph(options.model)
    for name, every in CLIPS.items():
        indices, landmarks, blendshapes = clip(options.model, options.data / name, every)
        arrays |= {f"{name}/frames": np.array(indices, np.int16)}
        arrays |= {f"{name}/landmarks": landmarks, f"{name}/blendshapes": blendshapes}
    facts = {"mediapipe": mediapipe.__version__, "steps_per_px": STEPS_PER_PX, "frame_ms": FRAME_MS}
    facts |= {"clips": list(CLIPS)}
    np.savez_compressed(options.out, facts=np.array(json.dumps(facts)), **arrays)
    print(options.out, options.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
