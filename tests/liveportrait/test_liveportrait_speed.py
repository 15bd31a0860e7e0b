"""The benchmark of all implementations of LivePortrait."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from liveportrait_samples import STRUCTURES, TINY
from torch import Tensor

from avatar import cli
from avatar.errors import EngineError
from avatar.fomm.speed import PLAIN, Speed, SpeedReport
from avatar.liveportrait.fast import FastRuntime
from avatar.liveportrait.model import Rendering
from avatar.liveportrait.runtime import PlainRuntime
from avatar.liveportrait.speed import compare_speeds

QUICK = STRUCTURES["other depths"]


def test_ways_are_timed_and_compared() -> None:
    kept: list[SpeedReport] = []
    report = compare_speeds(QUICK, frames=1, only=("float32",), keep=kept.append)
    plain, ours = report.speeds
    assert [len(each.speeds) for each in kept] == [1, 2]
    assert plain.name == PLAIN and plain.psnr_db is None and not plain.error
    assert ours.name == "torch float32" and not ours.error and not ours.notes
    assert ours.psnr_db is not None and ours.psnr_db > 60 and ours.times_faster is not None
    for speed in (plain, ours):
        assert list(speed.parts_ms) == ["M", "W", "G"] and all(ms > 0 for ms in speed.parts_ms.values())
    numbers = json.loads(json.dumps(report.as_json()))
    assert numbers["speeds"][1]["parts_ms"]["W"] == ours.parts_ms["W"]
    assert "torch float32: M " in report.table()


def test_on_a_processor_the_plain_model_draws_no_frame_that_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[str]()

    def counted(self: PlainRuntime, x_d: Tensor) -> Rendering:
        drawn.append("plain")
        return render(self, x_d)

    render = PlainRuntime.render
    monkeypatch.setattr(PlainRuntime, "render", counted)
    report = compare_speeds(TINY, frames=2, only=("float32",))
    assert report.frames == 2 and len(drawn) == 4  # by itself, and in turns with the other
    assert report.speeds[1].psnr_db is not None and report.speeds[1].psnr_db > 60


def test_a_bench_that_ends_early_leaves_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends_early(*, keep: Callable[[SpeedReport], None], **_: object) -> None:
        keep(SpeedReport({}, 2, (Speed("first", "float32", 7000.0, 7000.0, plain_ms=14000.0),)))
        raise EngineError("no more", remedy="none")

    monkeypatch.setattr("avatar.liveportrait.speed.compare_speeds", ends_early)
    words = ["bench", "--engine", "liveportrait", "--device", "cpu", "--json", str(tmp_path / "bench.json")]
    assert cli.main(words) == 1
    assert "first: 7000.00 ms, 2.00 times as fast as the plain model" in capsys.readouterr().err
    assert json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["speeds"][0]["median_ms"] == 7000


def test_a_failure_is_a_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(FastRuntime, "render", fails)
    report = compare_speeds(QUICK, frames=1, only=("float32",))
    assert report.speeds[1].error == "RuntimeError: no such operator"
    assert "torch float32: failed: RuntimeError: no such operator" in report.table()
