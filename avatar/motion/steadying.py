"""Smoothing over time of motion that is known in full: symmetric in time, never across a cut."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray
from avatar.motion.parameters import Measured, ParameterTrack
from avatar.motion.presence import CATCH_S, HOLD_S
from avatar.motion.track import MotionTrack

OUTLINE_S = 0.15  # standard deviation of the average over landmarks that place a crop
HEAD_S = 0.05  # of that over angles, position and size
EXPRESSION_S = 0.02  # of that over expressions: a blink takes a tenth of a second
_REACH = 4.0  # standard deviations after which a Gaussian counts as 0


def presence_weights(
    presence: FloatArray, times_s: npt.NDArray[np.floating], cuts: Sequence[int] = ()
) -> npt.NDArray[np.float64]:
    """Return the weight of motion in each frame, (T,): 0 without a face, rising to 1 on both sides of such a gap.

    Args:
        presence: (T,), 0 = no face.
        times_s: (T,), non-decreasing.
        cuts: indices of the first frames with a face after a cut. Gaps shorter than HOLD_S are bridged, but not these.
    """
    seen = presence > 0
    edges = np.flatnonzero(np.diff(seen.astype(np.int8), prepend=1, append=1))
    for start, end in zip(edges[::2], edges[1::2], strict=True):  # the frames without a face are start .. end - 1
        inside = start > 0 and end < len(seen) and end not in cuts
        if inside and times_s[end] - times_s[start - 1] < HOLD_S:
            seen[start:end] = True
    gone = np.asarray(times_s, np.float64)[~seen]
    if gone.size == 0:
        return np.ones(len(seen))
    after = np.searchsorted(gone, times_s).clip(0, len(gone) - 1)
    nearest = np.minimum(np.abs(gone[after] - times_s), np.abs(times_s - gone[np.maximum(after - 1, 0)]))
    rising = np.clip(nearest / CATCH_S, 0, 1)
    return np.where(seen, np.maximum(rising * rising * (3 - 2 * rising), 1e-3), 0.0)


def steady_outline(track: MotionTrack, number: int) -> FloatArray:
    """Return the landmarks (478, 2) around a frame, averaged over the frames of its shot that show a face."""
    near, weights = _around(track.times_s, track.cuts, track.presence, float(track.times_s[number]), OUTLINE_S)
    if weights.sum() < 1e-9:
        return np.array(track.landmarks[number, :, :2])
    mean = np.tensordot(weights / weights.sum(), track.landmarks[near, :, :2], axes=1)
    track.let_go()
    return np.asarray(mean, np.float32)


def steady_parameters(track: ParameterTrack, time_s: float, cuts: Sequence[int] = ()) -> Measured:
    """Return the parameters at any time of a clip, smoothed over the frames of the shot that show a face.

    Args:
        track: the clip's parameters.
        time_s: on the clock of `track.times_s`; before the first and after the last frame those go on.
        cuts: the first frame with a face after each cut.
    """
    step_s = float(np.median(np.diff(track.times_s))) if len(track) > 1 else 0.0
    time_s = min(max(time_s, float(track.times_s[0])), float(track.times_s[-1]))
    number = int(np.abs(track.times_s - time_s).argmin())
    found: dict[str, FloatArray] = {}
    for deviation_s, names in ((HEAD_S, ("angles_deg", "translation", "scale")), (EXPRESSION_S, ("expression",))):
        # Between the frames of a slow clip a narrower Gaussian would jump from one to the next.
        near, weights = _around(track.times_s, cuts, track.presence, time_s, max(deviation_s, step_s / 2))
        for name in names:
            values = getattr(track, name)
            seen = weights.sum() > 1e-9
            found[name] = np.tensordot(weights / weights.sum(), values[near], axes=1) if seen else values[number]
    return Measured(
        **{name: np.asarray(value, np.float32) for name, value in found.items()}, openings=track.openings[number]
    )


def _around(
    times_s: npt.NDArray[np.floating], cuts: Sequence[int], presence: FloatArray, time_s: float, deviation_s: float
) -> tuple[slice, npt.NDArray[np.float64]]:
    """Return the frames (N) near a time in the same shot and their weights (N,), 0 where no face is seen.

    `times_s`, `presence`: (T,).
    """
    number = int(np.abs(times_s - time_s).argmin())
    shot = bisect.bisect_right(cuts, number)
    first = cuts[shot - 1] if shot else 0
    end = cuts[shot] if shot < len(cuts) else len(times_s)
    reach_s = _REACH * deviation_s
    low = max(int(np.searchsorted(times_s, time_s - reach_s)), first)
    high = min(int(np.searchsorted(times_s, time_s + reach_s, side="right")), end)
    near = slice(low, max(high, low))
    weights = np.exp(-0.5 * ((times_s[near] - time_s) / deviation_s) ** 2) * (presence[near] > 0)
    return near, np.asarray(weights, np.float64)
