"""Can this picture be animated? What speaks against it, in sentences, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from avatar import weights
from avatar.errors import FaceError, UsageError
from avatar.frames import RgbImage
from avatar.portrait_crop import Box
from avatar.tracking.face import Face
from avatar.tracking.regions import FACE_OVAL, LEFT_EAR, RIGHT_EAR

MIN_EAR_TO_EAR_PX = 80.0
GOOD_EAR_TO_EAR_PX = 160.0
MAX_YAW_DEG, MAX_PITCH_DEG = 45.0, 35.0
MAX_CUT = 0.12  # share of the face's outline that may lie outside the picture
CLOSE_TO_EDGE = 0.08  # of the distance between the ears
SHUT_EYE, OPEN_MOUTH = 0.6, 0.35  # coefficients eyeBlink and jawOpen
LARGE_PICTURE_PX = 24_000_000


class Level(IntEnum):
    """How much a remark matters."""

    NOTE = 0  # worth knowing
    WARNING = 1  # works, and looks worse than it could
    REFUSAL = 2  # cannot be animated


@dataclass(frozen=True)
class Remark:
    """One thing about a picture and what to do about it."""

    level: Level
    # "upright": the picture was turned, and all the others are of the turned one
    code: str  # stable name: "no-face", "several-faces", "small", "turned", "cut", "edge", "eyes", "mouth", "size"
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


@dataclass(frozen=True, eq=False)
class PortraitReport:
    """What was found in a picture."""

    width_px: int
    height_px: int
    face: Face | None  # the face that is animated
    remarks: tuple[Remark, ...]  # gravest first
    faces: tuple[Face, ...] = ()  # all that were found, largest first; `check_portrait` takes another by its number
    turn_deg: int = 0  # by how much the picture was turned clockwise before; all else is of the turned one
    crop: Box | None = None  # the part that was looked at, of the turned picture; None: all of it

    @property
    def refusal(self) -> Remark | None:
        """The gravest reason why this picture cannot be animated, if any."""
        return next((remark for remark in self.remarks if remark.level is Level.REFUSAL), None)

    @property
    def warnings(self) -> tuple[Remark, ...]:
        """What makes the result look worse than it could."""
        return tuple(remark for remark in self.remarks if remark.level is Level.WARNING)

    @property
    def ok(self) -> bool:
        """Whether the picture can be animated."""
        return self.refusal is None

    def raise_if_refused(self) -> None:
        """Raises: FaceError with the refusal's words, if there is one."""
        if self.refusal is not None:
            raise FaceError(self.refusal.what, remedy=self.refusal.remedy)


def check_portrait(rgb: RgbImage, faces: Sequence[Face], number: int | None = None) -> PortraitReport:
    """Judge a picture by the faces found in it.

    Args:
        rgb: (H, W, 3).
        faces: largest first as `FaceTracker.detect` gives them.
        number: of the face to animate, 1 = the largest; None: the user was not asked.
    Raises:
        UsageError: there is no face of that number.
    """
    height_px, width_px = rgb.shape[:2]
    chosen = 1 if number is None else number
    if faces and not 1 <= chosen <= len(faces):
        known = "one face" if len(faces) == 1 else f"{len(faces)} faces"
        raise UsageError(f"There is no face {number}: the picture shows {known}.", remedy="The largest is number 1.")
    face = faces[chosen - 1] if faces else None
    remarks = [_no_face()] if face is None else _about_face(face, width_px, height_px)
    if len(faces) > 1 and number is None:
        remarks.append(_several(faces))
    if height_px * width_px > LARGE_PICTURE_PX:
        what = f"The picture is {width_px}x{height_px}, larger than animating needs, so it takes more time and memory."
        remarks.append(Remark(Level.NOTE, "size", what, "Give --size 1080, or a smaller copy, to make it faster."))
    remarks.sort(key=lambda remark: -remark.level)
    return PortraitReport(width_px, height_px, face, tuple(remarks), tuple(faces))


def ear_to_ear_px(face: Face) -> float:
    """Width of the head between the ears' front edges in pixels, the same however the head is turned."""
    return float(np.linalg.norm(face.landmarks[LEFT_EAR] - face.landmarks[RIGHT_EAR]))


