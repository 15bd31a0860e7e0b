"""Follows a face through a video and finds the faces of a still."""

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
SURE_PRESENCE = 0.95  # of a further face in a still: the closer look also sees faces in folds and badges
UNSURE_SCORE = 0.1  # of the detector, for guesses
MAX_GUESSES = 3
MIN_SIDE_PX = 8.0  # below this a region is a few pixels wide and says nothing
PATIENCE = 30  # frames for which we wait for a lost face before we follow another one
SMALL_FACE = 0.25  # of the picture's longer side; of faces whose region is smaller the first look misses many
NEARBY = 3.0  # where a face was just lost, this many of its regions' widths are looked at closely
TILES_EVERY = 5  # frames between two close looks at everything while no face is in sight; one costs some 10 ms
STILL_PARTS = (4, 8, 16, 32, 64)  # how finely a still is cut while no face is found; 16 and up for panoramas
FINE_PARTS = (4, 8)  # how finely a frame is cut at most: 150 squares, of 480 pixels in 4K
TILES_A_FRAME, TILES_A_LIVE_FRAME = 8, 4  # squares of those per frame; saved up for one round at most
FINDABLE = (1.2, 12.0)  # sides of a square over the width of a face's region, for which it may be found in it
LARGER = 2.5  # times as wide as a face found in a square: another one that takes its place
LARGER_EVERY = 15  # frames between two looks for such a one
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
        live: bool = False,
        threads: int = 2,
        canonical: CanonicalFace | None = None,
        runtime: str | None = None,
    ) -> None:
        """Load the networks.

        Args:
            model: a face_landmarker.task.
            smoothing: filter the landmarks over time in `track`; meant for live use.
            live: spend little on each frame while no face is in sight; small ones are then found later.
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
        self._sweep: list[Region] = []  # squares still to be looked at
        self._swept_size = (0, 0)
        self._live = live
        self._credit = float("inf")  # squares that may be looked at now; the first round is free
        self._distant = False  # the followed face was found in such a square

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        """Follow one face: the largest at first, then the same one for as long as it is in sight.

        Args:
            rgb: (H, W, 3) uint8 RGB, of any size.
            time_s: of this picture, for smoothing; None counts 30 pictures a second.
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
        """All faces of a still, largest first; tiny ones are looked for only where there is no larger one."""
        rgb = _checked(rgb)
        height_px, width_px = rgb.shape[:2]
        meshes = self._search(rgb, _ever_closer(width_px, height_px))
        if meshes:  # the look that showed the largest may have been too coarse for the others
            closer = self._search(rgb, [_closer(width_px, height_px)])
            meshes = _distinct([*meshes, *(mesh for mesh in closer if mesh.presence >= SURE_PRESENCE)])
            meshes.sort(key=lambda mesh: -mesh.next_region.width)
        return [self._face(mesh.presence, mesh.landmarks) for mesh in meshes]

    def guess_boxes(self, rgb: RgbImage) -> list[FloatArray]:
        """(4,) left, top, right, bottom of what may be faces though `detect` was not sure; likeliest first."""
        rgb = _checked(rgb)
        found = self._detector.detect(rgb, [letterbox(rgb.shape[1], rgb.shape[0])], UNSURE_SCORE)
        return [detection.box for detection in sorted(found, key=lambda detection: -detection.score)[:MAX_GUESSES]]

    def reset(self) -> None:
        """Forget the followed face; the next picture starts afresh."""
        self._region = self._last_region = None
        self._lost = self._frames = 0
        self._sweep, self._distant = [], False
        if not self._live:
            self._credit = float("inf")
        if self._filter:
            self._filter.reset()

    def close(self) -> None:
        """Forget everything; safe to call twice."""
        self.reset()

    def _search_again(self, rgb: RgbImage) -> _Mesh | None:
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
        """Look at some more small squares of the picture, as many as there is credit for."""
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
        """Small squares in which a face may be found that the whole picture does not show; the lost one, if any."""
        squares = [region for parts in FINE_PARTS for region in tiles(width_px, height_px, parts)]
        if self._last_region is None or self._lost >= PATIENCE:
            return squares
        low, high = (times * self._last_region.width for times in FINDABLE)
        return [region for region in squares if low < region.width < high]

    def _larger(self, rgb: RgbImage, mesh: _Mesh) -> _Mesh | None:
        """A far larger face than the small one that is followed: somebody has come in front of it."""
        if self._frames % LARGER_EVERY:
            return None
        least_px = LARGER * mesh.next_region.width
        found = self._search(
            rgb, [[letterbox(rgb.shape[1], rgb.shape[0])]], lambda detection: detection.region().width > least_px
        )
        self._distant = not found
        return found[0] if found else None

    def _may_be_lost_one(self, detection: Detection) -> bool:
        """False for another face while we still wait for the lost one; the longer ago, the further it may have gone."""
        if self._last_region is None or self._lost >= PATIENCE:
            return True
        region, last = detection.region(), self._last_region
        reach = last.width * (1 + self._lost / 5)
        return math.hypot(region.x - last.x, region.y - last.y) < reach and 0.5 < region.width / last.width < 2

    def _search(
        self, rgb: RgbImage, looks: Iterable[Sequence[Region]], accept: Callable[[Detection], bool] = lambda _: True
    ) -> list[_Mesh]:
        """Faces, largest first. Each look is a few squares of the picture; the first to show a face is the last.

        Only where the first look shows nothing but small faces, of which it misses many, the second has a say as well.
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
        """A second pass starts from landmarks, as tracking does: a face sits in a still as it will in a video."""
        first = self._mesh(rgb, detection.region())
        return first and (self._mesh(rgb, first.next_region) or first)

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


def _ever_closer(width_px: int, height_px: int) -> Iterator[list[Region]]:
    """What to look at in a still: all of it, then whole and in quarters, then ever smaller parts."""
    yield [letterbox(width_px, height_px)]
    yield _closer(width_px, height_px)
    for parts in STILL_PARTS:
        yield tiles(width_px, height_px, parts)


def _closer(width_px: int, height_px: int) -> list[Region]:
    """The whole picture, and its quarters at twice the scale."""
    return [letterbox(width_px, height_px), *tiles(width_px, height_px, 2)]


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
