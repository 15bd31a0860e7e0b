"""Check whether an image can be animated, with remarks for the user, each with a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from avatar import weights
from avatar.errors import FaceError, UsageError
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box
from avatar.system.message import Message, together
from avatar.tracking.face import Face
from avatar.tracking.regions import FACE_OVAL, LEFT_EAR, RIGHT_EAR

MIN_EAR_TO_EAR_PX = 80.0
GOOD_EAR_TO_EAR_PX = 160.0
MAX_YAW_DEG, MAX_PITCH_DEG = 45.0, 35.0
MAX_CUT = 0.12  # maximum fraction of the face's outline outside the image
CLOSE_TO_EDGE = 0.08  # distance from the edge, over the distance between the ears
HAIR_ABOVE, CHEST_BELOW = 0.3, 0.25  # room that hair and neck take above and below the outline, over the same distance
SHUT_EYE, OPEN_MOUTH = 0.6, 0.35  # thresholds of eyeBlink and jawOpen
LARGE_IMAGE_PX = 24_000_000  # pixels above which a remark is made


_SECOND_OPINION = "For a painting or a drawing a second opinion may help (python run.py models pull fan)."

_TURNED_RIGHT = "The face is turned {angle:.0f} degrees to the right of the picture; at most {most:.0f} work."
_TURNED_LEFT = "The face is turned {angle:.0f} degrees to the left of the picture; at most {most:.0f} work."


class Level(IntEnum):
    """Severity of a remark."""

    NOTE = 0  # for information
    WARNING = 1  # lowers the quality of the result
    REFUSAL = 2  # cannot be animated


@dataclass(frozen=True)
class Remark:
    """A remark about an image, with its remedy."""

    level: Level
    # Stable names: "no-face", "several-faces", "small", "turned", "cut", "edge", "tight", "eyes", "mouth", "size";
    # "upright": the image was rotated; all other remarks refer to the rotated image
    code: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


@dataclass(frozen=True, eq=False)
class PortraitReport:
    """Result of the check of an image."""

    width_px: int
    height_px: int
    face: Face | None  # the face that is animated
    remarks: tuple[Remark, ...]  # most severe first
    faces: tuple[Face, ...] = ()  # all faces, largest first; `check_portrait` can choose another by its number
    turn_deg: int = 0  # clockwise rotation applied first; everything else refers to the rotated image
    crop: Box | None = None  # the checked part of the rotated image; None: the whole image

    @property
    def refusal(self) -> Remark | None:
        """The most severe reason why the image cannot be animated, if any."""
        return next((remark for remark in self.remarks if remark.level is Level.REFUSAL), None)

    @property
    def warnings(self) -> tuple[Remark, ...]:
        """Remarks about problems that lower the quality of the result."""
        return tuple(remark for remark in self.remarks if remark.level is Level.WARNING)

    @property
    def ok(self) -> bool:
        """True if the image can be animated."""
        return self.refusal is None

    def raise_if_refused(self) -> None:
        """Raise FaceError with the text of the refusal, if there is one."""
        if self.refusal is not None:
            raise FaceError(self.refusal.what, remedy=self.refusal.remedy)


def check_portrait(rgb: RgbImage, faces: Sequence[Face], number: int | None = None) -> PortraitReport:
    """Check an image by the faces found in it.

    Args:
        rgb: (H, W, 3).
        faces: largest first, as returned by `FaceTracker.detect`.
        number: number of the face to animate, 1 = the largest; None: no choice was made.
    Raises:
        UsageError: there is no face of that number.
    """
    height_px, width_px = rgb.shape[:2]
    chosen = 1 if number is None else number
    if faces and not 1 <= chosen <= len(faces):
        what = (
            Message("There is no face {number}: the picture shows one face.", number=number)
            if len(faces) == 1
            else Message("There is no face {number}: the picture shows {count} faces.", number=number, count=len(faces))
        )
        raise UsageError(what, remedy="The largest is number 1.")
    face = faces[chosen - 1] if faces else None
    remarks = [_no_face()] if face is None else _about_face(face, width_px, height_px)
    if len(faces) > 1 and number is None:
        remarks.append(_several(faces))
    if height_px * width_px > LARGE_IMAGE_PX:
        what = Message(
            "The picture is {width_px}x{height_px}, larger than animating needs, so it takes more time and memory.",
            width_px=width_px,
            height_px=height_px,
        )
        remarks.append(Remark(Level.NOTE, "size", what, "Give --size 1080, or a smaller copy, to make it faster."))
    remarks.sort(key=lambda remark: -remark.level)
    return PortraitReport(width_px, height_px, face, tuple(remarks), tuple(faces))


def ear_to_ear_px(face: Face) -> float:
    """Return the width of the head between the ears' front edges in pixels, independent of its rotation."""
    return float(np.linalg.norm(face.landmarks[LEFT_EAR] - face.landmarks[RIGHT_EAR]))


def _about_face(face: Face, width_px: int, height_px: int) -> list[Remark]:
    found = (_size(face), _turn(face), _edge(face, width_px, height_px), _eyes(face), _mouth(face))
    return [remark for remark in found if remark is not None]


