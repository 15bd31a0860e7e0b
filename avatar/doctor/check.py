"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.system.installation import INSTALL_AGAIN, INSTALLED
from avatar.system.message import Message

OK, WARNING, BROKEN = "ok", "warning", "broken"
LACKING = WARNING if INSTALLED else BROKEN  # state for a missing optional package of an installed copy
AGAIN = INSTALL_AGAIN if INSTALLED else Message("Delete .venv and start python run.py: it makes a new one.")


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    area: str
    state: str  # OK; WARNING: limited; BROKEN: does not work
    what: str  # a sentence; a `Message` if it has values
    remedy: str = ""  # likewise; empty if none is needed
