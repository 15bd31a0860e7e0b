"""Motion templates: somebody's motion in a file, without anybody's picture.

A template is a safetensors file, so that reading one from a stranger runs no code: no pickle, no zip, no path.
`docs/motion-template.md` describes the format; this module is its only reader and writer.

Landmarks are 16-bit fixed point about the picture's centre. Measured on a 512x512 picture, the largest error of
a coordinate is 0.016 px; float16 would take the same room and err by up to 0.12 px, float32 would take twice the
room. Nor can a fixed-point number be NaN or infinite.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from avatar.atomic import replacing
from avatar.errors import OutputError, TemplateError
from avatar.foreign_text import quoted, shown
from avatar.motion.rows import Rows, chunks
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
_CUTS = "cuts"  # U32 (C,): MotionTrack.cuts; only in templates of clips that have any
_BAD = "Ask for a new copy, or make one from a video: python run.py template CLIP -o FILE.masque"


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the file
    end: int


def save_template(track: MotionTrack, path: Path) -> None:
    """Store a track's motion; neither its name nor any path is written. The old file stays until the new one is whole.

    Raises:
        TemplateError: the track holds no face, is too long or its times do not run forwards.
        OutputError: the file cannot be written.
    """
    _check_motion(track.times_s, track.presence, "The motion")
    if len(track) * (LANDMARKS * 3 + len(BLENDSHAPES) + 1) * 2 > MAX_BYTES - MAX_HEADER_BYTES - 8 * len(track):
        raise TemplateError(
            f"{len(track)} frames are too many for one template.", remedy="Cut the clip into parts below 50 minutes."
        )
    facts = {"format": FORMAT, "version": VERSION, "frames": len(track), "steps": STEPS}
    facts |= {"width_px": track.width_px, "height_px": track.height_px}
    header = json.dumps(_header(track, {key: str(value) for key, value in facts.items()}), separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header) % 8)
    try:
        with replacing(path) as part, part.open("wb") as file:
            file.write(len(padded).to_bytes(8, "little") + padded)
            for data in _stored(track):
                file.write(data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}.", remedy="Choose a folder that exists, is yours and has room."
        ) from error


def _header(track: MotionTrack, facts: dict[str, str]) -> dict[str, Any]:
    """The header of a safetensors file with the tensors of `_stored`, in their order: widest numbers first."""
    tags = {name: (tag, dtype, (len(track), *shape)) for name, tag, dtype, shape in _TENSORS}
    tags[_CUTS] = ("U32", "<u4", (len(track.cuts),))
    header: dict[str, Any] = {"__metadata__": facts}
    end = 0
    for name in ("times_s", *([_CUTS] if track.cuts else []), "blendshapes", "presence", "landmarks"):
        tag, dtype, shape = tags[name]
        begin, end = end, end + np.dtype(dtype).itemsize * math.prod(shape)
        header[name] = {"dtype": tag, "shape": shape, "data_offsets": [begin, end]}
    return header


def _stored(track: MotionTrack) -> Iterator[bytes]:
    """The bytes of the tensors, a little at a time."""
    yield track.times_s.astype("<f8").tobytes()
    yield np.array(track.cuts, "<u4").tobytes()
    for part in chunks(len(track)):
        yield _to_u16(track.blendshapes[part]).tobytes()
        track.let_go()
    yield np.where(track.presence > 0, np.maximum(_to_u16(track.presence), 1), 0).astype("<u2").tobytes()
    centre, longer = _frame_of(track.width_px, track.height_px)
    for part in chunks(len(track)):
        fixed = np.rint((track.landmarks[part].astype(np.float64) - centre) * (STEPS / longer))
        yield np.clip(fixed, -32768, 32767).astype("<i2").tobytes()
        track.let_go()


def load_template(path: Path) -> MotionTrack:
    """Read a template; the track is named after the file, and what this version does not know is ignored.

    Raises:
        TemplateError: missing, damaged, from a later version, or no template at all.
    """
    with _opened(path) as file:
        tensors, facts = _parse(file, path)
        if facts.get("format") != FORMAT:
            raise TemplateError(f"{path.name} is a safetensors file, but not a motion template.", remedy=_BAD)
        _check_version(facts, path.name)
        width_px, height_px = (_whole_number(facts, key, MAX_SIDE_PX, path.name) for key in ("width_px", "height_px"))
        steps = _whole_number(facts, "steps", 2**20, path.name)
        count = _whole_number(facts, "frames", MAX_BYTES, path.name)
        arrays = {name: _Array(file, tensors, name, (count, *shape), path.name) for name, _, _, shape in _TENSORS}
        centre, longer = _frame_of(width_px, height_px)
        times_s, presence = arrays["times_s"].read(), (arrays["presence"].read() / FULL_SCALE).astype(np.float32)
        _check_motion(times_s, presence, path.name)
        landmarks, blendshapes = Rows((LANDMARKS, 3)), Rows((len(BLENDSHAPES),))
        for part in chunks(count):
            landmarks.extend((arrays["landmarks"].read(part) * (longer / steps) + centre).astype(np.float32))
            blendshapes.extend((arrays["blendshapes"].read(part) / FULL_SCALE).astype(np.float32))
        return MotionTrack(
            landmarks=landmarks.finish(),
            blendshapes=blendshapes.finish(),
            presence=presence,
            times_s=times_s.astype(np.float64),
            width_px=width_px,
            height_px=height_px,
            name=path.stem,
            cuts=_cuts(file, tensors, count, path.name),
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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for reading. Whatever goes wrong while it is read is a TemplateError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                largest = MAX_BYTES // 2**20
                raise TemplateError(f"{path.name} is larger than {largest} MB, too large for a template.", remedy=_BAD)
            yield file
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TemplateError(f"{path} cannot be read: {reason}.", remedy="Check the name and try again.") from error


def _refuse_carriers(file: IO[bytes], begin: int, end: int, name: str) -> None:
    """Refuse a part of the file that is a pickle or a zip.

    Pickles can run code when read and zips can hold anything, so neither has a place in a template.
    """
    file.seek(begin)
    start = file.read(min(4, end - begin))
    file.seek(max(begin, end - 1))
    last = file.read(1)
    if start == b"PK\x03\x04":
        raise TemplateError(f"{name} holds a zip archive; templates never do, so it was not opened.", remedy=_BAD)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and last == b".":
        raise TemplateError(f"{name} holds a Python pickle, which can run code; it was not opened.", remedy=_BAD)


def _parse(file: IO[bytes], path: Path) -> tuple[dict[str, _Tensor], dict[str, str]]:
    """The tensors by name, and the facts of the header; everything that safetensors itself refuses is refused."""
    from safetensors import SafetensorError, safe_open

    name, size = path.name, os.fstat(file.fileno()).st_size
    start = file.read(9)
    if start[8:] != b"{":
        _refuse_carriers(file, 0, size, name)
    header_bytes = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or not 2 <= header_bytes <= MAX_HEADER_BYTES:
        raise TemplateError(f"{name} is not a motion template.", remedy=_BAD)
    try:
        with safe_open(path, framework="np"):  # checks the header, and reads nothing else
            pass
        file.seek(8)
        header: dict[str, Any] = json.loads(file.read(header_bytes))
    except (SafetensorError, ValueError, RecursionError) as error:
        raise TemplateError(f"{name} is damaged or cut short.", remedy=_BAD) from error
    facts: dict[str, str] = header.pop("__metadata__", None) or {}
    for text in (*header, *facts, *facts.values()):
        if "/" in text or "\\" in text:
            raise TemplateError(f"{name} holds a path ({quoted(text, 60)}); templates hold numbers only.", remedy=_BAD)
    begin = 8 + header_bytes
    tensors = {
        key: _Tensor(raw["dtype"], tuple(raw["shape"]), *(begin + offset for offset in raw["data_offsets"]))
        for key, raw in header.items()
    }
    for unknown in tensors.keys() - {_CUTS, *(known for known, *_ in _TENSORS)}:
        _refuse_carriers(file, tensors[unknown].begin, tensors[unknown].end, name)
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


class _Array:
    """One tensor of the file, read in parts."""

    def __init__(
        self, file: IO[bytes], tensors: dict[str, _Tensor], name: str, shape: tuple[int, ...], path_name: str
    ) -> None:
        tag, dtype = next((tag, dtype) for known, tag, dtype, _ in _TENSORS if known == name)
        tensor = tensors.get(name)
        if tensor is None:
            raise TemplateError(f"{path_name} lacks {name}.", remedy=_BAD)
        if tensor.dtype != tag or tensor.shape != shape:
            found = shown(f"{tensor.dtype} {list(tensor.shape)}")
            raise TemplateError(f"{path_name}: {name} should be {tag} {list(shape)} and is {found}.", remedy=_BAD)
        self._file, self._begin, self._shape, self._dtype = file, tensor.begin, shape, np.dtype(dtype)

    def read(self, part: slice | None = None) -> npt.NDArray[Any]:
        """Rows of the tensor; None: all of it."""
        start, stop = (0, self._shape[0]) if part is None else (part.start, part.stop)
        row = math.prod(self._shape[1:])
        self._file.seek(self._begin + start * row * self._dtype.itemsize)
        data = self._file.read((stop - start) * row * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype).reshape(stop - start, *self._shape[1:])


def _cuts(file: IO[bytes], tensors: dict[str, _Tensor], count: int, name: str) -> tuple[int, ...]:
    tensor = tensors.get(_CUTS)
    if tensor is None:
        return ()
    file.seek(tensor.begin)
    cuts = np.frombuffer(file.read(4 * min(count, math.prod(tensor.shape))), "<u4") if tensor.dtype == "U32" else None
    if cuts is None or len(tensor.shape) != 1 or len(cuts) != tensor.shape[0] or not _rise(cuts, count):
        raise TemplateError(f"{name} has cuts that do not fit its frames.", remedy=_BAD)
    return tuple(cuts.tolist())


def _rise(cuts: npt.NDArray[np.uint32], count: int) -> bool:
    steps = np.diff(cuts.astype(np.int64), prepend=0, append=count)
    return bool((steps > 0).all())
