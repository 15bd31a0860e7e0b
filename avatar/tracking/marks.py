"""Faces marked by hand, for drawings and animals in which no tracker finds one.

Ten marks determine the whole mesh: the mean face is fitted to them by a similarity, then bent by a smooth spline that
passes through them. Optional marks improve the fit; eyes whose shape is not human need their lids marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from avatar.errors import FaceError, UsageError
from avatar.frames import FloatArray
from avatar.system.foreign_text import quoted
from avatar.system.message import Message, together
from avatar.system.small_files import read_toml
from avatar.tracking.canonical import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.regions import EYES, EyeRegion
from avatar.tracking.sparse import mesh_from_points

Point = tuple[float, float]  # x, y in pixels of the image, 0 = centre of the first pixel
Marks = Mapping[str, Point]

# Right and left are the person's own: the right eye is at the left of the image.
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
MARKS = (*NEEDED, *OPTIONAL)  # in the order in which the user is asked for them
_STIFFNESS = 0.004
_TRUST = {"chin": 0.3, "forehead": 0.2, "right_ear": 0.2, "left_ear": 0.2, "right_brow": 0.3, "left_brow": 0.3}
_HELD = (10, 234, 454, 105, 334, 172, 397)  # anchors of the spline where not marked: forehead, ears, brows, jaw
MIN_EYE_SPAN_PX = 24.0
MAX_MISFIT = 0.35  # residual of the rigid fit in eye distances: people stay below 0.1, cartoons and animals below 0.2
OUTSIDE = 0.25  # how far beyond the image border a mark may lie, as a fraction of the image size


def fit_marks(marks: Marks, width_px: int, height_px: int) -> Face:
    """Fit the face mesh to marks.

    Args:
        marks: NEEDED and any of OPTIONAL, by name.
        width_px, height_px: size of the image.
    Returns:
        A face with all landmarks and no expression: a drawing counts as neutral.
    Raises:
        UsageError: a mark is missing, unknown or not inside the image.
        FaceError: the marks do not form a face, or lie too close together.
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


def marks_of(landmarks: FloatArray) -> dict[str, Point]:
    """Return all MARKS of a face, for instance of one that was found, as a start for marking by hand.

    Args:
        landmarks: (478, 3) float32, as in `Face`.
    Returns:
        (x, y) of each mark, in the units of the landmarks.
    """
    irises = {"right_iris": (EYES[0].iris,), "left_iris": (EYES[1].iris,)}
    places = {name: landmarks[list(irises.get(name, points)), :2] for name, points in (NEEDED | OPTIONAL).items()}
    return {name: (float(place[:, 0].mean()), float(place[:, 1].mean())) for name, place in places.items()}


def parse_marks(texts: list[str]) -> dict[str, Point]:
    """Parse marks from the command line: x,y for each of NEEDED in order, then NAME=x,y for others.

    Raises:
        UsageError: a mark cannot be parsed, or their number is wrong.
    """
    order, marks = iter(NEEDED), {}
    for text in texts:
        name, _, place = text.rpartition("=")
        name = name or next(order, "")
        try:
            x, y = (float(part) for part in place.split(","))
        except ValueError:
            what = Message("The mark {text} is not understood.", text=quoted(text))
            raise UsageError(what, remedy="Give x,y in pixels: 120,85") from None
        if not name:
            raise UsageError(Message("The mark {text} is one too many.", text=quoted(text)), remedy=_ORDER)
        marks[name] = (x, y)
    return marks


