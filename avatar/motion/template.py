"""Motion templates: files that hold a person's motion but no images.

A template is a safetensors file, so that reading one from an untrusted source runs no code: no pickle, no zip, no path.
`docs/motion-template.md` describes the format; this module is its only reader and writer.

Landmarks are stored as 16-bit fixed point about the image centre. On a 512x512 image the maximum error of a
coordinate is 0.016 px; float16 would take the same space with errors up to 0.12 px, float32 twice the space.
Fixed-point numbers also cannot be NaN or infinite.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from avatar.errors import OutputError, TemplateError
from avatar.motion.rows import Rows, chunks
from avatar.motion.track import MotionTrack
from avatar.system.atomic import replacing
from avatar.system.foreign_text import quoted, shown
from avatar.system.limits import MAX_TEMPLATE_BYTES, MAX_TEMPLATE_HEADER_BYTES
from avatar.system.message import Message
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

FORMAT, VERSION = "masque-motion", 1
SUFFIX = ".masque"
STEPS = 16384  # fixed-point steps per longer side of the image: int16 then reaches 1.5 sides past each border
MAX_SIDE_PX = 32768
MAX_TIME_S = 1e6
FULL_SCALE = 65535  # 16-bit value that stands for a coefficient or presence of 1

# (name, safetensors dtype, numpy dtype, shape after the frame axis)
_TENSORS = (
    ("landmarks", "I16", "<i2", (LANDMARKS, 3)),
    ("blendshapes", "U16", "<u2", (len(BLENDSHAPES),)),
    ("presence", "U16", "<u2", ()),
    ("times_s", "F64", "<f8", ()),
)
_CUTS = "cuts"  # U32 (C,): MotionTrack.cuts; only in templates of clips that have any
_BAD = "Ask for a new copy, or make one from a video: python run.py template CLIP -o FILE.masque"


def save_template(track: MotionTrack, path: Path) -> None:
    """Write a track's motion to a file, atomically; neither the track's name nor any path is stored.

    Raises:
        TemplateError: the track holds no face, is too long or its times do not run forwards.
        OutputError: the file cannot be written.
    """
    _check_motion(track.times_s, track.presence, "The motion")
    frame_bytes = 2 * (LANDMARKS * 3 + len(BLENDSHAPES) + 1) + 8
    if len(track) * frame_bytes > MAX_TEMPLATE_BYTES - MAX_TEMPLATE_HEADER_BYTES:
        raise TemplateError(
            Message("{count} frames are too many for one template.", count=len(track)),
            remedy="Cut the clip into parts below 50 minutes.",
        )
    facts = {"format": FORMAT, "version": VERSION, "frames": len(track), "steps": STEPS}
    facts |= {"width_px": track.width_px, "height_px": track.height_px}
    header = json.dumps(_header(track, {key: str(value) for key, value in facts.items()}), separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header) % 8)
    try:
        with replacing(path) as part, part.open("wb") as file:
            file.write(len(padded).to_bytes(8, "little") + padded)
            for data in _stored_bytes(track):
                file.write(data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            Message("{path} cannot be written: {why}.", path=path, why=reason),
            remedy="Choose a folder that exists, is yours and has free space.",
        ) from error


def _header(track: MotionTrack, facts: dict[str, str]) -> dict[str, Any]:
    """Build the safetensors header for the tensors of `_stored_bytes`, in their order: widest types first."""
    tags = {name: (tag, dtype, (len(track), *shape)) for name, tag, dtype, shape in _TENSORS}
    tags[_CUTS] = ("U32", "<u4", (len(track.cuts),))
    header: dict[str, Any] = {"__metadata__": facts}
    end = 0
    for name in ("times_s", *([_CUTS] if track.cuts else []), "blendshapes", "presence", "landmarks"):
        tag, dtype, shape = tags[name]
        begin, end = end, end + np.dtype(dtype).itemsize * math.prod(shape)
        header[name] = {"dtype": tag, "shape": shape, "data_offsets": [begin, end]}
    return header


def _stored_bytes(track: MotionTrack) -> Iterator[bytes]:
    """Yield the bytes of the tensors in small parts."""
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
    """Read a template; the track is named after the file, and unknown tensors are ignored.

    Raises:
        TemplateError: missing, damaged, from a later version, or no template at all.
    """
    with open_file(path) as file:
        tensors, facts = parse_file(path, file)
        if facts.get("format") == "masque-liveportrait":
            raise TemplateError(
                Message("{name} holds motion for liveportrait.", name=path.name), remedy="Add --engine liveportrait."
            )
        if facts.get("format") != FORMAT:
            raise TemplateError(
                Message("{name} is a safetensors file, but not a motion template.", name=path.name), remedy=_BAD
            )
        _check_version(facts, path.name)
        width_px, height_px = (whole_number(facts, key, MAX_SIDE_PX, path.name) for key in ("width_px", "height_px"))
        steps = whole_number(facts, "steps", 2**20, path.name)
        count = whole_number(facts, "frames", MAX_TEMPLATE_BYTES, path.name)
        for name, tag, _, shape in _TENSORS:
            _check_tensor(tensors, name, tag, (count, *shape), path.name)
        centre, longer = _frame_of(width_px, height_px)
        times_s = _numbers(file, tensors["times_s"], slice(0, count), path.name)
        presence = _floats(file, tensors["presence"], path.name, 1 / FULL_SCALE)
        _check_motion(times_s, presence, path.name)
        return MotionTrack(
            landmarks=_floats(file, tensors["landmarks"], path.name, longer / steps, centre),
            blendshapes=_floats(file, tensors["blendshapes"], path.name, 1 / FULL_SCALE),
            presence=presence,
            times_s=times_s.astype(np.float64),
            width_px=width_px,
            height_px=height_px,
            name=path.stem,
            cuts=_cuts(file, tensors, count, path.name),
        )


def _frame_of(width_px: int, height_px: int) -> tuple[npt.NDArray[np.float64], int]:
    """Return the origin (3,) and the unit of stored landmarks, in pixels: the image centre and the longer side."""
    return np.array([(width_px - 1) / 2, (height_px - 1) / 2, 0.0]), max(width_px, height_px)


def _to_u16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Convert (T, ...) values in [0, 1] to 16-bit fixed point."""
    return np.rint(np.clip(values, 0, 1) * FULL_SCALE).astype("<u2")


