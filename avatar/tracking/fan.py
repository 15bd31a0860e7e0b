"""A second opinion where the face tracker finds nothing: face-alignment's 2D FAN-4, for paintings and sketches.

Bulat and Tzimiropoulos 2017 (How far are we from solving the 2D & 3D Face Alignment problem?): one heat map per point
of the 300-W annotation. It needs to be told where the face is, so it tries what the detector was unsure of, then
places where portraits have their faces, and believes the answer that its own heat maps are surest of.

A fifth of a second a guess on two cores: made for a portrait, once, not for a video. Its weights are fetched only when
the user asks for them (`models pull fan`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avatar.errors import SetupError, WeightsError
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.canonical import CanonicalFace, canonical_face
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.region import Region
from avatar.tracking.sparse import mesh_from_68

FAN_INPUT = 256  # side of the network's input, pixels
FAN_MAP = 64  # side of its heat maps
MIN_PEAK = 0.25  # mean height of the 68 peaks; about 0.7 on photographs of faces
SURE_PEAK = 0.6  # above this no other place is tried
MAX_MISFIT = 0.2  # of the rigid head to the points, eye distances; real faces stay below 0.1
MAX_PRESENCE = 0.99  # below 1, so that a second opinion can be told from a first
_BOX_TO_REGION = 200 / 195  # what the network was trained with: side of the region over width + height of the box
_RAISED = 0.12  # and how far the region's middle lies above the box's, in heights of the box


class HeatMaps(Protocol):
    """A network that marks 68 points."""

    def run(self, values: FloatArray) -> FloatArray:
        """(68, 64, 64) heat maps of one (1, 3, 256, 256) RGB image in [0, 1]."""
        ...


class FanNetwork:
    """FAN-4 on the CPU."""

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
            remedy = "Install it: pip install face-alignment==1.5.0"
            raise SetupError("The second opinion on faces needs the package face-alignment.", remedy=remedy) from error
        self._torch = torch
        with torch.device("meta"):  # spares filling 24 million numbers with noise that the file then replaces
            self._network: Any = FAN(4)
        try:
            # weights_only: nothing in the file is run.
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self._network.load_state_dict(state, assign=True)
        except Exception as error:  # torch raises what its unpickler happens to meet
            remedy = "Fetch it again: python run.py models pull fan"
            raise WeightsError(f"{weights} does not hold the network 2D FAN-4.", remedy=remedy) from error
        self._network.eval()

    def run(self, values: FloatArray) -> FloatArray:
        """Heat maps, see `HeatMaps.run`."""
        with self._torch.inference_mode():
            maps = self._network(self._torch.from_numpy(values))[-1]
        return np.asarray(maps[0].numpy())


@dataclass(frozen=True, eq=False)
class _Guess:
    points: FloatArray  # (68, 2), pixels of the picture
    peak: float  # mean height of the heat maps' peaks


class SecondOpinion:
    """Finds the one face of a portrait from 68 points."""

    def __init__(self, network: HeatMaps, canonical: CanonicalFace | None = None) -> None:
        """Take a network that marks the points, and the head to fit to them (None: the one that ships)."""
        self._network = network
        self._canonical = canonical or canonical_face()

    def find(self, rgb: RgbImage, boxes: Iterable[FloatArray] = ()) -> Face | None:
        """The face of a portrait, or None if there is nothing like one.

        Args:
            rgb: (H, W, 3) uint8 RGB.
            boxes: (4,) left, top, right, bottom of what may be faces, likely ones first.
        Returns:
            Landmarks that follow the 68 points, depth from the mean face, a presence below 1, no expression.
        """
        best = self._best(rgb, (*boxes, *_usual_places(*rgb.shape[:2])))
        around = np.concatenate([best.points.min(axis=0), best.points.max(axis=0)])
        again = self._mark(rgb, _region(around))  # the network likes its face centred
        best = max(best, again, key=lambda guess: guess.peak)
        fit = mesh_from_68(best.points, self._canonical)
        if best.peak < MIN_PEAK or fit.misfit > MAX_MISFIT:
            return None
        no_expression = np.zeros(len(BLENDSHAPES), np.float32)
        presence = min(best.peak, MAX_PRESENCE)
        return Face(fit.landmarks, no_expression, presence, self._canonical.pose(fit.landmarks))

    def _best(self, rgb: RgbImage, boxes: Iterable[FloatArray]) -> _Guess:
        guesses = []
        for box in boxes:
            guesses.append(self._mark(rgb, _region(box)))
            if guesses[-1].peak > SURE_PEAK:
                break
        return max(guesses, key=lambda guess: guess.peak)

    def _mark(self, rgb: RgbImage, region: Region) -> _Guess:
        crop = region.crop(rgb, FAN_INPUT)
        values = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        cells, peaks = read_peaks(self._network.run(values))
        in_crop = (cells + 0.5) * (FAN_INPUT / FAN_MAP) - 0.5  # centres of cells to pixels of the crop
        return _Guess(region.to_picture(in_crop.astype(np.float32), FAN_INPUT), float(peaks.mean()))


def open_second_opinion() -> SecondOpinion | None:
    """The second opinion if the user has fetched its weights and can run it, else None; never downloads.

    Raises:
        WeightsError: the weights are there, but are not this network.
        SetupError: the weights are there, but the package that runs them is not.
    """
    from avatar.weights import model_path

    try:
        weights = model_path("fan")
    except WeightsError:
        return None
    return SecondOpinion(FanNetwork(weights))


def read_peaks(maps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Place of the highest cell of each (N, S, S) map, moved a quarter cell towards its higher neighbours.

    Returns:
        (N, 2) positions (x, y) in cells, 0 = centre of the first; (N,) heights.
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
    left, top, right, bottom = (float(value) for value in box)
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    side = _BOX_TO_REGION * (width + height)
    return Region((left + right) / 2, (top + bottom) / 2 - _RAISED * height, side, side, 0.0)


def _usual_places(height_px: int, width_px: int) -> Iterator[FloatArray]:
    """Boxes where portraits have their faces: in the middle across, a third to a half of the way down."""
    shorter = min(height_px, width_px)
    for size in (0.6, 0.4, 0.25):
        for down in (0.5, 0.35):
            x, y, half = width_px / 2, down * height_px, size * shorter / 2
            yield np.array([x - half, y - half, x + half, y + half], np.float32)