def read_marks(path: Path) -> dict[str, Point]:
    """Read marks from a TOML file with lines such as chin = [240, 410], optionally in a table [marks].

    Raises:
        UsageError: the file cannot be read, or a line is not a mark.
    """
    try:
        found = read_toml(path)
        found = found.get("marks", found)
        return {name: (float(x), float(y)) for name, (x, y) in found.items()}
    except OSError as error:
        raise UsageError(
            Message("{path} cannot be read: {why}.", path=path, why=error.strerror), remedy="Check the file's name."
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        remedy = "Write a line for each mark: chin = [240, 410]"
        raise UsageError(Message("{path} does not hold marks.", path=path), remedy=remedy) from error


def _checked(marks: Marks, width_px: int, height_px: int) -> dict[str, FloatArray]:
    """Validate marks and return them as (2,) float32 pixels, in the order of MARKS."""
    if unknown := sorted(set(marks) - set(MARKS)):
        raise UsageError(
            Message("There is no mark called {name}.", name=quoted(unknown[0])),
            remedy=Message("There are: {names}.", names=", ".join(MARKS)),
        )
    if missing := [name for name in NEEDED if name not in marks]:
        raise UsageError(Message("The mark {name} is missing.", name=missing[0]), remedy=_ORDER)
    size = np.array([width_px, height_px])
    room = OUTSIDE * size
    for name, point in marks.items():
        place = np.asarray(point, np.float64)
        if not (place.shape == (2,) and np.isfinite(place).all() and (np.abs(place) < 1e6).all()):
            raise UsageError(
                Message("The mark {name} is not a position: {point}.", name=name, point=point),
                remedy="Give x,y in pixels.",
            )
        if (place < -room).any() or (place > size + room).any():
            raise UsageError(
                Message(
                    "The mark {name} at {x:.0f},{y:.0f} lies outside the picture, which is {width_px} x {height_px}.",
                    name=name,
                    x=place[0],
                    y=place[1],
                    width_px=width_px,
                    height_px=height_px,
                ),
                remedy="Give pixels from the upper left corner.",
            )
    return {name: np.asarray(marks[name], np.float32) for name in MARKS if name in marks}


@dataclass(frozen=True, eq=False)
class _Layout:
    """Marks in eye coordinates: x from the person's right eye to the left one, y down; unit = eye span."""

    at: dict[str, FloatArray]  # (2,) each
    span_px: float  # distance between the outer eye corners

    @staticmethod
    def of(marks: dict[str, FloatArray]) -> _Layout:
        across = marks["left_eye_outer"] - marks["right_eye_outer"]
        span_px = float(np.hypot(*across))
        right = across / max(span_px, 1e-6)
        axes = np.stack([right, [-right[1], right[0]]], axis=1) / max(span_px, 1e-6)
        middle = (marks["left_eye_outer"] + marks["right_eye_outer"]) / 2
        return _Layout({name: np.asarray((point - middle) @ axes) for name, point in marks.items()}, span_px)

    def check(self) -> None:
        """Raise FaceError if the marks do not form a face."""
        if self.span_px < MIN_EYE_SPAN_PX:
            raise FaceError(
                Message("According to these marks the eyes are only {span_px:.0f} pixels apart.", span_px=self.span_px),
                remedy=Message(
                    "Use a larger picture; {least:.0f} between the outer corners are the least.",
                    least=MIN_EYE_SPAN_PX,
                ),
            )
        x, y = ({name: float(point[axis]) for name, point in self.at.items()} for axis in (0, 1))
        mouth = (y["upper_lip"] + y["lower_lip"]) / 2
        if mouth < 0 and y["chin"] < 0:
            raise FaceError(
                "According to these marks the mouth lies above the eyes.",
                remedy="The person's right eye is the one at the left of the picture: are the eyes swapped?",
            )
        rows = ("nose_tip", "upper_lip", "lower_lip", "chin")
        for upper, lower in pairwise(rows):
            if y[lower] <= y[upper]:
                raise _above(lower, upper)
        if y["nose_tip"] < -0.1:
            raise _above("nose_tip", "right_eye_inner")
        columns = ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer")
        for pair in (*pairwise(columns), ("mouth_right", "mouth_left")):
            if x[pair[1]] <= x[pair[0]]:
                what = Message(
                    "According to these marks the {first} lies on the wrong side of the {second}.",
                    first=_called(pair[1]),
                    second=_called(pair[0]),
                )
                raise FaceError(what, remedy=_MISPLACED)
        for side in ("right", "left"):
            top, bottom = (y.get(f"{side}_eye_{edge}") for edge in ("top", "bottom"))
            if top is not None and bottom is not None and bottom <= top:
                raise _above(f"{side}_eye_bottom", f"{side}_eye_top")


def _above(first: str, second: str) -> FaceError:
    what = Message(
        "According to these marks the {first} lies above the {second}.", first=_called(first), second=_called(second)
    )
    return FaceError(what, remedy=_MISPLACED)


def _place_iris(landmarks: FloatArray, eye: EyeRegion, at: FloatArray | None) -> None:
    """Move an iris to its mark, or midway between the lids.

    Args:
        landmarks: (478, 3), changed in place.
        eye: the eye that the iris belongs to.
        at: (2,) pixels; None if it was not marked.
    """
    middle = (landmarks[eye.upper[3], :2] + landmarks[eye.lower[3], :2]) / 2
    shift = (middle if at is None else at) - landmarks[eye.iris, :2]
    landmarks[[eye.iris, *eye.iris_rim], :2] += shift


def _called(name: str) -> Message:
    """Return a mark's name as a word of a sentence."""
    return Message(name.replace("_", " "))


_MISPLACED = "Move the one that is misplaced."
_ORDER = Message(
    "Mark {marks}: right and left are the person's own.", marks=together(*map(_called, NEEDED), between=", ")
)
