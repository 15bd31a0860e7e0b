"""Presets: what is set under Motion and which expression is on, by name, one click and one key."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QMessageBox

from avatar.motion.overlay import EXPRESSIONS
from avatar.settings import MotionSettings, Preset, Settings, load_settings, save_settings
from ui.panels.presets import LONGEST, MOST, PresetsSection


def section(desk: Desk) -> PresetsSection:
    found = desk.window.panel.presets
    assert isinstance(found, PresetsSection)
    return found


def save_as(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str, ok: bool = True) -> None:
    monkeypatch.setattr("ui.panels.presets.QInputDialog.getText", lambda *_: (name, ok))
    QTest.mouseClick(section(desk).save, Qt.LeftButton)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Click a button of the next question."""

    def exec_(box: QMessageBox) -> int:
        QTest.mouseClick(next(each for each in box.buttons() if each.text() == text), Qt.LeftButton)
        return 0

    monkeypatch.setattr(QMessageBox, "exec_", exec_)


def is_on(desk: Desk) -> list[str]:
    return [name for name, button in section(desk).buttons.items() if button.isChecked()]


def test_a_preset_brings_strengths_and_expression_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.window.panel.motion.brows.slider.setValue(40)
    desk.window.panel.motion.smoothing.click()
    desk.press(Qt.Key_1, Qt.ControlModifier)
    save_as(desk, monkeypatch, "  Friendly   host ")
    assert is_on(desk) == ["Friendly host"]
    desk.window.panel.motion.reset.click()
    desk.press(Qt.Key_1, Qt.ControlModifier)
    assert is_on(desk) == [] and desk.session.state.expression == ""
    save_as(desk, monkeypatch, "Plain")
    for put_on, take_off in (
        (lambda: QTest.mouseClick(section(desk).buttons["Friendly host"], Qt.LeftButton),
         lambda: QTest.mouseClick(section(desk).buttons["Plain"], Qt.LeftButton)),
        (lambda: desk.press(Qt.Key_1, Qt.AltModifier), lambda: desk.press(Qt.Key_2, Qt.AltModifier)),
    ):  # fmt: skip
        put_on()
        assert desk.pipeline.config.motion == MotionSettings(strength_brows=0.4, smoothing=False)
        assert desk.pipeline.last("express") == EXPRESSIONS["smile"] and is_on(desk) == ["Friendly host"]
        assert desk.window.actions_["express_smile"].isChecked()
        take_off()
        assert desk.pipeline.config.motion == MotionSettings()
        assert desk.pipeline.last("express") == {} and is_on(desk) == ["Plain"]
    desk.session.save_now()
    desk.until(lambda: list(load_settings().presets) == ["Friendly host", "Plain"])


def test_a_name_that_exists_is_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    save_as(desk, monkeypatch, "Calm")
    desk.window.panel.motion.head.slider.setValue(50)
    assert is_on(desk) == []
    save_as(desk, monkeypatch, "Calm")
    assert is_on(desk) == ["Calm"] and len(desk.session.settings.presets) == 1
    assert any("Calm was replaced" in text for text in desk.notices())


def test_deleting_asks_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    save_as(desk, monkeypatch, "Calm")
    answer(monkeypatch, "Keep")
    QTest.mouseClick(section(desk).deleters["Calm"], Qt.LeftButton)
    assert list(section(desk).buttons) == ["Calm"]
    answer(monkeypatch, "Delete")
    QTest.mouseClick(section(desk).deleters["Calm"], Qt.LeftButton)
    assert not section(desk).buttons and not desk.session.settings.presets
    desk.press(Qt.Key_1, Qt.AltModifier)
    assert any("no preset 1 yet" in text for text in desk.notices())


@pytest.mark.parametrize("name", ["", "   "])
def test_a_preset_without_a_name_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    save_as(desk, monkeypatch, name)
    assert not desk.session.settings.presets and any("needs a name" in text for text in desk.notices())


def test_odd_names_do_no_harm(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    width = desk.window.panel.minimumWidth()
    for name in ("<b>R&D</b>", "x" * 500, 'say "hi"', "a\nb"):
        save_as(desk, monkeypatch, name)
    assert all(len(name) <= LONGEST for name in desk.session.settings.presets)
    assert section(desk).buttons["<b>R&D</b>"].text() == "<b>R&&D</b>"
    desk.window.panel.reveal("presets")
    desk.bot.wait(50)
    long = section(desk).buttons["x" * LONGEST]
    assert long.text().endswith("…") and long.fontMetrics().horizontalAdvance(long.text()) < long.width()
    assert desk.window.panel.presets.minimumSizeHint().width() <= width
    desk.session.save_now()
    desk.until(lambda: load_settings().presets == desk.session.settings.presets)


def test_there_is_a_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataclasses.asdict(Preset())
    desk.session.change("", presets={str(number): entry for number in range(MOST)})
    save_as(desk, monkeypatch, "one more")
    assert len(desk.session.settings.presets) == MOST and any("no more fit" in text for text in desk.notices())
    save_as(desk, monkeypatch, "0")
    assert any("0 was replaced" in text for text in desk.notices())


def test_an_own_expression_that_is_gone_is_left_out(desk: Desk) -> None:
    desk.session.change("", presets={"Own": dataclasses.asdict(Preset(expression="own"))})
    desk.press(Qt.Key_1, Qt.AltModifier)
    assert desk.session.state.expression == ""
    desk.session.change("window", own_expression="jawOpen=0.5")
    desk.press(Qt.Key_1, Qt.AltModifier)
    assert desk.pipeline.last("express") == {"jawOpen": 0.5} and desk.session.state.expression == "own"


@pytest.mark.parametrize("entry", [3, {"motion": {"strength_head": 9.0}}, {"expression": 1}, {"motion": []}])
def test_presets_edited_by_hand_are_checked(entry: Any) -> None:
    with pytest.raises(ValueError, match="presets: "):
        Settings(presets={"Calm": entry})


def test_keys_edited_by_hand_are_checked() -> None:
    with pytest.raises(ValueError, match=r"keys: .* must be a text"):
        Settings(keys={"freeze": 3})  # type: ignore[dict-item]


def test_presets_survive_the_file() -> None:
    wild = dataclasses.asdict(Preset(MotionSettings(strength_mouth=1.7, relative=False), "wink"))
    settings = Settings(presets={'a "b" = [c]': wild, "ü.ö": dataclasses.asdict(Preset())})
    save_settings(settings)
    assert load_settings() == settings
    assert load_settings().preset('a "b" = [c]').motion.strength_mouth == 1.7