def _about_face(face: Face, width_px: int, height_px: int) -> list[Remark]:
    found = (_size(face), _turn(face), _edge(face, width_px, height_px), _eyes(face), _mouth(face))
    return [remark for remark in found if remark is not None]


def _no_face() -> Remark:
    remedy = "Take a picture that shows one face from the front, well lit, with eyes, nose and mouth in view."
    if not weights.present("fan"):
        remedy += " For a painting or a drawing a second opinion may help (python run.py models pull fan)."
    remedy += " Or mark the face by hand, in the window or with avatars add --marks; drawings and animals need that."
    return Remark(Level.REFUSAL, "no-face", "There is no face in this picture that the tracker can find.", remedy)


def _several(faces: Sequence[Face]) -> Remark:
    others = ", ".join(f"number {number} at {_box(face)}" for number, face in enumerate(faces[1:], 2))
    return Remark(
        Level.WARNING,
        "several-faces",
        f"There are {len(faces)} faces; the largest, at {_box(faces[0])}, is taken. Left alone: {others}.",
        "Choose another by its number, or crop the picture to it.",
    )


def _box(face: Face) -> str:
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    x, y, right, bottom = (round(float(value)) for value in (*low, *high))
    return f"x {x}..{right}, y {y}..{bottom}"


def _size(face: Face) -> Remark | None:
    width = ear_to_ear_px(face)
    if width >= GOOD_EAR_TO_EAR_PX:
        return None
    if width < MIN_EAR_TO_EAR_PX:
        what = f"The face is too small: {width:.0f} pixels between the ears, and {MIN_EAR_TO_EAR_PX:.0f} are needed."
        return Remark(Level.REFUSAL, "small", what, "Use a larger picture, or one taken from nearer.")
    what = f"The face is small ({width:.0f} pixels between the ears), so details will be soft."
    return Remark(Level.WARNING, "small", what, f"{GOOD_EAR_TO_EAR_PX:.0f} pixels or more look better.")


def _turn(face: Face) -> Remark | None:
    yaw, pitch = face.pose.yaw_deg, face.pose.pitch_deg
    if abs(yaw) > MAX_YAW_DEG:
        side = "right" if yaw > 0 else "left"
        limit = f"{MAX_YAW_DEG:.0f} is the most that works."
        what = f"The face is turned {abs(yaw):.0f} degrees to the {side} of the picture; {limit}"
    elif abs(pitch) > MAX_PITCH_DEG:
        way = "up" if pitch > 0 else "down"
        what = f"The face looks {way} by {abs(pitch):.0f} degrees; {MAX_PITCH_DEG:.0f} is the most that works."
    else:
        return None
    return Remark(Level.REFUSAL, "turned", what, "Use a picture that shows the face more from the front.")


def _edge(face: Face, width_px: int, height_px: int) -> Remark | None:
    outline = face.landmarks[FACE_OVAL, :2]
    corner = np.array([width_px - 1, height_px - 1])
    inside = np.minimum(outline, corner - outline).min(axis=1)  # pixels to the nearest edge
    remedy = "Use a picture with some room around the head, best with neck and shoulders."
    cut = float((inside < 0).mean())
    if cut > MAX_CUT:
        what = f"The picture's edge cuts off part of the face ({cut:.0%} of its outline)."
        return Remark(Level.REFUSAL, "cut", what, remedy)
    if inside.min() < CLOSE_TO_EDGE * ear_to_ear_px(face):
        what = "The face touches the picture's edge, so the edge will show when the head moves."
        return Remark(Level.WARNING, "edge", what, remedy)
    return None


def _eyes(face: Face) -> Remark | None:
    left, right = face.blendshape("eyeBlinkLeft"), face.blendshape("eyeBlinkRight")
    if max(left, right) < SHUT_EYE:
        return None
    which = "eyes are" if min(left, right) >= SHUT_EYE else f"{'left' if left > right else 'right'} eye is"
    what = f"The {which} closed in the picture, and an eye that the picture does not show cannot open."
    return Remark(Level.WARNING, "eyes", what, "Use a picture with open eyes.")


def _mouth(face: Face) -> Remark | None:
    if face.blendshape("jawOpen") < OPEN_MOUTH:
        return None
    what = "The mouth is open in the picture."
    return Remark(Level.NOTE, "mouth", what, "It will close when the driver's does; a closed mouth looks best.")
