"""One avatar on the disk: a folder with a picture, a note in TOML and the marks of its face."""

from __future__ import annotations

import json
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.atomic import replacing
from avatar.tracking import pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS, Face

RECORD_FILE, THUMBNAIL, FACE_FILE = "avatar.toml", "thumbnail.png", "face.safetensors"
_NOTES = ("sha256", "source", "licence", "created", "confirmed")  # texts in the record, in the order of `Avatar`


@dataclass(frozen=True)
class Avatar:
    """A portrait of the library. Its name is its folder's."""

    name: str
    folder: Path
    file: str  # the picture's name in the folder
    sha256: str = ""  # of the picture when it was added; empty if unknown
    source: str = ""  # where it is from
    licence: str = ""
    created: str = ""  # ISO 8601
    confirmed: str = ""  # ISO 8601, when the user said that they may use this likeness; empty: not asked yet
    builtin: bool = False
    problem: str = ""  # why it cannot be used, as half a sentence; empty if it can
    remedy: str = ""

    @property
    def picture(self) -> Path:
        """Where the picture is."""
        return self.folder / self.file

    @property
    def needs_confirming(self) -> bool:
        """Whether the user still has to say that they may use this likeness."""
        return not (self.builtin or self.confirmed)


def read(folder: Path) -> Avatar:
    """What a folder holds; never fails, since people edit and delete files: `problem` says what is wrong."""
    name = unicodedata.normalize("NFC", folder.name)
    try:
        facts = tomllib.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        file = _picture_without_record(folder)
        problem = f"its {RECORD_FILE} is {'missing' if missing else 'damaged'}"
        if missing and file:
            return Avatar(name, folder, file)  # a picture in a folder made by hand is an avatar without notes
        return Avatar(name, folder, file, problem=problem, remedy="Remove it and add its picture again.")
    file = Path(_text(facts, "picture")).name  # a path in an edited record must not lead out of the folder
    if not file or not (folder / file).is_file():
        remedy = "Put the picture back, or remove the avatar and add it again."
        return Avatar(name, folder, file, problem="its picture is missing", remedy=remedy)
    return Avatar(name, folder, file, *(_text(facts, key) for key in _NOTES))


def write(avatar: Avatar) -> None:
    """Write the note. Raises: OSError."""
    facts = {"picture": avatar.file} | {key: getattr(avatar, key) for key in _NOTES}
    with replacing(avatar.folder / RECORD_FILE) as part:
        part.write_text("".join(f"{key} = {_quoted(value)}\n" for key, value in facts.items()), encoding="utf-8")


def write_face(folder: Path, face: Face) -> None:
    """Keep the marks of a face. Raises: OSError."""
    import numpy as np
    from safetensors.numpy import save

    marks = {"landmarks": face.landmarks, "blendshapes": face.blendshapes}
    marks["presence"] = np.array([face.presence], np.float32)
    with replacing(folder / FACE_FILE) as part:
        part.write_bytes(save(marks))


def read_face(folder: Path) -> Face | None:
    """The marks that `write_face` kept, with their pose; None if there are none or they are damaged."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        marks = load((folder / FACE_FILE).read_bytes())
        landmarks, blendshapes, presence = marks["landmarks"], marks["blendshapes"], marks["presence"]
    except (OSError, KeyError, SafetensorError):
        return None
    shapes = (landmarks.shape, blendshapes.shape, presence.shape)
    if shapes != ((LANDMARKS, 3), (len(BLENDSHAPES),), (1,)) or not np.isfinite(landmarks).all():
        return None
    return Face(landmarks, blendshapes, float(presence[0]), pose_of(landmarks))


def read_order(path: Path) -> list[str]:
    """Names in the order the user gave them; empty if there is none or it is damaged."""
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8")).get("order", [])
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def write_order(path: Path, names: Sequence[str]) -> None:
    """Keep the order. Raises: OSError."""
    with replacing(path) as part:
        part.write_text(f"order = [{', '.join(_quoted(name) for name in names)}]\n", encoding="utf-8")


def _picture_without_record(folder: Path) -> str:
    from avatar.images import SUFFIXES

    pictures = [path.name for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.name != THUMBNAIL]
    return min(pictures, default="")


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key, "")
    return value if isinstance(value, str) else ""


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's, but for DEL, which TOML wants escaped, and surrogates, which no file can hold."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
