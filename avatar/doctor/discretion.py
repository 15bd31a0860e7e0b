"""Takes out of a sentence what says who and where somebody is."""

from __future__ import annotations

import getpass
import re
import socket
from dataclasses import replace
from pathlib import Path

from avatar import manifest, weights
from avatar.doctor.check import Check

_PATH = re.compile(r"(?:[A-Za-z]:\\|/)(?:[^\s'\":;,()]+)")
_SYSTEM = ("/dev/", "/sys/", "/proc/", "/usr/", "/lib/", "/opt/")  # the same on every machine


def discreet(check: Check) -> Check:
    """The same without foreign paths and names."""
    return replace(check, what=_clean(check.what), remedy=_clean(check.remedy))


def _clean(text: str) -> str:
    text = _PATH.sub(lambda found: _shown(found[0]), text)
    for word in _names():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "(name)", text)
    return text


def _shown(path: str) -> str:
    """A path within the project or the model cache, from there on; anything else is left out."""
    for label, folder in (("models", weights.models_folder()), ("", manifest.MANIFEST.parent.parent)):
        if Path(path).is_relative_to(folder):
            return str(Path(label) / Path(path).relative_to(folder))
    return path if path.startswith(_SYSTEM) else "(path)"


def _names() -> list[str]:
    """This user's and this machine's, where they are no common words."""
    found = []
    for ask in (getpass.getuser, socket.gethostname, lambda: Path.home().name):
        try:
            found.append(ask())
        except (OSError, KeyError, RuntimeError):
            continue
    return [name for name in found if len(name) > 2 and name not in {"root", "user", "localhost"}]
