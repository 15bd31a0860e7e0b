"""Follows a face through a video and finds the faces of a still."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.frames import FloatArray, RgbImage
from avatar.tracking.canonical import CanonicalFace, canonical_face
from avatar.tracking.detector import Detection, FaceDetector
from avatar.tracking.face import Face
from avatar.tracking.mesh import find_landmarks, read_blendshapes
from avatar.tracking.networks import open_networks
from avatar.tracking.region import Region, from_landmarks, letterbox, tiles
from avatar.tracking.smoothing import landmark_filter

MIN_PRESENCE = 0.5
MIN_SIDE_PX = 8.0  # below this a region is a few pixels wide and says nothing
PATIENCE = 30  # frames for which we wait for a lost face before we follow another one
STILL_PARTS = (2, 4, 8, 16, 32, 64)  # how finely a still is cut while no face is found; 16 and up for panoramas
VIDEO_PARTS = (2,)
TILES_EVERY = 5  # frames between two close looks while no face is in sight; a close look costs some 10 ms
FRAME_S = 1 / 30  # assumed where the caller gives no times


@dataclass(frozen=True, eq=False)
class _Mesh:
    landmarks: FloatArray  # (478, 3)
    presence: float
    next_region: Region  # where to look in the next frame


class FaceTracker:
    """Landmarks, expression and head pose of faces; opened, used and closed on one thread."""

    def __init__(
        self,
        model: Path,
        *,
        smoothing: bool = False,
        threads: int = 2,
        canonical: CanonicalFace | None = None,
        runtime: str | None = None,
    ) -> None:
        """Load the networks.

        Args:
            model: a face_landmarker.task.
            smoothing: filter the landmarks over time in `track`; meant for live use.
            threads: threads per network.
            canonical: the head that poses refer to; None takes the one that ships.
            runtime: "litert" or "opencv"; None takes LiteRT where it is installed.
        Raises:
            WeightsError: a model file is missing, damaged or of the wrong kind.
        """
        self._networks = open_networks(model, threads=threads, runtime=runtime)
        self._detector = FaceDetector(self._networks.detector)
        self._canonical = canonical or canonical_face()
        self._filter = landmark_filter() if smoothing else None
        self._region: Region | None = None  # where the followed face is expected
        self._last_region: Region | None = None  # where it was before it was lost
        self._lost = 0  # frames since then
        self._frames = 0

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        """Follow one face: the largest at first, then the same one for as long as it is in sight.

        Args:
            rgb: (H, W, 3) uint8 RGB, of any size.
            time_s: of this picture, for smoothing; None counts 30 pictures a second.
        """
        rgb = _checked(rgb)
        self._frames += 1
        mesh = self._mesh(rgb, self._region) if self._region else None
        if mesh is None:
            mesh = self._search_again(rgb)
        if mesh is None:
            self._region = None
            self._lost += 1
            return None
        self._region = self._last_region = mesh.next_region
        self._lost = 0
        return self._face(mesh.presence, self._smoothed(mesh.landmarks, time_s))

    def detect(self, rgb: RgbImage) -> list[Face]:
        """All faces of a still, largest first; small ones are looked for only where there is no large one."""
        meshes = _distinct(self._search(_checked(rgb), STILL_PARTS))
        meshes.sort(key=lambda mesh: mesh.next_region.width, reverse=True)
        return [self._face(mesh.presence, mesh.landmarks) for mesh in meshes]

    def reset(self) -> None:
        """Forget the followed face; the next picture starts afresh."""
        self._region = self._last_region = None
        self._lost = self._frames = 0
        if self._filter:
            self._filter.reset()

    def close(self) -> None:
        """Forget everything; safe to call twice."""
        self.reset()

    def _search_again(self, rgb: RgbImage) -> _Mesh | None:
        if self._filter:
            self._filter.reset()
        parts = VIDEO_PARTS if self._lost % TILES_EVERY == 0 else ()
        return next(self._search(rgb, parts, self._may_be_lost_one), None)

    def _may_be_lost_one(self, detection: Detection) -> bool:
        """False for another face while we still wait for the lost one; the longer ago, the further it may have gone."""
        if self._last_region is None or self._lost >= PATIENCE:
            return True
        region, last = detection.region(), self._last_region
        reach = last.width * (1 + self._lost / 5)
        return math.hypot(region.x - last.x, region.y - last.y) < reach and 0.5 < region.width / last.width < 2

    def _search(
        self, rgb: RgbImage, parts: Iterable[int], accept: Callable[[Detection], bool] = lambda _: True
    ) -> Iterator[_Mesh]:
        """Faces in the whole picture, large ones first; if there is none, in ever smaller parts of it.

        A second pass over each face starts from its landmarks, as tracking does, and so sits as it will in a video.
        """
        height_px, width_px = rgb.shape[:2]
        looks: Iterator[list[Region]] = (tiles(width_px, height_px, part) for part in parts)
        for regions in itertools.chain([[letterbox(width_px, height_px)]], looks):
            any_face = False
            for detection in filter(accept, self._detector.detect(rgb, regions)):
                mesh = self._mesh(rgb, detection.region())
                if mesh is not None:
                    any_face = True
                    yield self._mesh(rgb, mesh.next_region) or mesh
            if any_face:
                return

    def _mesh(self, rgb: RgbImage, region: Region) -> _Mesh | None:
        if not (min(region.width, region.height) >= MIN_SIDE_PX and region.touches(rgb.shape[1], rgb.shape[0])):
            return None
        landmarks, presence = find_landmarks(self._networks.mesh, rgb, region)
        return _Mesh(landmarks, presence, from_landmarks(landmarks)) if presence >= MIN_PRESENCE else None

    def _smoothed(self, landmarks: FloatArray, time_s: float | None) -> FloatArray:
        if self._filter is None:
            return landmarks
        unit_px = self._canonical.pose(landmarks).scale_px
        return self._filter.filter(landmarks, self._frames * FRAME_S if time_s is None else time_s, unit_px)

    def _face(self, presence: float, landmarks: FloatArray) -> Face:
        shapes = read_blendshapes(self._networks.blendshapes, landmarks)
        return Face(landmarks, shapes, presence, self._canonical.pose(landmarks))


def _checked(rgb: RgbImage) -> RgbImage:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"rgb must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    return np.ascontiguousarray(rgb)  # OpenCV takes no mirrored views


def _distinct(meshes: Iterable[_Mesh]) -> list[_Mesh]:
    """Drop meshes that settled on a face which an earlier one already holds."""
    kept: list[Region] = []
    distinct = []
    for mesh in meshes:
        region = mesh.next_region
        if all(math.hypot(region.x - other.x, region.y - other.y) > other.width / 4 for other in kept):
            kept.append(region)
            distinct.append(mesh)
    return distinct
