"""Text from files, cameras and errors is displayed as plain, short text; HTML in it is escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QInputDialog, QLabel, QMessageBox, QWidget
from window_avatars import add

from avatar.errors import AvatarError
from avatar.library.record import Avatar
from avatar.portrait.check import Level, Remark
from ui.dialogs.import_avatar import remark_row
from ui.look.language import tr
from ui.panels.section import note, set_note
from ui.session import Notice
from ui.widgets.avatar_strip import AvatarModel
from ui.widgets.plain_text import PlainLabel, unformatted

might_be_html: Any = Qt.mightBeRichText  # its stub wants an instance, and there is none
HTML = '<img src="file:///etc/passwd"><b>Unchanged</b> &lt;'
HOSTILE = f"{HTML}\x1b[2J\u202e" + "x" * 300_000


def shows_html(widget: QWidget) -> list[str]:
    """Texts of labels in a widget, itself included, that Qt would take for HTML."""
    labels = [*widget.findChildren(QLabel), *([widget] if isinstance(widget, QLabel) else [])]
    guessed = [label for label in labels if label.textFormat() == Qt.AutoText and might_be_html(label.text())]
    return [label.text()[:80] for label in (*guessed, *(each for each in labels if each.textFormat() == Qt.RichText))]


def test_labels_show_text_as_it_is(qtbot: Any) -> None:
    label = PlainLabel(HOSTILE)
    qtbot.addWidget(label)
    assert not shows_html(label) and len(label.text()) < 2000 and label.text().isprintable()
    label.setText(f"one\n{HTML}")
    assert label.text() == f"one\n{HTML}", "line breaks and brackets stay"
    explained = note(HTML)
    qtbot.addWidget(explained)
    set_note(explained, HOSTILE)
    assert not shows_html(explained) and "\x1b" not in explained.text()


def test_no_label_guesses_its_format() -> None:
    for path in (Path(__file__).resolve().parents[2] / "ui").rglob("*.py"):
        if path.name != "plain_text.py":
            assert not re.search(r"\bQLabel\(|setHtml\(|Qt\.RichText", path.read_text(encoding="utf-8")), path.name


def test_notices_of_every_kind_are_plain(desk: Desk) -> None:
    error = AvatarError(f"x\n{HOSTILE}", remedy=HOSTILE)
    desk.app.session.notice(Notice(error.what, error.remedy, "error"))
    desk.app.session.notice(Notice(f"y\nIt is safe.{HOSTILE}", HOSTILE))
    banners = desk.window.stage.banners.banners()
    assert len(banners) == 2
    for banner in banners:
        assert not shows_html(banner)
        assert all(label.text().isprintable() for label in banner.findChildren(QLabel)), "one line each"
        assert banner.accessibleName().isprintable() and len(banner.accessibleName()) < 4000


def test_the_whole_window_and_its_guide_hold_no_html(desk: Desk) -> None:
    assert not shows_html(desk.window)


def test_values_in_translated_texts_stay_on_one_line() -> None:
    assert tr("{name} is here.", name="a\nb\x1b") == "a\\nb\\x1b is here."
    assert tr("{rate:.0f} fps", rate=29.97) == "30 fps"


def test_remarks_on_a_picture_are_plain(qtbot: Any) -> None:
    row = remark_row(Remark(Level.REFUSAL, "error", HTML, HTML))
    qtbot.addWidget(row)
    assert not shows_html(row)


def test_an_avatars_notes_do_not_become_html_in_its_tooltip(desk: Desk) -> None:
    entry, model = desk.avatars.entries[0], AvatarModel()
    bad = Avatar(HTML, Path(), "", source=HTML, licence="a\n" + HTML, problem=HOSTILE)
    model.set_entries([type(entry)(bad, None)])
    index = model.index(0)
    tip = index.data(Qt.ToolTipRole)
    assert "<img" not in tip and "&lt;img" in tip and "\x1b" not in tip and len(tip) < 4000
    assert index.data(Qt.AccessibleTextRole).isprintable()


def test_texts_whose_format_qt_guesses_are_escaped_where_needed() -> None:
    assert unformatted("Tom & Jerry\nsecond line") == "Tom & Jerry\nsecond line"
    text = unformatted(f"{HTML}\nx")
    assert "<img" not in text and "<b>" not in text and text.endswith("<br>x")
    assert "\x1b" not in unformatted("\x1b[0m")


def test_questions_about_an_avatar_show_its_name_as_text(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(desk, tmp_path, "odd")
    entry = desk.avatars.find("odd")
    assert entry is not None
    object.__setattr__(entry.avatar, "name", HTML)  # a folder's name on systems that allow it
    asked: list[str] = []
    monkeypatch.setattr(QMessageBox, "exec_", lambda box: asked.append(box.text()))
    desk.app.window.avatar_jobs._ask_likeness(entry.avatar)

    def get_text(parent: QWidget, title: str, label: str, text: str) -> tuple[str, bool]:
        asked.append(label)
        return "", False

    monkeypatch.setattr(QInputDialog, "getText", get_text)
    monkeypatch.setattr(desk.app.window.avatar_jobs, "_own", lambda what: entry)
    desk.app.window.avatar_jobs.rename()
    assert len(asked) == 2 and not any("<img" in text for text in asked)
