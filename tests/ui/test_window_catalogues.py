"""Both catalogues have every text of the window and every sentence of `avatar`, with the same values in it."""

from __future__ import annotations

import ast
import string
from typing import Any

import pytest
from templates import ROOT, data_templates, files, find

from ui.look.language import LANGUAGES, read_catalogue

FOUND = find(files())


def window_texts() -> set[str]:
    """Return every text that the window's code hands to `tr` or marks with `later`."""
    found: set[Any] = set()
    for path in (ROOT / "ui").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "later"):
                found |= {text.value for text in node.args[:1] if isinstance(text, ast.Constant)}
    return found


def fields_of(text: str) -> set[tuple[str, str]]:
    """Return the names and formats of the values in a template; how a name is quoted is the language's matter."""
    return {(name, form or "") for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def test_sentences_are_found() -> None:
    texts = {template.text for template in FOUND.templates}
    assert len(texts) > 600, "the search has lost its way"
    for text in (
        "There is no engine called {name!r}.",  # an argument
        "The eyes are closed in the picture, and an eye that the picture does not show cannot open.",  # by a variable
        "Your disk quota is used up.",  # in a table
        "{name} is not plugged in.",  # returned by a function
    ):
        assert text in texts


def test_no_sentence_is_an_f_string() -> None:
    assert FOUND.f_strings == []


def test_every_value_has_a_place_in_its_sentence() -> None:
    for template in FOUND.templates:
        if template.fields is not None:
            assert {name for name, _ in fields_of(template.text)} == set(template.fields), template


@pytest.mark.parametrize("code", sorted(set(LANGUAGES) - {"en"}))
def test_every_text_is_translated_with_its_fields(code: str) -> None:
    catalogue = read_catalogue(code)
    wanted = window_texts() | {template.text for template in FOUND.templates} | data_templates()
    assert wanted - set(catalogue) == set()
    assert set(catalogue) - wanted == set(), "nothing uses these any more"
    for text, translation in catalogue.items():
        assert fields_of(text) == fields_of(translation), text
        assert translation.strip(), text
