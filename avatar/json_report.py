"""Writes a report as JSON; the file appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatar.atomic import replacing
from avatar.errors import OutputError, UsageError
from avatar.outputs.target import check_apart
from avatar.settings import settings_path

_REMEDY = "Choose a file in a folder that exists, that you may write to, and that has room."


def check_json_target(path: Path | None, inputs: Sequence[Path] = (), *, beside: Path | None = None) -> None:
    """Refuse a place that cannot be written before hours of work go into the report.

    Args:
        path: of the report; a device or a pipe (/dev/stdout) is written to as it is.
        inputs: what must not be replaced.
        beside: another output of the same command.

    Raises:
        UsageError: the folder does not exist, the name is a folder's, it is an input or another output, or a file that
            is no report would be lost.
    """
    # The settings are an input of every command, and a table's name in brackets begins like a report.
    check_apart([each for each in (beside, path) if each is not None], [*inputs, settings_path()])
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written.", remedy=_REMEDY)
    if path.is_file() and not _may_be_report(path):
        raise UsageError(f"{path} is there and is no report.", remedy="Choose another name for the report.")


def write_json(path: Path, report: Any) -> None:
    """Write plain numbers, texts, lists and dictionaries. Raises: OutputError."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # lone surrogates, as JSON has them
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.", remedy=_REMEDY) from error


def _may_be_report(path: Path) -> bool:
    """Whether a file can be replaced by a report: it is empty, begins like one, or cannot be read to tell."""
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"{", b"[")
    except OSError:
        return True
