"""What a user has set: frozen records, kept as TOML in the user's configuration folder.

    [motion]
    relative = true
    strength_head = 0.8
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from avatar.atomic import replacing
from avatar.errors import SetupError
from avatar.foreign_text import quoted
from avatar.limits import MAX_CANVAS_PIXELS
from avatar.small_files import read_toml

FITS = ("blur", "fit", "fill")  # bars of the blurred picture, plain bars, or cut to fill
THEMES = ("system", "light", "dark")
PREVIEWS = ("corner", "large", "hidden")


@dataclass(frozen=True)
class CameraSettings:
    """What drives."""

    source: str = ""  # a camera's stable id or name, a file, a folder, or "idle"; empty: not chosen yet
    width_px: int = 1280  # asked for, 16..8192; the camera may have its own mind
    height_px: int = 720
    rate: int = 30  # pictures per second, 1..240
    mirror: bool = False  # the driving signal: the portrait moves as a mirror image of the driver

    def __post_init__(self) -> None:
        for name, low, high in (("width_px", 16, 8192), ("height_px", 16, 8192), ("rate", 1, 240)):
            _within(self, name, low, high)


@dataclass(frozen=True)
class CropSettings:
    """Which part of the camera's picture engines see that work on pictures, and the preview shows."""

    auto: bool = True  # follows the face gently; False: `zoom` and the pans, by hand
    frozen: bool = False  # the automatic crop stays where it is
    zoom: float = 1.0  # by hand: 1 = the largest square that fits, 4 = a quarter of its side
    pan_x: float = 0.0  # by hand: -1 = at the left edge, 1 = at the right edge
    pan_y: float = 0.0  # -1 = at the top edge, 1 = at the bottom edge

    def __post_init__(self) -> None:
        for name, low, high in (("zoom", 1.0, 4.0), ("pan_x", -1.0, 1.0), ("pan_y", -1.0, 1.0)):
            _within(self, name, low, high)


@dataclass(frozen=True)
class MotionSettings:
    """How the driving motion is carried over, where the command line says nothing else."""

    relative: bool = True  # motion since the reference frame; False: the driver's pose itself
    adapt_scale: bool = True  # a smaller face moves less
    strength_head: float = 1.0  # 0..2
    strength_expression: float = 1.0  # 0..2
    smoothing: bool = True  # live only: filter the driver's landmarks over time

    def __post_init__(self) -> None:
        for name in ("strength_head", "strength_expression"):
            _within(self, name, 0.0, 2.0)


@dataclass(frozen=True)
class CalibrationSettings:
    """How the reference frame is found while Masque runs."""

    search: bool = False  # keep looking for a more neutral moment
    drift_hint: bool = True  # say so when the face sits far from the reference for long


@dataclass(frozen=True)
class CanvasSettings:
    """The picture that virtual camera and recorder send."""

    width_px: int = 1280  # 16..8192, and MAX_CANVAS_PIXELS in all
    height_px: int = 720
    fit: str = "blur"  # one of FITS: how an avatar of another shape is fitted in
    mirror: bool = False
    label: bool = True  # "AI avatar" in the corner

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            _within(self, name, 16, 8192)
        if self.width_px * self.height_px > MAX_CANVAS_PIXELS:
            limit = f"{MAX_CANVAS_PIXELS / 1e6:.1f} megapixels (4096 x 2160)"
            raise ValueError(f"the canvas is {self.width_px} x {self.height_px}, and the limit is {limit}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {quoted(self.fit)}")


@dataclass(frozen=True)
class EngineSettings:
    """What draws."""

    name: str = "warp"
    model: str = ""  # the checkpoint of an engine that has several; empty: none
    device: str = "auto"


