"""Small files of ours: any damage gives OSError or ValueError."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avatar.system.limits import MAX_TEXT_BYTES
from avatar.system.small_files import read_bytes, read_json, read_toml

DEEP = 100_000


def test_what_is_there_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text('a = [1, -2.5, "b"]\n[t]\nc = true\n')
    assert read_toml(file) == {"a": [1, -2.5, "b"], "t": {"c": True}}
    file.write_text('{"a": [1, -2.5, null]}')
    assert read_json(file) == {"a": [1, -2.5, None]}


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a = 1\n", encoding="utf-8-sig")
    assert read_toml(file) == {"a": 1}
    file.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(file) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * DEEP, "nested too deep"),
        ("a = " + "{b = " * DEEP, "nested too deep"),
        ("a" + ".a" * 100 + " = 1", "nested too deep"),
        ("a" + ".a" * 4001 + " = 1", "nested too deep"),
        (f"a = [{2**63}]", "too large"),
        (f"a = {-(2**64)}", "too large"),
        ("a = " + "9" * 5000, "digits"),
        ("a = ", "Invalid value"),
        ("#" * (MAX_TEXT_BYTES + 1), "larger than"),
    ],
)
def test_toml_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_toml(file)


@pytest.mark.parametrize("text", ["[" * DEEP, "[" * 65 + "]" * 65, '{"a": ' * DEEP, f"[{2**63}]", "9" * 5000, "", "{"])
def test_json_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ValueError):
        read_json(file)


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "absent", tmp_path / ("n" * 300)):
        with pytest.raises(OSError):
            read_toml(path)


def test_a_link_is_followed_and_the_limit_is_exact(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bytes(tmp_path / "link", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4"):
        read_bytes(tmp_path / "link", 4)
