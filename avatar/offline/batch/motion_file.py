"""The motion of a clip as one process keeps it for the others: exact, memory-mapped, never executed.

A motion template rounds to 16 bits; here every number stays what the tracker said, so that a clip that is read once
drives every portrait as if each had read it alone.
"""

from __future__ import annotations

import json
import mmap
from array import array
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.errors import VideoError
from avatar.motion.rows import chunks
from avatar.motion.track import MotionTrack
from avatar.offline.driving_motion import DrivingMotion
from avatar.sources.facts import DrivingFacts
from avatar.system.atomic import replacing
from avatar.system.message import Message
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

_MAGIC = b"masque-motion-1\n"
_MOST_HEADER = 1 << 20
_ARRAYS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("times_ns", "<i8", ()),
    ("times_s", "<f8", ()),
    ("presence", "<f4", ()),
    ("blendshapes", "<f4", (len(BLENDSHAPES),)),
    ("landmarks", "<f4", (LANDMARKS, 3)),
)


def save_motion(motion: DrivingMotion, path: Path) -> None:
    """Write a clip's motion, whole or not at all. Raises: OSError."""
    track, count = motion.track, len(motion.times_ns)
    header = {
        "count": count,
        "end_s": motion.end_s,
        "turn_deg": motion.turn_deg,
        "notes": [str(note) for note in motion.notes],
        "facts": facts_to_json(motion.facts),
        "track": {"width_px": track.width_px, "height_px": track.height_px, "name": track.name, "cuts": track.cuts},
    }
    text = json.dumps(header).encode()
    text += b" " * (-(len(_MAGIC) + 8 + len(text)) % 64)
    with replacing(path) as part, part.open("wb") as file:
        file.write(_MAGIC + len(text).to_bytes(8, "little") + text)
        file.write(np.array(motion.times_ns, "<i8").tobytes())
        file.write(track.times_s.astype("<f8").tobytes())
        file.write(track.presence.astype("<f4").tobytes())
        for rows in (track.blendshapes, track.landmarks):
            for chunk in chunks(count):
                file.write(rows[chunk].astype("<f4").tobytes())
            track.let_go()


def load_motion(path: Path, clip: Path) -> DrivingMotion:
    """Read a clip's motion back; the arrays stay in the file.

    Args:
        path: what `save_motion` wrote.
        clip: where the clip lies on this machine.
    Raises:
        OSError: it is not there.
        VideoError: it is damaged.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = len(_MAGIC) + 8
    size = int.from_bytes(mapped[start - 8 : start], "little")
    try:
        if mapped[: len(_MAGIC)] != _MAGIC or size > _MOST_HEADER:
            raise ValueError("not a motion file")
        header = json.loads(mapped[start : start + size])
        arrays = _arrays(mapped, start + size, int(header["count"]))
        told = header["track"]
        track = MotionTrack(
            landmarks=arrays["landmarks"],
            blendshapes=arrays["blendshapes"],
            presence=arrays["presence"],
            times_s=arrays["times_s"],
            width_px=int(told["width_px"]),
            height_px=int(told["height_px"]),
            name=str(told["name"]),
            cuts=tuple(int(cut) for cut in told["cuts"]),
        )
        return DrivingMotion(
            array("q", arrays["times_ns"].astype(np.int64).tobytes()),
            float(header["end_s"]),
            facts_from_json(header["facts"], clip),
            track,
            notes=tuple(map(str, header["notes"])),
            turn_deg=int(header["turn_deg"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise VideoError(
            Message("The motion of {name} that was kept meanwhile is damaged.", name=clip.name),
            remedy=Message("Remove {path} and try again.", path=path),
        ) from error


def facts_to_json(facts: DrivingFacts) -> dict[str, Any]:
    """Return a clip's facts, but for its path, as values that JSON has."""
    told = asdict(facts)
    del told["path"]
    return {key: str(value) if isinstance(value, Fraction) else value for key, value in told.items()}


def facts_from_json(told: Mapping[str, Any], clip: Path) -> DrivingFacts:
    """Build a clip's facts from what `facts_to_json` returned. Raises: ValueError, KeyError, TypeError."""
    fractions = {key: Fraction(told[key]) for key in ("rate", "time_base", "origin_s")}
    return DrivingFacts(**{**told, **fractions, "path": clip})


def _arrays(mapped: mmap.mmap, start: int, count: int) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays, (count, ...) each, that follow the header."""
    found = {}
    for name, kind, shape in _ARRAYS:
        values = count * int(np.prod(shape, dtype=int))
        flat = np.frombuffer(mapped, kind, values, start)
        found[name] = flat.reshape(count, *shape)
        start += flat.nbytes
    return found
