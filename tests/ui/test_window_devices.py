"""Camera size and rate, the virtual camera's device, its start with the program, and the tray."""

from __future__ import annotations

from typing import Any

import pytest
from fakes_ui import CAMERA, Desk, FakePipeline, GatedServices, face_where_bright
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QComboBox

from avatar.live import events
from avatar.settings import Settings, VirtualCameraSettings, WindowSettings, load_settings, save_settings
from avatar.sources.base import SourceFacts
from ui.captures import CAMERA as OUTPUT
from ui.session import Notice


def entries(combo: QComboBox) -> list[str]:
    return [combo.itemText(row) for row in range(combo.count())]


def pick(combo: QComboBox, text: str) -> None:
    """Open the list and choose an entry by keys."""
    combo.setFocus()
    combo.showPopup()
    rows = entries(combo).index(text) - combo.currentIndex()
    for _ in range(abs(rows)):
        QTest.keyClick(combo.view(), Qt.Key_Down if rows > 0 else Qt.Key_Up)
    QTest.keyClick(combo.view(), Qt.Key_Return)


def test_size_and_rate_are_those_of_the_chosen_camera(desk: Desk) -> None:
    camera = desk.window.panel.camera
    assert camera.size_.isHidden() and camera.rate.isHidden(), "nothing to choose without a camera"
    desk.use_camera()
    assert entries(camera.size_.combo) == ["640 × 480", "1280 × 720", "1920 × 1080"]  # 1280: what is set
    pick(camera.size_.combo, "1920 × 1080")
    config = desk.pipeline.config
    assert (config.camera_size, config.camera_rate) == ((1920, 1080), 10), "the nearest rate at that size"
    assert entries(camera.rate.combo) == ["5", "10", "60"]
    desk.pipeline.tell(events.SourceBack("Desk Camera", SourceFacts(640, 480, 30.0)))
    desk.until(lambda: "The camera sends 640\u00a0×\u00a0480." in camera.status.text())
    desk.pipeline.tell(events.SourceBack("Desk Camera", SourceFacts(1920, 1080, 10.0)))
    desk.until(lambda: "sends" not in camera.status.text())
    pick(camera.rate.combo, "60")
    assert desk.pipeline.config.camera_rate == 60
    desk.session.change("camera", source="idle")
    assert camera.size_.isHidden()


def test_a_camera_that_tells_nothing_gets_the_usual_choice(desk: Desk) -> None:
    import dataclasses

    desk.services.cameras = (dataclasses.replace(CAMERA, modes=()),)
    desk.window.panel.camera.refresh.click()
    desk.until(desk.window.panel.camera.refresh.isEnabled)
    desk.use_camera()
    assert "960 × 540" in entries(desk.window.panel.camera.size_.combo)
    assert {"15", "30", "60"} <= set(entries(desk.window.panel.camera.rate.combo))


def test_the_virtual_camera_goes_over_to_another_device(desk: Desk) -> None:
    output = desk.window.panel.output
    desk.until(lambda: output._devices == ("Masque",))
    assert output.device.isHidden(), "there is nothing to choose"
    desk.services.virtual_cameras = ("Masque", "Second (/dev/video11)")
    output.look_for_devices()
    desk.until(lambda: not output.device.isHidden())
    desk.press(Qt.Key_V)
    opened = desk.pipeline.called("add_output")
    pick(output.device.combo, "Second (/dev/video11)")
    assert desk.session.settings.virtual_camera.device == "Second (/dev/video11)"
    assert desk.pipeline.called("add_output") == opened + 1, "it is opened again, on the other one"
    desk.session.change("canvas", label=False)
    assert desk.pipeline.called("add_output") == opened + 1
    desk.window.actions_["virtual_camera"].trigger()
    assert "Second" in output.status.text()
    desk.services.virtual_cameras = ()
    output.look_for_devices()
    desk.until(lambda: "(not found)" in output.device.combo.currentText())