def _no_face() -> Remark:
    fan = "" if weights.present("fan") else _SECOND_OPINION
    remedy = together(
        "Take a picture that shows one face from the front, well lit, with eyes, nose and mouth in view.",
        fan,
        "Or mark the face by hand, in the window or with avatars add --marks; drawings and animals need that.",
    )
    return Remark(Level.REFUSAL, "no-face", "There is no face in this picture that the tracker can find.", remedy)


def _several(faces: Sequence[Face]) -> Remark:
    others = together(
        *(
            Message("number {number} at {box}", number=number, box=_box(face))
            for number, face in enumerate(faces[1:], 2)
        ),
        between=", ",
    )
    return Remark(
        Level.WARNING,
        "several-faces",
        Message(
            "There are {count} faces; the largest, at {box}, is used. Ignored: {others}.",
            count=len(faces),
            box=_box(faces[0]),
            others=others,
        ),
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
        what = Message(
            "The face is too small: {width:.0f} pixels between the ears, and {least:.0f} are needed.",
            width=width,
            least=MIN_EAR_TO_EAR_PX,
        )
        return Remark(Level.REFUSAL, "small", what, "Use a larger picture, or one taken from closer.")
    what = Message("The face is small ({width:.0f} pixels between the ears), so details will be soft.", width=width)
    return Remark(
        Level.WARNING,
        "small",
        what,
        Message("{enough:.0f} pixels or more look better.", enough=GOOD_EAR_TO_EAR_PX),
    )


def _turn(face: Face) -> Remark | None:
    yaw, pitch = face.pose.yaw_deg, face.pose.pitch_deg
    if abs(yaw) > MAX_YAW_DEG:
        what = Message(
            _TURNED_RIGHT if yaw > 0 else _TURNED_LEFT,
            angle=abs(yaw),
            most=MAX_YAW_DEG,
        )
    elif abs(pitch) > MAX_PITCH_DEG:
        what = Message(
            "The face looks up by {angle:.0f} degrees; at most {most:.0f} work."
            if pitch > 0
            else "The face looks down by {angle:.0f} degrees; at most {most:.0f} work.",
            angle=abs(pitch),
            most=MAX_PITCH_DEG,
        )
    else:
        return None
    return Remark(Level.REFUSAL, "turned", what, "Use a picture that shows the face more from the front.")


def _edge(face: Face, width_px: int, height_px: int) -> Remark | None:
    outline = face.landmarks[FACE_OVAL, :2]
    corner = np.array([width_px - 1, height_px - 1])
    inside = np.minimum(outline, corner - outline).min(axis=1)  # pixels to the nearest edge
    remedy = "Use a picture with some space around the head, best with neck and shoulders."
    cut = float((inside < 0).mean())
    if cut > MAX_CUT:
        share = Message("The picture's edge cuts off part of the face ({cut:.0%} of its outline).", cut=cut)
        return Remark(Level.REFUSAL, "cut", share, remedy)
    if inside.min() < CLOSE_TO_EDGE * ear_to_ear_px(face):
        what = "The face touches the picture's edge, so the edge will show when the head moves."
        return Remark(Level.WARNING, "edge", what, remedy)
    return _tight(outline[:, 1], ear_to_ear_px(face), height_px)


def _tight(heights_px: FloatArray, ear_to_ear: float, height_px: int) -> Remark | None:
    """Remark on hair or a neck that the picture lacks, by the (N,) heights of the face's outline in the picture."""
    hair = float(heights_px.min()) < HAIR_ABOVE * ear_to_ear
    neck = height_px - 1 - float(heights_px.max()) < CHEST_BELOW * ear_to_ear
    if not hair and not neck:
        return None
    what = (
        "The picture is cropped close to the head, above and below; what moves in from beyond it is made up."
        if hair and neck
        else "The picture's upper edge cuts off the hair; what moves in from beyond it is made up."
        if hair
        else "The picture ends below the chin, so the neck follows the head only a little."
    )
    return Remark(Level.NOTE, "tight", what, "A picture with more room around the head moves more naturally.")


def _eyes(face: Face) -> Remark | None:
    left, right = face.blendshape("eyeBlinkLeft"), face.blendshape("eyeBlinkRight")
    if max(left, right) < SHUT_EYE:
        return None
    if min(left, right) >= SHUT_EYE:
        what = "The eyes are closed in the picture, and an eye that the picture does not show cannot open."
    elif left > right:
        what = "The left eye is closed in the picture, and an eye that the picture does not show cannot open."
    else:
        what = "The right eye is closed in the picture, and an eye that the picture does not show cannot open."
    return Remark(Level.WARNING, "eyes", what, "Use a picture with open eyes.")


def _mouth(face: Face) -> Remark | None:
    if face.blendshape("jawOpen") < OPEN_MOUTH:
        return None
    what = "The mouth is open in the picture."
    return Remark(Level.NOTE, "mouth", what, "It will close when the driver's does; a closed mouth looks best.")
