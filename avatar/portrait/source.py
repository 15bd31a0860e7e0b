"""The source image of an animation: the animated part of an image, its alpha channel, and its faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.frames import AlphaImage, RgbImage
from avatar.images.box import Box
from avatar.images.load import flatten, load_image_alpha
from avatar.portrait.crop import Crop, crop_box, turn_remark
from avatar.system.message import Message, together
from avatar.tracking import Face, FaceTracker, find_faces
from avatar.tracking.upright import how_turned, turned


@dataclass(frozen=True, eq=False)
class PortraitSource:
    """The animated part of an image."""

    rgb: RgbImage  # (H, W, 3), neutral grey where the image is transparent
    alpha: AlphaImage | None  # (H, W), 255 = opaque; None: opaque everywhere
    faces: tuple[Face, ...]  # largest first, in pixels of the part
    box: Box  # the part, in pixels of the image
    is_whole: bool  # the part is the whole image
    turn_deg: int = 0  # clockwise rotation of the image; box and faces refer to the rotated image
    turned_by_face: bool = False  # it was rotated automatically because its face was not upright

    def turn_notes(self, switch: str = "--turn 0") -> tuple[str, ...]:
        """Return notes about an image that was rotated automatically; `switch`: the option that prevents it."""
        undo = Message("If that is wrong, {switch} leaves it as it is.", switch=switch)
        return (together(turn_remark(self.turn_deg), undo),) if self.turned_by_face else ()


@dataclass(frozen=True, eq=False)
class Likeness:
    """A reference to a portrait, with the facts that are known before it is read."""

    path: Path
    face: Face | None = None  # in pixels of the whole image; None: to be found by the tracker
    crop: Crop = "auto"  # the part chosen by its owner
    turn_deg: int | None = None  # clockwise rotation, applied first; None: automatic


def read_portrait(
    source: Path | Likeness, tracker: FaceTracker, crop: Crop = "auto", turn_deg: int | None = None
) -> PortraitSource:
    """Read an image, choose the animated part and find the faces in it.

    Args:
        source: an image file, or an avatar of the library (`Library.likeness`), whose own face and part are taken.
        crop: "auto" takes the avatar's own part, if it has one; a part is in pixels of the stored image.
        turn_deg: clockwise rotation instead of the automatic one; an avatar's stored face is then ignored.
    Raises:
        ImageError: it cannot be read.
        UsageError: the part reaches outside the image.
        WeightsError, SetupError: the second opinion on faces was fetched, but cannot be opened.
    """
    known = source if isinstance(source, Likeness) else Likeness(source)
    if turn_deg is not None and turn_deg != known.turn_deg:
        known = Likeness(known.path, turn_deg=turn_deg)
    rgb, alpha = load_image_alpha(known.path)
    if alpha is not None:
        rgb = flatten(rgb, alpha)
    upright = known.turn_deg if known.face is None or known.turn_deg is not None else 0
    asked = upright is not None
    if upright is None:
        upright = _how_turned(rgb, tracker, crop)
    if isinstance(crop, Box):
        crop = crop.turned(upright or 0, rgb.shape[1], rgb.shape[0])
    elif crop == "auto":
        crop = known.crop
    if upright:
        rgb, alpha = turned(rgb, upright), None if alpha is None else turned(alpha, upright)
    height, width = rgb.shape[:2]

    def look() -> list[Face]:
        return [] if upright is None else find_faces(rgb, tracker)  # None: a detected face would be a false one

    faces = [known.face] if known.face else look() if crop == "auto" else []
    box = crop_box(crop, width, height, faces[0] if faces else None)
    is_whole = (box.width, box.height) == (width, height)
    if not is_whole:
        rgb = np.ascontiguousarray(box.of(rgb))
        alpha = None if alpha is None else np.ascontiguousarray(box.of(alpha))
    if known.face is not None and _holds(box, known.face):
        faces = [known.face.shifted(-box.left, -box.top)]
    elif not is_whole or crop != "auto":
        faces = look()
    return PortraitSource(rgb, alpha, tuple(faces), box, is_whole, upright or 0, bool(upright) and not asked)


def _how_turned(rgb: RgbImage, tracker: FaceTracker, crop: Crop) -> int | None:
    """Return the rotation, in degrees, of the crop of (H, W, 3) uint8 RGB. Raises: UsageError: the crop is outside."""
    height, width = rgb.shape[:2]
    box = crop_box(crop if isinstance(crop, Box) else "none", width, height, None)
    return how_turned(np.ascontiguousarray(box.of(rgb)), tracker)


def _holds(box: Box, face: Face) -> bool:
    """Return whether the middle of a face lies in a part of the image."""
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    x, y = ((low + high) / 2).tolist()
    return bool(box.left <= x < box.left + box.width and box.top <= y < box.top + box.height)