@dataclass(frozen=True)
class WindowSettings:
    """How the window was left, and is found again."""

    language: str = ""  # "en", "de", "zh"; empty: the system's
    theme: str = "system"  # one of THEMES
    geometry: str = ""  # place and size in Qt's own writing, base64
    splitters: str = ""  # likewise
    guide_done: bool = False  # the first-start guide was finished or skipped
    overlay: bool = True  # rate, latency and device over the avatar
    landmarks: bool = False  # over the camera's picture
    mirror_preview: bool = True  # the camera's picture, as in a mirror
    ghost: float = 0.0  # 0..1, opacity of the portrait over the camera's picture
    preview: str = "corner"  # one of PREVIEWS: the camera's picture
    panel: bool = True  # the side panel is shown
    folded: str = ""  # names of the panel's sections that are folded, with spaces between
    captures: str = ""  # folder of recordings and snapshots; empty: Masque in the user's videos
    microphone: bool = False  # record sound too
    replay: bool = False  # keep the last half minute at hand, which costs some of the processor

    def __post_init__(self) -> None:
        _within(self, "ghost", 0.0, 1.0)
        for name, known in (("theme", THEMES), ("preview", PREVIEWS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {quoted(getattr(self, name))}")


@dataclass(frozen=True)
class Settings:
    """Everything that can be set; changed by `dataclasses.replace`."""

    avatar: str = "astronaut"  # a name in the library
    threads: int = 2  # processor cores for tracking and drawing, 1..64
    camera: CameraSettings = field(default_factory=CameraSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    window: WindowSettings = field(default_factory=WindowSettings)
    keys: dict[str, str] = field(default_factory=dict)  # the window's keys that the user changed, by action

    def __post_init__(self) -> None:
        _within(self, "threads", 1, 64)
        if wrong := [key for key, value in self.keys.items() if not isinstance(value, str)]:
            raise ValueError(f"keys: {quoted(wrong[0])} must be a text")


def settings_path() -> Path:
    """Return the settings file: MASQUE_SETTINGS, else settings.toml in the user's configuration folder."""
    if override := os.environ.get("MASQUE_SETTINGS"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("masque", appauthor=False)) / "settings.toml"


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings; what the file does not name keeps its default, and so does everything without a file.

    Raises:
        SetupError: the file is not TOML, or a value has the wrong type or range.
    """
    path = path or settings_path()
    try:
        return cast(Settings, _record(read_toml(path), Settings()))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise SetupError(
            f"The settings file {path} cannot be used: {error}.", remedy="Correct that line, or delete the file."
        ) from error


def save_settings(settings: Settings, path: Path | None = None) -> None:
    """Write the settings, whole or not at all; where the file is a link, into the file it points to.

    Raises:
        SetupError: the folder cannot be written.
    """
    path = path or settings_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(_toml(settings), encoding="utf-8")
    except OSError as error:
        raise SetupError(
            f"The settings cannot be saved in {path}: {error.strerror}.", remedy="Make that folder writable."
        ) from error


def _record(table: Any, defaults: Any) -> Any:
    """A record like `defaults` with the values of a table. Names it does not know are a newer version's: passed over.

    Raises:
        ValueError: it is no table, or a value has the wrong type or range.
    """
    if not isinstance(table, dict):
        raise ValueError(f"expected a table, got {quoted(table)}")
    values = {}
    for each in dataclasses.fields(defaults):
        if each.name in table:
            like = getattr(defaults, each.name)
            read = _record if dataclasses.is_dataclass(like) else functools.partial(_as, each.name)
            values[each.name] = read(table[each.name], like)
    return dataclasses.replace(defaults, **values)


def _as(name: str, value: object, like: object) -> Any:
    """Return `value` if it has the type of `like`; a whole number will do for a fraction."""
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(like):
        raise ValueError(f"{name} must be of type {type(like).__name__}, got {quoted(value)}")
    return value


def _within(record: object, name: str, low: float, high: float) -> None:
    """Refuse a field out of its range, NaN included. Raises: ValueError."""
    value = getattr(record, name)
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")


def _toml(settings: Settings) -> str:
    """TOML of one level of tables; JSON writes text, numbers and booleans as TOML does."""
    values = dataclasses.asdict(settings)
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if name not in tables]
    for title, table in tables.items():
        lines += ["", f"[{title}]", *(f"{_key(name)} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A field's name as it is; what else a table of the user's holds, as text."""
    return name if name.isascii() and name.isidentifier() else _value(name)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character JSON leaves as it is
