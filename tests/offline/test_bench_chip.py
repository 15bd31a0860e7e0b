"""Drawing on a chip is measured where there is one, and told to be missing where there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from avatar.engines.warp.graphics.chip import NoChipError
from avatar.engines.warp.graphics.choice import OpenChip
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.renderer import ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage
from avatar.offline.bench import WARM_UP, run_bench
from avatar.offline.bench_against import Comparison, Copy

SIZES = (("small", 256, 256),)


@dataclass
class FakeChip:
    """Draws as the processor does; fails at one of its frames, if told to."""

    fails_at: int = 10**9
    drawn: int = 0
    closed: int = 0
    _processor: ProcessorRenderer = field(default_factory=ProcessorRenderer)

    def takes(self, layers: Layers) -> bool:
        return True

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        self.drawn += 1
        if self.drawn > self.fails_at:
            raise RuntimeError("device lost\nin detail")
        return self._processor.draw(layers, scene)

    def close(self) -> None:
        self.closed += 1


def test_a_chip_is_measured_and_released(face_model: Path) -> None:
    chip = FakeChip()
    report = run_bench(frames=2, sizes=SIZES, open_chip=lambda: OpenChip("Some Chip", chip))
    assert chip.drawn == 2 + WARM_UP and chip.closed == 1
    assert report.chip is not None and report.chip.name == "Some Chip"
    assert report.chip.sizes["small"].drawing_ms > 0 and report.chip.sizes["small"].processor_ms > 0
    assert json.loads(json.dumps(report.as_json()))["chip"]["sizes"]["small"]["drawing_ms"] > 0
    assert "drawing on Some Chip: small " in report.table()


def test_without_a_chip_it_says_why(face_model: Path) -> None:
    def none() -> OpenChip:
        raise NoChipError("There is no graphics chip.", remedy="Draw on the processor.")

    report = run_bench(frames=1, sizes=SIZES, open_chip=none)
    assert "no chip here: There is no graphics chip." in report.table()
    assert run_bench(frames=1, sizes=SIZES).chip is None  # nobody asked


def test_a_chip_that_fails_gives_no_times(face_model: Path) -> None:
    chip = FakeChip(fails_at=3)
    report = run_bench(frames=1, sizes=SIZES, open_chip=lambda: OpenChip("Some Chip", chip))
    assert report.chip is not None and report.chip.sizes == {} and chip.closed == 1
    assert "drawing on Some Chip: it failed (device lost)" in report.table()


@pytest.mark.parametrize("name", ["Some Chip", ""])
def test_the_comparison_has_a_row_for_the_chip(name: str) -> None:
    rows = dict.fromkeys(("tracking", "motion", "drawing", "encode", "live", "portrait, once"), 4.0)
    sizes = {"720p": {"drawing_ms": 2.5, "processor_ms": 1.5}} if name else {}
    chip = {"name": name, "why": "" if name else "There is no graphics chip.", "sizes": sizes}
    then, now = (Copy(each, ({"720p": rows},), ()) for each in ("then", "now"))
    table = Comparison(then, now, {"cpu": "Some CPU", "cores": 2}, (), chip).table()
    assert f"| drawing on a chip, processor's part | {'2.5, 1.5' if name else 'none'} |" in table
    assert f"chip: {name or 'There is no graphics chip'}." in table
