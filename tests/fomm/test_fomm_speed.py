"""The benchmark of all implementations of the model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from fomm_samples import SMALL
from places import ROOT

from avatar.errors import EngineError
from avatar.fomm import onnx_export
from avatar.fomm.speed import PLAIN, SpeedReport, compare_speeds

NOT_NEEDED = ("yaml", "ai_edge_litert", "av", "platformdirs", "PIL", "skimage", "onnx", "onnxscript", "onnxruntime")


def test_ways_are_timed_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise EngineError("No such package.", remedy="Get it.")

    monkeypatch.setattr(onnx_export, "export_onnx", fails)
    kept: list[SpeedReport] = []
    report = compare_speeds(SMALL, frames=2, only=("torch without packed", "ONNX"), keep=kept.append)
    plain, ours, onnx = report.speeds
    assert [len(each.speeds) for each in kept] == [1, 2, 3]
    assert plain.name == PLAIN and plain.psnr_db is None and not plain.error
    assert ours.psnr_db is not None and ours.psnr_db > 60
    for speed in (plain, ours):
        assert speed.median_ms is not None and speed.p95_ms is not None and 0 < speed.median_ms <= speed.p95_ms
    assert ours.median_ms is not None and ours.times_faster is not None
    assert onnx.error == "EngineError: No such package. Get it."
    numbers = json.loads(json.dumps(report.as_json()))
    assert numbers["speeds"][1]["fps"] == pytest.approx(1000 / ours.median_ms)
    table = report.table()
    assert "torch without packed" in table and "ONNX Runtime: failed: EngineError" in table


def test_it_runs_where_little_is_installed() -> None:
    modules = "avatar.fomm.speed, avatar.fomm.onnx_export, avatar.fomm.onnx_stream"
    code = f"import sys; sys.modules.update(dict.fromkeys({NOT_NEEDED!r})); import {modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
