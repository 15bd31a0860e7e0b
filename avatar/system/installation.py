"""The kind of this copy of Masque, a folder with run.py or an installed package, and the location of its files.

Standard library only, because every module may import it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]  # avatar
_INSTALLED_MODELS = _PACKAGE / "models"  # location of the folder `models` in the wheel

INSTALLED = (_INSTALLED_MODELS / "manifest.toml").is_file()
MODELS = _INSTALLED_MODELS if INSTALLED else _PACKAGE.parent / "models"
IMPORT_ROOT = _PACKAGE.parent  # path entry with which a child process can import `avatar`
COMMAND = "masque" if INSTALLED else "python run.py"  # command for the user
NAME = COMMAND.removeprefix("python ")  # start of usage lines
FRESH_COPY = "Fetch a fresh copy of Masque."
FRESH_WHEEL = "Install Masque again from its wheel: pip install --force-reinstall masque-*.whl"
INSTALL_AGAIN = FRESH_WHEEL if INSTALLED else FRESH_COPY


def as_typed(sentence: str) -> str:
    """Adapt a sentence written for a folder with run.py to the command that starts this copy."""
    return sentence.replace("python run.py", COMMAND) if INSTALLED else sentence