def test_it_starts_with_the_program_where_that_is_wanted(qapp: Any) -> None:
    from ui.app import App

    open_pipeline: Any = FakePipeline

    for wanted in (True, False):
        save_settings(Settings(
            window=WindowSettings(guide_done=True), virtual_camera=VirtualCameraSettings(with_program=wanted)
        ))  # fmt: skip
        app = App(qapp, services=GatedServices().services(), detect=face_where_bright, open_pipeline=open_pipeline)
        app.window.closed.disconnect()
        app.show()
        pipeline: Any = app.pipeline
        assert (OUTPUT in pipeline.outputs) is app.window.actions_["virtual_camera"].isChecked() is wanted
        assert app.close()
        app.window.replace_quietly()
        qapp.processEvents()


def test_the_box_says_whether_it_starts_with_the_program(desk: Desk) -> None:
    box = desk.window.panel.output.with_program
    assert not box.isChecked()
    QTest.mouseClick(box, Qt.LeftButton)
    assert desk.session.settings.virtual_camera.with_program and box.isChecked()
    desk.app.session.save_now()
    desk.until(lambda: load_settings().virtual_camera.with_program)


def test_without_a_tray_that_is_said_and_closing_closes(desk: Desk) -> None:
    closed: list[bool] = []
    desk.window.closed.connect(lambda: closed.append(True))
    desk.window.has_tray = lambda: False
    desk.window.actions_["close_to_tray"].trigger()
    assert not desk.window.actions_["close_to_tray"].isChecked()
    assert any("no tray" in text for text in desk.notices())
    desk.session.change("window", close_to_tray=True)  # as at home, where there is one
    desk.window.close()
    assert closed


def test_closing_hides_the_window_and_the_tray_brings_it_back(desk: Desk) -> None:
    closed: list[bool] = []
    desk.window.closed.connect(lambda: closed.append(True))
    desk.window.has_tray = lambda: True
    desk.window.actions_["close_to_tray"].trigger()
    desk.use_camera()
    desk.press(Qt.Key_V)
    desk.session.pass_through(True)
    desk.window.close()
    assert not desk.window.isVisible() and not closed
    assert not desk.session.state.passing, "nobody sees that the real face is shown"
    assert desk.captures.state.camera, "others still see the avatar"
    menu = {action.text(): action for action in desk.app.tray.menu.actions()}
    menu["Freeze"].trigger()
    assert desk.session.state.frozen
    menu["Virtual camera"].trigger()
    assert not desk.captures.state.camera
    menu["Show the window"].trigger()
    assert desk.window.isVisible()
    desk.window.close()
    menu["Quit"].trigger()
    assert closed and not desk.window.isVisible()


def test_what_is_wrong_is_told_in_the_tray_while_the_window_is_hidden(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(desk.app.tray.icon, "showMessage", lambda title, text, *_: told.append(text))
    desk.window.has_tray = lambda: True
    desk.session.change("window", close_to_tray=True)
    desk.use_camera()
    desk.session.notice(Notice("Seen in the window.", level="error"))
    assert not told
    desk.window.close()
    del told[:]  # where the window went
    desk.session.notice(Notice("Nothing to do about it.", level="info"))
    desk.session.notice(Notice("The disk is full.", "Free some space.", "error"))
    desk.session.pass_through(True)  # as by a system-wide key
    assert told[0] == "The disk is full. Free some space." and len(told) == 2
    assert "Your real face is shown" in told[1]


def test_another_look_leaves_a_hidden_window_hidden(desk: Desk) -> None:
    desk.window.has_tray = lambda: True
    desk.session.change("window", close_to_tray=True)
    desk.window.close()
    old = desk.window
    desk.session.change("window", theme="dark")
    desk.until(lambda: desk.window is not old)
    assert not desk.window.isVisible()


def test_a_missing_device_is_told_where_it_was_chosen(desk: Desk) -> None:
    from avatar.errors import OutputError

    desk.press(Qt.Key_V)
    error = OutputError("There is no virtual camera called Second.", remedy="There are: Masque.")
    desk.pipeline.tell(events.OutputFailed(OUTPUT, error))
    desk.until(lambda: "called Second" in desk.window.panel.output.status.text())
