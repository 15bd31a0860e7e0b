"""What a user has set: frozen records, kept as TOML in the user's configuration folder.

    [motion]
    relative = true
    strength_head = 0.8
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatar.errors import SetupError


@dataclass(frozen=True)
class MotionSettings:
    """How the driving motion is carried over, where the command line says nothing else."""

    relative: bool = True  # motion since the reference frame; False: the driver's pose itself
    adapt_scale: bool = True  # a smaller face moves less
    strength_head: float = 1.0  # 0..2
    strength_expression: float = 1.0  # 0..2

    def __post_init__(self) -> None:
        for name in ("strength_head", "strength_expression"):
            if not 0.0 <= getattr(self, name) <= 2.0:
                raise ValueError(f"{name} must be from 0 to 2, got {getattr(self, name)}")


@dataclass(frozen=True)
class Settings:
    """Everything that can be set; changed by `dataclasses.replace`."""

    avatar: str = "astronaut"  # a name in the library
    threads: int = 2  # processor cores for tracking and drawing, 1..64
    motion: MotionSettings = field(default_factory=MotionSettings)

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads must be from 1 to 64, got {self.threads}")


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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        motion = MotionSettings(**_known(table.pop("motion", {}), MotionSettings()))
        return Settings(**_known(table, Settings()), motion=motion)
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise SetupError(
            f"The settings file {path} cannot be used: {error}.", remedy="Correct that line, or delete the file."
        ) from error


def save_settings(settings: Settings, path: Path | None = None) -> None:
    """Write the settings, whole or not at all.

    Raises:
        SetupError: the folder cannot be written.
    """
    path = path or settings_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=".settings.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(_toml(settings))
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"The settings cannot be saved in {path}: {error.strerror}.", remedy="Make that folder writable."
        ) from error


def _known(table: Any, defaults: MotionSettings | Settings) -> dict[str, Any]:
    """Return the values of a record's fields. Names it does not know are a newer version's and are passed over."""
    if not isinstance(table, dict):
        raise ValueError(f"expected a table, got {table!r}")
    names = {f.name for f in dataclasses.fields(defaults)}
    return {name: _as(name, value, getattr(defaults, name)) for name, value in table.items() if name in names}


def _as(name: str, value: object, like: object) -> Any:
    """Return `value` if it has the type of `like`; a whole number will do for a fraction."""
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(like):
        raise ValueError(f"{name} must be of type {type(like).__name__}, got {value!r}")
    return value


def _toml(settings: Settings) -> str:
    """TOML of one level of tables; JSON writes text, numbers and booleans as TOML does."""
    values = dataclasses.asdict(settings)
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if name not in tables]
    for title, table in tables.items():
        lines += ["", f"[{title}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character JSON leaves as it is
