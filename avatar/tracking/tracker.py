"""Follows a face through a video and finds the faces of a still."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avatar.frames import FloatArray, RgbImage
from avatar.tracking.canonical import CanonicalFace, canonical_face
from avatar.tracking.detector import FaceDetector
from avatar.tracking.face import Face
from avatar.tracking.mesh import find_landmarks, read_blendshapes
from avatar.tracking.networks import open_networks
from avatar.tracking.region import Region, from_landmarks

MIN_PRESENCE = 0.5
MIN_SIDE_PX = 8.0  # below this a region is a few pixels wide and says nothing


@dataclass(frozen=True, eq=False)
class _Mesh:
    landmarks: FloatArray
    presence: float


class FaceTracker:
    """Landmarks, expression and head pose of faces; opened, used and closed on one thread."""

    def __init__(
        self, model: Path, *, smoothing: bool = False, threads: int = 2, canonical: CanonicalFace | None = None
    ) -> None:
        """Load the networks.

        Args:
            model: a face_landmarker.task.
            smoothing: filter the landmarks over time in `track`; meant for live use.
            threads: threads per network.
            canonical: the head that poses refer to; None takes the one that ships.
        Raises:
            WeightsError: a model file is missing, damaged or of the wrong kind.
        """
        self._networks = open_networks(model, threads=threads)
        self._detector = FaceDetector(self._networks.detector)
        self._canonical = canonical or canonical_face()
        self._region: Region | None = None  # where the followed face is expected

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        """Follow one face: the largest at first, then the same one until it is lost."""
        mesh = self._mesh(rgb, self._region) if self._region else None
        if mesh is None:
            mesh = next(self._search(rgb), None)
        if mesh is None:
            self._region = None
            return None
        self._region = from_landmarks(mesh.landmarks)
        return self._face(mesh)

    def detect(self, rgb: RgbImage) -> list[Face]:
        """All faces of a still, largest first."""
        return [self._face(mesh) for mesh in self._search(rgb)]

    def reset(self) -> None:
        """Forget the followed face; the next picture starts afresh."""
        self._region = None

    def close(self) -> None:
        """Release the networks; safe to call twice."""
        self.reset()

    def _search(self, rgb: RgbImage) -> Iterator[_Mesh]:
        for detection in self._detector.detect(rgb):
            mesh = self._mesh(rgb, detection.region())
            if mesh is not None:
                yield self._mesh(rgb, from_landmarks(mesh.landmarks)) or mesh

    def _mesh(self, rgb: RgbImage, region: Region) -> _Mesh | None:
        if min(region.width, region.height) < MIN_SIDE_PX:
            return None
        landmarks, presence = find_landmarks(self._networks.mesh, rgb, region)
        return _Mesh(landmarks, presence) if presence >= MIN_PRESENCE else None

    def _face(self, mesh: _Mesh) -> Face:
        shapes = read_blendshapes(self._networks.blendshapes, mesh.landmarks)
        pose = self._canonical.pose(mesh.landmarks)
        return Face(mesh.landmarks, shapes, mesh.presence, pose)
