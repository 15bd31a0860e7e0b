"""Writing of JSON reports, atomically."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatar.errors import OutputError, UsageError
from avatar.outputs.files.target import check_apart
from avatar.settings import settings_path
from avatar.system.atomic import replacing
from avatar.system.message import Message

_REMEDY = "Choose a file in a folder that exists, that you may write to, and that has room."


def check_json_target(path: Path | None, inputs: Sequence[Path] = (), *, beside: Path | None = None) -> None:
    """Refuse a path that cannot be written, before hours of work go into the report.

    Args:
        path: path of the report; devices and pipes (/dev/stdout) are allowed.
        inputs: files that must not be replaced.
        beside: another output of the same command.

    Raises:
        UsageError: the folder does not exist, the path is a folder, an input or another output, or a file that is not
            a report would be lost.
    """
    # The settings are an input of every command, and a TOML table begins like a JSON report.
    check_apart([each for each in (beside, path) if each is not None], [*inputs, settings_path()])
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(Message("{path} cannot be written.", path=path), remedy=_REMEDY)
    if path.is_file() and not _may_be_report(path):
        raise UsageError(
            Message("{path} exists and is not a report.", path=path), remedy="Choose another name for the report."
        )


def write_json(path: Path, report: Any) -> None:
    """Write a report of numbers, texts, lists and dictionaries. Raises: OutputError."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # lone surrogates, as in JSON
    except OSError as error:
        raise OutputError(
            Message("{path} cannot be written: {why}.", path=path, why=error.strerror or error), remedy=_REMEDY
        ) from error


def _may_be_report(path: Path) -> bool:
    """Return whether a file may be replaced by a report: it is empty, starts like one, or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"{", b"[")
    except OSError:
        return True
