"""One avatar on disk: a folder with an image, a TOML record and the landmarks of its face."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.images.box import Box
from avatar.portrait.crop import TURNS_DEG
from avatar.system.atomic import replacing
from avatar.system.message import Message
from avatar.system.small_files import read_bytes, read_toml
from avatar.tracking import pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS, Face
from avatar.tracking.marks import MARKS, Marks

RECORD_FILE, THUMBNAIL, FACE_FILE = "avatar.toml", "thumbnail.png", "face.safetensors"
_NOTES = ("sha256", "source", "licence", "created", "confirmed")  # texts in the record, in the order of `Avatar`
_FARTHEST_PX = 1_000_000  # larger than any image: values beyond were not written by Masque
_SMALLEST_PX = 1e-3  # minimum scale of a head


@dataclass(frozen=True)
class Avatar:
    """A portrait in the library; its name is that of its folder."""

    name: str
    folder: Path
    file: str  # file name of the image in the folder
    sha256: str = ""  # hash of the image when it was added; empty if unknown
    source: str = ""  # origin of the image
    licence: str = ""
    created: str = ""  # ISO 8601
    confirmed: str = ""  # ISO 8601, time at which the user confirmed the right to this likeness; empty: not yet
    crop: Box | None = None  # the animated part; None: automatic, see `crop_box`
    marks: Marks | None = None  # marks of the face, if set by the user
    turn_deg: int = 0  # clockwise rotation of the image; crop, marks and face refer to the rotated image
    builtin: bool = False
    problem: str = ""  # reason why it cannot be used, as half a sentence; empty if it can
    remedy: str = ""

    @property
    def image_path(self) -> Path:
        """Path of the image."""
        return self.folder / self.file

    @property
    def needs_confirming(self) -> bool:
        """True if the user still has to confirm the right to use this likeness."""
        return not (self.builtin or self.confirmed)


def read(folder: Path) -> Avatar:
    """Read an avatar's folder. Never raises, because users may edit and delete files; errors go to `problem`."""
    name = unicodedata.normalize("NFC", folder.name)
    try:
        facts = read_toml(folder / RECORD_FILE)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        file = _image_without_record(folder)
        problem = (
            Message("its {file} is missing", file=RECORD_FILE)
            if missing
            else Message("its {file} is damaged", file=RECORD_FILE)
        )
        if missing and file:
            return Avatar(name, folder, file)  # an image in a folder created by hand is an avatar without notes
        return Avatar(name, folder, file, problem=problem, remedy=Message("Remove it and add its picture again."))
    file = Path(_text(facts, "picture")).name  # an edited record must not refer to files outside the folder
    if not file or not _is_file(folder / file):
        remedy = Message("Put the picture back, or remove the avatar and add it again.")
        return Avatar(name, folder, file, problem=Message("its picture is missing"), remedy=remedy)
    sha256, source, licence, created, confirmed = (_text(facts, key) for key in _NOTES)
    crop, marks = _crop(facts.get("crop")), _marks(facts.get("marks"))
    return Avatar(
        name, folder, file, sha256, source, licence, created, confirmed, crop, marks, _turn(facts.get("turn"))
    )


def write(avatar: Avatar) -> None:
    """Write the record. Raises: OSError."""
    facts = {"picture": avatar.file} | {key: getattr(avatar, key) for key in _NOTES}
    lines = [f"{key} = {_quoted(value)}" for key, value in facts.items()]
    if avatar.turn_deg:
        lines.append(f"turn = {avatar.turn_deg}")
    if (box := avatar.crop) is not None:
        lines.append(f"crop = [{box.left}, {box.top}, {box.width}, {box.height}]")
    if avatar.marks is not None:
        lines += ["", "[marks]", *(f"{key} = [{float(x)}, {float(y)}]" for key, (x, y) in avatar.marks.items())]
    with replacing(avatar.folder / RECORD_FILE) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_face(folder: Path, face: Face | None) -> None:
    """Write the landmarks of a face, or remove them if it is None. Raises: OSError."""
    import numpy as np
    from safetensors.numpy import save

    if face is None:
        (folder / FACE_FILE).unlink(missing_ok=True)
        return
    marks = {"landmarks": face.landmarks, "blendshapes": face.blendshapes}
    marks["presence"] = np.array([face.presence], np.float32)
    with replacing(folder / FACE_FILE) as part:
        # safetensors 0.8.0 writes the bytes of a transposed array in memory order, without an error.
        part.write_bytes(save({name: np.ascontiguousarray(each) for name, each in marks.items()}))


def read_face(folder: Path) -> Face | None:
    """Read the landmarks that `write_face` stored, with their pose; None if missing or damaged."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        marks = load(read_bytes(folder / FACE_FILE))
        landmarks, blendshapes, presence = marks["landmarks"], marks["blendshapes"], marks["presence"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
    shapes = (landmarks.shape, blendshapes.shape, presence.shape)
    if shapes != ((LANDMARKS, 3), (len(BLENDSHAPES),), (1,)) or landmarks.dtype != np.float32:
        return None
    if not (np.abs(landmarks) < _FARTHEST_PX).all() or not np.isfinite(blendshapes).all():  # also false for NaN
        return None
    face = Face(landmarks, blendshapes.astype(np.float32), float(presence[0]), pose_of(landmarks))
    return face if face.pose.scale_px > _SMALLEST_PX else None  # coinciding points are not a face


def read_order(path: Path) -> list[str]:
    """Read the user's order of names; empty if the file is missing or damaged."""
    try:
        names = read_toml(path).get("order", [])
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def write_order(path: Path, names: Sequence[str]) -> None:
    """Write the order. Raises: OSError."""
    with replacing(path) as part:
        part.write_text(f"order = [{', '.join(_quoted(name) for name in names)}]\n", encoding="utf-8")


def _image_without_record(folder: Path) -> str:
    from avatar.images.load import SUFFIXES

    images = [path.name for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.name != THUMBNAIL]
    return min(images, default="")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or empty
        return False


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key, "")
    return value if isinstance(value, str) else ""


def _turn(value: object) -> int:
    """Parse a rotation in degrees; 0 if the record holds no valid one."""
    return next((turn for turn in TURNS_DEG if type(value) is int and value == turn), 0)


def _crop(value: object) -> Box | None:
    """Parse a crop [x, y, width, height]; None if the record holds no valid one."""
    if not (isinstance(value, list) and len(value) == 4 and all(type(part) is int for part in value)):
        return None
    box = Box(*value)
    sound = min(box.left, box.top) >= 0 and min(box.width, box.height) > 0 and max(value) < _FARTHEST_PX
    return box if sound else None


def _marks(value: object) -> Marks | None:
    """Parse marks by name; None if there are none, or one is invalid or unknown."""
    if not isinstance(value, dict):
        return None
    pairs = [place for place in value.values() if isinstance(place, list) and len(place) == 2]
    if len(pairs) < len(value) or not all(type(part) in (int, float) for pair in pairs for part in pair):
        return None
    if not all(abs(part) < _FARTHEST_PX for pair in pairs for part in pair) or not value.keys() <= set(MARKS):
        return None  # NaN is not less either
    return {name: (float(x), float(y)) for name, (x, y) in value.items()}


def _quoted(text: str) -> str:
    """Quote a TOML basic string: as in JSON, except for DEL (escaped in TOML) and surrogates (invalid in a file)."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
