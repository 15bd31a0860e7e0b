"""Speech as mouth movement: opening of the jaw, and lips that are spread, rounded or closed, from sound alone.

Loudness, relative to the room's noise and to the speaker's own level, opens the jaw; the first two formants say which
vowel it is. The formants are the resonances of an all-pole model of the vocal tract (linear prediction: Makhoul 1975,
"Linear prediction: a tutorial review"): a high first one means an open jaw, a high second one spread lips, a low second
one rounded lips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from avatar.tracking.smoothing import OneEuroFilter

RATE_HZ = 16_000  # of the sound that is analysed
HOP = 160  # samples between two analyses: 10 ms
_WINDOW = 400  # samples of one analysis: 25 ms
_FFT = 512
_TRACT_ORDER = 10  # poles at 8 kHz: two for each of the four or five resonances below 4 kHz
_WIDEST_HZ = 500.0  # bandwidth above which a pole pair is the spectrum's tilt, not a resonance

_SILENCE_DB = -65.0  # full scale = 0; quieter is never speech
_ABOVE_NOISE_DB = 9.0  # how far above the noise speech begins
_LEAST_RANGE_DB = 18.0  # between the quietest and the loudest speech
_NOISE_RISES_DB_S, _PEAK_FALLS_DB_S = 2.0, 1.5
_FIRST_NOISE_DB, _FIRST_PEAK_DB = -60.0, -24.0

_CLOSED_F1_HZ, _OPEN_F1_HZ = 330.0, 780.0  # first formant of a closed and of an open vowel, between men's and women's
_NASAL_F1_HZ, _NASAL_F2_HZ = 320.0, 1350.0  # limits of the resonances of m with the mouth closed
_SPREAD_F2_HZ, _NEUTRAL_F2_HZ, _ROUND_F2_HZ = 2100.0, 1500.0, 950.0


@dataclass(frozen=True)
class MouthShape:
    """Shape of a speaking mouth; all zero: closed and at rest."""

    jaw: float = 0.0  # 0 closed, 1 as wide as in loud, open vowels
    spread: float = 0.0  # 0..1, corners drawn apart, as in "ee"
    rounded: float = 0.0  # 0..1, lips pushed forward, as in "oo"
    pressed: float = 0.0  # 0..1, lips pressed together, as in "m"
    loudness: float = 0.0  # 0 silence, 1 as loud as this speaker gets

    def values(self) -> FloatArray:
        """Return (5,) float32 in the order of the fields."""
        return np.array([self.jaw, self.spread, self.rounded, self.pressed, self.loudness], np.float32)


CLOSED = MouthShape()


class SpeechReader:
    """Reads a stream of sound; one speaker, one thread."""

    def __init__(self) -> None:
        self._tail = np.zeros(0, np.float32)  # samples of the next analysis that are here already
        self._read = 0  # samples that were analysed, at HOP each
        self._levels = _Levels()
        # Lips close within 50 ms of a stop consonant, so the cut-off rises quickly with speed.
        self._filter = OneEuroFilter(min_cutoff_hz=4.0, beta=1.2, derivative_cutoff_hz=8.0)
        self.shape = CLOSED  # the newest

    def hear(self, samples: FloatArray) -> Iterator[tuple[float, MouthShape]]:
        """Analyse (N,) mono samples in [-1, 1] at RATE_HZ, which follow on those before.

        Yields:
            For each HOP: the end of its window in seconds since the first sample, and the mouth.
        """
        finite = np.nan_to_num(np.asarray(samples, np.float32), posinf=0.0, neginf=0.0)
        heard = np.concatenate([self._tail, np.clip(finite, -1.0, 1.0)])
        count = max(0, (len(heard) - _WINDOW) // HOP + 1)
        for number in range(count):
            window = heard[number * HOP : number * HOP + _WINDOW]
            self._read += HOP
            end_s = (self._read - HOP + _WINDOW) / RATE_HZ
            target = self._levels.shape_of(window)
            smooth = np.clip(self._filter.filter(target.values(), end_s), 0.0, 1.0)
            self.shape = MouthShape(*(float(value) for value in smooth))
            yield end_s, self.shape
        self._tail = heard[count * HOP :]


class Downsampler:
    """Takes every third sample of a stream, after a low-pass: from a microphone's 48 kHz to RATE_HZ."""

    TIMES = 3

    def __init__(self) -> None:
        self._tail = np.zeros(len(_THIRD_BAND) - 1, np.float32)  # the filter's past
        self._phase = 0  # samples to leave out before the next one that is taken

    def take(self, samples: FloatArray) -> FloatArray:
        """Return the (about N / TIMES,) samples that (N,) more complete."""
        if not len(samples):
            return samples
        heard = np.concatenate([self._tail, samples])
        self._tail = heard[len(heard) - len(self._tail) :]
        filtered = np.convolve(heard, _THIRD_BAND, "valid")
        taken = filtered[self._phase :: self.TIMES]
        self._phase = (self._phase - len(filtered)) % self.TIMES
        return np.asarray(taken, np.float32)


