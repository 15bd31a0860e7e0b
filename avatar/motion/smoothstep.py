"""The smoothstep function, used to fade weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray


def smoothstep(value: npt.ArrayLike, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """Interpolate by 3t^2 - 2t^3 from 0 at `low` to 1 at `high`, constant beyond; `low` may exceed `high`."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
