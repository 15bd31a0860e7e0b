"""What a batch costs, measured piece by piece, and the arithmetic of a day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatar import cli
from avatar.errors import SetupError
from avatar.offline.batch import pieces, ray_crew
from avatar.offline.batch.pieces import BUSY, Day, Pieces

PIECES = Pieces(
    track_ms=10.0, draw_ms=20.0, prepare_s=2.0, clip_bytes=20e6, motion_bytes=10e6, result_bytes=8e6,
    portrait_bytes=1_000_000, journal_bytes=250.0, driver_ms=1.0, disk_ms=2.0, pool_ms=0.1, ray_ms=1.0,
)  # fmt: skip


def test_a_day_is_the_sum_of_its_pieces() -> None:
    day = Day.of(PIECES, minutes=86_400)  # a job a second
    assert day.jobs_s == 1.0
    assert day.cores == pytest.approx((1800 * 0.030 + 2.0) / BUSY)
    assert day.nodes == pytest.approx(day.cores / 64)
    assert day.read_bytes_s == pytest.approx(20e6 * 2 + 10e6 + 1e6)
    assert day.written_bytes_s == pytest.approx(8e6 + 10e6)
    assert day.kept_bytes == pytest.approx(86_400 * 8e6)
    assert day.driver_share == pytest.approx(0.005), "two tasks a job"


def test_the_command_prints_and_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], face_model: Any
) -> None:
    def missing(*_: Any) -> None:
        raise SetupError("There is no Ray.")

    monkeypatch.setattr(ray_crew, "RayCrew", missing)
    monkeypatch.setattr(pieces, "_EMPTY_JOBS", 20)
    monkeypatch.setattr(pieces, "_EMPTY_TASKS", 5)
    monkeypatch.setattr(pieces, "SIZE", (512, 512))
    assert cli.main(["bench", "--batch", "--frames", "4", "--json", str(tmp_path / "pieces.json")]) == 0
    said = capsys.readouterr().out
    assert said.count("measured ") == 12 and said.count("derived ") == 8 and "Ray is not installed" in said
    told = json.loads((tmp_path / "pieces.json").read_text())
    measured = told["pieces"]
    assert measured.pop("ray_ms") is None
    assert all(value > 0 for name, value in measured.items() if name not in ("prepare_s", "disk_ms"))
    assert told["day"]["minutes"] == 1_000_000


def test_it_measures_one_thing_at_a_time() -> None:
    assert cli.main(["bench", "--batch", "--engine", "fomm"]) == 2
