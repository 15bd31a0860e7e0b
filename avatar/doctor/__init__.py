"""Checks of what works on this machine, with remedies.

Each check is a function that yields lines; one that raises is reported as one failed line. The output can go into a
public bug report: it contains no names of people, machines or devices, no serial numbers, and no paths except those of
the project and the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from avatar.doctor.check import AGAIN, BROKEN, OK, WARNING, Check
from avatar.reports.discretion import discreet
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.message import Message, mapped

__all__ = ["BROKEN", "OK", "WARNING", "Check", "run_doctor"]

logger = logging.getLogger(__name__)

_REPORT = "Start it again with --debug and report what it prints."

Area = tuple[str, Callable[[], Iterable[Check]]]


def run_doctor(areas: Iterable[Area] | None = None) -> Iterator[Check]:
    """Run all checks in order; yield each result at once."""
    for name, look in areas or _areas():
        try:
            for check in look():
                yield _discreet(check)
        except Exception as error:  # a failing check must not prevent the others
            logger.debug("The check of %s failed", name, exc_info=True)
            what = Message("This could not be looked at ({kind}: {why}).", kind=type(error).__name__, why=error)
            yield _discreet(Check(name, BROKEN, what, AGAIN if isinstance(error, ImportError) else _REPORT))


def _discreet(check: Check) -> Check:
    """Return the check with foreign paths and names removed, each text on one line."""
    what, remedy = (mapped(text, _discreet_text) for text in (check.what, check.remedy))
    return replace(check, what=what, remedy=remedy)


def _discreet_text(text: str) -> str:
    return shown(discreet(text), MOST_OF_SENTENCE)


def _areas() -> list[Area]:
    from avatar.doctor import devices, packages, processors, screen, speed, storage

    return [
        ("python", packages.look_at_python),
        ("packages", packages.look_at_packages),
        ("processor", processors.look_at_processor),
        ("graphics", processors.look_at_graphics_chip),
        ("graphics", processors.look_at_torch),
        ("graphics", processors.look_at_onnxruntime),
        ("models", storage.look_at_models),
        ("cameras", devices.look_at_cameras),
        ("virtual camera", devices.look_at_virtual_camera),
        ("encoder", devices.look_at_encoder),
        ("sound", devices.look_at_sound),
        ("screen", screen.look_at_screen),
        ("disk", storage.look_at_disk),
        ("speed", speed.look_at_speed),
    ]
