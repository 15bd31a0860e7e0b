"""Sentences keep what they are made of, and are strings all the same."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from avatar.errors import AvatarError
from avatar.system.foreign_text import MOST_OF_SENTENCE
from avatar.system.message import Message, as_plain, chained, fitting, from_plain, mapped, together

FACE = Message("The face is small ({width:.0f} pixels) in {name!r}.", width=71.6, name="me.png")


def test_a_message_is_its_english_sentence() -> None:
    text = "The face is small (72 pixels) in 'me.png'."
    assert text == FACE == f"{FACE}" and hash(text) == hash(FACE) and json.loads(json.dumps([FACE])) == [text]
    assert FACE.template.startswith("The face is small ({width:.0f}") and FACE.values == {
        "width": 71.6,
        "name": "me.png",
    }


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_keep_template_and_values(again: object) -> None:
    braces = Message("There is no {name}.", name="{0} {name.__class__}")
    twin = again(braces)  # type: ignore[operator]
    assert (twin, twin.template, twin.values) == (braces, braces.template, braces.values)


def test_a_message_travels_as_json_and_is_changed_with_its_values() -> None:
    nested = together(FACE, "A sentence with {braces}.")
    for text in ("plain", FACE, nested):
        back = from_plain(json.loads(json.dumps(as_plain(text))))
        assert back == text and type(back) is type(text)
        if isinstance(text, Message):
            assert isinstance(back, Message) and (back.template, back.values) == (text.template, text.values)
    upper = mapped(nested, str.upper)
    assert isinstance(upper, Message) and upper.template == nested.template and upper == nested.upper()  # type: ignore[attr-defined]
    inner = upper.values["part1"]
    assert isinstance(inner, Message) and inner.values == {"width": 71.6, "name": "ME.PNG"}
    for nothing in (None, 3, {"text": "a"}, {"text": "a", "template": "a", "values": 3}):
        with pytest.raises((TypeError, KeyError, AttributeError)):
            from_plain(nothing)


def test_values_are_small_text_numbers_or_messages() -> None:
    side = Message("left")
    kept = Message("{a} {b} {c} {d}", a=Path("x"), b=OSError("no"), c=side, d="y" * 300_000).values
    assert (kept["a"], kept["b"]) == ("x", "no") and kept["c"] is side and len(str(kept["d"])) == MOST_OF_SENTENCE


def test_sentences_together_stay_apart() -> None:
    both = together(FACE, "", "Use {braces} as they are.")
    assert both == f"{FACE} Use {{braces}} as they are." and isinstance(both, Message)
    assert [type(part) for part in both.values.values()] == [Message, Message]
    assert together("", "One.") == "One." and together("") == ""


def test_values_are_chained_by_a_template() -> None:
    names = chained("{first} or {second}", "a", "b", "c")
    assert names == "a or b or c" and isinstance(names, Message) and names.template == "{first} or {second}"
    assert chained("{first} or {second}", "a") == "a"


def test_an_error_in_a_sentence_keeps_its_template() -> None:
    error = ValueError(Message("{name} is missing", name="kp"))
    assert Message("It is damaged: {error}.", error=error).values == {"error": error.args[0]}
    assert isinstance(Message("{error}", error=AvatarError(FACE, remedy="Look.")).values["error"], Message)


def test_errors_keep_messages_and_cut_them() -> None:
    error = AvatarError(Message("There is no {name}.", name="\x1b" + "x" * 5000), remedy=FACE)
    assert isinstance(error.what, Message) and len(error.what) == MOST_OF_SENTENCE and error.what.isprintable()
    assert error.what.template == "There is no {name}." and error.remedy == FACE and str(error).endswith(FACE)
    assert fitting("plain\n") == "plain\\n"
