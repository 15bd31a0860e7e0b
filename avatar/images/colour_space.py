"""Conversion from the colour spaces of images and clips to sRGB.

The code points are those of ITU-T H.273, which PNG (cICP), AVIF, HEIF (nclx) and video share. HDR transfers are mapped
to SDR with the tone curve of ITU-R BT.2390-11, section 5.4 (the roll-off that players use), with the reference white of
ITU-R BT.2408, 203 cd/m2, as the SDR white: luminances below about 90 cd/m2, including skin, are unchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

Xy = tuple[float, float]
Levels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

UNSPECIFIED = 2
LINEAR, SRGB, PQ, HLG = 8, 13, 16, 18
REFERENCE_WHITE_NITS = 203.0  # ITU-R BT.2408, 2.2: HDR reference white
HLG_PEAK_NITS = 1000.0  # nominal, ITU-R BT.2100; its system gamma is 1.2
PQ_PEAK_NITS = 10_000.0
USUAL_PEAK_NITS = 1000.0  # peak assumed for HDR that states none
ROWS_PIXELS = 1 << 18  # pixels converted at a time, so that float copies stay small

_D65: Xy = (0.3127, 0.3290)
_C: Xy = (0.310, 0.316)
_PRIMARIES: dict[int, tuple[Xy, Xy, Xy, Xy]] = {  # red, green, blue, white; ITU-T H.273, table 2
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),  # BT.709, sRGB
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),  # BT.470 M
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),  # BT.470 BG
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),  # BT.601, 525 lines
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),  # SMPTE 240
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),  # film
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),  # XYZ
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),  # EBU 3213
}
_SRGB_PRIMARIES = _PRIMARIES[1]
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# Transfers of SDR video are meant for sRGB-like screens; like browsers, we show their values unchanged.
_GAMMAS = {4: 2.2, 5: 2.8, 17: 2.6}
_ENCODED_STEPS = 1 << 14


@dataclass(frozen=True)
class ColourSpace:
    """Relation between the values of an RGB image and light."""

    primaries: tuple[Xy, Xy, Xy, Xy] = _SRGB_PRIMARIES  # CIE x, y of red, green, blue and white
    transfer: int = SRGB  # ITU-T H.273, table 3; ignored with a `gamma`
    gamma: float | None = None  # light = value ** gamma
    full_range: bool = True  # False: black is 16/255 and white 235/255

    @property
    def is_hdr(self) -> bool:
        """True if the transfer function encodes a high dynamic range (PQ or HLG)."""
        return self.gamma is None and self.transfer in (PQ, HLG)

    @property
    def is_srgb(self) -> bool:
        """True if the colour space is already sRGB."""
        plain = self.gamma is None and self.transfer not in (LINEAR, PQ, HLG, *_GAMMAS)
        return plain and self.full_range and self.primaries == _SRGB_PRIMARIES


def from_cicp(primaries: int, transfer: int, full_range: bool = True) -> ColourSpace:
    """Return the space of two code points; unknown and unspecified ones count as those of sRGB."""
    return ColourSpace(_PRIMARIES.get(primaries, _SRGB_PRIMARIES), transfer, full_range=full_range)


def from_png_gamma(gamma: float, chromaticities: tuple[float, ...] | None) -> ColourSpace:
    """Return the space of a PNG's gAMA and cHRM chunks.

    Args:
        gamma: the exponent of the encoding, usually 1/2.2.
        chromaticities: x, y of white, red, green, blue, in PNG's order.
    """
    primaries = _SRGB_PRIMARIES
    if chromaticities is not None and len(chromaticities) == 8:
        white, red, green, blue = ((chromaticities[at], chromaticities[at + 1]) for at in range(0, 8, 2))
        primaries = (red, green, blue, white)
    return ColourSpace(primaries, gamma=1 / gamma)


def to_srgb(values: Levels, space: ColourSpace, peak_nits: float | None = None) -> RgbImage:
    """Convert an image of any space to sRGB.

    Args:
        values: (H, W, 3) uint8 or uint16, over the whole range of its type.
        space: their colour space.
        peak_nits: peak luminance of HDR, cd/m2; None: measured.
    Returns:
        (H, W, 3) uint8. Colours outside sRGB are clipped, as browsers do.
    """
    if space.is_srgb:
        return np.asarray(values if values.dtype == np.uint8 else (values + np.uint32(128)) // 257, np.uint8)
    linear = _linear_table(space, np.iinfo(values.dtype).max)
    matrix = np.asarray(_matrix(space.primaries, _SRGB_PRIMARIES), np.float32)
    if space.is_hdr:
        matrix /= np.float32(REFERENCE_WHITE_NITS)
    out = np.empty(values.shape, np.uint8)
    if space.is_hdr and peak_nits is None:
        peak_nits = max((_peak(_lit(np.take(linear, values[rows]), space)) for rows in _strips(values)), default=0.0)
    for rows in _strips(values):
        light = np.take(linear, values[rows])
        if space.is_hdr:
            assert peak_nits is not None  # measured above
            light = _tone_mapped(_lit(light, space), peak_nits)
        out[rows] = encode_srgb(np.asarray(cv2.transform(light, matrix), np.float32))
    return out


def encode_srgb(light: FloatArray) -> npt.NDArray[np.uint8]:
    """Encode linear light, any shape, 1 = white, as uint8 sRGB (IEC 61966-2-1)."""
    steps = np.clip(light * np.float32(_ENCODED_STEPS) + np.float32(0.5), 0, _ENCODED_STEPS)
    return np.asarray(np.take(_encoded_table(), steps.astype(np.uint16)), np.uint8)


def tone_curve(nits: FloatArray, peak_nits: float) -> FloatArray:
    """Map (N,) luminances up to `peak_nits` to at most the reference white: BT.2390-11, 5.4, without black lift."""
    if peak_nits <= REFERENCE_WHITE_NITS:
        return nits
    top = _pq_encode(np.float32(peak_nits))
    white = float(_pq_encode(np.float32(REFERENCE_WHITE_NITS)) / top)
    knee = 1.5 * white - 0.5
    signal = np.minimum(_pq_encode(nits) / top, 1)
    t = np.maximum((signal - knee) / (1 - knee), 0)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    return np.where(signal < knee, nits, _pq_decode(bent * top)).astype(np.float32)


def _strips(values: Levels) -> Iterator[slice]:
    """Yield slices of rows of (H, W, 3) with about ROWS_PIXELS pixels each."""
    rows = max(1, ROWS_PIXELS // max(values.shape[1], 1))
    return (slice(top, top + rows) for top in range(0, values.shape[0], rows))


@functools.lru_cache(maxsize=8)
def _linear_table(space: ColourSpace, top: int) -> FloatArray:
    """Tabulate the light of each value, (top + 1,) float32: 1 = white; PQ in cd/m2; HLG scene light."""
    signal = np.arange(top + 1, dtype=np.float64) / top
    if not space.full_range:
        signal = np.clip((signal * 255 - 16) / 219, 0, 1)
    return np.asarray(_to_light(signal, space), np.float32)


def _to_light(signal: npt.NDArray[np.float64], space: ColourSpace) -> npt.NDArray[np.floating]:
    """Convert a signal in [0, 1], any shape, to light: [0, 1], or cd/m2 for PQ."""
    if space.gamma is not None:
        return signal**space.gamma
    match space.transfer:
        case 8:
            return signal
        case 16:
            return _pq_decode(signal)
        case 18:  # ITU-R BT.2100, table 5
            a, b, c = 0.17883277, 0.28466892, 0.55991073
            return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        case code if code in _GAMMAS:
            return signal ** _GAMMAS[code]
        case _:
            return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _lit(light: FloatArray, space: ColourSpace) -> FloatArray:
    """Convert (..., 3) light from the table to a screen's luminances in cd/m2."""
    if space.transfer == PQ:
        return light
    scene = cv2.transform(light, _luminance(space.primaries)[None])  # ITU-R BT.2100, table 5: applied to luminance
    gain = np.float32(HLG_PEAK_NITS) * np.maximum(scene, np.float32(1e-6)) ** np.float32(0.2)
    return np.asarray(light * gain.reshape(*light.shape[:-1], 1), np.float32)


