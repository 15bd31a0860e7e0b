"""Compute the canonical head from images of neutral, frontal faces: `python -m avatar.tracking.fit_canonical`.

The mean face has to come from the landmark network itself, because the network's depth is not metric. The faces are
aligned to each other (generalized Procrustes analysis, Gower 1975), faces that look aside or make a face are left
out, and the mean is made symmetric, so that yaw and roll of a face that looks straight ahead are zero.

The numbers that ship come from the 90 people of the Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0,
doi 10.6084/m9.figshare.5047666), whose photographs were taken straight from the front.

The weight of a point measures its rigidity: the inverse variance of its displacement between a neutral and a smiling
image of the same person after alignment, over points that lie on bone (forehead, temples, nose bridge, cheekbones).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray
from avatar.tracking.canonical import CanonicalFace
from avatar.tracking.face import LANDMARKS
from avatar.tracking.pose import angles_deg, fit_similarity, rotation_from_angles
from avatar.tracking.tracker import FaceTracker

# Candidates for rigid points. Lids, brows, lips, nostrils, chin and jaw line are left out: expression moves them.
RIGID = {
    "forehead": (10, 338, 297, 332, 284, 109, 67, 103, 54, 151, 337, 299, 333, 108, 69, 104, 9, 8),
    "temples": (251, 389, 356, 21, 162, 127, 301, 368, 71, 139, 264, 34),
    "bridge": (168, 6, 197, 195, 5, 4, 1, 122, 351, 196, 419, 3, 248, 193, 417, 245, 465),
    "cheek-bones": (454, 234, 447, 227, 345, 116, 372, 143, 340, 111, 323, 93),
    "eye corners": (33, 263, 133, 362),
}
MAX_CROOKED = 0.05  # mean distance between a point and its mirrored partner, over its mean distance from the centroid
_EAR, _OTHER_EAR = 234, 454
_EYE, _OTHER_EYE = 33, 263


def generalized_procrustes(shapes: Sequence[FloatArray], rounds: int = 5) -> npt.NDArray[np.float64]:
    """Return the (478, 3) mean of (478, 3) shapes, each aligned to it by a similarity (Gower 1975)."""
    weights = np.ones(len(shapes[0]))
    mean = np.asarray(shapes[0], np.float64)
    for _ in range(rounds):
        mean = np.mean([align(shape, mean, weights) for shape in shapes], axis=0)
    return mean


def align(
    shape: npt.NDArray[np.floating], onto: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Align (N, 3) `shape` to (N, 3) `onto` by the least-squares similarity with weights (N,)."""
    scale, rotation, shift = fit_similarity(shape, onto, weights)
    return scale * shape @ rotation.T + shift


def find_mirror(face: npt.NDArray[np.floating], rounds: int = 10) -> npt.NDArray[np.int64]:
    """Pair left and right points by aligning a face to its own mirror image.

    Args:
        face: (478, 3), roughly frontal and nearly symmetric.
    Returns:
        (478,) int64 index of each point's partner on the other side.
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    face = face - face.mean(axis=0)
    flipped = face * (-1, 1, 1)
    for _ in range(rounds):  # iterative closest points, one to one: closed lips lie on each other
        distance = np.linalg.norm(face[:, None] - flipped[None], axis=-1)
        partner = np.asarray(linear_sum_assignment(distance**2)[1])
        scale, rotation, shift = fit_similarity(flipped[partner], face, np.ones(len(face)))
        flipped = scale * flipped @ rotation.T + shift
    apart = np.linalg.norm(flipped[partner] - face, axis=1).mean() / np.linalg.norm(face, axis=1).mean()
    if apart > MAX_CROOKED or not np.array_equal(partner[partner], np.arange(len(face))):
        raise ValueError("the mean face is too crooked to pair its left and right points")
    return partner


def symmetric(mean: npt.NDArray[np.floating], mirror: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Average a (478, 3) face with its mirror image and rotate it so that its plane of symmetry is x = 0.

    Args:
        mean: (478, 3).
        mirror: (478,) from `find_mirror`.
    Returns:
        (478, 3) float64; the unit is the distance between the outer eye corners.
    """
    flipped = mean[mirror] * (-1, 1, 1)
    both = (mean + align(flipped, mean, np.ones(len(mean)))) / 2
    across = (both - both[mirror])[mean[:, 0] > mean[mirror, 0]].sum(axis=0)
    normal = across / np.linalg.norm(across)
    x_axis = np.array([1.0, 0, 0])
    # Smallest rotation that takes the normal to the x axis (Rodrigues); it leaves pitch unchanged.
    axis = np.cross(normal, x_axis)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turned = both @ (np.eye(3) + skew + skew @ skew / (1 + normal @ x_axis)).T
    turned -= (turned[_EAR] + turned[_OTHER_EAR]) / 2
    exact = (turned + turned[mirror] * (-1, 1, 1)) / 2
    return np.asarray(exact / np.linalg.norm(exact[_EYE] - exact[_OTHER_EYE]))


