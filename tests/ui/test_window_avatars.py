"""Avatars in the window: add, refuse, confirm, rename, remove, restore, reorder, mark by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_ui import Desk
from PyQt5.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PyQt5.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QImage,
    QMouseEvent,
    QWheelEvent,
)
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QDialog, QInputDialog, QMessageBox, QWidget
from window_avatars import BRIGHT, DARK, TWO_FACES, add, picture

from avatar.live.events import AvatarReady
from avatar.settings import Place
from avatar.tracking.marks import MARKS, NEEDED
from ui.avatar_jobs import AvatarJobs
from ui.dialogs.import_avatar import ImportDialog
from ui.dialogs.marks_editor import MarksDialog, MarksEditor
from ui.look.theme import current
from ui.widgets.avatar_strip import ROW_TYPE


@pytest.fixture
def dialog(desk: Desk, tmp_path: Path) -> Callable[..., ImportDialog]:
    """Opens an import dialog that has looked at its picture."""

    def open_(level: int = BRIGHT) -> ImportDialog:
        dialog = ImportDialog([picture(tmp_path, f"p{level}", level)], desk.avatars, desk.window)
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


def test_what_an_import_waits_for_is_not_cut(desk: Desk, dialog: Callable[..., ImportDialog]) -> None:
    label = dialog().problem
    desk.until(label.isVisible)
    desk.bot.wait(20)  # for the layout
    assert "permission" in label.text() and label.height() >= label.heightForWidth(label.width())


def test_a_good_picture_waits_for_the_likeness_to_be_confirmed(desk: Desk, dialog: Callable[..., ImportDialog]) -> None:
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
    assert shown.report is not None and shown.report.refusal is not None
    assert shown.report.refusal.code == "no-face"


def test_two_faces_are_chosen_between(desk: Desk, dialog: Callable[..., ImportDialog]) -> None:
    shown = dialog(TWO_FACES)
    assert shown.report is not None and len(shown.report.faces) == 2
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
    editor.set_image(np.zeros((512, 512, 3), np.uint8))
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
    assert desk.window.avatar_jobs.take_in(data)
    desk.until(lambda: asked == [[path]])
    image = QImage(64, 64, QImage.Format_RGB32)
    image.fill(Qt.gray)
    QApplication.clipboard().setImage(image)
    desk.press(Qt.Key_V, Qt.ControlModifier)
    desk.until(lambda: len(asked) == 2)
    assert asked[1][0].is_file()


@pytest.mark.parametrize(
    ("url", "words"),
    [("file:///tmp/clip.xyz", "is not a picture"), ("https://example.org/a.png", "nothing from the web")],
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
    assert desk.session.settings.avatar == "Grace" and desk.pipeline.config.avatar == "Grace"


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
    place = editor.to_image(editor.to_widget(123.0, 321.0))
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


def test_removing_the_shown_avatar_chooses_its_neighbour(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada", "Bob", "Cyd")
    names = desk.names()
    middle, last = names.index("Bob"), names[-1]
    desk.session.change("", avatar="Bob")
    desk.window.avatar_jobs.remove()
    desk.until(lambda: "Bob" not in desk.names())
    desk.until(lambda: desk.session.settings.avatar == names[middle + 1])
    desk.session.change("", avatar=last)
    desk.window.avatar_jobs.remove()
    desk.until(lambda: last not in desk.names())
    desk.until(lambda: desk.session.settings.avatar == desk.names()[-1])


def test_a_right_click_marks_nothing_and_its_menu_means_that_avatar(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada", "Bob")
    desk.session.change("", avatar="Bob")
    view = desk.window.strip.list
    place = view.visualRect(view.model_.index(view.model_.row_of("Ada"))).center()
    QTest.mousePress(view.viewport(), Qt.RightButton, Qt.NoModifier, place)
    QTest.mouseRelease(view.viewport(), Qt.RightButton, Qt.NoModifier, place)
    QApplication.sendEvent(view.viewport(), QContextMenuEvent(QContextMenuEvent.Mouse, place, view.mapToGlobal(place)))
    assert view.currentIndex().data() == "Bob" and view.focused_name() == "Ada"
    popup = QApplication.activePopupWidget()
    assert popup is not None
    popup.close()
    desk.until(lambda: view.focused_name() == "Bob")
    assert desk.session.settings.avatar == "Bob"


def test_a_ring_turns_on_the_tile_that_is_prepared(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada")
    view = desk.window.strip.list
    assert view.arc_of("Ada") is None
    desk.session.change("", avatar="Ada")
    assert view.arc_of("Ada") is not None and view.arc_of("Bob") is None
    desk.pipeline.tell(AvatarReady("Ada", 10.0))
    desk.until(lambda: view.arc_of("Ada") is None)
    ahead = desk.pipeline.last("prepare_ahead")
    assert len(ahead) >= 2 and "Ada" in ahead


def test_a_renamed_avatar_keeps_its_place(desk: Desk, tmp_path: Path) -> None:
    add(desk, tmp_path, "Ada")
    desk.session.place("Ada", Place(2.0, 0.1, 0.0))
    desk.session.rename_place("Ada", "Eve")
    assert desk.session.settings.canvas.places == {"Eve": [2.0, 0.1, 0.0]}


@pytest.fixture
def several(desk: Desk, tmp_path: Path) -> ImportDialog:
    """The import dialog of four pictures, of which the second shows no face and the third is no picture."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    paths = [picture(tmp_path, "one"), picture(tmp_path, "dark", DARK), broken, picture(tmp_path, "four")]
    dialog = ImportDialog(paths, desk.avatars, desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    desk.until(lambda: dialog.report is not None)
    return dialog


def test_several_pictures_share_a_dialog_and_one_consent(desk: Desk, several: ImportDialog) -> None:
    assert "(1 of 4)" in several.windowTitle() and several.place.text() == "1 of 4: one.png"
    several.confirm.click()
    several.source.setText("my album")
    several.add_button.click()
    desk.until(lambda: "(2 of 4)" in several.windowTitle() and several.report is not None)
    assert not several.add_button.isEnabled() and several.report is not None and not several.report.ok
    several.skip_button.click()
    desk.until(lambda: "cannot be used" in several.verdict.text())
    several.skip_button.click()
    desk.until(several.add_button.isEnabled)  # consent and origin hold for all
    assert several.name.text() == "four" and several.skip_button.isHidden()
    several.add_button.click()
    desk.until(lambda: several.result() == QDialog.Accepted)
    assert [avatar.name for avatar in several.all_added] == ["one", "four"]
    assert {avatar.source for avatar in several.all_added} == {"my album"}


def test_the_rest_is_added_at_once_and_a_failure_stops_nothing(desk: Desk, several: ImportDialog) -> None:
    assert not several.all_button.isEnabled()
    several.confirm.click()
    several.all_button.click()
    desk.until(lambda: several.result() == QDialog.Accepted)
    assert [avatar.name for avatar in several.all_added] == ["one", "four"]
    assert several.left_out == ["dark.png", "broken.png"]


def test_what_was_left_out_is_named(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(dialog: ImportDialog) -> int:
        dialog.show()
        dialog.confirm.click()
        dialog.all_button.click()
        desk.until(lambda: dialog.result() == QDialog.Accepted)
        return int(dialog.result())

    monkeypatch.setattr(ImportDialog, "exec_", run)
    desk.window.avatar_jobs.add([picture(tmp_path, "good"), picture(tmp_path, "dark", DARK)])
    banner = desk.window.stage.banners.banners()[-1].notice
    assert banner.text == "1 of 2 pictures were added." and "dark.png" in banner.remedy
    assert desk.session.settings.avatar == "good"


def test_closing_the_dialog_ends_the_rest(desk: Desk, several: ImportDialog) -> None:
    several.confirm.click()
    several.all_button.click()
    several.reject()
    desk.bot.wait(300)
    assert several.result() == QDialog.Rejected and len(several.all_added) <= 1
    assert "(1 of 4)" in several.windowTitle()


def test_a_drag_over_the_window_shows_what_a_drop_does(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Path]] = []
    monkeypatch.setattr(AvatarJobs, "add", lambda self, paths: asked.append(paths))
    window = desk.window
    data = QMimeData()
    paths = [picture(tmp_path, name) for name in ("a", "b")]
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    where = (QPoint(200, 200), Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QApplication.sendEvent(window, QDragEnterEvent(*where))
    assert window.drop_hint.isVisible() and window.drop_hint.text == "Drop to add 2 pictures"
    assert window.drop_hint.size() == window.size()
    window.grab()
    QApplication.sendEvent(window, QDragLeaveEvent())
    assert not window.drop_hint.isVisible()
    QApplication.sendEvent(window, QDragEnterEvent(*where))
    QApplication.sendEvent(window, QDropEvent(QPointF(200, 200), *where[1:]))
    assert not window.drop_hint.isVisible()
    desk.until(lambda: asked == [paths])


def test_wheel_and_drag_zoom_and_move_the_picture_to_mark(desk: Desk) -> None:
    editor = MarksEditor()
    desk.bot.addWidget(editor)
    editor.resize(400, 400)
    editor.set_image(np.zeros((1000, 1000, 3), np.uint8))
    editor.show()
    under = editor.to_image(QPointF(100, 120))
    turn_wheel(editor, QPointF(100, 120), 5)
    assert editor.zoom > 2.9
    held = editor.to_image(QPointF(100, 120))
    assert abs(held.x() - under.x()) < 1 and abs(held.y() - under.y()) < 1
    drag(editor, QPoint(100, 120), QPoint(150, 130))
    moved = editor.to_image(QPointF(150, 130))
    assert editor.marks == {} and abs(moved.x() - under.x()) < 1
    QTest.mouseClick(editor, Qt.LeftButton, Qt.NoModifier, QPoint(150, 130))
    x, y = next(iter(editor.marks.values()))
    assert abs(x + 0.5 - under.x()) < 1.5 and abs(y + 0.5 - under.y()) < 1.5
    turn_wheel(editor, QPointF(0, 0), -40)
    assert editor.zoom == 1 and editor.to_widget(0, 0) == QPointF(8, 8)


def turn_wheel(widget: QWidget, at: QPointF, notches: int) -> None:
    where = (at, QPointF(widget.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * notches))
    QApplication.sendEvent(widget, QWheelEvent(*where, Qt.NoButton, Qt.NoModifier, Qt.NoScrollPhase, False))


def test_marking_begins_with_the_face_that_was_found(
    dialog: Callable[..., ImportDialog], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = dialog()
    begun: list[dict[str, Any]] = []

    def look(dialog: MarksDialog) -> int:
        begun.append(dialog.marks())
        return QDialog.Accepted

    monkeypatch.setattr(MarksDialog, "exec_", look)
    shown.marks_button.click()
    face = shown.report.face if shown.report else None
    assert face is not None and set(begun[0]) == set(MARKS)
    assert begun[0]["chin"] == tuple(face.landmarks[152, :2].tolist())
    assert shown.choice().marks is None, "unchanged marks would only blur the face that was found"


def test_changed_marks_are_not_discarded_without_a_question(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = ["Keep marking"]

    def click(box: QMessageBox) -> int:
        asked.append(box.text())
        next(button for button in box.buttons() if button.text() == answer[0]).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec_", click)
    dialog = MarksDialog(np.zeros((512, 512, 3), np.uint8), None, desk.window)
    desk.bot.addWidget(dialog)
    dialog.setModal(True)  # as `exec_` does; otherwise Escape belongs to the window
    dialog.show()
    QTest.mouseClick(dialog.editor, Qt.LeftButton, Qt.NoModifier, QPoint(200, 200))
    QTest.keyClick(dialog, Qt.Key_Escape)
    assert asked == ["Discard the changed marks?"] and dialog.isVisible() and len(dialog.marks()) == 1
    answer[0] = "Discard"
    dialog.close()
    assert len(asked) == 2 and not dialog.isVisible()
    other = MarksDialog(np.zeros((512, 512, 3), np.uint8), face_marks(), desk.window)
    desk.bot.addWidget(other)
    other.show()
    other.reject()
    assert len(asked) == 2 and not other.isVisible()


def test_the_drawing_shows_and_chooses_the_mark_that_comes_next(desk: Desk) -> None:
    dialog = MarksDialog(np.zeros((512, 512, 3), np.uint8), None, desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    assert dialog.drawing.turn == MARKS[0]
    QTest.mouseClick(dialog.editor, Qt.LeftButton, Qt.NoModifier, QPoint(200, 200))
    assert dialog.drawing.turn == MARKS[1]
    at = dialog.drawing.place_of("chin").toPoint()
    QTest.mouseClick(dialog.drawing, Qt.LeftButton, Qt.NoModifier, at)
    assert dialog.editor.turn == "chin" and dialog.list.currentRow() == MARKS.index("chin")
    row = dialog.list.visualItemRect(dialog.list.item(3)).center()
    QTest.mouseClick(dialog.list.viewport(), Qt.LeftButton, Qt.NoModifier, row)
    assert dialog.drawing.turn == MARKS[3]
    drawn = dialog.drawing.grab().toImage()
    large = dialog.drawing.place_of(MARKS[3]).toPoint()
    assert drawn.pixelColor(large) == current().colour("accent")
    dialog.clear.click()  # nothing to ask about when it closes
