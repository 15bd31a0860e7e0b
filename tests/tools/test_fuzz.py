"""The fuzzer: it finds faults, keeps them, and generates the same input for a seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from avatar.errors import AvatarError, ImageError
from tools import fuzz


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_undamaged_inputs_are_accepted(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tool would try nothing but refusals. ONNX is the exception: a network that fits is too large for it."""
    monkeypatch.setattr(fuzz, "damage", lambda data, rng: data)
    monkeypatch.setattr(fuzz, "_inside_zip", lambda data, rng: data)
    for seed in range(1 if kind == "onnx" else 6):
        path = fuzz.make(kind, seed, tmp_path / str(seed))
        expected = "refused" if kind == "onnx" else "accepted"
        assert fuzz.attempt(fuzz.KINDS[kind][1], path) == (expected, "")


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_a_seed_makes_the_same_input_again(kind: str, tmp_path: Path) -> None:
    for seed in range(3, 9):
        first, again = (fuzz.make(kind, seed, tmp_path / f"{seed} {name}") for name in "ab")
        assert first.name == again.name and first.read_bytes() == again.read_bytes()
    assert fuzz.make(kind, 9, tmp_path / "other").read_bytes() != first.read_bytes()


def outcome(error: Exception | None) -> str:
    def load(path: Path) -> None:
        if error is not None:
            raise error

    return fuzz.attempt(load, Path())[0]


def test_what_counts_as_a_finding() -> None:
    assert outcome(None) == "accepted"
    assert outcome(ImageError("It is damaged.", remedy="Copy it again.")) == "refused"
    assert outcome(AvatarError("It is damaged.")) == "no remedy"
    assert fuzz._judged("It holds \x1b[2J.", "Copy it again.")[0] == "control characters"  # which errors escape
    assert fuzz._judged("x" * 10_000, "Copy it again.")[0] == "message too long"
    assert outcome(KeyError("size")) == "foreign exception"
    assert outcome(MemoryError()) == "out of memory"


def played_by(tmp_path: Path, load: str) -> list[str]:
    """The tool with a loader of templates of our own; the lines that it prints."""
    code = "import os, sys, time; from tools import fuzz\ndef load(path):\n"
    code += f"    if 'in' in path.parts: {load}\n"  # and not with the sound file that is loaded first of all
    code += "fuzz.KINDS = {'templates': (fuzz._template, load)}; fuzz.TIME_S = 3.0\n"
    code += "fuzz.__file__ = __file__; sys.exit(fuzz.main())\n"
    script = tmp_path / "played.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}")
    words = ["--count", "2", "--minutes", "5", "-o", str(tmp_path / "found")]
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert len(list((tmp_path / "found").glob("templates-*.json"))) == 2
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("load", "expected"),
    [("os.abort()", "crash: SIGABRT"), ("time.sleep(60)", "hang"), ("1 / 0", "foreign exception: ZeroDivisionError")],
)
def test_a_child_that_dies_or_hangs_is_a_finding(load: str, expected: str, tmp_path: Path) -> None:
    lines = played_by(tmp_path, load)
    assert len([line for line in lines if expected in line]) == 2
    assert "2 tried" in lines[-1] and "2 findings" in lines[-1]


def test_findings_never_go_into_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fuzz.py", "-o", str(ROOT / "found")])
        fuzz.main()
    assert "is in the repository" in capsys.readouterr().err
