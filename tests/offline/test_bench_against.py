"""Two copies of the program measured in turns; the copies are scripts that report made-up times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatar.cli import main
from avatar.errors import UsageError
from avatar.offline import bench_against
from avatar.offline.bench import STAGES
from avatar.offline.bench_against import compare

_CLI = """
import json, sys
from pathlib import Path

def main(argv):
    assert argv[0] == "bench" and argv[1:3] == ["--frames", "7"] and argv[3] == "--json"
    turns = Path(__file__).parent.parent / "turns"
    done = len(turns.read_text().split()) if turns.exists() else 0
    turns.write_text("x " * (done + 1))
    with Path(__file__).parent.parent.parent.joinpath("order").open("a") as order:
        order.write(Path(__file__).parent.parent.name + " ")
    if done >= {most}:
        sys.exit("The face model is missing.")
    time = {times}[done]
    stages = {{name: dict(median_ms=time, p95_ms=9 * time, mean_ms=time) for name in {stages}}}
    size = dict(name="720p", stages=stages, live=dict(median_ms=3 * time), prepare_ms=100 * time)
    report = dict(machine=dict(cpu="Some CPU", cores=2), sizes=[size])
    Path(argv[4]).write_text(json.dumps(report))
    return 0
"""


def copy_of(folder: Path, times: list[float], most: int = 99) -> Path:
    (folder / "avatar").mkdir(parents=True)
    (folder / "avatar" / "__init__.py").touch()
    (folder / "avatar" / "cli.py").write_text(_CLI.format(times=times, stages=STAGES, most=most))
    return folder


@pytest.fixture
def now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_of(tmp_path / "now", [1.0, 6.0, 1.0])
    monkeypatch.setattr(bench_against, "IMPORT_ROOT", folder)
    return folder


def test_the_ratio_is_that_of_runs_side_by_side(now: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    other = copy_of(tmp_path / "before", [2.0, 24.0, 2.0])
    found = compare(other, frames=7, rounds=3, report=heard.append)
    assert found.ratios()["720p"] == dict.fromkeys([*STAGES, "live", "portrait, once"], 0.5)
    assert (tmp_path / "order").read_text().split() == ["before", "now", "now", "before", "before", "now"]
    assert heard[0] == "Round 1 of 3: before" and len(heard) == 6
    table = found.table()
    assert "| drawing | 2.0 / 1.0 (0.50 x) |" in table and "| portrait, once | 200 / 100 (0.50 x) |" in table
    assert "Some CPU, 2 cores; medians of 3 rounds in turns" in table
    assert json.loads(json.dumps(found.as_json()))["ratios"]["720p"]["live"] == 0.5


def test_a_bench_that_fails_is_named_with_its_reason(now: Path, tmp_path: Path) -> None:
    other = copy_of(tmp_path / "before", [2.0], most=0)
    with pytest.raises(UsageError, match="The face model is missing") as caught:
        compare(other, frames=7, rounds=1)
    assert "run.py bench" in str(caught.value.remedy)


def test_a_folder_without_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a copy of Masque"):
        compare(tmp_path, frames=7)


def test_the_command_prints_the_table_and_writes_the_numbers(
    now: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy_of(tmp_path / "before", [2.0])
    target = tmp_path / "numbers.json"
    words = ["bench", "--against", str(other), "--rounds", "1", "--frames", "7", "--json", str(target)]
    assert main(words) == 0
    assert "| motion | 2.0 / 1.0 (0.50 x) |" in capsys.readouterr().out
    assert json.loads(target.read_text())["ratios"]["720p"]["motion"] == 0.5


@pytest.mark.parametrize(
    "words",
    [["--rounds", "2"], ["--against", ".", "--rounds", "0"], ["--against", ".", "--engine", "fomm"]],
)
def test_words_that_do_not_belong_together_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) != 0
    assert "--against" in capsys.readouterr().err
