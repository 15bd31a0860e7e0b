"""Output safety: nothing printed, logged or raised can control or flood the terminal."""

from __future__ import annotations

import io
import logging
import sys
import warnings

import pytest

from avatar import cli
from avatar.errors import AvatarError, ImageError
from avatar.reports.terminal_guard import LogFormatter, guarded_terminal
from avatar.system.foreign_text import MOST_OF_SENTENCE

HOSTILE = "name\nUnchanged since it was signed.\x1b[8m\u202e" + "x" * 300_000


def only_visible(text: str) -> bool:
    return all(line.isprintable() and len(line) < 4 * MOST_OF_SENTENCE for line in text.split("\n"))


def test_errors_are_two_short_lines_whatever_is_in_them() -> None:
    error = ImageError(f"{HOSTILE} cannot be read.", remedy=f"Choose another than {HOSTILE}.")
    for text in (error.what, error.remedy, str(error)):
        assert text.isprintable() and len(text) <= 2 * MOST_OF_SENTENCE + 1
    assert error.what.startswith("name") and error.what.endswith(" cannot be read.")
    plain = AvatarError("It is so.", remedy="Do that.")
    assert (plain.what, plain.remedy, str(plain)) == ("It is so.", "Do that.", "It is so. Do that.")


@pytest.mark.parametrize(
    "words",
    [
        ["animate", HOSTILE, "idle", "-o", "x.mp4"],
        ["animate", "a.png", "b.mp4", "-o", "x.mp4", HOSTILE],  # argparse's own message
        ["live", "--camera", HOSTILE],
        ["avatars", "check", HOSTILE],
        ["models", "import", "vox", HOSTILE],
        ["verify", HOSTILE],
        ["train", HOSTILE],
        ["evaluate", HOSTILE, "idle", HOSTILE],
        [HOSTILE],
    ],
)
def test_no_command_prints_what_it_was_given_raw(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) in (1, 2)
    said = capfd.readouterr()
    assert only_visible(said.out) and only_visible(said.err)
    assert not any(line.startswith("Unchanged") for line in (said.out + said.err).split("\n"))


def test_mistakes_of_our_own_are_bounded_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str]) -> int:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr(cli, "_run", fail)
    for words in (["doctor"], ["doctor", "--debug"]):
        assert cli.main(words) == 1
        said = capfd.readouterr().err
        assert only_visible(said) and "RuntimeError" in said
    assert "in fail" in said, "the traceback is still there with --debug"


def test_log_lines_are_one_line_and_tracebacks_keep_theirs() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("%s is odd", HOSTILE)
    assert stream.getvalue().count("\n") == 1 and only_visible(stream.getvalue())
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("It failed")
    said = stream.getvalue()
    assert only_visible(said) and "ValueError" in said and said.count("\n") > 4


def test_the_stream_is_guarded_in_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with guarded_terminal():
        print("\x1b]0;title\x07é\ud800", file=sys.stderr)
        sys.stderr.write("\r12 %\t")
        print(warnings.formatwarning("a\x1bb", UserWarning, "x", 1), file=sys.stderr)
        assert sys.stderr.isatty() is False and sys.stderr.encoding == "ascii"
    assert sys.stderr is terminal
    written = raw.getvalue()
    assert written.startswith(b"\\x1b]0;title\\x07\\xe9\\ud800") and b"\r12 %\t" in written and b"\x1b" not in written


def test_help_and_reports_are_printed_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "commands:" in capfd.readouterr().out
