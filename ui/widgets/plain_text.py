"""Text without markup: names of files or cameras must not be parsed as HTML, which could load images or hide text."""

from __future__ import annotations

import html

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QLabel, QWidget

from avatar.system.foreign_text import shown_lines


class PlainLabel(QLabel):
    """A label without markup; control characters are escaped and very long lines are cut."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.PlainText)
        self.setText(text)

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        """Show a text with its line breaks."""
        super().setText(shown_lines(text or ""))


def unformatted(text: str) -> str:
    """Escape a text for tooltips, message boxes and other widgets that guess the text format."""
    visible = shown_lines(text)
    rich = Qt.mightBeRichText(visible)  # type: ignore[call-arg,arg-type] # PyQt5's stubs declare it as a method
    return html.escape(visible).replace("\n", "<br>") if rich else visible
