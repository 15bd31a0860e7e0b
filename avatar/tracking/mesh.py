"""The landmark and blendshape networks: 478 landmarks and 52 coefficients for one region of an image."""

from __future__ import annotations

import math

import numpy as np

from avatar.frames import FloatArray, RgbImage
from avatar.tracking.face import LANDMARKS
from avatar.tracking.networks import MESH_SIZE, Network
from avatar.tracking.region import Region

# The points the blendshape network was trained on: outlines of face, eyes, brows, lips and the irises.
BLENDSHAPE_POINTS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])  # fmt: skip


def find_landmarks(network: Network, rgb: RgbImage, region: Region) -> tuple[FloatArray, float]:
    """Run the landmark network on one region of an (H, W, 3) uint8 RGB image.

    Returns:
        (478, 3) float32 landmarks as in `Face`, and the presence in [0, 1]: the network's confidence in a face.
    """
    values = region.crop(rgb, MESH_SIZE)[None].astype(np.float32)
    values *= np.float32(1 / 255)
    points, logit = network.run(values)
    presence = 1 / (1 + math.exp(-min(max(float(logit.reshape(-1)[0]), -50.0), 50.0)))
    return region.to_image(points.reshape(LANDMARKS, 3), MESH_SIZE), presence


def read_blendshapes(network: Network, landmarks: FloatArray) -> FloatArray:
    """Compute (52,) expression coefficients in [0, 1] from (478, 3) landmarks in pixels."""
    (values,) = network.run(np.ascontiguousarray(landmarks[None, BLENDSHAPE_POINTS, :2]))
    return np.clip(values.reshape(-1), 0, 1)
