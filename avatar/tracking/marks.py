"""A face marked by hand, for drawings and animals in which no tracker finds one.

Ten marks give the whole mesh: the mean face is turned and scaled until it fits them, then bent smoothly so that it
passes through them. More marks make it follow a drawing more closely; eyes that are not human in shape need their lids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from avatar.errors import FaceError, UsageError
from avatar.foreign_text import quoted
from avatar.frames import FloatArray
from avatar.small_files import read_toml
from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, EyeRegion
from avatar.tracking.sparse import mesh_from_points

Point = tuple[float, float]  # x, y in pixels of the picture, 0 = centre of the first pixel
Marks = Mapping[str, Point]

# Right and left are the person's own: the right eye is at the left of the picture.
NEEDED = {
    "right_eye_outer": (33,), "right_eye_inner": (133,), "left_eye_inner": (362,), "left_eye_outer": (263,),
    "nose_tip": (4,), "mouth_right": (61, 76, 62, 78), "mouth_left": (291, 306, 292, 308),
    "upper_lip": (0,), "lower_lip": (17,), "chin": (152,),
}  # fmt: skip
OPTIONAL = {
    "right_eye_top": (159,), "right_eye_bottom": (145,), "left_eye_top": (386,), "left_eye_bottom": (374,),
    "right_iris": (), "left_iris": (), "right_brow": (105,), "left_brow": (334,),
    "mouth_line": (13, 14), "right_ear": (234,), "left_ear": (454,), "forehead": (10,),
}  # fmt: skip
MARKS = (*NEEDED, *OPTIONAL)  # in the order in which a person is asked for them
_STIFFNESS = 0.004
_TRUST = {"chin": 0.3, "forehead": 0.2, "right_ear": 0.2, "left_ear": 0.2, "right_brow": 0.3, "left_brow": 0.3}
_HELD = (10, 234, 454, 105, 334, 172, 397)  # forehead, ears, brows and jaw, where they are not marked
MIN_EYE_SPAN_PX = 24.0
MAX_MISFIT = 0.35  # of the rigid head, in eye distances: people stay below 0.1, cartoons and animals below 0.2
OUTSIDE = 0.25  # of the picture's sides: how far beyond its edge a mark may lie


def fit_marks(marks: Marks, width_px: int, height_px: int) -> Face:
    """The face that marks describe.

    Args:
        marks: NEEDED and any of OPTIONAL, by name.
        width_px, height_px: of the picture.
    Returns:
        All landmarks, and no expression: a drawing counts as neutral.
    Raises:
        UsageError: a mark is missing, unknown or no place in the picture.
        FaceError: the marks lie as in no face, or too close together.
    """
    checked = _checked(marks, width_px, height_px)
    _Layout.of(checked).check()
    mesh = [(index, name) for name in checked for index in (NEEDED | OPTIONAL)[name]]
    trust = np.array([_TRUST.get(name, 1.0) / len((NEEDED | OPTIONAL)[name]) for _, name in mesh])
    held = np.setdiff1d(_HELD, [index for index, _ in mesh])
    fit = mesh_from_points(
        np.array([index for index, _ in mesh]),
        np.array([checked[name] for _, name in mesh]),
        trust,
        canonical_face(),
        stiffness=_STIFFNESS,
        held=held,
    )
    if fit.misfit > MAX_MISFIT:
        raise FaceError(
            "These marks do not lie as in a face seen from the front.",
            remedy="Check that each is on its own part; a face in profile cannot be animated.",
        )
    landmarks = fit.landmarks
    for eye, side in zip(EYES, ("right", "left"), strict=True):
        _place_iris(landmarks, eye, checked.get(f"{side}_iris"))
    return Face(landmarks, np.zeros(len(BLENDSHAPES), np.float32), 1.0, pose_of(landmarks))


def parse_marks(texts: list[str]) -> dict[str, Point]:
    """Read marks as a command line gives them: x,y for each of NEEDED in order, then NAME=x,y for others.

    Raises:
        UsageError: one is not understood, or their number is wrong.
    """
    order, marks = iter(NEEDED), {}
    for text in texts:
        name, _, place = text.rpartition("=")
        name = name or next(order, "")
        try:
            x, y = (float(part) for part in place.split(","))
        except ValueError:
            what = f"The mark {quoted(text)} is not understood."
            raise UsageError(what, remedy="Give x,y in pixels: 120,85") from None
        if not name:
            raise UsageError(f"The mark {quoted(text)} is one too many.", remedy=_ORDER)
        marks[name] = (x, y)
    return marks


def read_marks(path: Path) -> dict[str, Point]:
    """Read marks from a TOML file, a line for each: chin = [240, 410]. A table [marks] around them may be.

    Raises:
        UsageError: it cannot be read, or a line is no mark.
    """
    try:
        found = read_toml(path)
        found = found.get("marks", found)
        return {name: (float(x), float(y)) for name, (x, y) in found.items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", remedy="Check the file's name.") from error
    except (ValueError, TypeError, AttributeError) as error:
        remedy = "Write a line for each mark: chin = [240, 410]"
        raise UsageError(f"{path} does not hold marks.", remedy=remedy) from error


def _checked(marks: Marks, width_px: int, height_px: int) -> dict[str, FloatArray]:
    if unknown := sorted(set(marks) - set(MARKS)):
        raise UsageError(f"There is no mark called {quoted(unknown[0])}.", remedy=f"There are: {', '.join(MARKS)}.")
    if missing := [name for name in NEEDED if name not in marks]:
        raise UsageError(f"The mark {missing[0]} is missing.", remedy=_ORDER)
    size = np.array([width_px, height_px])
    room = OUTSIDE * size
    for name, point in marks.items():
        place = np.asarray(point, np.float64)
        if not (place.shape == (2,) and np.isfinite(place).all() and (np.abs(place) < 1e6).all()):
            raise UsageError(f"The mark {name} is no place: {point}.", remedy="Give x,y in pixels.")
        if (place < -room).any() or (place > size + room).any():
            raise UsageError(
                f"The mark {name} at {place[0]:.0f},{place[1]:.0f} lies outside the picture, which is "
                f"{width_px} x {height_px}.",
                remedy="Give pixels from the upper left corner.",
            )
    return {name: np.asarray(marks[name], np.float32) for name in MARKS if name in marks}


@dataclass(frozen=True, eq=False)
class _Layout:
    """Marks in the frame of the eyes: x from the person's right eye to the left one, y down; in eye spans."""

    at: dict[str, FloatArray]
    span_px: float  # between the outer corners

    @staticmethod
    def of(marks: dict[str, FloatArray]) -> _Layout:
        across = marks["left_eye_outer"] - marks["right_eye_outer"]
        span_px = float(np.hypot(*across))
        right = across / max(span_px, 1e-6)
        axes = np.stack([right, [-right[1], right[0]]], axis=1) / max(span_px, 1e-6)
        middle = (marks["left_eye_outer"] + marks["right_eye_outer"]) / 2
        return _Layout({name: np.asarray((point - middle) @ axes) for name, point in marks.items()}, span_px)

    def check(self) -> None:
        """Raises: FaceError where the marks lie as in no face."""
        if self.span_px < MIN_EYE_SPAN_PX:
            raise FaceError(
                f"The eyes are only {self.span_px:.0f} pixels apart by these marks.",
                remedy=f"Use a larger picture; {MIN_EYE_SPAN_PX:.0f} between the outer corners are the least.",
            )
        x, y = ({name: float(point[axis]) for name, point in self.at.items()} for axis in (0, 1))
        mouth = (y["upper_lip"] + y["lower_lip"]) / 2
        if mouth < 0 and y["chin"] < 0:
            raise FaceError(
                "By these marks the mouth lies above the eyes.",
                remedy="The person's right eye is the one at the left of the picture: are the eyes swapped?",
            )
        rows = ("nose_tip", "upper_lip", "lower_lip", "chin")
        for upper, lower in pairwise(rows):
            if y[lower] <= y[upper]:
                raise _crossed(lower, "above", upper)
        if y["nose_tip"] < -0.1:
            raise _crossed("nose_tip", "above", "right_eye_inner")
        columns = ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer")
        for pair in (*pairwise(columns), ("mouth_right", "mouth_left")):
            if x[pair[1]] <= x[pair[0]]:
                raise _crossed(pair[1], "on the wrong side of", pair[0])
        for side in ("right", "left"):
            top, bottom = (y.get(f"{side}_eye_{edge}") for edge in ("top", "bottom"))
            if top is not None and bottom is not None and bottom <= top:
                raise _crossed(f"{side}_eye_bottom", "above", f"{side}_eye_top")


def _crossed(first: str, how: str, second: str) -> FaceError:
    first, second = (name.replace("_", " ") for name in (first, second))
    return FaceError(f"By these marks the {first} lies {how} the {second}.", remedy="Move the one that is misplaced.")


def _place_iris(landmarks: FloatArray, eye: EyeRegion, at: FloatArray | None) -> None:
    """Move an iris to its mark, or midway between the lids."""
    middle = (landmarks[eye.upper[3], :2] + landmarks[eye.lower[3], :2]) / 2
    shift = (middle if at is None else at) - landmarks[eye.iris, :2]
    landmarks[[eye.iris, *eye.iris_rim], :2] += shift


_ORDER = f"Mark {', '.join(name.replace('_', ' ') for name in NEEDED)}: right and left are the person's own."
