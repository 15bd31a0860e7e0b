"""The window's language: English in the code, other languages from TOML catalogues.

A catalogue is `translations/CODE.toml` with the English text as key: the window's own texts, and the templates of the
messages of `avatar` (`avatar.system.message`), which are translated here, just before they are shown. Qt's compiler for
catalogues (lrelease) is not part of PyQt5, so a custom QTranslator reads them; everything else works as in Qt.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from PyQt5.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from avatar.errors import AvatarError
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.message import Message

FOLDER = Path(__file__).with_name("translations")
CONTEXT = "masque"
LANGUAGES = {"en": "English", "de": "Deutsch", "zh": "简体中文"}


def tr(text: str, **values: object) -> str:
    """Return the text in the window's language, with its {names} filled in, each on one line.

    A `Message` has its own template and values; values that are messages are translated too, others are unchanged. Text
    that is in no catalogue, such as a name, is returned unchanged.
    """
    template, values = (text.template, {**text.values}) if isinstance(text, Message) else (text, values)
    translated = _looked_up(template)
    if not values:
        return translated if translated != template else str(text)
    filled = {name: _for_sentence(value) for name, value in values.items()}
    try:
        return shown(translated.format(**filled), MOST_OF_SENTENCE)
    except (LookupError, ValueError, AttributeError):  # an error in a catalogue costs the translation only
        return str(text) if isinstance(text, Message) else template.format(**filled)


def _looked_up(text: str) -> str:
    try:
        return QCoreApplication.translate(CONTEXT, text)
    except UnicodeEncodeError:  # a path with invalid UTF-8 is not in a catalogue
        return text


def _for_sentence(value: object) -> object:
    if isinstance(value, Message):
        return tr(value)
    return shown(value, MOST_OF_SENTENCE) if isinstance(value, str | Path) else value


def explained(error: AvatarError) -> str:
    """Return an error's message and remedy in the window's language."""
    return f"{tr(error.what)} {tr(error.remedy)}".strip()


def later(text: str) -> str:
    """Mark a text that `tr` translates when it is shown."""
    return text


def chosen_language(setting: str) -> str:
    """Return the language code to use: the configured one, else the system's, else English."""
    wanted = setting or QLocale.system().name().split("_")[0]
    return wanted if wanted in LANGUAGES else "en"


def read_catalogue(code: str) -> dict[str, str]:
    """Read a catalogue as {English text: translation}; empty for English and missing catalogues."""
    path = FOLDER / f"{code}.toml"
    if not path.is_file():
        return {}
    return {str(key): str(value) for key, value in tomllib.loads(path.read_text(encoding="utf-8")).items()}


class Catalogue(QTranslator):
    """Translator that uses a catalogue; missing texts stay English."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self._texts = read_catalogue(code)

    def isEmpty(self) -> bool:  # noqa: N802 - Qt's name
        """Return whether there is nothing to translate; Qt asks before it installs a translator."""
        return not self._texts

    def translate(self, context: str | None, text: str | None, disambiguation: str | None = None, n: int = -1) -> str:
        """Translate a text for Qt; None if it is unknown, because Qt would show an empty text."""
        return self._texts.get(text or "") if context == CONTEXT else None  # type: ignore[return-value]


class Languages:
    """Installs the translators of one language, replacing previous ones."""

    def __init__(self) -> None:
        self._installed: list[QTranslator] = []

    def install(self, setting: str) -> str:
        """Switch to the language of a setting; return its code. Windows must be rebuilt afterwards."""
        self.remove()
        code = chosen_language(setting)
        qt_own = QTranslator()  # texts of Qt's own buttons and file dialogs
        qt_own.load(f"qtbase_{'zh_CN' if code == 'zh' else code}", QLibraryInfo.location(QLibraryInfo.TranslationsPath))
        self._installed = [qt_own, Catalogue(code)]
        for translator in self._installed:
            QCoreApplication.installTranslator(translator)
        return code

    def remove(self) -> None:
        """Remove the translators: Qt asks each that is left for every text, whoever shows it."""
        for translator in self._installed:
            QCoreApplication.removeTranslator(translator)
        self._installed = []
