"""Creep of lips and skin: how far a smile shifts them beyond what the landmarks follow.

Landmarks outline the lips and slide on them: as a smile stretches the mouth, the texture between them moves otherwise
than they say. By how much was measured on pairs of photographs (`tools.fit_creep`), per unit of smile, for smiles that
come and that go.
"""

from __future__ import annotations

import functools

import numpy as np

from avatar.engines.warp.relief import MESH_POINTS
from avatar.engines.warp.shading import smile_fields, smile_sides
from avatar.frames import FloatArray
from avatar.tracking.canonical import canonical_face
from avatar.tracking.face import Face


@functools.cache
def creep_per_unit() -> tuple[FloatArray, FloatArray]:
    """Load the creep of a smile that comes, and of one that goes: (468, 2) each, canonical units, right and down.

    Raises:
        WeightsError: this copy of the program lacks it.
    """
    from safetensors.numpy import load

    from avatar.weights import own_weights

    held = load(own_weights("smile-creep").read_bytes())
    return held["smiling"].astype(np.float32), held["relaxing"].astype(np.float32)


class Creep:
    """The creep of one portrait's landmarks."""

    def __init__(self, face: Face) -> None:
        """Note the pose and the smile of the portrait's face."""
        self._face = face
        sides = smile_sides(canonical_face().points[:MESH_POINTS, :1])
        to_image = face.pose.rotation.T[:2] * np.float32(face.pose.scale_px)
        self._smiling, self._relaxing = (
            np.stack([side * (field @ to_image) for side in sides]) for field in creep_per_unit()
        )  # each (2, 468, 3), for the right and the left, pixels of the portrait

    def of(self, expression_px: FloatArray) -> FloatArray:
        """Return the further displacement (468, 3) of landmarks that an expression displaces by (478, 3), pixels."""
        amounts = smile_fields().of_portrait(self._face, expression_px)
        return np.asarray(
            np.tensordot(np.maximum(amounts, 0), self._smiling, axes=1)
            + np.tensordot(np.maximum(-amounts, 0), self._relaxing, axes=1),
            np.float32,
        )
