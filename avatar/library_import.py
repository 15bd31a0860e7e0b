"""What an import looks at before a picture becomes an avatar, and how its folder is filled."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatar import library_record
from avatar.errors import LibraryError
from avatar.frames import RgbImage
from avatar.images import save_png, square_thumbnail
from avatar.library_record import Avatar
from avatar.limits import MAX_PICTURE_BYTES, megabytes
from avatar.portrait import Level, PortraitReport, Remark, check_portrait
from avatar.portrait_crop import Box, crop_box, turn_remark
from avatar.tracking.face import Face
from avatar.tracking.marks import Marks, fit_marks
from avatar.tracking.upright import turned

Detect = Callable[[RgbImage], list[Face]]  # all faces of a picture, largest first
HowTurned = Callable[[RgbImage], int | None]  # `avatar.tracking.upright.how_turned` of a picture

THUMBNAIL_PX = 256


@dataclass(frozen=True)
class Choice:
    """What the user chose about a picture."""

    crop: Box | None = None  # the part to animate; None: as `portrait_crop` thinks best
    marks: Marks | None = None  # of the face, in pixels of the whole picture; None: it is looked for
    face_number: int | None = None  # of several faces, 1 = the largest; None: not asked
    turn_deg: int | None = None  # clockwise, before crop and marks count; None: as the face says, crop counts before


NOTHING_CHOSEN = Choice()


def examine(rgb: RgbImage, detect: Detect, choice: Choice, how_turned: HowTurned | None = None) -> PortraitReport:
    """Judge the part of a picture that was chosen; its faces are in pixels of the whole picture, turned upright.

    Args:
        rgb: (H, W, 3), as it is stored.
        detect: finds the faces.
        choice: of the user.
        how_turned: finds out by how much it is to be turned, where the user has not said; None: it is upright.
    Raises:
        UsageError: the part reaches outside, there is no face of that number, or the marks are no marks.
        FaceError: the marks lie as in no face.
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


def _upright(
    rgb: RgbImage, choice: Choice, how_turned: HowTurned | None
) -> tuple[RgbImage, Box, int | None]:
    """The picture turned, the part of it that was chosen, and the turn; None: only traces of a face, not upright."""
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


def fill(avatar: Avatar, picture: Path, rgb: RgbImage, face: Face | None) -> None:
    """Copy a picture into an avatar's empty folder and write what belongs to it; rgb: the picture as it is stored.

    Raises:
        LibraryError: the picture changed meanwhile.
        OSError, OutputError: the folder cannot be written.
    """
    shutil.copyfile(picture, avatar.picture)
    if sha256(avatar.picture) != avatar.sha256:
        remedy = "Wait until nothing writes to it and try again."
        raise LibraryError(f"{picture.name} changed while it was copied.", remedy=remedy)
    describe(avatar, rgb, face)


def describe(avatar: Avatar, rgb: RgbImage, face: Face | None) -> None:
    """Write thumbnail, face and record of an avatar whose picture is in its folder; rgb: as it is stored.

    Raises: OSError, OutputError.
    """
    save_png(avatar.folder / library_record.THUMBNAIL, thumbnail_of(avatar, rgb, face))
    library_record.write_face(avatar.folder, face)
    library_record.write(avatar)


def thumbnail_of(avatar: Avatar, rgb: RgbImage, face: Face | None) -> RgbImage:
    """Return the part that is animated as a square around the face, THUMBNAIL_PX on a side; rgb: as it is stored."""
    rgb = turned(rgb, avatar.turn_deg)
    height_px, width_px = rgb.shape[:2]
    box = crop_box(avatar.crop or "auto", width_px, height_px, face)
    middle = None if face is None else face.shifted(-box.left, -box.top).landmarks[:, :2].mean(axis=0)
    return square_thumbnail(box.of(rgb), THUMBNAIL_PX, middle)


def sha256(path: Path) -> str:
    """Of a picture. Raises: LibraryError for one that is too large, OSError."""
    if path.stat().st_size > MAX_PICTURE_BYTES:
        what = f"{path.name} is larger than {megabytes(MAX_PICTURE_BYTES)}."
        raise LibraryError(what, remedy="Save it as JPEG or PNG first.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
