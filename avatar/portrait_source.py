"""A portrait as it is animated: the part of the picture that is taken, what is transparent in it, and its faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.frames import RgbImage
from avatar.images import AlphaImage, flatten, load_image_alpha
from avatar.portrait_crop import Box, Crop, crop_box, turn_remark
from avatar.tracking import Face, FaceTracker, find_faces
from avatar.tracking.upright import how_turned, turned


@dataclass(frozen=True, eq=False)
class PortraitSource:
    """The part of one picture."""

    rgb: RgbImage  # (H, W, 3), on a neutral grey where the picture is transparent
    alpha: AlphaImage | None  # (H, W), 255 = opaque; None: all of it is
    faces: tuple[Face, ...]  # largest first, in pixels of the part
    box: Box  # the part, in pixels of the picture
    is_whole: bool  # the part is all of it
    turn_deg: int = 0  # by how much the picture was turned clockwise; box and faces come after
    turned_by_face: bool = False  # nobody asked for that: its face was not upright

    def turn_notes(self, switch: str = "--turn 0") -> tuple[str, ...]:
        """Return what to tell about a picture that was turned by itself; `switch`: what leaves it as it is."""
        told = f"{turn_remark(self.turn_deg)} If that is wrong, {switch} leaves it as it is."
        return (told,) if self.turned_by_face else ()


@dataclass(frozen=True, eq=False)
class Likeness:
    """What is known of a portrait before it is read."""

    picture: Path
    face: Face | None = None  # in pixels of the whole picture; None: the tracker is to find it
    crop: Crop = "auto"  # the part that its owner chose
    turn_deg: int | None = None  # by how much it is to be turned clockwise before all that; None: find out


def read_portrait(
    source: Path | Likeness, tracker: FaceTracker, crop: Crop = "auto", turn_deg: int | None = None
) -> PortraitSource:
    """Read a picture, choose the part that is animated and find the faces in it.

    Args:
        source: a picture, or an avatar of the library (`Library.likeness`), whose own face and part are taken.
        crop: "auto" takes the avatar's own part, if it has one; a part is in pixels of the picture as it is stored.
        turn_deg: turn the picture by so much instead of by what its face says; then an avatar's face does not count.
    Raises:
        ImageError: it cannot be read.
        UsageError: the part reaches outside the picture.
        WeightsError, SetupError: the second opinion on faces was fetched, but cannot be opened.
    """
    known = source if isinstance(source, Likeness) else Likeness(source)
    if turn_deg is not None and turn_deg != known.turn_deg:
        known = Likeness(known.picture, turn_deg=turn_deg)
    rgb, alpha = load_image_alpha(known.picture)
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
        return [] if upright is None else find_faces(rgb, tracker)  # None: what is found would be a false one

    faces = [known.face] if known.face else look() if crop == "auto" else []
    box = crop_box(crop, width, height, faces[0] if faces else None)
    is_whole = (box.width, box.height) == (width, height)
    if not is_whole:
        rgb = np.ascontiguousarray(box.of(rgb))
        alpha = None if alpha is None else np.ascontiguousarray(box.of(alpha))
    if known.face is not None and box.holds(known.face):
        faces = [known.face.shifted(-box.left, -box.top)]
    elif not is_whole or crop != "auto":
        faces = look()
    return PortraitSource(rgb, alpha, tuple(faces), box, is_whole, upright or 0, bool(upright) and not asked)


def _how_turned(rgb: RgbImage, tracker: FaceTracker, crop: Crop) -> int | None:
    """By how much the part of a picture that was asked for has to be turned. Raises: UsageError: it is outside."""
    height, width = rgb.shape[:2]
    box = crop_box(crop if isinstance(crop, Box) else "none", width, height, None)
    return how_turned(np.ascontiguousarray(box.of(rgb)), tracker)
