"""One line of the doctor's."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, BROKEN = "ok", "warning", "broken"
AGAIN = "Delete .venv and start python run.py: it makes a new one."


@dataclass(frozen=True)
class Check:
    """How one thing is."""

    area: str
    state: str  # OK; WARNING: works less well or not for all; BROKEN: does not work
    what: str  # a sentence
    remedy: str = ""  # what to do; empty where nothing needs to be done
