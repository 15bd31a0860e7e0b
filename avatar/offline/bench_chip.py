"""Drawing on this machine's graphics chip, for the benchmark: milliseconds, and what they cost the processor."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.engines.warp.graphics.chip import NoChipError
from avatar.engines.warp.graphics.choice import OpenChip
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import Place, Renderer
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage
from avatar.system.foreign_text import first_line
from avatar.tracking.face import Face

WARM_UP = 5  # frames that are not counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChipTimes:
    """Drawing at one size, from the transferred motion to the image."""

    drawing_ms: float  # median
    processor_ms: float  # processor time of the whole process per frame


@dataclass(frozen=True)
class ChipResult:
    """Drawing on a chip, or why there is none."""

    name: str  # of the chip; empty: there is none
    why: str  # there are no times; empty: there are
    sizes: dict[str, ChipTimes]

    def sentence(self) -> str:
        """Say the result in one line."""
        if not self.sizes:
            return f"drawing on {self.name}: it failed ({self.why})" if self.name else f"no chip here: {self.why}"
        times = (
            f"{name} {each.drawing_ms:.1f} ms, {each.processor_ms:.1f} of the processor's"
            for name, each in self.sizes.items()
        )
        return f"drawing on {self.name}: " + "; ".join(times)


@dataclass(frozen=True, eq=False)
class BenchPicture:
    """A prepared measurement of one size."""

    name: str  # of the size
    portrait: RgbImage  # (H, W, 3)
    source: Face  # its face
    reference: Face
    faces: Sequence[Face]  # that drive it


def measure_chip(open_chip: Callable[[], OpenChip], pictures: Sequence[BenchPicture]) -> ChipResult:
    """Draw every picture on the chip.

    Args:
        open_chip: raises NoChipError.
        pictures: what to draw.
    """
    try:
        chip = open_chip()
    except NoChipError as error:
        return ChipResult("", str(error.what), {})
    try:
        return ChipResult(chip.name, "", {each.name: _times(chip.renderer, each) for each in pictures})
    except Exception as error:  # of many kinds, from a foreign library
        logger.debug("The graphics chip failed", exc_info=True)
        return ChipResult(chip.name, first_line(error), {})
    finally:
        with contextlib.suppress(Exception):  # a lost device need not be closed properly
            chip.renderer.close()


class _OnChip:
    """A renderer that is given, for an engine; closed by its owner."""

    place = Place("gpu")
    notes: tuple[str, ...] = ()

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def settle(self, portrait: WarpPortrait) -> None:
        """Have no choice."""

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw a portrait, see `Renderer.draw`; (H, W, 3)."""
        return self._renderer.draw(layers, scene)

    def close(self) -> None:
        """Leave the chip to its owner."""


def _times(renderer: Renderer, picture: BenchPicture) -> ChipTimes:
    with contextlib.closing(WarpEngine(renderer=_OnChip(renderer))) as engine:
        engine.show(engine.prepare(Portrait(picture.portrait, picture.source)))
        engine.calibrate(Driving(face=picture.reference))
        spent_s = []
        for face in picture.faces:
            began = time.perf_counter(), time.process_time()
            engine.draw(Driving(face=face))
            spent_s.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    drawing_ms, processor_ms = (1000 * np.median(spent_s[WARM_UP:], axis=0)).tolist()
    return ChipTimes(drawing_ms, processor_ms)
