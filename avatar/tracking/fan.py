"""Fallback landmarks for paintings and sketches in which the face tracker finds nothing: face-alignment's 2D FAN-4.

Bulat and Tzimiropoulos 2017 (How far are we from solving the 2D & 3D Face Alignment problem?): one heat map per point
of the 300-W annotation. FAN needs a face box as input, so it is run on the detector's low-score boxes, then on the
places where portraits usually have their faces; the run with the highest heat-map peaks wins.

One run takes a fifth of a second on two cores: meant for one portrait, not for video. The weights are fetched only
when the user asks for them (`models pull fan`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avatar.errors import SetupError, WeightsError
from avatar.frames import FloatArray, RgbImage
from avatar.system.message import Message
from avatar.system.program import how_to_install
from avatar.tracking.canonical import CanonicalFace, canonical_face
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.region import Region
from avatar.tracking.sparse import mesh_from_68

FAN_INPUT = 256  # side of the network's input, pixels
FAN_MAP = 64  # side of its heat maps
MIN_PEAK = 0.25  # mean height of the 68 peaks; about 0.7 on photographs of faces
SURE_PEAK = 0.6  # above this no other box is tried
MAX_MISFIT = 0.2  # residual of the rigid fit in eye distances; real faces stay below 0.1
MAX_PRESENCE = 0.99  # below 1, so that faces from FAN can be told from tracked ones
_BOX_TO_REGION = 200 / 195  # as in the network's training: side of the region over width + height of the box
_RAISED = 0.12  # as in its training: offset of the region's centre above the box's, in heights of the box


class HeatMaps(Protocol):
    """A network that predicts one heat map for each of 68 points."""

    def run(self, values: FloatArray) -> FloatArray:
        """Compute (68, 64, 64) float32 heat maps for one (1, 3, 256, 256) float32 RGB image in [0, 1]."""
        ...


class FanNetwork:
    """The FAN-4 network on the CPU."""

    def __init__(self, weights: Path) -> None:
        """Load the network, built by face-alignment, from a file that `avatar.weights` has checked.

        Raises:
            SetupError: face-alignment is not installed.
            WeightsError: the file does not hold this network.
        """
        try:
            import torch
            from face_alignment.models import FAN
        except ImportError as error:
            raise SetupError(
                "The second opinion on faces needs the package face-alignment.", remedy=how_to_install("face_alignment")
            ) from error
        self._torch = torch
        with torch.device("meta"):  # saves initialising 24 million weights that the file then replaces
            self._network: Any = FAN(4)
        try:
            # weights_only: nothing in the file is run.
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self._network.load_state_dict(state, assign=True)
        except Exception as error:  # torch passes on whatever its unpickler raises
            remedy = "Fetch it again: python run.py models pull fan"
            raise WeightsError(
                Message("{path} does not hold the network 2D FAN-4.", path=weights), remedy=remedy
            ) from error
        self._network.eval()

    def run(self, values: FloatArray) -> FloatArray:
        """Compute the heat maps, see `HeatMaps.run`."""
        with self._torch.inference_mode():
            maps = self._network(self._torch.from_numpy(values))[-1]
        return np.asarray(maps[0].numpy())


@dataclass(frozen=True, eq=False)
class _Guess:
    points: FloatArray  # (68, 2), image pixels
    peak: float  # mean height of the heat maps' peaks


class FanFaceFinder:
    """Face finder for portraits: fits the face mesh to the 68 points of FAN."""

    def __init__(self, network: HeatMaps, canonical: CanonicalFace | None = None) -> None:
        """Create a finder.

        Args:
            network: predicts the heat maps.
            canonical: the head to fit to the points; None takes the one that ships.
        """
        self._network = network
        self._canonical = canonical or canonical_face()

    def find(self, rgb: RgbImage, boxes: Iterable[FloatArray] = ()) -> Face | None:
        """Find the face of a portrait.

        Args:
            rgb: (H, W, 3) uint8 RGB.
            boxes: (4,) left, top, right, bottom of face candidates, most likely first.
        Returns:
            A face whose landmarks follow the 68 points, with depth from the mean face, a presence below 1 and no
            expression; None if nothing resembles a face.
        """
        best = self._best(rgb, (*boxes, *_usual_places(*rgb.shape[:2])))
        around = np.concatenate([best.points.min(axis=0), best.points.max(axis=0)])
        again = self._mark(rgb, _region(around))  # more accurate with the face centred
        best = max(best, again, key=lambda guess: guess.peak)
        fit = mesh_from_68(best.points, self._canonical)
        if best.peak < MIN_PEAK or fit.misfit > MAX_MISFIT:
            return None
        no_expression = np.zeros(len(BLENDSHAPES), np.float32)
        presence = min(best.peak, MAX_PRESENCE)
        return Face(fit.landmarks, no_expression, presence, self._canonical.pose(fit.landmarks))

    def _best(self, rgb: RgbImage, boxes: Iterable[FloatArray]) -> _Guess:
        """Return the result with the highest peaks over (4,) boxes; stops early at SURE_PEAK."""
        guesses = []
        for box in boxes:
            guesses.append(self._mark(rgb, _region(box)))
            if guesses[-1].peak > SURE_PEAK:
                break
        return max(guesses, key=lambda guess: guess.peak)

    def _mark(self, rgb: RgbImage, region: Region) -> _Guess:
        """Locate the 68 points in one region of an (H, W, 3) uint8 image."""
        crop = region.crop(rgb, FAN_INPUT)
        values = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        cells, peaks = read_peaks(self._network.run(values))
        in_crop = (cells + 0.5) * (FAN_INPUT / FAN_MAP) - 0.5  # centres of cells to pixels of the crop
        return _Guess(region.to_image(in_crop.astype(np.float32), FAN_INPUT), float(peaks.mean()))


def open_fan() -> FanFaceFinder | None:
    """Open FAN if the user has fetched its weights; None otherwise. Never downloads.

    Raises:
        WeightsError: the weights are there, but are not this network.
        SetupError: the weights are there, but the package that runs them is not installed.
    """
    from avatar.weights import model_path

    try:
        weights = model_path("fan")
    except WeightsError:
        return None
    return FanFaceFinder(FanNetwork(weights))


def read_peaks(maps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Locate the peak of each (N, S, S) map, moved a quarter cell towards its higher neighbours.

    Returns:
        (N, 2) float32 positions (x, y) in cells, 0 = centre of the first cell, and (N,) peak heights.
    """
    size = maps.shape[-1]
    flat = maps.reshape(len(maps), -1)
    best = flat.argmax(axis=1)
    row, column = np.divmod(best, size)
    each = np.arange(len(maps))
    slope_x = maps[each, row, (column + 1).clip(0, size - 1)] - maps[each, row, (column - 1).clip(0, size - 1)]
    slope_y = maps[each, (row + 1).clip(0, size - 1), column] - maps[each, (row - 1).clip(0, size - 1), column]
    places = np.column_stack([column + 0.25 * np.sign(slope_x), row + 0.25 * np.sign(slope_y)])
    return places.astype(np.float32), flat[each, best].astype(np.float32)


def _region(box: FloatArray) -> Region:
    """Return the crop region that FAN expects for a (4,) face box: left, top, right, bottom."""
    left, top, right, bottom = (float(value) for value in box)
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    side = _BOX_TO_REGION * (width + height)
    return Region((left + right) / 2, (top + bottom) / 2 - _RAISED * height, side, side, 0.0)


def _usual_places(height_px: int, width_px: int) -> Iterator[FloatArray]:
    """Yield (4,) boxes where portraits usually have their faces: centred, a third to a half of the way down."""
    shorter = min(height_px, width_px)
    for size in (0.6, 0.4, 0.25):
        for down in (0.5, 0.35):
            x, y, half = width_px / 2, down * height_px, size * shorter / 2
            yield np.array([x - half, y - half, x + half, y + half], np.float32)
