"""The window's dialogs: keys, models, doctor, import and export of settings, language, theme."""

from __future__ import annotations

import gc
import sys
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes_ui import Desk
from PyQt5.QtCore import QRect, Qt, QTimer
from PyQt5.QtGui import QKeySequence
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QFileDialog, QPushButton, QStyle, QStyleOptionComboBox, QToolButton

from avatar.settings import MotionSettings, Settings, WindowSettings, load_settings, save_settings
from ui.dialogs import doctor_report
from ui.dialogs.doctor import DoctorDialog
from ui.dialogs.key_sheet import KeySheet
from ui.dialogs.marks_editor import MarksDialog
from ui.dialogs.models import ModelsDialog
from ui.look.language import chosen_language, tr
from ui.look.theme import DARK, LIGHT, Theme
from ui.widgets.choice import CalmCombo

UI = Path(__file__).resolve().parents[2] / "ui"


@pytest.fixture
def sheet(desk: Desk) -> KeySheet:
    sheet = KeySheet(desk.session, desk.window.actions_, desk.window)
    desk.bot.addWidget(sheet)
    sheet.show()
    return sheet


def give_key(sheet: KeySheet, name: str, key: str) -> None:
    sheet.choose(name)
    sheet.edit.setKeySequence(QKeySequence(key))
    sheet.edit.editingFinished.emit()


def test_a_key_is_changed_used_and_kept(desk: Desk, sheet: KeySheet) -> None:
    give_key(sheet, "calibrate", "Y")
    sheet.close()
    desk.window.activateWindow()
    desk.until(desk.window.isActiveWindow)
    desk.use_camera()
    desk.press(Qt.Key_Y)
    desk.press(Qt.Key_X)
    assert desk.pipeline.called("calibrate") == 1
    desk.session.save_now()
    desk.until(lambda: load_settings().keys == {"calibrate": "Y"})


def test_a_taken_key_is_refused(desk: Desk, sheet: KeySheet) -> None:
    give_key(sheet, "calibrate", "V")
    assert "Virtual camera" in sheet.problem.text() and desk.session.settings.keys == {}


def test_keys_go_back_to_their_defaults(desk: Desk, sheet: KeySheet) -> None:
    give_key(sheet, "calibrate", "Y")
    sheet.none.click()
    assert desk.session.settings.keys == {"calibrate": ""}
    sheet.default.click()
    assert desk.session.settings.keys == {}
    give_key(sheet, "guided", "Y")
    sheet.all_default.click()
    assert desk.session.settings.keys == {}


def test_the_sheet_is_searched(sheet: KeySheet) -> None:
    sheet.filter.setText("freeze")
    shown = [name for name, item in sheet._rows.items() if not item.isHidden()]
    assert shown == ["freeze"]


@pytest.fixture
def models(desk: Desk) -> ModelsDialog:
    dialog = ModelsDialog(desk.session, desk.services.services(), desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    desk.until(lambda: dialog.table.topLevelItemCount() == 2)
    return dialog


def test_a_model_is_downloaded_with_progress(desk: Desk, models: ModelsDialog) -> None:
    models.choose("vox")
    row = models.table.topLevelItem(0)
    assert row is not None
    assert [row.text(column) for column in (0, 2, 3, 4)] == ["vox", "4.0 MB", "MIT", "not here"]
    models.pull.click()
    desk.until(lambda: models.bar.value() == 250)
    assert "1.0 MB / 4.0 MB" in models.amount.text()
    desk.services.download_gate.set()
    desk.until(lambda: desk.services.pulled == ["vox"] and "is installed" in models.message.text())


def test_a_download_is_cancelled(desk: Desk, models: ModelsDialog) -> None:
    models.choose("vox")
    models.pull.click()
    desk.until(lambda: models.bar.value() == 250)
    models.stop.click()
    desk.services.download_gate.set()
    desk.until(lambda: "Stopped." in models.message.text())
    assert desk.services.pulled == [] and models.stop.isHidden() and models.pull.isEnabled()


def test_a_model_that_is_here_is_drawn_with(desk: Desk, models: ModelsDialog) -> None:
    models.choose("tai")
    assert not models.pull.isEnabled()
    models.use.click()
    config = desk.pipeline.config
    assert (config.engine, config.model, config.device) == ("fomm", "tai", "auto")


def test_the_doctor_s_report_is_copied(desk: Desk) -> None:
    dialog = DoctorDialog(desk.services.services(), desk.app.slow, desk.window)
    desk.bot.addWidget(dialog)
    desk.until(dialog.copy.isEnabled)
    dialog.copy.click()
    assert "ok       python: Python is fine." in QApplication.clipboard().text()


def test_closing_the_doctor_ends_its_checks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(doctor_report, "own_command", lambda name: asleep)
    jobs = desk.window.program_jobs
    monkeypatch.setattr(
        jobs, "_services", replace(desk.services.services(), doctor_report=doctor_report.report)
    )  # fmt: skip
    QTimer.singleShot(400, lambda: QApplication.activeModalWidget().close())
    jobs.show_doctor(desk.window.actions_)
    answers: list[int] = []
    desk.app.slow.run(lambda: 1, answers.append)
    desk.until(lambda: answers)  # what waits behind the checks, as a list of microphones does


def test_settings_go_out_and_come_in(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))
    desk.session.change("motion", strength_head=1.7)
    desk.window.program_jobs.export_settings()
    desk.until(path.is_file)
    desk.session.change("motion", strength_head=0.2)
    desk.window.program_jobs.import_settings()
    desk.until(lambda: desk.session.settings.motion == MotionSettings(strength_head=1.7))
    assert desk.pipeline.config.motion.strength_head == 1.7