def _peak(nits: FloatArray) -> float:
    """Return the peak of (..., 3) float32 cd/m2, ignoring the brightest 0.1 %, such as highlights."""
    brightest = nits.max(axis=-1).reshape(-1)
    return float(np.percentile(brightest, 99.9)) if brightest.size else 0.0


def _tone_mapped(nits: FloatArray, peak_nits: float) -> FloatArray:
    """Tone-map (..., 3) cd/m2 by the largest channel, which preserves hues."""
    largest = np.maximum(np.maximum(nits[..., 0], nits[..., 1]), nits[..., 2])
    known, gains = _gains(peak_nits)
    return nits * np.interp(largest, known, gains).astype(np.float32)[..., None]


@functools.lru_cache(maxsize=8)
def _gains(peak_nits: float) -> tuple[FloatArray, FloatArray]:
    """Tabulate the tone curve: (N,) float32 luminances in cd/m2, and (N,) float32 gains."""
    known = np.concatenate([np.geomspace(1e-3, peak_nits, 1000), [PQ_PEAK_NITS]]).astype(np.float32)
    return known, tone_curve(np.minimum(known, np.float32(peak_nits)), peak_nits) / known


def _pq_encode(nits: npt.NDArray[np.floating] | np.floating) -> npt.NDArray[np.floating]:
    """Encode cd/m2 in [0, 10000], any shape, as PQ in [0, 1]: SMPTE ST 2084, equation 5.2."""
    part = np.maximum(nits / PQ_PEAK_NITS, 0) ** (2610 / 16384)
    return np.asarray(((3424 / 4096 + 2413 / 128 * part) / (1 + 2392 / 128 * part)) ** (2523 / 32))


