"""Point indices of the 478-point face mesh, by part of the face.

"Right" and "left" are the subject's own. Contours run from corner to corner, and the n-th point of an upper contour
lies opposite the n-th point of the lower one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def _points(*indices: int) -> Indices:
    """Create a read-only index array (N,)."""
    array = np.array(indices, dtype=np.intp)
    array.setflags(write=False)
    return array


FACE_OVAL = _points(
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
FOREHEAD_TOP, CHIN, RIGHT_EAR, LEFT_EAR = 10, 152, 234, 454
NOSE_TIP, NOSE_BASE = 1, 2


@dataclass(frozen=True, eq=False)
class EyeRegion:
    """One eye: its two lid lines, the rings of skin around them and the iris."""

    outer: int
    inner: int
    upper: Indices  # (7,) lid line, outer to inner
    lower: Indices  # (7,)
    upper_rings: tuple[Indices, ...]  # (7,) each, going away from the eye
    lower_rings: tuple[Indices, ...]
    brow: Indices  # (10,)
    iris: int  # centre
    iris_rim: Indices  # (4,)

    @property
    def corners(self) -> list[int]:
        """The indices of the outer and the inner corner."""
        return [self.outer, self.inner]

    @property
    def contour(self) -> Indices:
        """The closed lid line: outer corner, upper lid, inner corner, lower lid back; (16,)."""
        return np.concatenate([[self.outer], self.upper, [self.inner], self.lower[::-1]])


RIGHT_EYE = EyeRegion(
    outer=33,
    inner=133,
    upper=_points(246, 161, 160, 159, 158, 157, 173),
    lower=_points(7, 163, 144, 145, 153, 154, 155),
    upper_rings=(_points(247, 30, 29, 27, 28, 56, 190), _points(113, 225, 224, 223, 222, 221, 189)),
    lower_rings=(_points(25, 110, 24, 23, 22, 26, 112), _points(31, 228, 229, 230, 231, 232, 233)),
    brow=_points(70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    iris=468,
    iris_rim=_points(469, 470, 471, 472),
)
LEFT_EYE = EyeRegion(
    outer=263,
    inner=362,
    upper=_points(466, 388, 387, 386, 385, 384, 398),
    lower=_points(249, 390, 373, 374, 380, 381, 382),
    upper_rings=(_points(467, 260, 259, 257, 258, 286, 414), _points(342, 445, 444, 443, 442, 441, 413)),
    lower_rings=(_points(255, 339, 254, 253, 252, 256, 341), _points(261, 448, 449, 450, 451, 452, 453)),
    brow=_points(300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
    iris=473,
    iris_rim=_points(474, 475, 476, 477),
)
EYES = (RIGHT_EYE, LEFT_EYE)

# Lips, each row from the subject's right corner to the left one, from the outer edge to the inner edge.
MOUTH_CORNERS = _points(61, 76, 62, 78, 291, 306, 292, 308)
UPPER_LIP = (
    _points(185, 40, 39, 37, 0, 267, 269, 270, 409),
    _points(184, 74, 73, 72, 11, 302, 303, 304, 408),
    _points(183, 42, 41, 38, 12, 268, 271, 272, 407),
    _points(191, 80, 81, 82, 13, 312, 311, 310, 415),
)
LOWER_LIP = (
    _points(146, 91, 181, 84, 17, 314, 405, 321, 375),
    _points(77, 90, 180, 85, 16, 315, 404, 320, 307),
    _points(96, 89, 179, 86, 15, 316, 403, 319, 325),
    _points(95, 88, 178, 87, 14, 317, 402, 318, 324),
)
RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER = 61, 291
CHEEKS = _points(57, 43, 106, 186, 92, 212, 216, 206, 287, 273, 335, 410, 322, 432, 436, 426)  # beside the mouth
UPPER_LIP_POINTS = np.concatenate(UPPER_LIP)
LOWER_LIP_POINTS = np.concatenate(LOWER_LIP)
