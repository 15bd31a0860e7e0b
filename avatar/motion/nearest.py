"""Search for the frame of a clip whose points are most similar to the source's, as the reference frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2

Float64Array = npt.NDArray[np.float64]


def nearest_by_points(source: npt.ArrayLike, clip: npt.ArrayLike, usable: npt.ArrayLike | None = None) -> int:
    """Return the frame of smallest distance between normalised points, as Siarohin et al. 2019 choose it.

    Args:
        source: (K, 2) landmarks or keypoints, in any unit.
        clip: (T, K, 2), in any unit.
        usable: (T,), False for frames that may not be taken; at least one may.
    """
    distance = distances(source, clip)
    if usable is not None:
        distance = np.where(np.asarray(usable), distance, np.inf)
    return int(np.argmin(distance))


def distances(source: npt.ArrayLike, clip: npt.ArrayLike) -> Float64Array:
    """Return the (T,) distances of (T, K, 2) points from (K, 2) points, independent of position and size."""
    points = normalised(np.asarray(clip, np.float64))
    return np.asarray(np.square(points - normalised(np.asarray(source, np.float64)[None])).sum(axis=(1, 2)))


def normalised(points: Float64Array) -> Float64Array:
    """Centre (T, K, 2) points and divide them by the square root of their hull's area."""
    centred = points - points.mean(axis=1, keepdims=True)
    areas = [float(cv2.contourArea(cv2.convexHull(each.astype(np.float32)))) for each in centred]
    spread = np.sqrt(np.square(centred).sum(axis=2).mean(axis=1))  # points on a line have no area
    sizes = [area**0.5 if area > 1e-8 else max(float(other), 1e-8) for area, other in zip(areas, spread, strict=True)]
    return np.asarray(centred / np.array(sizes)[:, None, None])