def test_settings_that_cannot_be_read(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[motion]\nstrength_head = 9.0\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))
    before = desk.session.settings
    desk.window.program_jobs.import_settings()
    desk.until(lambda: any("cannot be used" in text for text in desk.notices()))
    assert desk.session.settings == before


@pytest.mark.parametrize(("language", "word"), [("de", "Virtuelle Kamera"), ("zh", "虚拟摄像头")])
def test_the_language_changes_while_the_show_goes_on(desk: Desk, language: str, word: str) -> None:
    old = desk.window
    desk.session.change("window", language=language)
    desk.until(lambda: desk.window is not old)
    assert desk.window.actions_["virtual_camera"].text() == word
    assert {name for name, _ in desk.pipeline.calls} <= {"start", "prepare_ahead"} and not desk.pipeline.stopped
    desk.pipeline.show(77)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    desk.session.change("window", language="en")
    desk.until(lambda: desk.window.actions_["virtual_camera"].text() == "Virtual camera")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_no_engine_is_cut_in_its_closed_list(desk: Desk, language: str) -> None:
    old = desk.window
    desk.session.change("window", language=language)
    if language != "en":
        desk.until(lambda: desk.window is not old)
    desk.window.resize(1180, 760)
    desk.bot.wait(20)
    combo = next(each for each in desk.window.findChildren(CalmCombo) if each.findData("fomm") >= 0)
    option = QStyleOptionComboBox()
    combo.initStyleOption(option)
    room = combo.style().subControlRect(QStyle.CC_ComboBox, option, QStyle.SC_ComboBoxEditField, combo)
    for row in range(combo.count()):
        assert combo.fontMetrics().horizontalAdvance(combo.itemText(row)) < room.width(), combo.itemText(row)


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_no_button_of_a_dialog_is_cut(desk: Desk, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor lies one outside of a screen of 1920 x 1080 at 200 %."""
    monkeypatch.setattr("ui.widgets.room.room_on_screen", lambda window: QRect(0, 0, 960, 540))
    old = desk.window
    desk.session.change("window", language=language)
    if language != "en":
        desk.until(lambda: desk.window is not old)
    desk.window.resize(1180, 760)
    desk.captures.set_camera(True)
    desk.captures._set(recording=Path("show.mp4"))
    desk.bot.wait(20)
    for button in desk.window.header.findChildren(QToolButton):
        assert button.width() >= button.sizeHint().width(), button.text()
    picture = np.full((300, 300, 3), 128, np.uint8)
    dialogs = (
        MarksDialog(picture, None, desk.window),
        ModelsDialog(desk.session, desk.services.services(), desk.window),
        KeySheet(desk.session, desk.window.actions_, desk.window),
        DoctorDialog(desk.services.services(), desk.app.slow, desk.window),
    )
    for dialog in dialogs:
        dialog.show()
        name = type(dialog).__name__
        assert dialog.width() <= 960 and dialog.height() <= 540, (name, dialog.size())
        for button in dialog.findChildren(QPushButton):
            assert button.width() >= button.sizeHint().width(), (name, button.text())
        dialog.close()
    desk.app._languages.install("en")  # it belongs to the application, which the next test goes on with


def test_a_program_that_ended_leaves_no_language_behind(desk: Desk) -> None:
    desk.app._languages.install("de")
    desk.app._languages.install("de")  # replaced, not added to
    assert tr("Finish") == "Fertig"
    assert desk.app.close()
    assert tr("Finish") == "Finish"


def test_a_slider_that_is_dragged_rebuilds_neither_keys_nor_the_list_of_cameras(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[object] = []
    desk.window.panel.camera.choice.combo.model().rowsInserted.connect(lambda *row: rows.append(row))
    monkeypatch.setattr("ui.actions.keys_of", lambda *_: rows.append("keys") or [])
    desk.session.change("motion", strength_head=0.4)
    desk.session.change("camera", mirror=True)
    assert rows == []
    desk.session.change("", keys={"freeze": "F9"})
    assert "keys" in rows


def test_windows_that_were_replaced_are_let_go(desk: Desk) -> None:
    replaced = []
    for theme in ("dark", "light") * 4:
        old = desk.window
        replaced.append(weakref.ref(old))
        desk.session.change("window", theme=theme)
        desk.until(partial(lambda before: desk.window is not before, old))
        desk.bot.wait(20)
    del old
    gc.collect()
    assert sum(window() is not None for window in replaced) <= 3  # Qt deletes the last ones later


def test_the_language_follows_the_system_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    from PyQt5.QtCore import QLocale

    monkeypatch.setattr(QLocale, "system", lambda: QLocale("de_AT"))
    assert (chosen_language(""), chosen_language("zh"), chosen_language("xx")) == ("de", "zh", "en")


def test_the_look_is_changed_and_kept(desk: Desk) -> None:
    old = desk.window
    desk.session.change("window", theme="dark")
    desk.until(lambda: desk.window is not old)
    assert desk.window.palette().window().color().name() == DARK.ground
    save_settings(Settings(window=WindowSettings(theme="light")))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("ground", ["ground", "surface", "raised"])
@pytest.mark.parametrize("text", ["text", "muted", "accent", "danger", "warning", "good"])
def test_text_stands_out_from_its_ground(theme: Theme, ground: str, text: str) -> None:
    assert contrast(getattr(theme, ground), getattr(theme, text)) >= 4.5
    assert contrast(theme.accent, theme.on_accent) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2: (L1 + 0.05) / (L2 + 0.05), relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_f1_opens_the_sheet(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []
    monkeypatch.setattr(KeySheet, "exec_", lambda self: opened.append(True))
    QTest.keyClick(desk.window, Qt.Key_F1)
    assert opened == [True]
