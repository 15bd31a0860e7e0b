"""Avatars in the window: added, refused, confirmed, renamed, removed and brought back, put in order, marked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_ui import Desk
from PyQt5.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PyQt5.QtGui import QImage, QMouseEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QDialog, QInputDialog, QWidget

from avatar.images import save_png
from avatar.tracking.marks import NEEDED
from ui.avatar_jobs import AvatarJobs
from ui.avatar_strip import ROW_TYPE
from ui.import_dialog import ImportDialog
from ui.marks_editor import MarksDialog, MarksEditor

BRIGHT, TWO_FACES, DARK = 128, 250, 10


def picture(folder: Path, name: str, level: int = BRIGHT, size: int = 512) -> Path:
    rgb = np.full((size, size, 3), level, np.uint8)
    rgb[0, : len(name), 0] = np.frombuffer(name.encode(), np.uint8)  # no two are twins
    path = folder / f"{name}.png"
    save_png(path, rgb)
    return path


@pytest.fixture
def dialog(desk: Desk, tmp_path: Path) -> Callable[..., ImportDialog]:
    """Opens an import dialog that has looked at its picture."""

    def open_(level: int = BRIGHT) -> ImportDialog:
        dialog = ImportDialog(picture(tmp_path, f"p{level}", level), desk.avatars, desk.window)
        desk.bot.addWidget(dialog)
        dialog.show()
        desk.until(lambda: dialog.report is not None)
        return dialog

    return open_


def drag(widget: QWidget, start: QPoint, end: QPoint) -> None:
    """With the left button; the move is sent as an event, because the offscreen platform has no pointer."""
    QTest.mousePress(widget, Qt.LeftButton, Qt.NoModifier, start)
    move = QMouseEvent(QEvent.MouseMove, QPointF(end), Qt.NoButton, Qt.LeftButton, Qt.NoModifier)
    QApplication.sendEvent(widget, move)
    QTest.mouseRelease(widget, Qt.LeftButton, Qt.NoModifier, end)


def add(desk: Desk, folder: Path, *names: str) -> None:
    from avatar.library_import import Choice
    from ui.avatars import Import

    for name in names:
        added: list[Any] = []
        wanted = Import(picture(folder, name), Choice(), name, "", "", confirmed=True)
        desk.avatars.add(wanted, added.append, added.append)
        desk.until(lambda added=added: added)
        desk.until(lambda name=name: name in desk.names())


def test_a_good_picture_waits_for_the_likeness_to_be_confirmed(
    desk: Desk, dialog: Callable[..., ImportDialog]
) -> None:
    shown = dialog()
    assert not shown.add_button.isEnabled()
    shown.confirm.click()
    shown.name.setText("Ada")
    shown.licence.setText("mine")
    shown.add_button.click()
    desk.until(lambda: shown.added is not None)
    desk.until(lambda: "Ada" in desk.names())
    avatar = desk.avatars.find("Ada").avatar
    assert avatar.confirmed and avatar.licence == "mine"


def test_a_picture_without_a_face_is_refused_with_its_reason(dialog: Callable[..., ImportDialog]) -> None:
    shown = dialog(DARK)
    shown.confirm.click()
    assert not shown.add_button.isEnabled() and "as it is" in shown.verdict.text()
    assert not shown.marks_button.isHidden()
    assert shown.report.refusal.code == "no-face"


def test_two_faces_are_chosen_between(desk: Desk, dialog: Callable[..., ImportDialog]) -> None:
    shown = dialog(TWO_FACES)
    assert len(shown.report.faces) == 2
    QTest.keyClick(shown.editor, Qt.Key_2)
    assert shown.choice().face_number == 2


def test_the_crop_is_dragged_and_looked_at_again(desk: Desk, dialog: Callable[..., ImportDialog]) -> None:
    shown = dialog()
    editor = shown.editor
    start, end = (editor.to_widget(x, y).toPoint() for x, y in ((512, 512), (400, 420)))
    drag(editor, start, end)
    box = editor.box()
    assert box is not None and abs(box.width - 400) <= 3 and abs(box.height - 420) <= 3
    desk.until(lambda: "Looking" not in shown.verdict.text())
    QTest.keyClick(editor, Qt.Key_Home)
    assert editor.box() is None


def test_the_crop_never_leaves_the_picture(dialog: Callable[..., ImportDialog]) -> None:
    editor = dialog().editor
    for key in (Qt.Key_Left, Qt.Key_Up, Qt.Key_Right, Qt.Key_Down):
        for modifier in (Qt.NoModifier, Qt.ShiftModifier):
            for _ in range(60):
                QTest.keyClick(editor, key, modifier)
            if (box := editor.box()) is not None:
                assert box.left >= 0 and box.left + box.width <= 512 and box.top + box.height <= 512


def test_marks_make_a_face_where_none_was_found(
    desk: Desk, dialog: Callable[..., ImportDialog], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = dialog(DARK)

    def mark(dialog: MarksDialog) -> int:
        dialog.editor.marks.update(face_marks())
        return QDialog.Accepted

    monkeypatch.setattr(MarksDialog, "exec_", mark)
    shown.marks_button.click()
    desk.until(lambda: shown.report is not None and shown.report.ok)


def face_marks() -> dict[str, tuple[float, float]]:
    from motion_samples import make_face

    face = make_face(centre=(256, 256))
    return {name: tuple(face.landmarks[NEEDED[name][0], :2].tolist()) for name in NEEDED}


def test_the_marks_editor_takes_ten_clicks(desk: Desk) -> None:
    dialog = MarksDialog(np.zeros((512, 512, 3), np.uint8), None, desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    for x, y in face_marks().values():
        assert not dialog.use.isEnabled()
        QTest.mouseClick(dialog.editor, Qt.LeftButton, Qt.NoModifier, dialog.editor.to_widget(x, y).toPoint())
    assert dialog.use.isEnabled() and set(NEEDED) <= set(dialog.marks())
    dialog.clear.click()
    assert not dialog.use.isEnabled() and dialog.marks() == {}


def test_marks_are_moved_by_mouse_and_keys(desk: Desk) -> None:
    editor = MarksEditor()
    desk.bot.addWidget(editor)
    editor.resize(400, 400)
    editor.set_picture(np.zeros((512, 512, 3), np.uint8))
    editor.show()
    at = editor.to_widget(100, 100).toPoint()
    QTest.mouseClick(editor, Qt.LeftButton, Qt.NoModifier, at)
    first = next(iter(editor.marks))
    drag(editor, at, at + QPoint(40, 0))
    moved = editor.marks[first]
    assert moved[0] > 140 and len(editor.marks) == 1
    QTest.keyClick(editor, Qt.Key_Down)
    assert editor.marks[first][1] > moved[1]


def test_drop_and_paste_open_the_import(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[Path]] = []
    monkeypatch.setattr(AvatarJobs, "add", lambda self, paths: asked.append(paths))
    path = picture(tmp_path, "dropped")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    assert desk.window.avatar_jobs.take_in(data) and asked == [[path]]
    image = QImage(64, 64, QImage.Format_RGB32)
    image.fill(Qt.gray)
    QApplication.clipboard().setImage(image)
    desk.press(Qt.Key_V, Qt.ControlModifier)
    desk.until(lambda: len(asked) == 2)
    assert asked[1][0].is_file()


@pytest.mark.parametrize(
    ("url", "words"), [("file:///tmp/clip.xyz", "is no picture"), ("https://example.org/a.png", "nothing from the web")]
)
def test_what_is_no_picture_is_told(desk: Desk, url: str, words: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl(url)])
    desk.window.avatar_jobs.take_in(data)
    assert any(words in text for text in desk.notices())


def test_an_empty_clipboard_is_told(desk: Desk) -> None:
    QApplication.clipboard().clear()
    desk.press(Qt.Key_V, Qt.ControlModifier)
    assert "There is no picture on the clipboard." in desk.notices()


def test_the_import_shows_the_new_avatar(desk: Desk, tmp_path: Path) -> None:
    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, ImportDialog) or not dialog.report:
            QTimer.singleShot(50, answer)
            return
        dialog.confirm.click()
        dialog.add_button.click()

    QTimer.singleShot(50, answer)
    desk.window.avatar_jobs.add([picture(tmp_path, "Grace")])
    assert desk.session.settings.avatar == "Grace" and desk.pipeline.last("set_avatar") == "Grace"


def test_remove_is_undone(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada")
    desk.window.avatar_jobs.choose("Ada")
    desk.press(Qt.Key_Delete)
    desk.until(lambda: "Ada" not in desk.names())
    assert desk.session.settings.avatar != "Ada" and "Ada was removed." in desk.notices()
    banner = next(b for b in desk.window.stage.banners.banners() if b.notice.text == "Ada was removed.")
    banner.action_button.click()
    desk.until(lambda: "Ada" in desk.names())
    desk.until(lambda: "Ada was removed." not in desk.notices())


def test_built_in_avatars_stay(desk: Desk) -> None:
    desk.window.avatar_jobs.choose(desk.names()[0])
    desk.press(Qt.Key_Delete)
    assert any("built in" in text for text in desk.notices())


def test_rename(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(desk, tmp_path, "Ada")
    desk.window.avatar_jobs.choose("Ada")
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("Countess", True))
    desk.press(Qt.Key_F2)
    desk.until(lambda: "Countess" in desk.names())
    desk.until(lambda: desk.session.settings.avatar == "Countess")


def test_a_refused_name_is_told_and_nothing_changes(desk: Desk, tmp_path: Path, monkeypatch: Any) -> None:
    add(desk, tmp_path, "Ada", "Bea")
    desk.window.avatar_jobs.choose("Ada")
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("Bea", True))
    desk.press(Qt.Key_F2)
    desk.until(desk.notices)
    assert {"Ada", "Bea"} <= set(desk.names())


def test_dragging_reorders_for_good(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada", "Bea")
    model = desk.window.strip.list.model_
    row = model.row_of("Bea")
    data = model.mimeData([model.index(row)])
    assert data.hasFormat(ROW_TYPE)
    model.dropMimeData(data, Qt.MoveAction, 0, 0, model.index(-1))
    assert desk.names()[0] == "Bea"
    desk.until(lambda: desk.avatars.library.avatars()[0].name == "Bea")
    desk.press(Qt.Key_1)
    assert desk.session.settings.avatar == "Bea"


def test_the_keyboard_reorders_too(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada")
    strip = desk.window.strip.list
    strip.setCurrentIndex(strip.model_.index(strip.model_.row_of("Ada")))
    before = strip.model_.row_of("Ada")
    QTest.keyClick(strip, Qt.Key_Left, Qt.ControlModifier)
    desk.until(lambda: strip.model_.row_of("Ada") == before - 1)


def test_an_avatar_of_the_command_line_is_asked_about_once(desk: Desk, tmp_path: Path, monkeypatch: Any) -> None:
    from fakes_ui import face_where_bright

    desk.avatars.library.add(picture(tmp_path, "Unasked"), detect=face_where_bright, name="Unasked")
    desk.press(Qt.Key_L)
    desk.until(lambda: "Unasked" in desk.names())
    answers, asked = [False, True], []

    def ask(jobs: AvatarJobs, avatar: Any) -> bool:
        asked.append(avatar.name)
        return answers.pop(0)

    monkeypatch.setattr(AvatarJobs, "_ask_likeness", ask)
    desk.window.avatar_jobs.choose("Unasked")
    assert desk.session.settings.avatar != "Unasked"
    desk.window.avatar_jobs.choose("Unasked")
    assert desk.session.settings.avatar == "Unasked"
    desk.until(lambda: not desk.avatars.find("Unasked").avatar.needs_confirming)
    desk.window.avatar_jobs.choose("Unasked")
    assert len(asked) == 2


def test_the_strip_paints_and_scrolls_with_many(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, *(f"a{n}" for n in range(12)))
    assert not desk.window.strip.grab().isNull()
    desk.window.avatar_jobs.choose("a9")
    area = desk.window.strip.list.viewport().rect()
    index = desk.window.strip.list.currentIndex()
    assert area.contains(desk.window.strip.list.visualRect(index).center())


def test_pictures_map_between_widget_and_picture(dialog: Callable[..., ImportDialog]) -> None:
    editor = dialog().editor
    place = editor.to_picture(editor.to_widget(123.0, 321.0))
    assert (place - QPointF(123.0, 321.0)).manhattanLength() < 1e-6


def test_a_picture_that_was_turned_is_shown_turned_and_can_be_turned_back(
    desk: Desk, dialog: Callable[..., ImportDialog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.avatars, "_how_turned", lambda rgb: 90)
    opened = dialog()
    assert opened.report is not None and opened.report.turn_deg == 90
    assert "upright" in {remark.code for remark in opened.report.remarks}
    for turn_deg in (180, 270, 0):
        opened.turn_button.click()
        desk.until(lambda: opened.report is not None)
        assert opened.report.turn_deg == opened.choice().turn_deg == turn_deg
    opened.turn_button.click()
    desk.until(lambda: opened.report is not None)
    opened.confirm.click()
    opened.add_button.click()
    desk.until(lambda: opened.added is not None)
    assert opened.added is not None and opened.added.turn_deg == 90
