"""Check that the flashes and beeps of a result coincide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakes import FakeEngine, FakeTracker, plain
from flashes import beeps_s, flashes_s
from PIL import Image

from avatar.offline.animate import AnimateResult, animate
from avatar.offline.job import AnimateOptions, Tools

FRAME_S = 0.04


def run(clip: Path, output: Path, **options: Any) -> AnimateResult:
    """The whole job, drawn by an engine that repeats the driver's brightness."""
    portrait = output.parent / "portrait.png"
    Image.fromarray(plain(128, (512, 512))).save(portrait)
    tools = Tools(open_tracker=FakeTracker, open_engine=lambda _: FakeEngine())  # type: ignore[arg-type]
    return animate(AnimateOptions(source=portrait, driving=clip, output=output, **options), tools=tools)


def check_sync(path: Path, marks: int, tolerance_s: float = FRAME_S) -> list[float]:
    """Every flash has its beep within a frame; returns when it flashes."""
    flashes, beeps = flashes_s(path), beeps_s(path)
    assert len(flashes) == len(beeps) == marks, (flashes, beeps)
    assert all(abs(flash - beep) <= tolerance_s for flash, beep in zip(flashes, beeps, strict=True)), (flashes, beeps)
    return flashes