class _Levels:
    """The room's noise and the speaker's loudest level, followed over time."""

    def __init__(self) -> None:
        self._noise_db, self._peak_db = _FIRST_NOISE_DB, _FIRST_PEAK_DB

    def shape_of(self, window: FloatArray) -> MouthShape:
        """Return the unsmoothed mouth for one (_WINDOW,) window."""
        window = np.asarray(window - window.mean(), np.float32)
        level_db = 10 * float(np.log10(np.mean(window**2) + 1e-12))
        loudness = self._loudness(level_db)
        if loudness <= 0:
            return CLOSED
        power = np.abs(np.fft.rfft(window * _HANN, _FFT)) ** 2
        total = float(power.sum()) + 1e-20
        hissing = float(power[_band(3500, 8000)].sum()) / total
        if hissing > 0.5:  # s, f, sh: the teeth nearly meet
            return MouthShape(jaw=0.15 * loudness, spread=0.35, loudness=loudness)
        first_hz, second_hz = formants(window)
        murmur = float(power[_band(0, 400)].sum()) / total
        nasal = 0.0
        if second_hz < _NASAL_F2_HZ:  # m: little but the murmur of the nose is left
            nasal = float(np.clip((_NASAL_F1_HZ - first_hz) / 50, 0, 1) * np.clip((murmur - 0.75) / 0.1, 0, 1))
        opened = float(np.clip((first_hz - _CLOSED_F1_HZ) / (_OPEN_F1_HZ - _CLOSED_F1_HZ), 0.0, 1.0))
        spread = (second_hz - _NEUTRAL_F2_HZ) / (_SPREAD_F2_HZ - _NEUTRAL_F2_HZ)
        rounded = (_NEUTRAL_F2_HZ - second_hz) / (_NEUTRAL_F2_HZ - _ROUND_F2_HZ)
        voiced = 1 - nasal
        return MouthShape(
            jaw=voiced * loudness * (0.5 + 0.5 * opened),
            spread=voiced * float(np.clip(spread, 0.0, 1.0)) * (1 - 0.5 * opened),
            rounded=voiced * float(np.clip(rounded, 0.0, 1.0)) * (1 - 0.8 * opened),
            pressed=nasal,
            loudness=loudness,
        )

    def _loudness(self, level_db: float) -> float:
        """Return 0 (noise) to 1 (the speaker's loudest), and follow both levels."""
        step_s = HOP / RATE_HZ
        self._noise_db = max(min(level_db, self._noise_db + _NOISE_RISES_DB_S * step_s), _SILENCE_DB)
        self._peak_db = max(level_db, self._peak_db - _PEAK_FALLS_DB_S * step_s)
        begins_db = self._noise_db + _ABOVE_NOISE_DB
        span_db = max(self._peak_db - begins_db, _LEAST_RANGE_DB)
        return float(np.clip((level_db - begins_db) / span_db, 0.0, 1.0))


def formants(window: FloatArray) -> tuple[float, float]:
    """Return the first two resonances of the vocal tract in Hz; those of a neutral vowel where there are none.

    Args:
        window: (_WINDOW,) at RATE_HZ.
    """
    low = np.convolve(window, _HALF_BAND, "same")[::2]  # 8 kHz: resonances above 4 kHz say nothing of vowels
    whitened = np.append(low[0], low[1:] - 0.95 * low[:-1]) * np.hamming(len(low))  # a voice falls with frequency
    correlation = np.correlate(whitened, whitened, "full")[len(low) - 1 : len(low) + _TRACT_ORDER]
    if correlation[0] <= 1e-9:
        return 500.0, _NEUTRAL_F2_HZ
    index = np.abs(np.arange(_TRACT_ORDER)[:, None] - np.arange(_TRACT_ORDER))
    matrix = correlation[index] + 1e-4 * correlation[0] * np.eye(_TRACT_ORDER)
    predictor = np.linalg.solve(matrix, correlation[1:])
    poles = np.roots(np.append(1.0, -predictor))
    poles = poles[poles.imag > 0]
    places_hz = np.angle(poles) * 8000 / (2 * np.pi)
    widths_hz = -np.log(np.abs(poles) + 1e-9) * 8000 / np.pi
    found = np.sort(places_hz[(widths_hz < _WIDEST_HZ) & (places_hz > 180) & (places_hz < 3600)])
    first = float(found[0]) if found.size else 500.0
    later = found[(found > first + 250)] if found.size else found
    return first, float(later[0]) if later.size else _NEUTRAL_F2_HZ


def _band(low_hz: float, high_hz: float) -> slice:
    """Return the bins of the spectrum between two frequencies."""
    return slice(round(low_hz * _FFT / RATE_HZ), round(high_hz * _FFT / RATE_HZ))


def _low_pass(cutoff: float, taps: int) -> FloatArray:
    """Return a windowed-sinc low-pass (taps,); `cutoff` in cycles per sample."""
    place = np.arange(taps) - (taps - 1) / 2
    kernel = 2 * cutoff * np.sinc(2 * cutoff * place) * np.hamming(taps)
    return np.asarray(kernel / kernel.sum(), np.float32)


_HANN = np.hanning(_WINDOW).astype(np.float32)
_HALF_BAND = _low_pass(0.23, 31)
_THIRD_BAND = _low_pass(0.13, 63)
