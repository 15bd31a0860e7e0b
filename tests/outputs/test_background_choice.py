from __future__ import annotations

from pathlib import Path

import pytest
from fakes import plain

from avatar.errors import ImageError, UsageError
from avatar.images.load import save_png
from avatar.outputs.background_choice import parse_background
from avatar.settings import CanvasSettings


@pytest.mark.parametrize("word", ["own", "blur", "green", "transparent"])
def test_words_are_kinds(word: str) -> None:
    assert parse_background(word).on(CanvasSettings()) == CanvasSettings(background=word)


def test_a_colour_is_taken_as_html_writes_it() -> None:
    canvas = parse_background("#FF8000").on(CanvasSettings())
    assert canvas.background == "colour" and canvas.background_rgb == (255, 128, 0)


def test_a_file_is_tried(tmp_path: Path) -> None:
    save_png(tmp_path / "sea.png", plain(9, (8, 8)))
    (tmp_path / "no.png").write_bytes(b"nothing")
    canvas = parse_background(str(tmp_path / "sea.png")).on(CanvasSettings())
    assert (canvas.background, canvas.background_image) == ("image", str(tmp_path / "sea.png"))
    with pytest.raises(ImageError):
        parse_background(str(tmp_path / "no.png"))


@pytest.mark.parametrize("wrong", ["colour", "image", "#ff80", "sea.png", ""])
def test_nothing_else_is_a_background(wrong: str) -> None:
    with pytest.raises((UsageError, ImageError)):
        parse_background(wrong)
