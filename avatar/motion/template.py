"""Motion templates: somebody's motion in a file, without anybody's picture.

A template is a safetensors file, so that reading one from a stranger runs no code: no pickle, no zip, no path.
`docs/motion-template.md` describes the format; this module is its only reader and writer.

Landmarks are 16-bit fixed point about the picture's centre. Measured on a 512x512 picture, the largest error of
a coordinate is 0.016 px; float16 would take the same room and err by up to 0.12 px, float32 would take twice the
room. Nor can a fixed-point number be NaN or infinite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.atomic import replacing
from avatar.errors import OutputError, TemplateError
from avatar.foreign_text import quoted, shown
from avatar.motion.track import MotionTrack
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

FORMAT, VERSION = "masque-motion", 1
SUFFIX = ".masque"
STEPS = 16384  # fixed-point steps per longer side of the picture: int16 then reaches 1.5 sides past each border
MAX_BYTES = 256 * 2**20  # about 50 minutes at 30 fps
MAX_HEADER_BYTES = 64 * 1024
MAX_SIDE_PX = 32768
MAX_TIME_S = 1e6
FULL_SCALE = 65535  # of the 16-bit coefficients and presences

# (name, safetensors dtype, numpy dtype, shape after the frame axis)
_TENSORS = (
    ("landmarks", "I16", "<i2", (LANDMARKS, 3)),
    ("blendshapes", "U16", "<u2", (len(BLENDSHAPES),)),
    ("presence", "U16", "<u2", ()),
    ("times_s", "F64", "<f8", ()),
)
_BAD = "Ask for a new copy, or make one from a video: python run.py template CLIP -o FILE.masque"


def save_template(track: MotionTrack, path: Path) -> None:
    """Store a track's motion; neither its name nor any path is written. The old file stays until the new one is whole.

    Raises:
        TemplateError: the track holds no face, is too long or its times do not run forwards.
        OutputError: the file cannot be written.
    """
    from safetensors.numpy import save

    _check_motion(track.times_s, track.presence, "The motion")
    if len(track) * (LANDMARKS * 3 + len(BLENDSHAPES) + 1) * 2 > MAX_BYTES - MAX_HEADER_BYTES - 8 * len(track):
        raise TemplateError(
            f"{len(track)} frames are too many for one template.", remedy="Cut the clip into parts below 50 minutes."
        )
    centre, longer = _frame_of(track.width_px, track.height_px)
    fixed = np.rint((track.landmarks.astype(np.float64) - centre) * (STEPS / longer))
    tensors = {
        "landmarks": np.clip(fixed, -32768, 32767).astype("<i2"),
        "blendshapes": _to_u16(track.blendshapes),
        "presence": np.where(track.presence > 0, np.maximum(_to_u16(track.presence), 1), 0).astype("<u2"),
        "times_s": track.times_s.astype("<f8"),
    }
    facts = {"format": FORMAT, "version": VERSION, "frames": len(track), "steps": STEPS}
    facts |= {"width_px": track.width_px, "height_px": track.height_px}
    _write(path, save(tensors, metadata={key: str(value) for key, value in facts.items()}))


def load_template(path: Path) -> MotionTrack:
    """Read a template; the track is named after the file, and what this version does not know is ignored.

    Raises:
        TemplateError: missing, damaged, from a later version, or no template at all.
    """
    data = _read(path)
    tensors, facts = _parse(data, path.name)
    if facts.get("format") != FORMAT:
        raise TemplateError(f"{path.name} is a safetensors file, but not a motion template.", remedy=_BAD)
    _check_version(facts, path.name)
    width_px, height_px = (_whole_number(facts, key, MAX_SIDE_PX, path.name) for key in ("width_px", "height_px"))
    steps = _whole_number(facts, "steps", 2**20, path.name)
    count = _whole_number(facts, "frames", MAX_BYTES, path.name)
    arrays = {name: _array(tensors, name, (count, *shape), path.name) for name, _, _, shape in _TENSORS}
    centre, longer = _frame_of(width_px, height_px)
    presence = (arrays["presence"] / FULL_SCALE).astype(np.float32)
    _check_motion(arrays["times_s"], presence, path.name)
    return MotionTrack(
        landmarks=(arrays["landmarks"] * (longer / steps) + centre).astype(np.float32),
        blendshapes=(arrays["blendshapes"] / FULL_SCALE).astype(np.float32),
        presence=presence,
        times_s=arrays["times_s"].astype(np.float64),
        width_px=width_px,
        height_px=height_px,
        name=path.stem,
    )


def _frame_of(width_px: int, height_px: int) -> tuple[npt.NDArray[np.float64], int]:
    """The point that landmarks are stored about, (3,) in pixels, and the length they are stored in, pixels."""
    return np.array([(width_px - 1) / 2, (height_px - 1) / 2, 0.0]), max(width_px, height_px)


def _to_u16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    return np.rint(np.clip(values, 0, 1) * FULL_SCALE).astype("<u2")


def _check_motion(times_s: npt.NDArray[np.float64], presence: npt.NDArray[np.float32], what: str) -> None:
    if times_s.size == 0 or not (presence > 0).any():
        raise TemplateError(f"{what} holds no face.", remedy="Use a clip in which one face is well lit and in view.")
    sound = np.isfinite(times_s).all() and np.abs(times_s).max() <= MAX_TIME_S and (np.diff(times_s) >= 0).all()
    if not sound or (len(times_s) > 1 and times_s[-1] <= times_s[0]):
        raise TemplateError(f"{what} has times that do not run forwards.", remedy=_BAD)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TemplateError(f"{path} cannot be read: {reason}.", remedy="Check the name and try again.") from error
    if len(data) > MAX_BYTES:
        largest = MAX_BYTES // 2**20
        raise TemplateError(f"{path.name} is larger than {largest} MB, too large for a template.", remedy=_BAD)
    if data[8:9] != b"{":
        _refuse_carriers(data, path.name)
    return data


def _refuse_carriers(data: bytes | bytearray, name: str) -> None:
    """Pickles can run code when read and zips can hold anything, so neither has a place in a template."""
    if data[:4] == b"PK\x03\x04":
        raise TemplateError(f"{name} holds a zip archive; templates never do, so it was not opened.", remedy=_BAD)
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and data[-1:] == b".":
        raise TemplateError(f"{name} holds a Python pickle, which can run code; it was not opened.", remedy=_BAD)


def _parse(data: bytes, name: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The raw tensors by name, and the facts of the header; everything that safetensors itself refuses is refused."""
    from safetensors import SafetensorError, deserialize

    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= header_bytes <= MAX_HEADER_BYTES or data[8:9] != b"{":
        raise TemplateError(f"{name} is not a motion template.", remedy=_BAD)
    try:
        tensors: dict[str, dict[str, Any]] = dict(deserialize(data))  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + header_bytes])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise TemplateError(f"{name} is damaged or cut short.", remedy=_BAD) from error
    facts: dict[str, str] = header.get("__metadata__", {})
    for text in (*tensors, *facts, *facts.values()):
        if "/" in text or "\\" in text:
            raise TemplateError(f"{name} holds a path ({quoted(text, 60)}); templates hold numbers only.", remedy=_BAD)
    for unknown in tensors.keys() - {known for known, *_ in _TENSORS}:
        _refuse_carriers(tensors[unknown]["data"], name)
    return tensors, facts


