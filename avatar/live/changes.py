"""Consequences of each change of a LiveConfig, so that `Pipeline.apply` does no more than needed."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from avatar.live.config import LiveConfig


class Need(enum.Flag):
    """Actions needed besides informing the engine thread, which applies every change before its next frame."""

    NEXT_FRAME = 0  # nothing more
    SOURCE = enum.auto()  # close the source and open it again, or another one
    PORTRAIT = enum.auto()  # open another engine if needed, and prepare the portrait in the background
    OUTPUTS = enum.auto()  # pass the canvas to the outputs, which stay open


NEEDS = {
    "source": Need.SOURCE,
    "camera_size": Need.SOURCE,
    "camera_rate": Need.SOURCE,
    "avatar": Need.PORTRAIT,
    "engine": Need.PORTRAIT,
    "model": Need.PORTRAIT,
    "device": Need.PORTRAIT,
    "render": Need.PORTRAIT,
    "remote": Need.PORTRAIT,
    "size": Need.PORTRAIT,
    "sharpness": Need.PORTRAIT,
    "canvas": Need.OUTPUTS,
    "canvas.width_px": Need.OUTPUTS | Need.PORTRAIT,  # a portrait is drawn at the size that the canvas shows
    "canvas.height_px": Need.OUTPUTS | Need.PORTRAIT,
    "canvas.fit": Need.OUTPUTS | Need.PORTRAIT,
    "mirror_driving": Need.NEXT_FRAME,
    "motion": Need.NEXT_FRAME,
    "crop": Need.NEXT_FRAME,
    "calibration": Need.NEXT_FRAME,
    "crossfade_ms": Need.NEXT_FRAME,
    "threads": Need.NEXT_FRAME,
}
_ENGINE = frozenset({"engine", "model", "device", "render", "remote"})  # meaningful only together


@dataclass(frozen=True)
class Change:
    """Difference between a configuration and the next one."""

    config: LiveConfig  # the next configuration
    fields: frozenset[str]  # names of the changed fields of LiveConfig
    needs: Need

    def values(self) -> dict[str, Any]:
        """Return the changed fields with their values."""
        return {name: getattr(self.config, name) for name in self.fields}


def change_between(before: LiveConfig, now: LiveConfig) -> Change:
    """Compare two configurations.

    Raises:
        KeyError: a field that differs has no line in NEEDS.
    """
    needs, fields = Need.NEXT_FRAME, set()
    for path in _differing(before, now):
        field = path.partition(".")[0]
        fields.add(field)
        needs |= NEEDS.get(path, NEEDS[field])
    if fields & _ENGINE:
        fields |= _ENGINE
    return Change(now, frozenset(fields), needs)


def _differing(before: Any, now: Any) -> Iterator[str]:
    """Yield the names of fields that differ, "canvas.fit" for those of a record inside."""
    for each in dataclasses.fields(now):
        one, other = getattr(before, each.name), getattr(now, each.name)
        if dataclasses.is_dataclass(other):
            yield from (f"{each.name}.{name}" for name in _differing(one, other))
        elif one != other:
            yield each.name
