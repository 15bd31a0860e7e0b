"""A portrait as it is animated: the part of the picture that is taken, what is transparent in it, and its faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.frames import RgbImage
from avatar.images import AlphaImage, flatten, load_image_alpha
from avatar.portrait_crop import Box, Crop, crop_box
from avatar.tracking import Face, FaceTracker, find_faces


@dataclass(frozen=True, eq=False)
class PortraitSource:
    """The part of one picture."""

    rgb: RgbImage  # (H, W, 3), on a neutral grey where the picture is transparent
    alpha: AlphaImage | None  # (H, W), 255 = opaque; None: all of it is
    faces: tuple[Face, ...]  # largest first, in pixels of the part
    box: Box  # the part, in pixels of the picture
    is_whole: bool  # the part is all of it


@dataclass(frozen=True, eq=False)
class Likeness:
    """What is known of a portrait before it is read."""

    picture: Path
    face: Face | None = None  # in pixels of the whole picture; None: the tracker is to find it
    crop: Crop = "auto"  # the part that its owner chose


def read_portrait(
    source: Path | Likeness, tracker: FaceTracker, crop: Crop = "auto"
) -> PortraitSource:
    """Read a picture, choose the part that is animated and find the faces in it.

    Args:
        source: a picture, or an avatar of the library (`Library.likeness`), whose own face and part are taken.
        crop: "auto" takes the avatar's own part, if it has one.
    Raises:
        ImageError: it cannot be read.
        UsageError: the part reaches outside the picture.
        WeightsError, SetupError: the second opinion on faces was fetched, but cannot be opened.
    """
    known = source if isinstance(source, Likeness) else Likeness(source)
    crop = known.crop if crop == "auto" else crop
    rgb, alpha = load_image_alpha(known.picture)
    if alpha is not None:
        rgb = flatten(rgb, alpha)
    height, width = rgb.shape[:2]
    faces = [known.face] if known.face else find_faces(rgb, tracker) if crop == "auto" else []
    box = crop_box(crop, width, height, faces[0] if faces else None)
    is_whole = (box.width, box.height) == (width, height)
    if not is_whole:
        rgb = np.ascontiguousarray(box.of(rgb))
        alpha = None if alpha is None else np.ascontiguousarray(box.of(alpha))
    if known.face is not None and box.holds(known.face):
        faces = [known.face.shifted(-box.left, -box.top)]
    elif not is_whole or crop != "auto":
        faces = find_faces(rgb, tracker)
    return PortraitSource(rgb, alpha, tuple(faces), box, is_whole)
