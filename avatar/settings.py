"""The user's settings: frozen records, stored as TOML in the user's configuration folder.

[motion]
relative = true
strength_head = 0.8
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from avatar.errors import SetupError
from avatar.system.atomic import replacing
from avatar.system.foreign_text import quoted
from avatar.system.limits import MAX_CANVAS_PIXELS
from avatar.system.message import Message
from avatar.system.small_files import read_toml

FITS = ("blur", "fit", "fill")  # whole, with its own background extended; whole, between black bars; cropped to fill
PARTS = ("mouth", "eyes", "brows")  # of an expression, with strengths of their own
REGIONS = ("all", "exp", "pose", "lip", "eyes")
THEMES = ("system", "light", "dark")
RENDERERS = ("auto", "processor", "graphics")  # where an engine that has the choice draws
SYSTEM_KEYS = ("", "Ctrl+Alt", "Ctrl+Shift+Alt", "Meta+Alt")  # "": off
PREVIEWS = ("corner", "large", "hidden")
RECORDINGS = ("auto", "mp4", "webm", "png")
BACKGROUNDS = ("own", "blur", "colour", "green", "image", "transparent")  # kinds of background
ZOOMS = (0.25, 8.0)  # range of `Place.zoom`


@dataclass(frozen=True)
class CameraSettings:
    """The driving source."""

    source: str = ""  # a camera's stable id or name, a file, a folder, "idle" or "voice"; empty: no choice yet
    width_px: int = 1280  # requested, 16..8192; the camera may deliver another size
    height_px: int = 720
    rate: int = 30  # frames per second, 1..240
    mirror: bool = False  # mirror the driving signal: the portrait moves as a mirror image of the driver

    def __post_init__(self) -> None:
        for name, low, high in (("width_px", 16, 8192), ("height_px", 16, 8192), ("rate", 1, 240)):
            _within(self, name, low, high)


@dataclass(frozen=True)
class CropSettings:
    """The crop of the camera image for engines that draw from images and for the preview."""

    auto: bool = True  # follow the face; False: manual crop by `zoom` and the pans
    frozen: bool = False  # keep the automatic crop where it is
    zoom: float = 1.0  # manual crop: 1 = the largest square that fits, 4 = a quarter of its side
    pan_x: float = 0.0  # manual crop: -1 = at the left edge, 1 = at the right edge
    pan_y: float = 0.0  # manual crop: -1 = at the top edge, 1 = at the bottom edge

    def __post_init__(self) -> None:
        for name, low, high in (("zoom", 1.0, 4.0), ("pan_x", -1.0, 1.0), ("pan_y", -1.0, 1.0)):
            _within(self, name, low, high)


@dataclass(frozen=True)
class MotionSettings:
    """Motion transfer; overridden by the command line."""

    relative: bool = True  # motion since the reference frame; False: the driver's pose itself
    adapt_scale: bool = True  # a smaller face moves less
    strength_head: float = 1.0  # 0..2
    strength_expression: float = 1.0  # 0..2
    smoothing: bool = True  # live only: filter the driver's landmarks over time
    # 0..2, times strength_expression; for engines that move these parts apart: `EngineEntry.parts`
    strength_mouth: float = 1.0
    strength_eyes: float = 1.0
    strength_brows: float = 1.0
    # The following apply to engines with a model of these regions: `EngineEntry.knows_regions`.
    region: str = "all"  # one of REGIONS: the part that follows the driver
    retarget_eyes: bool = False  # the eyes close fully as the driver's do, whatever their shape
    retarget_lips: bool = False  # the lips open as far as the driver's do
    close_mouth: bool = False  # relative only: a portrait whose mouth is open starts from a closed one

    def __post_init__(self) -> None:
        strengths = ("strength_head", "strength_expression", *(f"strength_{part}" for part in PARTS))
        for name in strengths:
            _within(self, name, 0.0, 2.0)
        if self.region not in REGIONS:
            raise ValueError(_not_one_of("region", REGIONS, self.region))


@dataclass(frozen=True)
class Preset:
    """Motion and expression that are put on together."""

    motion: MotionSettings = field(default_factory=MotionSettings)
    expression: str = ""  # name of an expression key; empty: none


@dataclass(frozen=True)
class CalibrationSettings:
    """Calibration of the reference frame during a session."""

    search: bool = False  # keep searching for a more neutral frame
    drift_hint: bool = True  # give a hint if the face stays far from the reference pose


@dataclass(frozen=True)
class Place:
    """Position and zoom of an avatar on the canvas."""

    zoom: float = 1.0  # relative to the size given by the fit
    right: float = 0.0  # offset from the position given by the fit, in widths of the canvas
    down: float = 0.0  # in heights of the canvas

    def __post_init__(self) -> None:
        for name, low, high in (("zoom", *ZOOMS), ("right", -4.0, 4.0), ("down", -4.0, 4.0)):
            _within(self, name, low, high)


@dataclass(frozen=True)
class CanvasSettings:
    """The canvas of all outputs."""

    width_px: int = 1280  # 16..8192, and MAX_CANVAS_PIXELS in all
    height_px: int = 720
    fit: str = "blur"  # one of FITS, for avatars with another aspect ratio
    mirror: bool = False
    label: bool = True  # "AI avatar" in the corner
    background: str = "own"  # one of BACKGROUNDS; "transparent" applies to outputs that support it, "own" to others
    background_colour: str = "#2f5d8a"  # for "colour", in HTML notation
    background_image: str = ""  # for "image": a file
    places: dict[str, list[float]] = field(default_factory=dict)  # by avatar: zoom, right, down as in `Place`

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            _within(self, name, 16, 8192)
        for avatar in self.places:
            self.place(avatar)
        if self.width_px * self.height_px > MAX_CANVAS_PIXELS:
            raise ValueError(
                Message(
                    "the canvas is {width} x {height}, and the limit is {limit:.1f} megapixels (4096 x 2160)",
                    width=self.width_px,
                    height=self.height_px,
                    limit=MAX_CANVAS_PIXELS / 1e6,
                )
            )
        if self.fit not in FITS:
            raise ValueError(_not_one_of("fit", FITS, self.fit))
        if self.background not in BACKGROUNDS:
            raise ValueError(_not_one_of("background", BACKGROUNDS, self.background))
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.background_colour):
            raise ValueError(
                Message("background_colour must be like #2f5d8a, got {value}", value=quoted(self.background_colour))
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width_px, self.height_px

    @property
    def background_rgb(self) -> tuple[int, int, int]:
        """The colour of "colour", 0..255."""
        red, green, blue = bytes.fromhex(self.background_colour[1:])
        return red, green, blue

    def place(self, avatar: str) -> Place:
        """Return the place of an avatar, in whichever case its name is written. Raises: ValueError: it is invalid."""
        entries = (entry for name, entry in self.places.items() if name.casefold() == avatar.casefold())
        entry = self.places.get(avatar, next(entries, None))
        if entry is None:
            return Place()
        if not (isinstance(entry, list) and len(entry) == 3 and all(_is_number(each) for each in entry)):
            raise ValueError(
                Message("places: {avatar} must be three numbers, got {value}", avatar=avatar, value=quoted(entry))
            )
        return Place(*entry)

    def with_place(self, avatar: str, place: Place) -> CanvasSettings:
        """Return the same canvas with another place of an avatar; the default place is not stored."""
        others = {name: entry for name, entry in self.places.items() if name.casefold() != avatar.casefold()}
        own = {} if place == Place() else {avatar: [place.zoom, place.right, place.down]}
        return dataclasses.replace(self, places=others | own)

    def at_size(self, size: tuple[int, int]) -> CanvasSettings:
        """Return the same canvas with another (width, height)."""
        return dataclasses.replace(self, width_px=size[0], height_px=size[1])


@dataclass(frozen=True)
class BrowserSettings:
    """The page for OBS's browser source."""

    port: int = 8973  # on 127.0.0.1
    path: str = ""  # unguessable part of the address, kept so that OBS finds it again; empty: none was made yet

    def __post_init__(self) -> None:
        _within(self, "port", 1, 65535)
        if not re.fullmatch("[A-Za-z0-9_-]*", self.path):
            raise ValueError(Message("path must be letters and digits, got {value}", value=quoted(self.path)))