def rigid_weights(
    pairs: Sequence[tuple[FloatArray, FloatArray]], mirror: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Compute rigidity weights: the inverse variance of a point between two expressions, iteratively reweighted.

    Args:
        pairs: (478, 3) landmarks of a neutral and of a smiling face.
        mirror: (478,) from `find_mirror`.
    Returns:
        (478,) float64, sum 1.
    """
    candidates = np.array([index for indices in RIGID.values() for index in indices])
    candidates = np.union1d(candidates, mirror[candidates])
    weights = np.zeros(len(mirror))
    weights[candidates] = 1
    for _ in range(10):
        errors = [_relative_error(first, second, weights) for first, second in pairs]
        variance = np.mean(np.square(errors), axis=0)[candidates]
        share = 1 / (variance + np.median(variance))  # the median keeps a few points from dominating
        weights[candidates] = share / share.sum()
        weights = (weights + weights[mirror]) / 2
    return weights


def _relative_error(first: FloatArray, second: FloatArray, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (N,) distances between two aligned (N, 3) shapes, in distances between the outer eye corners."""
    size = np.linalg.norm(second[_EYE] - second[_OTHER_EYE])
    return np.asarray(np.linalg.norm(align(first, second, weights) - second, axis=1) / size)


def levelled(
    points: npt.NDArray[np.floating], faces: Sequence[FloatArray], weights: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Pitch the canonical head so that the faces it was made from look neither up nor down on average.

    Args:
        points: (478, 3), the canonical head.
        faces: (478, 3) each.
        weights: (478,) rigidity weights.
    """
    pitch = np.mean([angles_deg(fit_similarity(points, face, weights)[1])[1] for face in faces])
    return np.asarray(points @ rotation_from_angles(0, float(pitch), 0).T, np.float64)


def fit(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> dict[str, npt.NDArray[np.generic]]:
    """Compute the canonical head from pairs of (478, 3) landmarks, neutral and smiling, of one person each.

    Returns:
        points (478, 3) float32 and weights (478,) float32 as in `CanonicalFace`, mirror (478,) int32.
    """
    neutral = [face for face, _ in pairs]
    mean = generalized_procrustes(neutral)
    mirror = find_mirror(mean)
    points = symmetric(mean, mirror)
    weights = rigid_weights(pairs, mirror)
    points = levelled(points, neutral, weights)
    return {
        "points": points.astype(np.float32),
        "weights": weights.astype(np.float32),
        "mirror": mirror.astype(np.int32),
    }


def read_pairs(folder: Path, tracker: FaceTracker) -> list[tuple[FloatArray, FloatArray]]:
    """Track every NAME_neutral.jpg and NAME_smiling.jpg in a folder; returns pairs of (478, 3) landmarks."""
    pairs = []
    for path in sorted(folder.glob("*_neutral.jpg")):
        files = path, path.with_name(path.name.replace("_neutral", "_smiling"))
        faces = [tracker.detect(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)) for file in files]
        if all(faces):
            pairs.append((faces[0][0].landmarks, faces[1][0].landmarks))
    return pairs


def main(arguments: Sequence[str] | None = None) -> None:
    """Write models/canonical-face.safetensors."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="pictures NAME_neutral.jpg and NAME_smiling.jpg")
    parser.add_argument("--model", type=Path, required=True, help="face_landmarker.task")
    parser.add_argument("--out", type=Path, default=Path("models/canonical-face.safetensors"))
    parser.add_argument("--credit", default="pictures of our own", help="whose pictures they are; noted in the file")
    options = parser.parse_args(arguments)
    any_head = CanonicalFace(
        np.eye(LANDMARKS, 3, dtype=np.float32), np.ones(LANDMARKS, np.float32), np.arange(LANDMARKS, dtype=np.int32)
    )
    pairs = read_pairs(options.folder, FaceTracker(options.model, canonical=any_head))
    save_file(fit(pairs), options.out, metadata={"pictures": f"{len(pairs)} pairs in {options.credit}"})
    print(f"{options.out}: mean of {len(pairs)} faces")


if __name__ == "__main__":
    main()