def _pq_decode(signal: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Decode PQ values in [0, 1], any shape, to cd/m2: SMPTE ST 2084, equation 5.1."""
    part = np.clip(signal, 0, 1) ** (32 / 2523)
    ratio = np.maximum(part - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * part)
    return np.asarray(PQ_PEAK_NITS * ratio ** (16384 / 2610))


@functools.cache
def _encoded_table() -> npt.NDArray[np.uint8]:
    """Tabulate sRGB values, (_ENCODED_STEPS + 1,) uint8, of light from 0 to 1."""
    light = np.arange(_ENCODED_STEPS + 1) / _ENCODED_STEPS
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(signal * 255), np.uint8)


@functools.cache
def _matrix(source: tuple[Xy, ...], target: tuple[Xy, ...]) -> npt.NDArray[np.float64]:
    """Compute the (3, 3) matrix between linear RGB of two sets of primaries, white to white (Bradford)."""
    return np.asarray(np.linalg.solve(_to_xyz(target), _adaptation(source[3], target[3]) @ _to_xyz(source)))


def _luminance(primaries: tuple[Xy, ...]) -> FloatArray:
    """Return the (3,) contribution of each primary to the luminance."""
    return np.asarray(_to_xyz(primaries)[1], np.float32)


def _to_xyz(primaries: tuple[Xy, ...]) -> npt.NDArray[np.float64]:
    """Compute the (3, 3) float64 matrix from linear RGB to XYZ."""
    columns = np.stack([_xyz(xy) for xy in primaries[:3]], axis=1)
    return np.asarray(columns * np.linalg.solve(columns, _xyz(primaries[3])))


def _adaptation(source_white: Xy, target_white: Xy) -> npt.NDArray[np.float64]:
    """Compute the (3, 3) float64 chromatic adaptation between two whites (Bradford)."""
    if source_white == target_white:
        return np.eye(3)
    scale = (_BRADFORD @ _xyz(target_white)) / (_BRADFORD @ _xyz(source_white))
    return np.asarray(np.linalg.solve(_BRADFORD, scale[:, None] * _BRADFORD))


def _xyz(xy: Xy) -> npt.NDArray[np.float64]:
    """Return the (3,) XYZ of a chromaticity at luminance 1; where y is 0 (the X and Z of XYZ), that axis."""
    x, y = xy
    return np.array([x, y, 1 - x - y]) / (y if y else 1)
