"""Import of an image as an avatar: checks before the import, and the contents of the avatar's folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatar.errors import LibraryError
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.images.load import save_png, square_thumbnail
from avatar.library import record as library_record
from avatar.library.record import Avatar
from avatar.portrait.check import Level, PortraitReport, Remark, check_portrait
from avatar.portrait.crop import crop_box, turn_remark
from avatar.system.limits import MAX_IMAGE_BYTES, megabytes
from avatar.system.message import Message
from avatar.tracking.face import Face
from avatar.tracking.marks import Marks, fit_marks
from avatar.tracking.upright import turned

Detect = Callable[[RgbImage], list[Face]]  # all faces of an (H, W, 3) image, largest first
HowTurned = Callable[[RgbImage], int | None]  # `avatar.tracking.upright.how_turned` of an (H, W, 3) image

THUMBNAIL_PX = 256


@dataclass(frozen=True)
class Choice:
    """The user's choices for an image."""

    crop: Box | None = None  # the part to animate; None: automatic, see `crop_box`
    marks: Marks | None = None  # marks of the face, in pixels of the whole image; None: the face is detected
    face_number: int | None = None  # number of the face, 1 = the largest; None: no choice was made
    turn_deg: int | None = None  # clockwise, applied before crop and marks; None: automatic, applied after the crop


NOTHING_CHOSEN = Choice()


def examine(rgb: RgbImage, detect: Detect, choice: Choice, how_turned: HowTurned | None = None) -> PortraitReport:
    """Check the chosen part of an image; its faces are in pixels of the whole image, rotated upright.

    Args:
        rgb: (H, W, 3), as stored.
        detect: detects the faces.
        choice: the user's choices.
        how_turned: determines the rotation if the user did not choose one; None: the image is upright.
    Raises:
        UsageError: the part reaches outside, there is no face of that number, or a mark is invalid.
        FaceError: the marks do not form a face.
    """
    rgb, box, turn_deg = _upright(rgb, choice, how_turned)
    height_px, width_px = rgb.shape[:2]
    part = np.ascontiguousarray(box.of(rgb))
    if turn_deg is None:
        faces = []
    elif choice.marks is None:
        faces = detect(part)
    else:
        faces = [fit_marks(choice.marks, width_px, height_px).shifted(-box.left, -box.top)]
    report = check_portrait(part, faces, choice.face_number)
    faces = [each.shifted(box.left, box.top) for each in report.faces]
    face = None if report.face is None else faces[report.faces.index(report.face)]
    remarks = report.remarks
    if turn_deg and choice.turn_deg is None:
        remarks += (Remark(Level.NOTE, "upright", turn_remark(turn_deg), "If that is wrong, turn it yourself."),)
    crop = None if choice.crop is None else box
    return replace(report, face=face, faces=tuple(faces), remarks=remarks, turn_deg=turn_deg or 0, crop=crop)


def _upright(rgb: RgbImage, choice: Choice, how_turned: HowTurned | None) -> tuple[RgbImage, Box, int | None]:
    """Rotate (H, W, 3) uint8 RGB upright; return it with crop and rotation, None if there is too little of a face."""
    given = choice.turn_deg
    if given is None and (how_turned is None or choice.marks is not None):
        given = 0
    if given is not None:
        rgb = turned(rgb, given)
    height_px, width_px = rgb.shape[:2]
    box = crop_box(choice.crop or "none", width_px, height_px, None)
    if given is not None or how_turned is None:
        return rgb, box, given
    turn_deg = how_turned(np.ascontiguousarray(box.of(rgb)))
    return turned(rgb, turn_deg or 0), box.turned(turn_deg or 0, width_px, height_px), turn_deg


def fill(avatar: Avatar, path: Path, rgb: RgbImage, face: Face | None) -> None:
    """Copy an image into an avatar's empty folder and write the other files; rgb: (H, W, 3) uint8 as stored.

    Raises:
        LibraryError: the image changed meanwhile.
        OSError, OutputError: the folder cannot be written.
    """
    shutil.copyfile(path, avatar.image_path)
    if sha256(avatar.image_path) != avatar.sha256:
        remedy = "Wait until no program writes to it, and try again."
        raise LibraryError(Message("{name} changed while it was copied.", name=path.name), remedy=remedy)
    describe(avatar, rgb, face)


def describe(avatar: Avatar, rgb: RgbImage, face: Face | None) -> None:
    """Write thumbnail, face and record of an avatar whose image is in its folder; rgb: (H, W, 3) uint8 as stored.

    Raises: OSError, OutputError.
    """
    save_png(avatar.folder / library_record.THUMBNAIL, thumbnail_of(avatar, rgb, face))
    library_record.write_face(avatar.folder, face)
    library_record.write(avatar)


def thumbnail_of(avatar: Avatar, rgb: RgbImage, face: Face | None) -> RgbImage:
    """Return the animated part as a square around the face, THUMBNAIL_PX on a side; rgb: (H, W, 3) uint8 as stored."""
    rgb = turned(rgb, avatar.turn_deg)
    height_px, width_px = rgb.shape[:2]
    box = crop_box(avatar.crop or "auto", width_px, height_px, face)
    middle = None if face is None else face.shifted(-box.left, -box.top).landmarks[:, :2].mean(axis=0)
    return square_thumbnail(box.of(rgb), THUMBNAIL_PX, middle)


def sha256(path: Path) -> str:
    """Hash an image file. Raises: LibraryError for one that is too large, OSError."""
    if path.stat().st_size > MAX_IMAGE_BYTES:
        what = Message("{name} is larger than {size}.", name=path.name, size=megabytes(MAX_IMAGE_BYTES))
        raise LibraryError(what, remedy="Save it as JPEG or PNG first.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
