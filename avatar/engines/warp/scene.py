"""The motion of a portrait in one frame, as input of a renderer."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.engines.warp.look_up import LookUp
from avatar.frames import FloatArray


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame of one portrait, before it is drawn."""

    look_up: LookUp
    target: FloatArray  # (478, 3), the portrait's landmarks in the frame
    expression_px: FloatArray  # (478, 3), their displacement by expression alone, in the portrait's own pose
    turn: FloatArray  # (3, 3), zoom times rotation of the head
