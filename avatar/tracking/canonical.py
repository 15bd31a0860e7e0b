"""The canonical head: the mean neutral face that poses are measured against, with a rigidity weight per point."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar.errors import WeightsError
from avatar.frames import FloatArray
from avatar.system.installation import INSTALL_AGAIN
from avatar.system.message import Message
from avatar.tracking.face import LANDMARKS, HeadPose
from avatar.tracking.pose import head_pose


@dataclass(frozen=True, eq=False)
class CanonicalFace:
    """The mean face in the frame that `HeadPose` describes; read-only."""

    points: FloatArray  # (478, 3), units of the distance between the outer eye corners
    weights: FloatArray  # (478,), how much each point counts for the pose; 0 where expression moves it
    mirror: npt.NDArray[np.int32]  # (478,), each point's partner on the other side of the face

    def pose(self, landmarks: FloatArray) -> HeadPose:
        """Estimate the head pose from (478, 3) float32 landmarks, as in `Face`."""
        return head_pose(landmarks, self.points, self.weights)


def load_canonical(path: Path) -> CanonicalFace:
    """Read a canonical face written by `avatar.tracking.fit_canonical`.

    Raises:
        WeightsError: the file is missing or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        numbers = load(path.read_bytes())
        face = CanonicalFace(
            numbers["points"].astype(np.float32),
            numbers["weights"].astype(np.float32),
            numbers["mirror"].astype(np.int32),
        )
    except (OSError, KeyError, SafetensorError) as error:
        raise WeightsError(
            Message("The mean face {path} is missing or damaged.", path=path), remedy=INSTALL_AGAIN
        ) from error
    if (face.points.shape, face.weights.shape, face.mirror.shape) != ((LANDMARKS, 3), (LANDMARKS,), (LANDMARKS,)):
        raise WeightsError(Message("The mean face {path} has the wrong shape.", path=path), remedy=INSTALL_AGAIN)
    return face


@functools.cache
def canonical_face() -> CanonicalFace:
    """Return the mean face that ships with the program.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    from avatar.weights import own_weights

    return load_canonical(own_weights("canonical-face"))


def pose_of(landmarks: FloatArray) -> HeadPose:
    """Estimate the head pose from (478, 3) landmarks as in `Face`, against the mean face that ships."""
    return canonical_face().pose(landmarks)