def _check_motion(times_s: npt.NDArray[np.float64], presence: npt.NDArray[np.float32], what: str) -> None:
    """Raise TemplateError unless (T,) times never fall and (T,) presences hold a face."""
    if times_s.size == 0 or not (presence > 0).any():
        raise TemplateError(
            Message("{name} holds no face.", name=what), remedy="Use a clip in which one face is well lit and in view."
        )
    sound = np.isfinite(times_s).all() and np.abs(times_s).max() <= MAX_TIME_S and (np.diff(times_s) >= 0).all()
    if not sound or (len(times_s) > 1 and times_s[-1] <= times_s[0]):
        raise TemplateError(Message("{name} has times that decrease.", name=what), remedy=_BAD)


@dataclass(frozen=True)
class _Stored:
    """Header entry of one tensor."""

    tag: str  # dtype as safetensors names it
    shape: tuple[int, ...]
    start: int  # offset in the file, bytes
    length: int  # bytes


def open_file(path: Path) -> BinaryIO:
    """Open the file, after checking its size."""
    if path.exists() and not path.is_file():  # opening a pipe would block until another process writes to it
        raise TemplateError(
            Message("{path} cannot be read: it is not a file.", path=path), remedy="Check the name and try again."
        )
    try:
        file = path.open("rb")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TemplateError(
            Message("{path} cannot be read: {why}.", path=path, why=reason),
            remedy="Check the name and try again.",
        ) from error
    if os.fstat(file.fileno()).st_size > MAX_TEMPLATE_BYTES:
        file.close()
        largest = MAX_TEMPLATE_BYTES // 2**20
        raise TemplateError(
            Message("{name} is larger than {largest} MB, too large for a template.", name=path.name, largest=largest),
            remedy=_BAD,
        )
    return file


def _refuse_carriers(head: bytes, last: bytes, name: str) -> None:
    """Refuse pickles, which can run code when read, and zips, which can hold anything."""
    if head[:4] == b"PK\x03\x04":
        raise TemplateError(
            Message("{name} holds a zip archive; templates never do, so it was not opened.", name=name), remedy=_BAD
        )
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and last == b".":
        raise TemplateError(
            Message("{name} holds a Python pickle, which can run code; it was not opened.", name=name), remedy=_BAD
        )


def read_at(file: BinaryIO, start: int, length: int) -> bytes:
    """Return bytes of an open file."""
    file.seek(start)
    return file.read(length)


