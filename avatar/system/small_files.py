"""Reading of small TOML and JSON files that Masque writes and users edit or copy. Standard library only.

For any invalid file (a pipe, gigabytes, deep nesting, numbers out of range) the result is OSError or ValueError, so
that one bad file does not affect anything else.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avatar.system.limits import MAX_DOTS_SQUARED, MAX_NESTING, MAX_TEXT_BYTES
from avatar.system.message import Message

_LARGEST = 2**63 - 1  # TOML integers have 64 bits; larger ones overflow elsewhere


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte-order mark.

    Raises:
        OSError: it is missing, not readable, or not a regular file.
        ValueError: it is too large, not TOML, or contains a number that is too large.
    """
    table: dict[str, Any] = _parsed(path, _toml)
    return table


def read_json(path: Path) -> Any:
    """Read a JSON file, with or without a byte-order mark. Raises as `read_toml`."""
    return _parsed(path, json.loads)


def read_bytes(path: Path, most: int = MAX_TEXT_BYTES) -> bytes:
    """Read a regular file of at most `most` bytes, also if it grows meanwhile.

    Raises:
        OSError: it is missing, not readable, or not a regular file: a pipe would block, and a device may never end.
        ValueError: it is larger.
    """
    _require_regular(path.stat().st_mode, path)  # before opening, which may block or move a device
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        _require_regular(os.fstat(descriptor).st_mode, path)
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(Message("it is larger than {most:,} bytes", most=most))
    return data


def _parsed(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        value = parse(read_bytes(path).decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError(Message("it is nested too deep")) from error
    _check_bounds(value)
    return value


def _toml(text: str) -> dict[str, Any]:
    if sum(line.count(".") ** 2 for line in text.split("\n")) > MAX_DOTS_SQUARED:
        raise ValueError(Message("it is nested too deep"))
    return tomllib.loads(text)


def is_special(path: Path) -> bool:
    """Return whether a path is a device, a pipe or a socket, which may block when opened or never end."""
    return path.exists() and not (path.is_file() or path.is_dir())


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _check_bounds(value: object) -> None:
    """Raise ValueError if a value is nested too deeply or contains an integer of more than 64 bits."""
    level: list[object] = [value]
    for _ in range(MAX_NESTING):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict | list):
                inner += each.values() if isinstance(each, dict) else each
            elif isinstance(each, int) and not -_LARGEST <= each <= _LARGEST:
                raise ValueError(Message("it holds a number that is too large"))
        if not inner:
            return
        level = inner
    raise ValueError(Message("it is nested too deep"))
