"""Writes a report as JSON; the file appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avatar.atomic import replacing
from avatar.errors import OutputError, UsageError

_REMEDY = "Choose a file in a folder that exists, that you may write to, and that has room."


def check_json_target(path: Path | None, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place that cannot be written before hours of work go into the report.

    Raises:
        UsageError: the folder does not exist, the name is a folder's, or it is one of the inputs.
    """
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written.", remedy=_REMEDY)
    if any(path.resolve() == given.resolve() for given in inputs):
        raise UsageError(f"{path} is one of the inputs.", remedy="Choose another name for the report.")


def write_json(path: Path, report: Any) -> None:
    """Write plain numbers, texts, lists and dictionaries. Raises: OutputError."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.", remedy=_REMEDY) from error
