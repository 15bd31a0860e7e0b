"""Events of a running pipeline: small records, passed to `on_event` on the thread where they occur.

The receiver must return at once, because a camera or an engine waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from avatar.errors import AvatarError
from avatar.settings import CanvasSettings
from avatar.sources.base import SourceFacts


@dataclass(frozen=True)
class SourceLost:
    """The source delivers no frames and is being retried. Emitted once until it is back."""

    what: str
    remedy: str


@dataclass(frozen=True)
class SourceBack:
    """The source delivers frames, for the first time or again."""

    name: str
    facts: SourceFacts


@dataclass(frozen=True)
class SourceNote:
    """A note about the source, which keeps running."""

    text: str


@dataclass(frozen=True)
class FaceLost:
    """The face was lost; the avatar eases to its idle motion."""


@dataclass(frozen=True)
class FaceFound:
    """A face was found; the avatar follows it."""


@dataclass(frozen=True)
class AvatarReady:
    """A portrait was prepared and is shown from the next frame on."""

    name: str
    took_ms: float
    notes: tuple[str, ...] = ()  # notes about its image, for the user


@dataclass(frozen=True)
class AvatarRefused:
    """A portrait cannot be used; the previous one stays."""

    name: str
    error: AvatarError


@dataclass(frozen=True)
class CalibrationCountdown:
    """Guided calibration starts sampling in `seconds`; 0: now, for about a second and a half."""

    seconds: int


@dataclass(frozen=True)
class CalibrationDone:
    """There is a new reference frame."""

    score: float  # 0..1, neutrality of the driver's face
    how: str  # "guided", "instant", "search", "recentre", "undo", or "first": the first face that was seen


@dataclass(frozen=True)
class CalibrationRefused:
    """The reference frame stays as it was."""

    why: str  # reason and remedy


@dataclass(frozen=True)
class DriftHint:
    """The driver has been far from the reference pose for some time: recentre or calibrate."""


@dataclass(frozen=True)
class ExpressionCaught:
    """The expression of the driver's face, to be put on again; empty: none, or no face."""

    expression: dict[str, float]


@dataclass(frozen=True)
class EngineReady:
    """An engine was opened, or runs on something else from now on."""

    engine: str
    device: str
    precision: str
    why: str  # reason for the choice of the device; may be empty


@dataclass(frozen=True)
class EngineSlow:
    """The engine is too slow for live use on this device."""

    engine: str
    frame_s: float | None  # for one frame; None: expected from the kind of device, and not measured yet


@dataclass(frozen=True)
class EngineFailed:
    """An engine failed. The last frame stays until `fallback` is ready."""

    error: AvatarError
    fallback: str  # the engine that is opened now: the same one again, or "warp"; empty if none is left


@dataclass(frozen=True)
class OutputStarted:
    """An output is open."""

    name: str
    facts: str  # description for the user, such as "OBS Virtual Camera, 1280 x 720 at 30"; may be empty


@dataclass(frozen=True)
class OutputLacks:
    """An output is open without something that was asked for, such as the sound of a recording."""

    name: str
    error: AvatarError


@dataclass(frozen=True)
class OutputRefused:
    """An output cannot change to the wanted canvas now, and continues with another."""

    name: str
    error: AvatarError
    wanted: CanvasSettings
    kept: CanvasSettings  # in use


@dataclass(frozen=True)
class OutputFailed:
    """An output could not be opened, or failed; it is closed."""

    name: str
    error: AvatarError


Event = (
    SourceLost | SourceBack | SourceNote | FaceLost | FaceFound | AvatarReady | AvatarRefused | CalibrationCountdown
    | CalibrationDone | CalibrationRefused | ExpressionCaught | DriftHint | EngineReady | EngineSlow | EngineFailed
    | OutputStarted | OutputLacks | OutputRefused | OutputFailed
)  # fmt: skip