@dataclass(frozen=True)
class VirtualCameraSettings:
    """The virtual camera that the window switches."""

    device: str = (
        ""  # its name as other programs list it, or /dev/videoN; empty: the first free one, ours before others
    )
    with_program: bool = False  # switched on when the window opens


@dataclass(frozen=True)
class EngineSettings:
    """The engine."""

    name: str = "warp"
    model: str = ""  # the checkpoint of an engine that has several; empty: none
    device: str = "auto"
    render: str = "auto"  # one of RENDERERS, for engines that have the choice
    remote: str = ""  # address of a known host that draws instead, for the window; empty: this machine does

    def __post_init__(self) -> None:
        if self.render not in RENDERERS:
            raise ValueError(_not_one_of("render", RENDERERS, self.render))


@dataclass(frozen=True)
class SoundSettings:
    """The microphone of recordings, and of an avatar that is driven by a voice."""

    microphone: str = ""  # its name as the system lists it; empty: the system's default
    muted: bool = False  # recordings get silence


@dataclass(frozen=True)
class WindowSettings:
    """State of the window, restored at the next start."""

    language: str = ""  # "en", "de", "zh"; empty: the system's
    theme: str = "system"  # one of THEMES
    geometry: str = ""  # position and size in Qt's format, base64
    splitters: str = ""  # splitter positions in Qt's format, base64
    guide_done: bool = False  # the first-start guide was finished or skipped
    overlay: bool = True  # show rate, latency and device over the avatar
    landmarks: bool = False  # show landmarks over the camera image
    mirror_preview: bool = True  # mirror the camera image
    ghost: float = 0.0  # 0..1, opacity of the portrait over the camera image
    preview: str = "corner"  # one of PREVIEWS: placement of the camera image
    panel: bool = True  # the side panel is shown
    folded: str = ""  # names of the folded sections of the panel, separated by spaces
    captures: str = ""  # folder of recordings and snapshots; empty: Masque in the user's videos
    recording: str = "auto"  # one of RECORDINGS: kind of file; auto: WebM where the background is transparent, else MP4
    microphone: bool = False  # record sound too
    close_to_tray: bool = False  # closing hides the window; the icon in the system's tray shows it again
    system_keys: str = ""  # one of SYSTEM_KEYS: the modifiers of keys that work while another program has the focus
    own_expression: str = ""  # of the expression key: blendshapes as "jawOpen=0.3 mouthSmileLeft=0.5"; empty: none yet
    replay: bool = False  # keep the last half minute for a replay, which uses CPU time

    def __post_init__(self) -> None:
        _within(self, "ghost", 0.0, 1.0)
        for name, known in (
            ("theme", THEMES), ("preview", PREVIEWS), ("system_keys", SYSTEM_KEYS), ("recording", RECORDINGS),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ValueError(_not_one_of(name, known, getattr(self, name)))


@dataclass(frozen=True)
class Settings:
    """All settings; changed by `dataclasses.replace`."""

    avatar: str = "astronaut"  # a name in the library
    threads: int = 2  # CPU cores for tracking and drawing, 1..64
    camera: CameraSettings = field(default_factory=CameraSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    sound: SoundSettings = field(default_factory=SoundSettings)
    window: WindowSettings = field(default_factory=WindowSettings)
    browser: BrowserSettings = field(default_factory=BrowserSettings)
    virtual_camera: VirtualCameraSettings = field(default_factory=VirtualCameraSettings)
    keys: dict[str, str] = field(default_factory=dict)  # keys changed by the user, by action
    crossfade_ms: int = 200  # from one avatar to the next, 0..500
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name: the fields of a `Preset`
    favourites: list[str] = field(default_factory=list)  # avatars that the number keys reach first

    def __post_init__(self) -> None:
        _within(self, "threads", 1, 64)
        _within(self, "crossfade_ms", 0, 500)
        if wrong := [name for name in self.favourites if not isinstance(name, str)]:
            raise ValueError(Message("favourites: {name} must be a text", name=quoted(wrong[0])))
        if wrong := [key for key, value in self.keys.items() if not isinstance(value, str)]:
            raise ValueError(Message("keys: {key} must be a text", key=quoted(wrong[0])))
        for name in self.presets:
            self.preset(name)

    def preset(self, name: str) -> Preset:
        """Return the preset of a name. Raises: ValueError: its entry is invalid."""
        try:
            return cast(Preset, _record(self.presets[name], Preset()))
        except ValueError as error:
            raise ValueError(Message("presets: {name}: {error}", name=quoted(name), error=error)) from error


def settings_path() -> Path:
    """Return the settings file: MASQUE_SETTINGS, otherwise settings.toml in the user's configuration folder."""
    if override := os.environ.get("MASQUE_SETTINGS"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("masque", appauthor=False)) / "settings.toml"


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings; missing entries keep their defaults, as do all entries without a file.

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
            Message("The settings file {path} cannot be used: {error}.", path=path, error=error),
            remedy="Correct that line, or delete the file.",
        ) from error


def save_settings(settings: Settings, path: Path | None = None) -> None:
    """Write the settings, atomically; follows a link.

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
            Message("The settings cannot be saved in {path}: {why}.", path=path, why=error.strerror),
            remedy="Make that folder writable.",
        ) from error


def _record(table: Any, defaults: Any) -> Any:
    """Build a record like `defaults` from a table. Ignores unknown names, which belong to newer versions.

    Raises:
        ValueError: it is not a table, or a value has the wrong type or range.
    """
    if not isinstance(table, dict):
        raise ValueError(Message("expected a table, got {value}", value=quoted(table)))
    values = {}
    for each in dataclasses.fields(defaults):
        if each.name in table:
            like = getattr(defaults, each.name)
            read = _record if dataclasses.is_dataclass(like) else functools.partial(_as, each.name)
            values[each.name] = read(table[each.name], like)
    return dataclasses.replace(defaults, **values)


def _as(name: str, value: object, like: object) -> Any:
    """Return `value` if it has the type of `like`; integers are accepted for floats."""
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(like):
        raise ValueError(
            Message(
                "{name} must be of type {kind}, got {value}", name=name, kind=type(like).__name__, value=quoted(value)
            )
        )
    return value


def _not_one_of(name: str, known: Iterable[str], value: object) -> Message:
    return Message("{name} must be one of {known}, got {value}", name=name, known=", ".join(known), value=quoted(value))


def _within(record: object, name: str, low: float, high: float) -> None:
    """Refuse a field out of its range, NaN included. Raises: ValueError."""
    value = getattr(record, name)
    if not low <= value <= high:
        raise ValueError(
            Message("{name} must be from {low:g} to {high:g}, got {value}", name=name, low=low, high=high, value=value)
        )


def _toml(settings: Settings) -> str:
    """Format the settings as TOML with one level of tables; JSON's text, numbers and booleans are valid TOML."""
    values = dataclasses.asdict(settings)
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if name not in tables]
    for title, table in tables.items():
        lines += ["", f"[{title}]", *(f"{_key(name)} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """Format a key: a field's name unchanged, any other key of a user's table as quoted text."""
    return name if name.isascii() and name.isidentifier() else _value(name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> str:
    if isinstance(value, dict):  # an inline table
        return "{" + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character JSON leaves as it is
