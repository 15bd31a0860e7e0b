"""The canonical head: the mean neutral face that poses are measured against, and which of its points are rigid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.errors import WeightsError
from avatar.frames import FloatArray
from avatar.tracking.face import LANDMARKS

CANONICAL_FILE = "canonical-face.safetensors"


@dataclass(frozen=True, eq=False)
class CanonicalFace:
    """The mean face in the frame that `HeadPose` describes, and its rigid points."""

    points: FloatArray  # (478, 3), units of the distance between the outer eye corners
    weights: FloatArray  # (478,), how much each point counts for the pose; 0 where expression moves it


def load_canonical(path: Path | None = None) -> CanonicalFace:
    """Read the mean face that ships with the program, or one from `path`.

    Raises:
        WeightsError: the file is missing or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = path or Path(__file__).resolve().parents[2] / "models" / CANONICAL_FILE
    try:
        numbers = load(path.read_bytes())
        points, weights = numbers["points"].astype(np.float32), numbers["weights"].astype(np.float32)
    except (OSError, KeyError, SafetensorError) as error:
        raise WeightsError(f"The mean face {path} is missing or damaged.", remedy="Install Masque again.") from error
    if points.shape != (LANDMARKS, 3) or weights.shape != (LANDMARKS,):
        raise WeightsError(f"The mean face {path} has the wrong shape.", remedy="Install Masque again.")
    return CanonicalFace(points, weights)
