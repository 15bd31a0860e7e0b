"""Text from files is displayed as one short visible line, whatever it holds."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path

import pytest

from avatar.system.foreign_text import MOST, MOST_LINES, first_line, quoted, shown, shown_lines, typed, without_controls

ATTACKS = [
    "two\nlines",
    "a\r\nb",
    "\x1b[2J\x1b[1;1H",  # clears the terminal
    "\x1b]0;title\x07",
    "\x9b31m",  # the C1 form of an escape sequence
    "\x7f\x00\x08\x08\x08",
    "photo\u202egnp.exe",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200d\ufeff\u2060",
    "line\u2028paragraph\u2029next\x85",
    "lone \ud800 surrogate",
    "tag \U000e0041\U000e0101",
    "filler \u3164\u115f\u2800",
    "soft\u00adhyphen",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_is_invisible_is_escaped(attack: str) -> None:
    line = shown(attack)
    assert line.isprintable() and "\\" in line
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in line)
    line.encode("utf-8")  # a lone surrogate would raise


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("clip.mp4", "Grüße aus 東京.png", "Screenshot 3.15.20\u202fPM.png", "❤️.jpg", r"C:\Users\me\a b.png"):
        assert shown(name) == name


def test_escapes_say_what_was_there() -> None:
    assert shown("a\nb\x1bc\u202ed") == r"a\nb\x1bc\u202ed"
    assert shown(os.fsdecode(b"caf\xe9.png")) == r"caf\xe9.png"  # a file name of another encoding
    assert shown(b"caf\xe9\n") == r"caf\xe9\n"


@pytest.mark.parametrize("text", ["x" * 50_000_000, "\x1b[" * 25_000_000, b"\x00" * 50_000_000, "\n" * 50_000_000])
def test_fifty_megabytes_become_one_short_line(text: str | bytes) -> None:
    line = shown(text)
    assert len(line) <= MOST and "…" in line and line.isprintable()


def test_beginning_and_end_survive_the_cut() -> None:
    line = shown("start" + "x" * 1000 + ".mp4", 20)
    assert line.startswith("start") and line.endswith(".mp4") and len(line) == 20


@pytest.mark.parametrize("most", [3, 4, 7, 80])
@pytest.mark.parametrize("length", [0, 1, 3, 7, 8, 79, 80, 81, 200])
def test_no_length_exceeds_what_is_asked(length: int, most: int) -> None:
    for character in ("a", "é", "\n", "\U000e0041"):
        line = shown(character * length, most)
        assert len(line) <= most
        assert ("…" in line) == (length * len(shown(character)) > most)


def test_marks_stacked_by_the_hundred_are_escaped() -> None:
    assert shown("e\u0301") == "e\u0301"
    assert shown("e" + "\u0301" * 50, 1000).count("\u0301") == 4


def test_quoted_text_cannot_end_its_quotation() -> None:
    assert quoted('x". Unchanged since it was signed. "') == "\"x'. Unchanged since it was signed. '\""


def test_numbers_stand_without_quotation_marks() -> None:
    assert (quoted(3), quoted(True), quoted(1.5), quoted(None), quoted([1])) == ("3", "True", "1.5", "None", '"[1]"')


def test_values_that_python_cannot_print_are_named_by_their_type() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(10**10_000) == "<int>" and shown(nested) == "<list>"
    assert shown(None) == "None" and shown(Path("a") / "b") == str(Path("a") / "b")


def test_the_first_line_of_a_librarys_error_is_taken() -> None:
    assert first_line(RuntimeError("\n  no kernel image.\nmore\x1b")) == "no kernel image"
    assert first_line(ValueError()) == "ValueError" and first_line(ValueError("\x1b\n")) == "\\x1b"
    assert len(first_line(RuntimeError("x" * 10_000_000))) == 200


def test_lines_of_a_traceback_stay_lines_and_are_bounded() -> None:
    assert shown_lines("a\n\x1b[2Jb\nc") == "a\n\\x1b[2Jb\nc"
    many = shown_lines("\n".join(map(str, range(1_000_000)))).split("\n")
    assert len(many) == MOST_LINES + 1 and many[0] == "0" and many[-1] == "999999"


def test_a_report_for_the_terminal_keeps_its_lines() -> None:
    text = "a\tb\r\nc é"
    assert without_controls(text) == text
    assert without_controls("x\x1b]0;y\x07" * 2) == r"x\x1b]0;y\x07" * 2


@pytest.mark.skipif(os.name != "posix", reason="quoted as POSIX shells have it")
def test_a_name_in_a_command_to_type_runs_nothing(tmp_path: Path) -> None:
    for name in ("my show.mp4", "$(touch ran).mp4", "`touch ran`;touch ran", "it's.mp4", '"; touch ran; "'):
        command = f"printf %s {typed(name)}"
        said = subprocess.run(command, check=True, shell=True, cwd=tmp_path, capture_output=True, text=True).stdout
        assert said == name and not (tmp_path / "ran").exists()
    assert typed("show.mp4") == "show.mp4"
    assert typed("a\nb") == '"a\\nb"'
