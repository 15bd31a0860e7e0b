"""Messages for users that keep their template and values, so that a window in another language can translate them.

`avatar` writes English and knows no other language. A sentence with values in it is a `Message`: an ordinary string for
logs, terminals and comparisons that also keeps its template and the values that fill it. The catalogues in
`ui/look/translations/` have the templates as keys. A sentence without values is its own template and stays a plain
string; a translatable word that becomes a value of another sentence is a `Message` too, because plain values are
treated as names, which are not translated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Number

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import as_typed


class Message(str):
    """A finished English sentence with its template, such as `"There is no engine called {name!r}."`, and its values.

    Values are kept as numbers, as messages, or as `shown` text, so that a stored error does not keep frames, paths or
    exceptions alive.
    """

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, /, **values: object) -> Message:
        """Fill the values into the template, by the rules of `str.format`."""
        kept = {name: _kept(value) for name, value in values.items()}
        return cls._of(as_typed(template).format(**values), template, kept)

    @classmethod
    def _of(cls, text: str, template: str, values: Mapping[str, object]) -> Message:
        message = super().__new__(cls, text)
        message.template, message.values = template, values
        return message

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle with template and values; the method of str would fill the template again."""
        return Message._of, (str(self), self.template, dict(self.values))


def together(*sentences: str, between: str = " ") -> str:
    """Join sentences to one message that is translated sentence by sentence."""
    said = [sentence for sentence in sentences if sentence]
    if len(said) < 2:
        return said[0] if said else ""
    parts = {f"part{number}": _own(sentence) for number, sentence in enumerate(said, 1)}
    return Message(between.join(f"{{{name}}}" for name in parts), **parts)


def chained(template: str, *values: object) -> str:
    """Join several values by a template for two, such as `"{first} or {second}"`."""
    chain, *rest = (value if isinstance(value, Message) else Message("{name}", name=value) for value in values)
    for value in rest:
        chain = Message(template, first=chain, second=value)
    return chain


def fitting(text: str, most: int = MOST_OF_SENTENCE) -> str:
    """Limit a sentence to one visible line of at most `most` characters; a message stays a message."""
    if isinstance(text, Message):
        return Message._of(shown(text, most), text.template, text.values)
    return shown(as_typed(text), most)


def mapped(text: str, change: Callable[[str], str]) -> str:
    """Apply a change to a sentence, and to the texts among its values; a message stays a message."""
    if not isinstance(text, Message):
        return change(text)
    values = {name: mapped(value, change) if isinstance(value, str) else value for name, value in text.values.items()}
    return Message._of(change(str(text)), text.template, values)


def as_plain(text: str) -> object:
    """Return a sentence as plain values, for JSON: a string, or a dictionary if it is a message."""
    if not isinstance(text, Message):
        return text
    values = {name: as_plain(value) if isinstance(value, str) else value for name, value in text.values.items()}
    return {"text": str(text), "template": text.template, "values": values}


def from_plain(plain: object) -> str:
    """Return the sentence of `as_plain`. Raises: TypeError, KeyError, AttributeError: it is none."""
    if isinstance(plain, str):
        return plain
    if not isinstance(plain, dict):
        raise TypeError(f"no sentence: {type(plain).__name__}")
    values = {
        name: value if isinstance(value, int | float) else from_plain(value) for name, value in plain["values"].items()
    }
    return Message._of(str(plain["text"]), str(plain["template"]), values)


def _own(sentence: str) -> Message:
    """Convert a sentence to a message; a plain one is its own template, with literal braces."""
    return sentence if isinstance(sentence, Message) else Message._of(as_typed(sentence), sentence, {})


def _kept(value: object) -> object:
    if isinstance(value, BaseException) and value.args and isinstance(value.args[0], Message):
        value = value.args[0]  # an AvatarError, whose sentence can be translated
    return value if isinstance(value, Message | Number) else shown(value, MOST_OF_SENTENCE)
