"""The window's language: English in the code, others from catalogues of plain TOML.

A catalogue is `translations/CODE.toml` with the English text as key. Qt's own compiler of catalogues (lrelease) does
not come with PyQt5, so a QTranslator of our own reads them; everything else is as Qt does it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from PyQt5.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from avatar.foreign_text import MOST_OF_SENTENCE, shown

FOLDER = Path(__file__).with_name("translations")
CONTEXT = "masque"
LANGUAGES = {"en": "English", "de": "Deutsch", "zh": "简体中文"}


def tr(text: str, **values: object) -> str:
    """Return the text in the window's language, with its {names} filled in, each on one line."""
    translated = QCoreApplication.translate(CONTEXT, text)
    shown_values = {name: shown(value, MOST_OF_SENTENCE) if isinstance(value, str | Path) else value
                    for name, value in values.items()}  # fmt: skip
    return translated.format(**shown_values) if values else translated


def later(text: str) -> str:
    """Mark a text that is translated where it is shown, by `tr`."""
    return text


def chosen_language(setting: str) -> str:
    """The code of the language to show: the one that is set, else the system's, else English."""
    wanted = setting or QLocale.system().name().split("_")[0]
    return wanted if wanted in LANGUAGES else "en"


def read_catalogue(code: str) -> dict[str, str]:
    """English text -> translation; empty for English and where there is no catalogue."""
    path = FOLDER / f"{code}.toml"
    if not path.is_file():
        return {}
    return {str(key): str(value) for key, value in tomllib.loads(path.read_text(encoding="utf-8")).items()}


class Catalogue(QTranslator):
    """Translates by a catalogue; what it lacks stays English."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self._texts = read_catalogue(code)

    def isEmpty(self) -> bool:  # noqa: N802 - Qt's name
        """Whether there is nothing to translate; Qt asks before it installs a translator."""
        return not self._texts

    def translate(
        self, context: str | None, text: str | None, disambiguation: str | None = None, n: int = -1
    ) -> str:
        """Qt's question for one text; None: not known here, where an empty text would be shown as it is."""
        return self._texts.get(text or "") if context == CONTEXT else None  # type: ignore[return-value]


class Languages:
    """Installs the translators of one language in place of those before."""

    def __init__(self) -> None:
        self._installed: list[QTranslator] = []

    def install(self, setting: str) -> str:
        """Show the language of a setting from now on; return its code. Windows are to be made anew."""
        for translator in self._installed:
            QCoreApplication.removeTranslator(translator)
        code = chosen_language(setting)
        qt_own = QTranslator()  # the words on Qt's own buttons and file dialogs
        qt_own.load(f"qtbase_{'zh_CN' if code == 'zh' else code}", QLibraryInfo.location(QLibraryInfo.TranslationsPath))
        self._installed = [qt_own, Catalogue(code)]
        for translator in self._installed:
            QCoreApplication.installTranslator(translator)
        return code