def parse_file(path: Path, file: BinaryIO) -> tuple[dict[str, _Stored], dict[str, str]]:
    """Return the tensor entries and the metadata of the header; refuses every file that safetensors refuses."""
    from safetensors import SafetensorError, safe_open

    name, size = path.name, os.fstat(file.fileno()).st_size
    head = read_at(file, 0, 9)
    header_bytes = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{":
        _refuse_carriers(head, read_at(file, max(0, size - 1), 1), name)
    if not 2 <= header_bytes <= MAX_TEMPLATE_HEADER_BYTES or head[8:9] != b"{":
        raise TemplateError(Message("{name} is not a motion template.", name=name), remedy=_BAD)
    try:
        with safe_open(path, framework="numpy"):  # checks the header, and that the file holds what it names
            header = json.loads(read_at(file, 8, header_bytes))
        facts: dict[str, str] = header.pop("__metadata__", None) or {}
        tensors = {key: _stored(value, 8 + header_bytes, size) for key, value in header.items()}
    except (SafetensorError, OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise TemplateError(Message("{name} is damaged or cut short.", name=name), remedy=_BAD) from error
    for text in (*tensors, *facts, *facts.values()):
        if "/" in text or "\\" in text:
            raise TemplateError(
                Message("{name} holds a path ({text}); templates hold numbers only.", name=name, text=quoted(text, 60)),
                remedy=_BAD,
            )
    for unknown in tensors.keys() - {_CUTS, *(known for known, *_ in _TENSORS)}:
        start, end = tensors[unknown].start, tensors[unknown].start + tensors[unknown].length
        _refuse_carriers(read_at(file, start, min(4, end - start)), read_at(file, end - 1, end > start), name)
    return tensors, facts


def _stored(entry: Mapping[str, Any], data_start: int, size: int) -> _Stored:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= size - data_start:
        raise ValueError("a tensor lies outside the file")
    return _Stored(entry["dtype"], tuple(entry["shape"]), data_start + begin, end - begin)


def _check_version(facts: dict[str, str], name: str) -> None:
    version = whole_number(facts, "version", 10**6, name)
    if version > VERSION:
        raise TemplateError(
            Message(
                "{name} is a template of version {version}; this Masque reads up to version {known}.",
                name=name,
                version=version,
                known=VERSION,
            ),
            remedy="Update Masque, or ask for the template in the older version.",
        )


def whole_number(facts: dict[str, str], key: str, largest: int, name: str) -> int:
    """Return a positive whole number of the metadata. Raises: TemplateError: there is none, or it is too large."""
    text = facts.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= largest):
        raise TemplateError(
            Message("{name} has no usable {key} ({text}).", name=name, key=key, text=quoted(text, 20)), remedy=_BAD
        )
    return int(text)


def _check_tensor(tensors: Mapping[str, _Stored], name: str, tag: str, shape: tuple[int, ...], file: str) -> None:
    stored = tensors.get(name)
    if stored is None:
        raise TemplateError(Message("{file} lacks {part}.", file=file, part=name), remedy=_BAD)
    if stored.tag != tag or stored.shape != shape or stored.length != math.prod(shape) * int(tag[1:]) // 8:
        found = shown(f"{stored.tag} {list(stored.shape)}")
        raise TemplateError(
            Message(
                "{file}: {name} should be {tag} {shape} and is {found}.",
                file=file,
                name=name,
                tag=tag,
                shape=list(shape),
                found=found,
            ),
            remedy=_BAD,
        )


def _numbers(file: BinaryIO, stored: _Stored, frames: slice, name: str) -> npt.NDArray[Any]:
    """Read one tensor's values for N frames, (N, ...) in the dtype of its tag. Raises TemplateError."""
    dtype = np.dtype(next(dtype for _, tag, dtype, _ in _TENSORS if tag == stored.tag))
    shape = (frames.stop - frames.start, *stored.shape[1:])
    row = dtype.itemsize * math.prod(stored.shape[1:])
    data = read_at(file, stored.start + frames.start * row, shape[0] * row)
    if len(data) != shape[0] * row:
        raise TemplateError(Message("{name} is damaged or cut short.", name=name), remedy=_BAD)
    return np.frombuffer(data, dtype).reshape(shape)


def _floats(
    file: BinaryIO, stored: _Stored, name: str, scale: float, centre: npt.NDArray[np.float64] | float = 0.0
) -> npt.NDArray[np.float32]:
    """Read a whole tensor as float32 (T, ...) `values * scale + centre`, in parts; `centre` is (3,) or a number."""
    rows = Rows(stored.shape[1:])
    for part in chunks(stored.shape[0]):
        rows.extend((_numbers(file, stored, part, name) * scale + centre).astype(np.float32))
    return rows.finish()


def _cuts(file: BinaryIO, tensors: Mapping[str, _Stored], count: int, name: str) -> tuple[int, ...]:
    stored = tensors.get(_CUTS)
    if stored is None:
        return ()
    if stored.tag == "U32" and len(stored.shape) == 1 and stored.shape[0] < count:
        cuts = np.frombuffer(read_at(file, stored.start, stored.length), "<u4").astype(np.int64)
        if len(cuts) == stored.shape[0] and (np.diff(cuts, prepend=0, append=count) > 0).all():
            return tuple(cuts.tolist())
    raise TemplateError(Message("{name} has cuts that do not fit its frames.", name=name), remedy=_BAD)
