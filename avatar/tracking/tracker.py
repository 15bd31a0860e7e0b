"""Face tracker: follows one face through a video and finds all faces in a still image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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
SURE_PRESENCE = 0.95  # required of further faces in a still: at tile scale, folds and badges look like faces
UNSURE_SCORE = 0.1  # detector score for candidates
MAX_GUESSES = 3
MIN_SIDE_PX = 8.0  # smaller regions carry no information
LOST_FRAMES = 30  # wait for a lost face before following another one
SMALL_FACE = 0.25  # region width over the image's longer side below which the whole-image pass misses many faces
NEARBY = 3.0  # search window around a lost face, in widths of its region
TILES_EVERY = 5  # frames between two tiled searches while no face is in sight; one costs some 10 ms
STILL_PARTS = (4, 8, 16, 32, 64)  # tilings tried on a still while no face is found; 16 and up for panoramas
FINE_PARTS = (4, 8)  # finest tilings of a frame: 150 tiles, of 480 pixels in 4K
TILES_A_FRAME, TILES_A_LIVE_FRAME = 8, 4  # budget of those tiles per frame; accumulates up to one full sweep
FINDABLE = (1.2, 12.0)  # range of tile side over face region width in which the face can be detected
LARGER = 2.5  # a face this many times as wide as one found in a tile replaces it
LARGER_EVERY = 15  # frames between two searches for such a face
FRAME_S = 1 / 30  # frame interval assumed where the caller gives no times


@dataclass(frozen=True, eq=False)
class _Mesh:
    landmarks: FloatArray  # (478, 3)
    presence: float
    next_region: Region  # crop for the next frame


class FaceTracker:
    """Tracker for landmarks, expression and head pose; opened, used and closed on one thread."""

    def __init__(
        self,
        model: Path,
        *,
        smoothing: bool = False,
        live: bool = False,
        threads: int = 2,
        canonical: CanonicalFace | None = None,
        runtime: str | None = None,
    ) -> None:
        """Load the networks.

        Args:
            model: a face_landmarker.task.
            smoothing: filter the landmarks over time in `track`; meant for live use.
            live: limit the search per frame while no face is in sight; small faces are then found later.
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
        self._lost = 0  # frames since it was lost
        self._frames = 0
        self._sweep: list[Region] = []  # tiles left in the current sweep
        self._swept_size = (0, 0)
        self._live = live
        self._credit = float("inf")  # tiles that may be searched now; the first sweep is unlimited
        self._distant = False  # the followed face was found in a tile

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        """Follow one face: the largest at first, then the same one for as long as it is in sight.

        Args:
            rgb: (H, W, 3) uint8 RGB, of any size.
            time_s: time of this frame, for smoothing; None assumes 30 frames a second.
        """
        rgb = _checked(rgb)
        self._frames += 1
        self._credit += TILES_A_LIVE_FRAME if self._live else TILES_A_FRAME
        mesh = self._mesh(rgb, self._region) if self._region else None
        if mesh is not None and self._distant:
            mesh = self._larger(rgb, mesh) or mesh
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
        """Find all faces in a still image, largest first; tiny ones are searched for only where there is no larger one.

        Args:
            rgb: (H, W, 3) uint8 RGB, of any size.
        """
        rgb = _checked(rgb)
        height_px, width_px = rgb.shape[:2]
        meshes = self._search(rgb, _ever_closer(width_px, height_px))
        if meshes:  # the pass that found the largest may have been too coarse for the others
            closer = self._search(rgb, [_closer(width_px, height_px)])
            meshes = _distinct([*meshes, *(mesh for mesh in closer if mesh.presence >= SURE_PRESENCE)])
            meshes.sort(key=lambda mesh: -mesh.next_region.width)
        return [self._face(mesh.presence, mesh.landmarks) for mesh in meshes]

    def guess_boxes(self, rgb: RgbImage) -> list[FloatArray]:
        """Return face candidates below the threshold of `detect`, most likely first.

        Args:
            rgb: (H, W, 3) uint8 RGB.
        Returns:
            Up to MAX_GUESSES boxes (4,): left, top, right, bottom in pixels.
        """
        rgb = _checked(rgb)
        found = self._detector.detect(rgb, [letterbox(rgb.shape[1], rgb.shape[0])], UNSURE_SCORE)
        return [detection.box for detection in sorted(found, key=lambda detection: -detection.score)[:MAX_GUESSES]]

    def reset(self) -> None:
        """Forget the followed face; the next frame starts a new search."""
        self._region = self._last_region = None
        self._lost = self._frames = 0
        self._sweep, self._distant = [], False
        if not self._live:
            self._credit = float("inf")
        if self._filter:
            self._filter.reset()

    def close(self) -> None:
        """Reset the tracker; safe to call twice."""
        self.reset()

    def _search_again(self, rgb: RgbImage) -> _Mesh | None:
        """Search an (H, W, 3) uint8 frame in which no face is followed; None if none is found."""
        if self._filter:
            self._filter.reset()
        height_px, width_px = rgb.shape[:2]
        whole = letterbox(width_px, height_px)
        quarters = tiles(width_px, height_px, 2) if self._lost % TILES_EVERY == 0 else []
        if self._last_region is None:
            found = self._search(rgb, [[whole], [whole, *quarters]] if quarters else [[whole]])
        else:
            near = self._last_region.surroundings(NEARBY)
            found = self._search(rgb, [[whole, near], quarters], self._may_be_lost_one)
        self._distant = False
        return found[0] if found else self._sweep_on(rgb)

    def _sweep_on(self, rgb: RgbImage) -> _Mesh | None:
        """Search the next tiles of an (H, W, 3) uint8 frame, as many as the budget allows."""
        height_px, width_px = rgb.shape[:2]
        if not self._sweep or self._swept_size != (width_px, height_px):
            self._sweep, self._swept_size = self._squares(width_px, height_px), (width_px, height_px)
        self._credit = min(self._credit, len(self._sweep))
        count = int(self._credit)
        regions, self._sweep = self._sweep[:count], self._sweep[count:]
        self._credit -= count
        found = self._search(rgb, [regions], self._may_be_lost_one) if regions else []
        found = [mesh for mesh in found if mesh.presence >= SURE_PRESENCE]
        self._distant = bool(found)
        return found[0] if found else None

    def _squares(self, width_px: int, height_px: int) -> list[Region]:
        """Return the tiles for faces too small for the whole-frame pass; near the size of the lost face, if any."""
        squares = [region for parts in FINE_PARTS for region in tiles(width_px, height_px, parts)]
        if self._last_region is None or self._lost >= LOST_FRAMES:
            return squares
        low, high = (times * self._last_region.width for times in FINDABLE)
        return [region for region in squares if low < region.width < high]

    def _larger(self, rgb: RgbImage, mesh: _Mesh) -> _Mesh | None:
        """Return a far larger face in an (H, W, 3) uint8 frame than the followed small one, if there is one."""
        if self._frames % LARGER_EVERY:
            return None
        least_px = LARGER * mesh.next_region.width
        found = self._search(
            rgb, [[letterbox(rgb.shape[1], rgb.shape[0])]], lambda detection: detection.region().width > least_px
        )
        self._distant = not found
        return found[0] if found else None

    def _may_be_lost_one(self, detection: Detection) -> bool:
        """Return whether a detection can be the lost face; the search radius grows with the time since it was lost."""
        if self._last_region is None or self._lost >= LOST_FRAMES:
            return True
        region, last = detection.region(), self._last_region
        reach = last.width * (1 + self._lost / 5)
        return math.hypot(region.x - last.x, region.y - last.y) < reach and 0.5 < region.width / last.width < 2

    def _search(
        self, rgb: RgbImage, looks: Iterable[Sequence[Region]], accept: Callable[[Detection], bool] = lambda _: True
    ) -> list[_Mesh]:
        """Search passes over an (H, W, 3) image in order until one finds a face; returns faces largest first.

        If the first pass finds only small faces, of which it misses many, the second pass is run as well.

        Args:
            rgb: (H, W, 3) uint8.
            looks: the regions of each pass.
            accept: a filter for detections.
        """
        best: list[_Mesh] = []
        for number, regions in enumerate(looks):
            found = (self._settled(rgb, detection) for detection in filter(accept, self._detector.detect(rgb, regions)))
            meshes = _distinct(mesh for mesh in found if mesh is not None)
            best = sorted(meshes, key=lambda mesh: -mesh.next_region.width) or best
            if best and (number > 0 or best[0].next_region.width > SMALL_FACE * max(rgb.shape)):
                break
        return best

    def _settled(self, rgb: RgbImage, detection: Detection) -> _Mesh | None:
        """Run the landmark network twice on (H, W, 3), so that the crop comes from landmarks, as in tracking."""
        first = self._mesh(rgb, detection.region())
        return first and (self._mesh(rgb, first.next_region) or first)

    def _mesh(self, rgb: RgbImage, region: Region) -> _Mesh | None:
        """Run the landmark network on one region of an (H, W, 3) image; None below MIN_PRESENCE."""
        if not (min(region.width, region.height) >= MIN_SIDE_PX and region.touches(rgb.shape[1], rgb.shape[0])):
            return None
        landmarks, presence = find_landmarks(self._networks.mesh, rgb, region)
        return _Mesh(landmarks, presence, from_landmarks(landmarks)) if presence >= MIN_PRESENCE else None

    def _smoothed(self, landmarks: FloatArray, time_s: float | None) -> FloatArray:
        """Filter (478, 3) landmarks over time, where smoothing is on."""
        if self._filter is None:
            return landmarks
        unit_px = self._canonical.pose(landmarks).scale_px
        return self._filter.filter(landmarks, self._frames * FRAME_S if time_s is None else time_s, unit_px)

    def _face(self, presence: float, landmarks: FloatArray) -> Face:
        """Add blendshapes and pose to (478, 3) landmarks."""
        shapes = read_blendshapes(self._networks.blendshapes, landmarks)
        return Face(landmarks, shapes, presence, self._canonical.pose(landmarks))


def _checked(rgb: RgbImage) -> RgbImage:
    """Validate an (H, W, 3) uint8 image and make it contiguous."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"rgb must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    return np.ascontiguousarray(rgb)  # OpenCV takes no mirrored views


def _ever_closer(width_px: int, height_px: int) -> Iterator[list[Region]]:
    """Yield the search passes for a still: the whole, then whole and quarters, then ever finer tilings."""
    yield [letterbox(width_px, height_px)]
    yield _closer(width_px, height_px)
    for parts in STILL_PARTS:
        yield tiles(width_px, height_px, parts)


def _closer(width_px: int, height_px: int) -> list[Region]:
    """Return the whole image and its quarters at twice the scale."""
    return [letterbox(width_px, height_px), *tiles(width_px, height_px, 2)]


def _distinct(meshes: Iterable[_Mesh]) -> list[_Mesh]:
    """Drop meshes that converged to the same face as an earlier one."""
    kept: list[Region] = []
    distinct = []
    for mesh in meshes:
        region = mesh.next_region
        if all(math.hypot(region.x - other.x, region.y - other.y) > other.width / 4 for other in kept):
            kept.append(region)
            distinct.append(mesh)
    return distinct
