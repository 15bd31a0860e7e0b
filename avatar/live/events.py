"""What a running pipeline tells: small records, handed to `on_event` on the thread where they happened.

The receiver passes them on and returns at once: a camera or an engine waits meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from avatar.errors import AvatarError
from avatar.settings import CanvasSettings
from avatar.sources.base import SourceFacts


@dataclass(frozen=True)
class SourceLost:
    """The source delivers nothing; it is tried again. Told once until it is back."""

    what: str
    remedy: str


@dataclass(frozen=True)
class SourceBack:
    """The source delivers: for the first time, or again."""

    name: str
    facts: SourceFacts


@dataclass(frozen=True)
class SourceNote:
    """Something to know about the source, which goes on."""

    text: str


@dataclass(frozen=True)
class FaceLost:
    """No face is in the picture any more; the avatar goes over to its idle motion."""


@dataclass(frozen=True)
class FaceFound:
    """A face is in the picture; the avatar follows it."""


@dataclass(frozen=True)
class AvatarReady:
    """A portrait was prepared and is shown from the next frame on."""

    name: str
    took_ms: float
    notes: tuple[str, ...] = ()  # what is worth knowing about its picture


@dataclass(frozen=True)
class AvatarRefused:
    """A portrait cannot be used; the one before stays."""

    name: str
    error: AvatarError


@dataclass(frozen=True)
class CalibrationCountdown:
    """Guided calibration looks at the driver in `seconds`; 0: now, for about a second and a half."""

    seconds: int


@dataclass(frozen=True)
class CalibrationDone:
    """There is a new reference frame."""

    score: float  # 0..1, how neutral the driver looks in it
    how: str  # "guided", "instant", "search", "recentre", "undo", or "first": the first face that was seen


@dataclass(frozen=True)
class CalibrationRefused:
    """The reference frame stays as it was."""

    why: str  # and what to do about it


@dataclass(frozen=True)
class DriftHint:
    """The driver has been sitting far from the reference frame for long: recentre or calibrate."""


@dataclass(frozen=True)
class EngineReady:
    """An engine was opened."""

    engine: str
    device: str
    precision: str
    why: str  # why it is this device; may be empty


@dataclass(frozen=True)
class EngineFailed:
    """An engine failed. The avatar stays as last drawn until `fallback` draws it."""

    error: AvatarError
    fallback: str  # the engine that is opened now: the same one again, or "warp"; empty: there is none left


@dataclass(frozen=True)
class OutputStarted:
    """An output is open."""

    name: str
    facts: str  # for people, such as "OBS Virtual Camera, 1280 x 720 at 30"; may be empty


@dataclass(frozen=True)
class OutputRefused:
    """An output cannot change its canvas now, and goes on with another."""

    name: str
    error: AvatarError
    wanted: CanvasSettings
    kept: CanvasSettings  # in use


@dataclass(frozen=True)
class OutputFailed:
    """An output could not be opened, or broke; it is closed."""

    name: str
    error: AvatarError


Event = (
    SourceLost | SourceBack | SourceNote | FaceLost | FaceFound | AvatarReady | AvatarRefused | CalibrationCountdown
    | CalibrationDone | CalibrationRefused | DriftHint | EngineReady | EngineFailed | OutputStarted
    | OutputRefused | OutputFailed
)  # fmt: skip
