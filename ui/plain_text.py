"""Text shown as text: a file's or a camera's name is not taken for HTML, which could fetch pictures or hide words."""

from __future__ import annotations

import html

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QLabel, QWidget

from avatar.foreign_text import shown_lines


class PlainLabel(QLabel):
    """A label without markup; control characters are escaped and endless lines cut."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.PlainText)
        self.setText(text)

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        """Show a text with the line breaks it has."""
        super().setText(shown_lines(text or ""))


def unformatted(text: str) -> str:
    """Return a text such that tooltips, message boxes and whatever else guesses the format show it as it is."""
    visible = shown_lines(text)
    rich = Qt.mightBeRichText(visible)  # type: ignore[call-arg,arg-type] # PyQt5's stubs take it for a method
    return html.escape(visible).replace("\n", "<br>") if rich else visible
