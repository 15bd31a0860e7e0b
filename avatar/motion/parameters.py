"""A clip's motion as the parameters that LivePortrait's networks find in it, and the templates that store them.

A template holds no image, and neither the landmarks nor the shape of the face: angles, positions, expression offsets
and openings alone. It is a safetensors file of finite float32 numbers, and reading one runs no code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.errors import OutputError, TemplateError
from avatar.frames import FloatArray
from avatar.motion.template import SUFFIX, open_file, parse_file, read_at, whole_number
from avatar.system.atomic import replacing
from avatar.system.message import Message

FORMAT, VERSION = "masque-liveportrait", 1
MAX_POINTS, MAX_SIZE = 1000, 1e4  # keypoints, and the largest value of any parameter
_BAD = "Ask for a new copy, or make one from a video: python run.py template CLIP -o FILE.masque --engine liveportrait"


@dataclass(frozen=True, eq=False)
class Measured:
    """The parameters of one face in one image; float32."""

    angles_deg: FloatArray  # (3,) pitch, yaw, roll
    translation: FloatArray  # (3,)
    scale: FloatArray  # (1,)
    expression: FloatArray  # (K, 3)
    openings: FloatArray  # (3,) right eye, left eye, lips; NaN where the landmarks are not known


@dataclass(frozen=True, eq=False)
class ParameterTrack:
    """The parameters of one face over T frames; float32, finite."""

    angles_deg: FloatArray  # (T, 3) pitch, yaw, roll
    translation: FloatArray  # (T, 3)
    scale: FloatArray  # (T, 1)
    expression: FloatArray  # (T, K, 3)
    openings: FloatArray  # (T, 3) right eye, left eye, lips
    presence: FloatArray  # (T,) in [0, 1]; 0 = no face in that frame, whose row repeats the last one
    times_s: FloatArray  # (T,), since the first frame, non-decreasing

    def __len__(self) -> int:
        return len(self.times_s)

    def row(self, number: int) -> Measured:
        """Return the parameters of one frame."""
        return Measured(*(getattr(self, name)[number] for name in Measured.__annotations__))


def track_of(rows: list[Measured], presence: FloatArray, times_s: FloatArray) -> ParameterTrack:
    """Join the parameters of T frames; `presence` and `times_s`: (T,)."""
    columns = {name: np.stack([getattr(row, name) for row in rows]) for name in Measured.__annotations__}
    return ParameterTrack(**columns, presence=presence, times_s=times_s)


def is_parameter_template(path: Path) -> bool:
    """Return whether a file is a template of this kind. Raises: TemplateError: missing, or no template at all."""
    with open_file(path) as file:
        return parse_file(path, file)[1].get("format") == FORMAT


def save_parameters(track: ParameterTrack, path: Path) -> None:
    """Write a template, atomically. Raises: OutputError: it cannot be written."""
    from safetensors.numpy import save

    facts = {"format": FORMAT, "version": str(VERSION), "frames": str(len(track))}
    facts["points"] = str(track.expression.shape[1])
    tensors = {name: np.ascontiguousarray(getattr(track, name), np.float32) for name in ParameterTrack.__annotations__}
    try:
        with replacing(path) as part:
            part.write_bytes(save(tensors, facts))
    except OSError as error:
        raise OutputError(
            Message("{path} cannot be written: {why}.", path=path, why=error.strerror or type(error).__name__),
            remedy="Choose a folder that exists, is yours and has free space.",
        ) from error


def load_parameters(path: Path) -> ParameterTrack:
    """Read a template; anything in it that is not a plain finite number is refused.

    Raises:
        TemplateError: missing, damaged, from a later version, or of another kind.
    """
    with open_file(path) as file:
        tensors, facts = parse_file(path, file)
        if facts.get("format") != FORMAT:
            raise TemplateError(
                Message("{name} holds no motion for liveportrait.", name=path.name),
                remedy=Message(
                    "Make one: python run.py template CLIP -o FILE{suffix} --engine liveportrait", suffix=SUFFIX
                ),
            )
        if whole_number(facts, "version", 10**6, path.name) > VERSION:
            raise TemplateError(
                Message("{name} is from a later version of Masque.", name=path.name), remedy="Update Masque."
            )
        count = whole_number(facts, "frames", 10**7, path.name)
        points = whole_number(facts, "points", MAX_POINTS, path.name)
        shapes = _shapes(count, points)
        if tensors.keys() != shapes.keys():
            odd = sorted(tensors.keys() ^ shapes.keys())[0]
            raise TemplateError(Message("{name} lacks or adds a table: {odd}.", name=path.name, odd=odd), remedy=_BAD)
        arrays: dict[str, FloatArray] = {}
        for name, shape in shapes.items():
            stored, size = tensors[name], 4 * math.prod(shape)
            data = read_at(file, stored.start, stored.length)
            if stored.tag != "F32" or stored.shape != shape or len(data) != size:
                raise TemplateError(
                    Message("{file}: {part} is not a table of plain numbers.", file=path.name, part=name), remedy=_BAD
                )
            arrays[name] = np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)
    for name, values in arrays.items():
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > (1e6 if name == "times_s" else MAX_SIZE):
            raise TemplateError(
                Message("{file}: {part} holds numbers that cannot be.", file=path.name, part=name), remedy=_BAD
            )
    if not (arrays["presence"] > 0).any() or (np.diff(arrays["times_s"]) < 0).any():
        raise TemplateError(Message("{name} holds no face, or runs backwards.", name=path.name), remedy=_BAD)
    return ParameterTrack(**arrays)


def _shapes(count: int, points: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each table."""
    return {
        "angles_deg": (count, 3),
        "translation": (count, 3),
        "scale": (count, 1),
        "expression": (count, points, 3),
        "openings": (count, 3),
        "presence": (count,),
        "times_s": (count,),
    }
