"""Fidelity of one tracked clip to another: correlation and gain of each channel of the motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.motion.track import MotionTrack
from avatar.tracking.face import BLENDSHAPES

Float64Array = npt.NDArray[np.float64]

# Terms of each channel: (sign, blendshape); the sum is divided by the number of sides of the face that it covers.
_MEANS: dict[str, tuple[tuple[float, str], ...]] = {
    "jawOpen": ((1, "jawOpen"),),
    "blink": ((0.5, "eyeBlinkLeft"), (0.5, "eyeBlinkRight")),
    "smile": ((0.5, "mouthSmileLeft"), (0.5, "mouthSmileRight")),
    "mouthPucker": ((1, "mouthPucker"),),
    "brows": (
        (1, "browInnerUp"),
        (0.5, "browOuterUpLeft"),
        (0.5, "browOuterUpRight"),
        (-0.5, "browDownLeft"),
        (-0.5, "browDownRight"),
    ),
    # > 0: towards the right of the image. The left eye is on the right of the image.
    "gaze_x": (
        (0.5, "eyeLookOutLeft"),
        (-0.5, "eyeLookInLeft"),
        (0.5, "eyeLookInRight"),
        (-0.5, "eyeLookOutRight"),
    ),
    # > 0: up
    "gaze_y": (
        (0.5, "eyeLookUpLeft"),
        (0.5, "eyeLookUpRight"),
        (-0.5, "eyeLookDownLeft"),
        (-0.5, "eyeLookDownRight"),
    ),
}
POSE_CHANNELS = ("yaw", "pitch", "roll")
GAZE_CHANNELS = ("gaze_x", "gaze_y")
CHANNELS = (*POSE_CHANNELS, *_MEANS, "gaze")
# On a still portrait that is only shifted and rolled, the tracker's yaw and pitch spread by 0.1 to 0.9 degrees, its
# coefficients by 0.00 to 0.08. A driver spread below STILL is such noise; above CLEAR it hardly lowers correlations.
STILL_DEG, STILL_COEFFICIENT = 0.5, 0.02
CLEAR_DEG, CLEAR_COEFFICIENT = 1.5, 0.1
BLINKING = 0.5  # a closing eye hides its iris, so such frames are excluded from the gaze


@dataclass(frozen=True)
class Channel:
    """Comparison of one channel over a clip. Spreads are standard deviations, in degrees or coefficients."""

    name: str
    correlation: float | None  # [-1, 1]; None: the driving clip does not move this channel
    gain: float | None  # spread of the result over spread of the driving clip; None likewise
    driving_spread: float
    result_spread: float

    @property
    def clear(self) -> bool:
        """True if the driver moves this channel well above the tracker's noise."""
        return self.driving_spread >= (CLEAR_DEG if self.name in POSE_CHANNELS else CLEAR_COEFFICIENT)


def channel_series(track: MotionTrack) -> dict[str, Float64Array]:
    """Return each channel's values (T,): degrees for the pose, coefficients for the others; without "gaze"."""
    poses = [track.face(index).pose for index in range(len(track))]
    series: dict[str, Float64Array] = {
        "yaw": np.array([pose.yaw_deg for pose in poses], np.float64),
        "pitch": np.array([pose.pitch_deg for pose in poses], np.float64),
        "roll": np.array([pose.roll_deg for pose in poses], np.float64),
    }
    for name, parts in _MEANS.items():
        weights = np.zeros(len(BLENDSHAPES))
        for weight, blendshape in parts:
            weights[BLENDSHAPES.index(blendshape)] = weight
        series[name] = track.blendshapes.astype(np.float64) @ weights
    return series


def match_frames(driving: MotionTrack, result: MotionTrack) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair the frames of two clips by their times since each clip's start: two (N,) arrays of frame numbers.

    A frame of the result is paired with the nearest driving frame within half a frame period.
    """
    driving_s, result_s = driving.times_s - driving.times_s[0], result.times_s - result.times_s[0]
    if len(driving) == 1:
        return np.zeros(1, np.intp), np.zeros(1, np.intp)
    after = np.clip(np.searchsorted(driving_s, result_s), 1, len(driving) - 1)
    nearest = np.where(result_s - driving_s[after - 1] <= driving_s[after] - result_s, after - 1, after)
    tolerance_s = 0.5 * float(np.median(np.diff(driving_s))) + 1e-6
    kept = np.flatnonzero(np.abs(driving_s[nearest] - result_s) <= tolerance_s)
    return nearest[kept].astype(np.intp), kept.astype(np.intp)


def compare_tracks(driving: MotionTrack, result: MotionTrack) -> dict[str, Channel]:
    """Compare the motion of two clips of the same length, channel by channel, over the frames where both show a face.

    Correlation is Pearson's; "gaze" pools its two axes: the sum of their covariances over the root of the sums of
    their variances. The gaze leaves out frames in which the driver blinks.
    """
    driving_at, result_at = match_frames(driving, result)
    seen = (driving.presence[driving_at] > 0) & (result.presence[result_at] > 0)
    driving_series, result_series = channel_series(driving), channel_series(result)
    pairs = {
        name: (values[driving_at[seen]], result_series[name][result_at[seen]])
        for name, values in driving_series.items()
    }
    looking = pairs["blink"][0] < BLINKING
    for name in GAZE_CHANNELS:
        pairs[name] = (pairs[name][0][looking], pairs[name][1][looking])
    channels = {}
    for name in CHANNELS:
        axes = [pairs[axis] for axis in (GAZE_CHANNELS if name == "gaze" else (name,))]
        still = STILL_DEG if name in POSE_CHANNELS else STILL_COEFFICIENT
        channels[name] = _compare(name, axes, still)
    return channels


def frames_lost(driving: MotionTrack, result: MotionTrack) -> int:
    """Count the frames with a face in the driving clip and none in the result."""
    driving_at, result_at = match_frames(driving, result)
    return int(((driving.presence[driving_at] > 0) & (result.presence[result_at] <= 0)).sum())


def _compare(name: str, axes: list[tuple[Float64Array, Float64Array]], still: float) -> Channel:
    """Compare one channel over its axes, pairs of (N,) values of driver and result."""
    if min(len(driving) for driving, _ in axes) < 2:
        return Channel(name, None, None, 0.0, 0.0)
    driving_variance = sum(float(driving.var()) for driving, _ in axes)
    result_variance = sum(float(result.var()) for _, result in axes)
    shared = sum(float(np.mean((driving - driving.mean()) * (result - result.mean()))) for driving, result in axes)
    driving_spread, result_spread = driving_variance**0.5, result_variance**0.5
    if driving_spread < still:
        return Channel(name, None, None, driving_spread, result_spread)
    correlation = shared / (driving_spread * result_spread) if result_spread > 1e-9 else 0.0
    return Channel(name, correlation, result_spread / driving_spread, driving_spread, result_spread)