def _check_version(facts: dict[str, str], name: str) -> None:
    version = _whole_number(facts, "version", 10**6, name)
    if version > VERSION:
        raise TemplateError(
            f"{name} is a template of version {version}; this Masque reads up to version {VERSION}.",
            remedy="Update Masque, or ask for the template in the older version.",
        )


def _whole_number(facts: dict[str, str], key: str, largest: int, name: str) -> int:
    text = facts.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= largest):
        raise TemplateError(f"{name} has no usable {key} ({quoted(text, 20)}).", remedy=_BAD)
    return int(text)


def _array(tensors: dict[str, dict[str, Any]], name: str, shape: tuple[int, ...], file: str) -> npt.NDArray[Any]:
    tag, dtype = next((tag, dtype) for known, tag, dtype, _ in _TENSORS if known == name)
    raw = tensors.get(name)
    if raw is None:
        raise TemplateError(f"{file} lacks {name}.", remedy=_BAD)
    if raw["dtype"] != tag or tuple(raw["shape"]) != shape:
        found = shown(f"{raw['dtype']} {list(raw['shape'])}")
        raise TemplateError(f"{file}: {name} should be {tag} {list(shape)} and is {found}.", remedy=_BAD)
    return np.frombuffer(raw["data"], dtype).reshape(shape)


def _write(path: Path, data: bytes) -> None:
    try:
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}.", remedy="Choose a folder that exists, is yours and has room."
        ) from error
