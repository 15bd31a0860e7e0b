"""The smooth step that weights fade with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray


def smoothstep(value: npt.ArrayLike, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """0 at `low`, 1 at `high`, 3t^2 - 2t^3 between and constant beyond, in either order."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
