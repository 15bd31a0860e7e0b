"""The command line: commands, exit codes and messages on stderr."""

from __future__ import annotations

import argparse
import errno
import io
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from places import ROOT

from avatar import __version__, cli, weights
from avatar.errors import FaceError, UsageError
from avatar.reports.progress import ProgressBar


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int]], None]:
    """Put a command called `models` in the place of ours; its work is given."""

    def put(work: Callable[[argparse.Namespace], int]) -> None:
        module = types.ModuleType("avatar.commands.models")
        module.add_parser = lambda subparsers: subparsers.add_parser("models").add_argument("words", nargs="*")  # type: ignore[attr-defined]
        module.run = work  # type: ignore[attr-defined]
        monkeypatch.setattr(cli, "_load", lambda name: module)

    return put


def failing(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def work(args: argparse.Namespace) -> int:
        raise error

    return work


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in cli.available():
        assert f"    {name} " in told and cli.COMMANDS[name].split()[0] in told


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"Masque {__version__}\n"


@pytest.mark.parametrize("name", sorted({*cli.available()} - {"test"}))  # whose arguments are pytest's
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert f"run.py {name}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["fly"], ["models"], ["models", "fly"], ["models", "import", "vox"], ["--nonsense"]])
def test_wrong_words_are_wrong_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert "usage:" in capsys.readouterr().err


def test_a_command_gets_its_words_and_gives_its_code(command: Any) -> None:
    command(lambda args: len(args.words))
    assert cli.main(["models", "a", "b", "c"]) == 3


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FaceError("There is no face in x.png.", remedy="Choose another picture."), 1, "There is no face in x.png."),
        (UsageError("--size must be positive.", remedy="Choose one above 0."), 2, "--size must be positive."),
        (KeyboardInterrupt(), 1, "Stopped."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "disk is full"),
        (MemoryError(), 1, "not enough memory"),
        (ModuleNotFoundError("No module named 'av'", name="av"), 1, "package av is not installed"),
        (ZeroDivisionError("division by zero"), 1, "Internal error in Masque: ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    command: Any, error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(failing(error))
    assert cli.main(["models"]) == code
    told = capsys.readouterr()
    assert words in told.err and "Traceback" not in told.err and told.out == ""
    assert cli.main(["models", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_remedy_follows_the_sentence(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(failing(FaceError("There is no face in x.png.", remedy="Choose another picture.")))
    cli.main(["models"])
    assert capsys.readouterr().err == "There is no face in x.png.\nChoose another picture.\n"


def test_nobody_reading_on_is_no_fault() -> None:
    command = [sys.executable, str(ROOT / "run.py"), "--no-setup", "models", "list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=20)


def test_a_missing_face_model_is_fetched_before_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    monkeypatch.setattr(weights, "pull", lambda name, *_, **__: fetched.append(name) or tmp_path)
    cli._fetch_needed()
    (tmp_path / "face_landmarker.task").touch()
    cli._fetch_needed()
    assert fetched == ["face-landmarker"]


# models


def test_models_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    assert cli.main(["models", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "missing" in lines["face-landmarker"] and "3.8 MB" in lines["face-landmarker"]
    assert "import only" in lines["fashion"] and str(tmp_path) in lines["Folder:"]


def test_models_import_pull_and_verify(
    face_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    assert cli.main(["models", "import", "face-landmarker", str(face_model)]) == 0
    assert cli.main(["models", "pull"]) == 0  # nothing left to fetch
    assert cli.main(["models", "verify"]) == 0
    assert "face-landmarker: sound" in capsys.readouterr().out
    (tmp_path / "models" / "face_landmarker.task").write_bytes(b"short")
    assert cli.main(["models", "verify"]) == 1
    assert "has 5 bytes instead of 3,758,596" in capsys.readouterr().err


def test_models_import_of_unknown_bytes_tells_what_it_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    (tmp_path / "mine.pth.tar").write_bytes(b"PK\x03\x04")
    assert cli.main(["models", "import", "fashion", str(tmp_path / "mine.pth.tar")]) == 0
    assert "remembered: " in capsys.readouterr().out


def test_models_pull_checks_all_names_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "pull", "face-landmarker", "nonsense"]) == 2
    assert "no model called 'nonsense'" in capsys.readouterr().err


# test


def test_run_py_test_passes_its_words_to_pytest() -> None:
    command = [sys.executable, str(ROOT / "run.py"), "--no-setup", "test", "--collect-only", "-k", "version"]
    done = subprocess.run([*command, str(Path(__file__))], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0 and "test_cli.py::test_version" in done.stdout, done.stdout + done.stderr


# The progress bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_amount_and_share() -> None:
    stream = Terminal()
    with ProgressBar("net", 3_000_000, "B", stream) as bar:
        bar.update(0)
        bar.update(1_500_000)
    line = stream.getvalue().split("\r")[-1]
    assert line.startswith("net:  50%|") and "1.50M/3.00M" in line and line.endswith("\n")


def test_a_log_file_sees_one_line() -> None:
    stream = io.StringIO()
    with ProgressBar("clip", 100, "frames", stream) as bar:
        for done in range(51):
            bar.update(done)
    assert stream.getvalue().count("\n") == 1 and "\r" not in stream.getvalue()
    assert stream.getvalue().startswith("clip:  50%|") and "50/100" in stream.getvalue()
    assert "frames/s" in stream.getvalue()


def test_a_resumed_job_does_not_count_what_was_there() -> None:
    stream = io.StringIO()
    with ProgressBar("net", None, "B", stream) as bar:
        bar.update(90_000_000, 100_000_000)
        time.sleep(0.2)
        bar.update(91_000_000, 100_000_000)
    rate = re.search(r"([0-9.]+)MB/s", stream.getvalue())
    assert rate is not None and float(rate[1]) < 10  # 450 where all of it counted


def test_a_job_that_never_began_shows_nothing() -> None:
    stream = io.StringIO()
    with ProgressBar("net", None, "B", stream):
        pass
    assert stream.getvalue() == ""


def test_what_libraries_have_to_say_is_for_debug(tmp_path: Path) -> None:
    """Pillow warns about a note in a picture that is longer than the file; torch and numpy have their own."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "TIFF", description="a note of some length")
    data = bytearray(stream.getvalue())
    entries = int.from_bytes(data[4:8], "little") + 2
    entry = next(at for at in range(entries, len(data), 12) if data[at : at + 2] == (270).to_bytes(2, "little"))
    data[entry + 4 : entry + 8] = (100_000).to_bytes(4, "little")
    (tmp_path / "note.tif").write_bytes(data)
    load = "from PIL import Image; from avatar.commands import models\n"
    load += f"models.run = lambda args: Image.open({str(tmp_path / 'note.tif')!r}).load() is None\n"
    load += "import sys; from avatar.cli import main; sys.exit(main(sys.argv[1:]))"
    said = []
    for words in (["models", "list"], ["--debug", "models", "list"]):
        command = [sys.executable, "-c", load, *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        said.append(done.stderr)
    assert said[0] == "" and "Tag data larger than file" in said[1]
