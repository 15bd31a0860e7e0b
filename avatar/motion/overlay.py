"""An expression that is put on at the press of a key, over whatever the driver's face does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.expression import expression_basis
from avatar.motion.smoothstep import smoothstep
from avatar.tracking.face import BLENDSHAPES, Face

FADE_S = 0.3
LARGEST = 1.0  # of one coefficient

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "smile": {
        "mouthSmileLeft": 0.95, "mouthSmileRight": 0.95, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4,
        "eyeSquintLeft": 0.25, "eyeSquintRight": 0.25,
    },
    "surprise": {
        "browInnerUp": 0.9, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "eyeWideLeft": 0.6, "eyeWideRight": 0.6,
        "jawOpen": 0.35, "mouthFunnel": 0.2,
    },
    "wink": {"eyeBlinkLeft": 0.95, "cheekSquintLeft": 0.5, "mouthSmileLeft": 0.45, "mouthSmileRight": 0.15},
    "sad": {
        "browInnerUp": 0.8, "mouthFrownLeft": 0.7, "mouthFrownRight": 0.7, "mouthShrugLower": 0.4,
        "eyeSquintLeft": 0.2, "eyeSquintRight": 0.2,
    },
}  # fmt: skip


def coefficients(expression: Mapping[str, float]) -> FloatArray:
    """Return (52,) float32 of an expression, in [0, LARGEST]. Raises ValueError: a name or value that cannot be."""
    values = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in expression.items():
        if name not in BLENDSHAPES or not 0 <= value <= LARGEST:
            raise ValueError(f"{name} = {value}")
        values[BLENDSHAPES.index(name)] = value
    return values


def expression_of(face: Face, reference: Face) -> dict[str, float]:
    """Return what a face shows more than the reference face, as an expression; no gaze, and nothing that is slight."""
    more = np.clip(face.blendshapes - reference.blendshapes, 0.0, LARGEST)
    return {
        name: round(float(value), 2)
        for name, value in zip(BLENDSHAPES, more, strict=True)
        if value >= 0.1 and not name.startswith(("_", "eyeLook"))
    }


def expression_text(expression: Mapping[str, float]) -> str:
    """Write an expression as "jawOpen=0.3 mouthSmileLeft=0.5"."""
    return " ".join(f"{name}={value:g}" for name, value in expression.items())


def parse_expression(text: str) -> dict[str, float]:
    """Read what `expression_text` writes. Raises ValueError: it is something else."""
    pairs = [part.partition("=") for part in text.split()]
    expression = {name: float(value) for name, _, value in pairs}
    coefficients(expression)
    return expression


class ExpressionOverlay:
    """Fades expressions in and out. Not thread-safe; the caller passes the time, in seconds."""

    def __init__(self) -> None:
        self._from = self._to = np.zeros(len(BLENDSHAPES), np.float32)
        self._began_s = -FADE_S

    def fade_to(self, expression: Mapping[str, float], now_s: float) -> None:
        """Go over to another expression, {} for none, from whatever is on now. Raises ValueError as `coefficients`."""
        wanted = coefficients(expression)
        self._from, self._to, self._began_s = self._now(now_s), wanted, now_s

    def put_on(self, face: Face, reference: Face, now_s: float) -> Face:
        """Return the driver's face with the expression.

        A coefficient that the driver reaches anyway is not added again, so that a smile is not doubled.

        Args:
            face: the driver's, or that of the idle motion.
            reference: what it is compared with by engines.
            now_s: never earlier than before.
        """
        wanted = self._now(now_s)
        if not wanted.any():
            return face
        added = np.clip(wanted - np.maximum(face.blendshapes - reference.blendshapes, 0.0), 0.0, None)
        moved = np.tensordot(added, expression_basis(), axes=1) @ face.pose.rotation.T * face.pose.scale_px
        return replace(
            face,
            landmarks=np.asarray(face.landmarks + moved, np.float32),
            blendshapes=np.clip(face.blendshapes + added, 0.0, 1.0).astype(np.float32),
        )

    def _now(self, now_s: float) -> FloatArray:
        """Return the (52,) coefficients at a time."""
        share = np.float32(smoothstep((now_s - self._began_s) / FADE_S))
        return np.asarray(self._from + share * (self._to - self._from), np.float32)
