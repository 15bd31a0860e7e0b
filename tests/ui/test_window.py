"""The window: every control reaches the pipeline and shows the current value; every key works as documented."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_ui import CAMERA, Desk, FakePipeline, open_desk
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QFontMetrics
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QMessageBox, QSlider, QWidget

from avatar.errors import EngineError, OutputError
from avatar.frames import Frame
from avatar.live import events
from avatar.live.config import VOICE, LiveConfig
from avatar.live.statistics import LiveStatistics
from avatar.settings import CropSettings, MotionSettings, load_settings
from avatar.sources.base import SourceFacts
from ui.keys import ACTIONS, keys_of
from ui.session import LiveState, Notice
from ui.widgets.avatar_view import fitting
from ui.widgets.pixels import own_image
from ui.widgets.status_chip import chip
from ui.window import MainWindow


def test_a_test_that_fails_closes_the_program(qapp: Any, qtbot: Any) -> None:
    with pytest.raises(ZeroDivisionError), open_desk(qapp, qtbot, FakePipeline) as desk:
        raise ZeroDivisionError
    assert desk.pipeline.stopped, "otherwise its threads would be reported in place of the failure"


def test_the_newest_avatar_frame_is_shown_and_late_ones_are_skipped(desk: Desk) -> None:
    for level in (40, 80, 200):
        desk.pipeline.show(level)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    desk.until(lambda: int(desk.window.stage.avatar.frame.rgb[0, 0, 0]) == 200)


def test_the_avatar_is_painted_with_its_colours(desk: Desk) -> None:
    frame = desk.pipeline.show(0)
    frame.rgb[:] = (200, 30, 10)
    desk.until(lambda: desk.window.stage.avatar.frame is frame)
    view = desk.window.stage.avatar
    colour = view.grab().toImage().pixelColor(view.canvas_rect().center().toPoint())
    assert (colour.red(), colour.green(), colour.blue()) == (200, 30, 10)


def test_the_camera_picture_is_shown_only_while_a_camera_drives(desk: Desk) -> None:
    desk.pipeline.show_camera()
    desk.bot.wait(50)
    assert desk.window.stage.camera._preview is None
    desk.use_camera()
    desk.pipeline.show_camera()
    desk.until(lambda: desk.window.stage.camera._preview is not None)


def test_the_camera_picture_never_reaches_an_output(desk: Desk) -> None:
    desk.use_camera()
    desk.pipeline.show_camera()
    desk.bot.wait(50)
    assert desk.pipeline.called("pass_through") == 0 and desk.window.stage.avatar.frame is None


def test_choosing_a_camera_sets_the_source_and_comes_back(desk: Desk) -> None:
    desk.window.panel.camera.choice.chosen.emit(CAMERA.id)
    assert desk.pipeline.config.source == CAMERA.id
    assert desk.window.panel.camera.choice.value() == CAMERA.id
    desk.window.panel.camera.choice.chosen.emit("idle")
    assert desk.pipeline.config.source == "idle"


@pytest.mark.parametrize(
    ("slider", "percent", "field", "value"),
    [
        ("head", 130, "strength_head", 1.3),
        ("expression", 40, "strength_expression", 0.4),
        ("mouth", 150, "strength_mouth", 1.5),
        ("eyes", 0, "strength_eyes", 0.0),
        ("brows", 60, "strength_brows", 0.6),
    ],
)
def test_strengths(desk: Desk, slider: str, percent: int, field: str, value: float) -> None:
    getattr(desk.window.panel.motion, slider).slider.setValue(percent)
    assert getattr(desk.pipeline.config.motion, field) == value
    desk.window.panel.motion.reset.click()
    assert desk.pipeline.config.motion == MotionSettings()
    assert getattr(desk.window.panel.motion, slider).slider.value() == 100


@pytest.mark.parametrize(
    ("box", "field"), [("smoothing", "smoothing"), ("relative", "relative"), ("adapt", "adapt_scale")]
)
def test_motion_switches(desk: Desk, box: str, field: str) -> None:
    before = getattr(desk.session.settings.motion, field)
    getattr(desk.window.panel.motion, box).click()
    assert getattr(desk.pipeline.config.motion, field) is not before


def test_the_three_mirrors_are_three(desk: Desk) -> None:
    mirror = desk.window.panel.mirror
    mirror.driving.click()
    config = desk.pipeline.config
    assert config.mirror_driving and not config.canvas.mirror
    mirror.output.click()
    config = desk.pipeline.config
    assert config.mirror_driving and config.canvas.mirror
    mirror.preview.click()
    assert not desk.session.settings.window.mirror_preview
    assert mirror.drawings["output"].accessibleDescription() == "mirrored"


def test_crop_by_hand_and_back(desk: Desk) -> None:
    crop = desk.window.panel.crop
    crop.by_hand.click()
    crop.zoom.slider.setValue(200)
    assert desk.pipeline.config.crop == CropSettings(auto=False, zoom=2.0)
    crop.auto.click()
    assert desk.pipeline.config.crop == CropSettings()


def test_output_size_fit_and_label(desk: Desk) -> None:
    output = desk.window.panel.output
    output.size_.chosen.emit("1920x1080")
    desk.window.panel.frame_.fit.chosen.emit("fill")
    output.label.click()
    canvas = desk.session.settings.canvas
    assert (canvas.width_px, canvas.height_px, canvas.fit, canvas.label) == (1920, 1080, "fill", False)
    assert desk.pipeline.config.canvas == canvas


def test_a_new_canvas_reopens_neither_the_camera_nor_the_replay(desk: Desk) -> None:
    desk.captures.set_camera(True)
    desk.session.change("window", replay=True)
    desk.session.change("canvas", fit="fit")
    assert desk.pipeline.called("add_output") == 2 and desk.pipeline.called("remove_output") == 0
    assert desk.pipeline.config.canvas.fit == "fit"


def test_a_size_that_is_refused_is_set_back_unless_another_was_chosen_meanwhile(desk: Desk) -> None:
    desk.captures.set_camera(True)
    kept = desk.session.settings.canvas
    error = OutputError("The virtual camera is held at 1280 x 720.", remedy="Close its picture there.")

    def refuse(width_px: int) -> None:
        wanted = dataclasses.replace(kept, width_px=width_px)
        desk.app.bridge.tell(events.OutputRefused("virtual-camera", error, wanted, kept))

    desk.session.change("canvas", width_px=960, label=False)
    refuse(960)
    desk.until(lambda: desk.session.settings.canvas.width_px == kept.width_px)
    assert not desk.session.settings.canvas.label and desk.captures.state.camera
    assert "The virtual camera is held at 1280 x 720." in desk.notices()
    desk.session.change("canvas", width_px=1920)
    refuse(960)
    desk.app.bridge.tell(events.OutputStarted("virtual-camera", "/dev/video10, 1920 x 720 at 30"))
    desk.until(lambda: "The virtual camera is held at 1280 x 720." not in desk.notices())
    assert desk.session.settings.canvas.width_px == 1920


def test_the_virtual_camera_tells_how_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.press(Qt.Key_V)
    assert desk.pipeline.last("add_output") == "virtual-camera"
    status = desk.window.panel.output.status
    assert "Opening" in status.text()
    desk.app.bridge.tell(events.OutputStarted("virtual-camera", "/dev/video10"))
    desk.until(lambda: "/dev/video10" in status.text() and "30 fps" in status.text())
    assert "in use" not in status.text()
    for viewers, told in ((1, "in use by 1 program"), (2, "in use by 2 programs")):
        desk.services.viewers = viewers
        monkeypatch.setattr("ui.panels.output.VIEWERS_S", 0.0)
        desk.until(partial(lambda end: status.text().endswith(end), told))
    desk.app.bridge.tell(events.OutputFailed("virtual-camera", OutputError("It is gone.", remedy="modprobe it.")))
    desk.until(lambda: "modprobe it." in status.text())
    assert not desk.window.actions_["virtual_camera"].isChecked()
    assert "It is gone." in desk.notices()


def drawn_by(desk: Desk) -> tuple[str, str | None, str]:
    config = desk.pipeline.config
    return config.engine, config.model, config.device


def test_engine_and_model(desk: Desk) -> None:
    engine = desk.window.panel.engine
    engine.engine.chosen.emit("fomm")
    desk.until(lambda: engine.model.combo.count() == 2)  # Masque's own, and the one that is here
    assert drawn_by(desk) == ("fomm", None, "auto")
    engine.model.chosen.emit("tai")
    assert drawn_by(desk) == ("fomm", "tai", "auto")
    engine.engine.chosen.emit("warp")
    assert drawn_by(desk) == ("warp", None, "auto")


def test_a_fall_back_turns_the_badge_red_and_says_why(desk: Desk) -> None:
    desk.session.change("engine", device="cuda")
    desk.app.bridge.tell(events.EngineReady("fomm", "cpu", "float32", "no CUDA device was found"))
    desk.until(lambda: ("no CUDA device was found", "danger") in desk.window.stage.avatar.chip)
    assert ("CPU", "danger") in desk.window.stage.avatar.chip


def test_the_renderer_is_chosen_for_the_engine_that_has_the_choice(desk: Desk) -> None:
    engine = desk.window.panel.engine
    assert engine.drawn_on.isVisibleTo(engine) and not engine.device.isVisibleTo(engine)
    engine.drawn_on.chosen.emit("graphics")
    assert desk.pipeline.config.render == "graphics"
    engine.engine.chosen.emit("fomm")
    assert not engine.drawn_on.isVisibleTo(engine) and desk.pipeline.config.render == "auto"


def test_a_lost_graphics_chip_is_told_once_and_turns_the_badge_red_where_it_was_asked_for(desk: Desk) -> None:
    lost = "Chip 9000 failed and is tried again later"
    desk.session.change("engine", render="graphics")
    desk.app.bridge.tell(events.EngineReady("warp", "gpu", "float32", "Chip 9000 was asked for"))
    desk.until(lambda: ("GPU", "text") in desk.window.stage.avatar.chip)
    assert not desk.notices()
    desk.app.bridge.tell(events.EngineReady("warp", "cpu", "float32", lost))
    desk.until(lambda: ("CPU", "danger") in desk.window.stage.avatar.chip)
    assert (lost, "danger") in desk.window.stage.avatar.chip
    assert desk.notices() == ["The processor draws in place of the graphics chip."]
    desk.app.bridge.tell(events.EngineReady("warp", "gpu", "float32", "Chip 9000 works again"))
    desk.until(lambda: not desk.notices())


def test_an_engine_failure_is_told_with_its_fallback(desk: Desk) -> None:
    desk.app.bridge.tell(events.EngineFailed(EngineError("It broke."), "warp"))
    desk.until(lambda: "The engine failed: It broke." in desk.notices())


def test_a_lost_camera_is_told_until_it_is_back(desk: Desk) -> None:
    desk.use_camera()
    desk.app.bridge.tell(events.SourceLost("The camera is gone.", "Plug it in."))
    desk.until(lambda: "The camera is gone." in desk.notices())
    desk.app.bridge.tell(events.SourceBack("Desk Camera", SourceFacts(640, 480, 30.0)))
    desk.until(lambda: not desk.notices())


def test_calibration_counts_down_over_the_preview_and_tells_its_score(desk: Desk) -> None:
    desk.use_camera()
    desk.press(Qt.Key_G)
    assert desk.pipeline.called("start_guided_calibration") == 1
    assert not desk.window.panel.calibration.guided.isEnabled()
    desk.app.bridge.tell(events.CalibrationCountdown(3))
    desk.until(lambda: desk.window.stage.camera.countdown == "3")
    desk.app.bridge.tell(events.CalibrationDone(0.8, "guided"))
    desk.until(lambda: "80%" in desk.window.panel.calibration.words.text())
    assert desk.window.stage.camera.countdown == ""
    assert desk.window.panel.calibration.guided.isEnabled()


def test_a_refused_calibration_says_why(desk: Desk) -> None:
    desk.use_camera()
    desk.app.bridge.tell(events.CalibrationRefused("You blinked."))
    desk.until(lambda: "Not calibrated." in desk.notices())


def test_without_a_camera_calibration_says_so(desk: Desk) -> None:
    desk.press(Qt.Key_G)
    assert desk.pipeline.called("start_guided_calibration") == 0 and len(desk.notices()) == 1


KEYS_THAT_TELL = {
    "calibrate": ("calibrate", None), "undo_calibration": ("undo_calibration", None), "recentre": ("recentre", None),
    "freeze": ("freeze", True), "virtual_camera": ("add_output", "virtual-camera"),
}  # fmt: skip
KEYS_THAT_SET = {
    "zoom_in": lambda s: s.crop.zoom > 1, "pan_left": lambda s: s.crop.pan_x < 0, "pan_up": lambda s: s.crop.pan_y < 0,
    "pan_right": lambda s: s.crop.pan_x > 0, "pan_down_fine": lambda s: 0 < s.crop.pan_y < 0.05,
    "ghost_more": lambda s: s.window.ghost > 0, "mirror_preview": lambda s: not s.window.mirror_preview,
    "mirror_output": lambda s: s.canvas.mirror, "landmarks": lambda s: s.window.landmarks,
    "overlay": lambda s: not s.window.overlay, "preview": lambda s: s.window.preview == "large",
    "panel": lambda s: not s.window.panel, "search": lambda s: s.calibration.search,
}  # fmt: skip


def press_key_of(desk: Desk, name: str) -> None:
    combined = keys_of(name, {})[0][0]
    desk.press(combined & ~int(Qt.KeyboardModifierMask), Qt.KeyboardModifiers(combined & int(Qt.KeyboardModifierMask)))


@pytest.mark.parametrize("name", KEYS_THAT_TELL)
def test_keys_that_tell_the_pipeline(desk: Desk, name: str) -> None:
    desk.use_camera()
    method, argument = KEYS_THAT_TELL[name]
    press_key_of(desk, name)
    assert desk.pipeline.called(method) == 1
    assert argument is None or desk.pipeline.last(method) == argument


@pytest.mark.parametrize("name", KEYS_THAT_SET)
def test_keys_that_change_what_is_set(desk: Desk, name: str) -> None:
    press_key_of(desk, name)
    assert KEYS_THAT_SET[name](desk.session.settings)
    assert desk.pipeline.config == LiveConfig.of(desk.session.settings)


def test_crop_keys_undo_each_other(desk: Desk) -> None:
    for name in ("zoom_in", "pan_left", "reset_crop"):
        press_key_of(desk, name)
    assert desk.session.settings.crop == CropSettings()


def test_no_two_actions_share_a_key() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))


def test_number_keys_choose_avatars(desk: Desk) -> None:
    desk.press(Qt.Key_1)
    assert desk.session.settings.avatar == desk.names()[0]
    desk.press(Qt.Key_9)
    assert "There is no avatar 9 yet." in desk.notices() or len(desk.names()) >= 9


def test_next_and_previous_go_round(desk: Desk) -> None:
    names = desk.names()
    desk.session.change("", avatar=names[0])
    desk.press(Qt.Key_A)
    assert desk.session.settings.avatar == names[-1]
    desk.press(Qt.Key_D)
    assert desk.session.settings.avatar == names[0]


def test_panic_freezes_from_any_button_and_tells_it(desk: Desk) -> None:
    desk.window.header.camera.setFocus()
    desk.press(Qt.Key_Space)
    assert desk.pipeline.last("freeze") is True and desk.pipeline.called("add_output") == 0
    assert desk.window.stage.avatar.badge == "FROZEN"
    desk.press(Qt.Key_Space)
    assert desk.pipeline.last("freeze") is False and desk.window.stage.avatar.badge == ""


def test_enter_presses_the_button_with_the_focus(desk: Desk) -> None:
    desk.window.header.camera.setFocus()
    QTest.keyClick(desk.window.header.camera, Qt.Key_Return)
    assert desk.pipeline.last("add_output") == "virtual-camera"


def test_a_tap_of_zero_shows_nothing_and_a_hold_does(desk: Desk) -> None:
    desk.use_camera()
    desk.press(Qt.Key_0)
    desk.bot.wait(150)
    assert desk.pipeline.called("pass_through") == 0
    desk.until(lambda: any("Hold it for a second" in text for text in desk.notices()))
    desk.window.hold._hold_s = 0.1
    QTest.keyPress(desk.window, Qt.Key_0)
    desk.until(lambda: desk.pipeline.called("pass_through") == 1)
    QTest.keyRelease(desk.window, Qt.Key_0)
    assert desk.session.state.passing and desk.window.stage.avatar.passing
    assert desk.window.stage.avatar.badge == "YOUR REAL FACE IS SHOWN"
    desk.press(Qt.Key_Escape)
    assert desk.pipeline.last("pass_through") is False and not desk.window.stage.avatar.passing


def test_the_device_turns_red_where_it_is_slower_than_the_camera() -> None:
    state = LiveState(engine=events.EngineReady("warp", "cpu", "float32", ""), avatar="astronaut")
    assert ("CPU", "danger") in chip(LiveStatistics(camera_rate=30.0, engine_rate=20.0), state, "auto")
    assert ("CPU", "text") in chip(LiveStatistics(camera_rate=30.0, engine_rate=28.0), state, "auto")
    assert ("CPU", "text") in chip(LiveStatistics(engine_rate=5.0), state, "auto")  # no camera to keep up with


def test_what_is_slower_than_a_voice_is_not_said_to_be_slower_than_a_camera() -> None:
    parts = chip(
        LiveStatistics(camera_rate=30.0, engine_rate=10.0), LiveState(source=VOICE, avatar="astronaut"), "auto"
    )
    assert ("slower than the voice (30 fps)", "warning") in parts


def test_nothing_is_slow_while_the_real_face_is_shown() -> None:
    ready = events.EngineReady("warp", "cpu", "float32", "")
    state = LiveState(engine=ready, avatar="astronaut", passing=True)
    assert chip(LiveStatistics(camera_rate=30.0), state, "auto") == [("CPU", "text")]


def test_nothing_is_slow_before_there_is_an_avatar() -> None:
    assert chip(LiveStatistics(camera_rate=30.0), LiveState(source="Desk Camera"), "auto") == []


def test_a_chip_without_room_keeps_what_is_wrong(desk: Desk) -> None:
    metrics = QFontMetrics(desk.window.font())
    whole = [("28 fps", "text"), ("45 ms", "text"), ("CPU", "danger"), ("No CUDA device was found here.", "danger")]
    assert fitting(whole, metrics, 10_000) == whole
    room = sum(metrics.horizontalAdvance(text) + 14 for text, _ in whole[2:]) + 14
    assert fitting(whole, metrics, room) == whole[2:]
    cut = fitting(whole, metrics, room - 40)
    assert cut[0] == whole[2] and cut[1][0].endswith("…") and cut[1][0].startswith("No CUDA")


def test_what_is_under_way_is_told(desk: Desk, tmp_path: Path) -> None:
    view = desk.window.stage.avatar
    desk.session.change("", avatar="rusty")
    desk.until(lambda: ("Preparing Rusty…", "accent") in view.chip)
    desk.app.bridge.tell(events.AvatarReady("sam", 5.0))  # one that was asked for before
    desk.until(lambda: desk.session.state.avatar == "sam")
    assert desk.session.state.preparing == "rusty"
    desk.app.bridge.tell(events.AvatarRefused("rusty", OutputError("No.", remedy="")))
    desk.until(lambda: not any("Preparing" in text for text, _ in view.chip))
    desk.session.change("window", captures=str(tmp_path), overlay=False)
    desk.captures.set_recording(True)
    desk.until(lambda: ("Recording 0:00", "danger") in view.chip)
    desk.captures.set_recording(False)
    desk.captures.set_camera(True)
    assert "on" in desk.window.header.camera.text()
    desk.captures.set_camera(False)
    assert "on" not in desk.window.header.camera.text().removeprefix(" Virtual")
    desk.until(lambda: view.chip == [])


@pytest.mark.parametrize(
    ("kind", "background", "ending"),
    [
        ("auto", "own", ".mp4"), ("auto", "transparent", ".webm"), ("mp4", "transparent", ".mp4"),
        ("webm", "own", ".webm"), ("png", "own", ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_recording_is_chosen_or_follows_the_background(
    desk: Desk, tmp_path: Path, kind: str, background: str, ending: str
) -> None:
    desk.session.change("window", captures=str(tmp_path))
    desk.session.change("canvas", background=background)
    choice = desk.window.panel.output.recording
    choice.combo.setCurrentIndex(choice.combo.findData(kind))
    choice.combo.activated.emit(choice.combo.currentIndex())
    assert desk.session.settings.window.recording == kind
    desk.captures.set_recording(True)
    desk.until(lambda: desk.captures.state.recording is not None)
    path = desk.captures.state.recording
    assert path is not None and path.suffix == ending and path.parent == tmp_path
    recorder = desk.pipeline.outputs["recording"]()
    assert getattr(recorder, "transparent", False) == (ending != ".mp4")
    recorder.close()


def test_at_the_start_no_button_has_the_focus(desk: Desk) -> None:
    """Space or Return would switch the virtual camera on, which is the first one."""
    desk.window.activateWindow()
    desk.until(desk.window.isActiveWindow)
    assert not isinstance(desk.window.focusWidget(), QAbstractButton)


def test_a_closed_message_leaves_the_focus_where_nothing_happens(desk: Desk) -> None:
    desk.session.notice(Notice("Something", "to close", action="virtual_camera"))
    banner = desk.window.stage.banners.banners()[-1]
    assert banner.action_button is not None
    banner.action_button.setFocus()
    banner.close_button.click()
    assert not isinstance(desk.window.focusWidget(), QAbstractButton)


def test_pass_through_paints_a_red_frame(desk: Desk) -> None:
    desk.use_camera()
    desk.session.pass_through(True)
    view = desk.window.stage.avatar
    area = view.canvas_rect()
    colour = view.grab().toImage().pixelColor(round(area.left()) + 4, round(area.center().y()))
    assert colour.red() > 180 and colour.green() < 90


def test_a_second_tap_of_zero_ends_the_pass_through(desk: Desk) -> None:
    desk.use_camera()
    desk.session.pass_through(True)
    desk.press(Qt.Key_0)
    assert desk.pipeline.last("pass_through") is False


def test_pass_through_needs_a_camera_and_no_freeze(desk: Desk) -> None:
    desk.session.pass_through(True)
    desk.use_camera()
    desk.session.freeze(True)
    desk.session.pass_through(True)
    assert desk.pipeline.called("pass_through") == 0


def test_letters_are_letters_while_typing(desk: Desk) -> None:
    field = QLineEdit(desk.window)
    field.show()
    field.setFocus()
    QTest.keyClicks(field, "0vx ")
    assert field.text() == "0vx "
    assert desk.pipeline.called("add_output") == desk.pipeline.called("freeze") == 0


def test_keys_follow_their_position_on_other_layouts(desk: Desk) -> None:
    from PyQt5.QtCore import QEvent
    from PyQt5.QtGui import QKeyEvent
    from PyQt5.QtWidgets import QApplication

    event = QKeyEvent(QEvent.KeyPress, 0x041C, Qt.NoModifier, 47 + 8, 0, 0, "м")  # Russian, at the place of V
    QApplication.sendEvent(desk.window, event)
    assert desk.pipeline.last("add_output") == "virtual-camera"


def test_recording_starts_and_ends(desk: Desk, tmp_path: Any) -> None:
    desk.session.change("window", captures=str(tmp_path / "takes"))
    desk.press(Qt.Key_R, Qt.ControlModifier)
    desk.until(lambda: "recording" in desk.pipeline.outputs)
    assert desk.captures.state.recording.parent == tmp_path / "takes"
    desk.press(Qt.Key_R, Qt.ControlModifier)
    assert "recording" not in desk.pipeline.outputs


def test_a_snapshot_is_written_as_others_see_it(desk: Desk, tmp_path: Any) -> None:
    from avatar.images.load import load_image

    desk.session.change("window", captures=str(tmp_path))
    desk.session.change("canvas", width_px=320, height_px=180)
    desk.pipeline.show(200)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    desk.press(Qt.Key_S, Qt.ControlModifier)
    desk.until(lambda: list(tmp_path.glob("*.png")) and any("Saved" in text for text in desk.notices()))
    assert load_image(next(tmp_path.glob("*.png"))).shape == (180, 320, 3)


def test_a_snapshot_of_a_frame_that_is_forbidden_by_now_shows_what_others_see(
    desk: Desk, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freeze and Snapshot in quick succession: the window still has the camera's last frame."""
    from avatar.images.load import load_image

    desk.session.change("window", captures=str(tmp_path))
    desk.session.change("canvas", width_px=320, height_px=180, label=False)
    desk.pipeline.show(200)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    cover = Frame(np.full((64, 64, 3), 30, np.uint8), 0, 0)
    monkeypatch.setattr(desk.pipeline, "in_place_of", lambda frame: cover)
    desk.press(Qt.Key_S, Qt.ControlModifier)
    desk.until(lambda: list(tmp_path.glob("*.png")) and any("Saved" in text for text in desk.notices()))
    assert load_image(next(tmp_path.glob("*.png"))).max() == 30


def test_save_the_last_half_minute_keeps_it_first(desk: Desk) -> None:
    desk.press(Qt.Key_S, Qt.ControlModifier | Qt.ShiftModifier)
    assert desk.pipeline.last("add_output") == "replay" and desk.session.settings.window.replay


def test_closing_asks_only_while_live(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(MainWindow, "_sure", lambda self: asked.append(True))
    desk.captures.set_camera(True)
    assert not desk.window.close() and asked == [True]
    desk.captures.set_camera(False)
    assert desk.window.close() and asked == [True]


def test_everything_chosen_comes_back(desk: Desk) -> None:
    desk.session.change("window", ghost=0.5, folded="motion")
    desk.session.change("motion", strength_head=1.5)
    desk.window.remember_geometry()
    desk.session.save_now()
    desk.until(lambda: load_settings().window.geometry != "")
    kept = load_settings()
    assert (kept.window.ghost, kept.motion.strength_head, kept.window.folded) == (0.5, 1.5, "motion")


def test_full_screen_and_back(desk: Desk) -> None:
    desk.press(Qt.Key_F11)
    desk.until(lambda: desk.window.isFullScreen() and desk.window.header.isHidden())
    desk.press(Qt.Key_Escape)
    desk.until(lambda: not desk.window.isFullScreen() and not desk.window.header.isHidden())


def test_every_control_has_a_name_for_those_who_do_not_see_it(desk: Desk) -> None:
    nameless = [
        widget for kind in (QAbstractButton, QComboBox, QSlider) for widget in desk.window.findChildren(kind)
        if not (widget.accessibleName() or getattr(widget, "text", str)().strip()) and not _inside_of_qt(widget)
    ]  # fmt: skip
    assert nameless == []


def _inside_of_qt(widget: QWidget) -> bool:
    return widget.objectName().startswith("qt_") or isinstance(widget.parent(), QLineEdit)


def test_tab_reaches_header_strip_and_panel(desk: Desk) -> None:
    seen, widget = set(), desk.window.header.camera
    for _ in range(300):
        widget = widget.nextInFocusChain()
        if widget.focusPolicy() & Qt.TabFocus and widget.isVisible():
            seen.add(widget)
    wanted = (desk.window.header.freeze, desk.window.strip.list, desk.window.panel.camera.choice.combo,
              desk.window.panel.motion.head.slider, desk.window.stage.camera)  # fmt: skip
    assert set(wanted) <= seen


def test_notices_pass_and_keep_to_their_number(desk: Desk) -> None:
    for number in range(9):
        desk.session.notice(Notice(f"note {number}"))
    assert desk.notices() == ["note 5", "note 6", "note 7", "note 8"]
    desk.window.stage.banners.banners()[0].close_button.click()
    assert len(desk.notices()) == 3


def test_the_guide_is_shown_once(desk: Desk) -> None:
    assert desk.window.side.currentWidget() is desk.window.panel
    desk.window.actions_["guide"].trigger()
    guide = desk.window.guide
    assert desk.window.side.currentWidget() is guide
    assert guide.next.objectName() == ""  # the cameras come first
    assert [button.text() for button in guide._group.buttons()] == [
        "Desk Camera", "No camera: follow my voice", "No camera for now",
    ]  # fmt: skip
    guide._group.buttons()[0].click()
    assert desk.pipeline.config.source == CAMERA.id
    guide._group.buttons()[1].click()
    assert guide.camera_status.text() == "Opening the microphone…", "who chose the voice misses no camera"
    guide._group.buttons()[0].click()
    for _ in range(2):
        guide.next.click()
    assert (guide.calibrate.objectName(), guide.next.objectName()) == ("Primary", "")
    desk.app.bridge.tell(events.CalibrationDone(0.8, "first"))
    desk.bot.wait(50)
    assert guide.calibrate.objectName() == "Primary", "not asked for"
    desk.app.bridge.tell(events.CalibrationDone(0.8, "guided"))
    desk.until(lambda: (guide.calibrate.objectName(), guide.next.objectName()) == ("", "Primary"))
    guide.next.click()
    assert guide.title.text() == "You are ready"
    assert (guide.camera.objectName(), guide.next.objectName()) == ("Primary", "")  # what is left to do
    desk.captures.set_camera(True)
    desk.app.bridge.tell(events.OutputStarted("virtual-camera", "/dev/video10"))
    desk.until(lambda: "It is on" in guide.virtual_status.text())
    assert (guide.camera.objectName(), guide.next.objectName()) == ("", "Primary")
    guide.next.click()
    assert desk.window.side.currentWidget() is desk.window.panel


def test_the_crossfade_is_chosen(desk: Desk) -> None:
    choice = desk.window.panel.frame_.crossfade
    assert (choice.value(), desk.pipeline.config.crossfade_ms) == ("200", 200)
    choice.combo.setFocus()
    QTest.keyClick(choice.combo, Qt.Key_Home)
    assert desk.pipeline.config.crossfade_ms == 0 and choice.combo.currentText() == "Off"
    desk.session.change("", crossfade_ms=250)  # edited by hand
    assert choice.combo.currentText() == "250 ms"


def test_tray_has_the_essentials(desk: Desk) -> None:
    texts = [action.text() for action in desk.app.tray.menu.actions() if action.text()]
    assert {"Show the window", "Virtual camera", "Quit"} <= set(texts)


def test_a_damaged_settings_file_is_put_aside(qapp: Any, qtbot: Any) -> None:
    from avatar.settings import settings_path
    from ui.app import _read_settings

    settings_path().write_text("[window\n")
    settings, problem = _read_settings()
    assert settings.avatar == "astronaut" and problem is not None
    assert settings_path().with_suffix(".damaged.toml").exists() and not settings_path().exists()


def test_one_frame_is_converted_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import ui.widgets.avatar_view as module

    converted: list[np.ndarray] = []
    real = own_image
    monkeypatch.setattr(module, "own_image", lambda rgb, alpha: (converted.append(rgb), real(rgb, alpha))[1])
    desk.pipeline.show(10)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    for _ in range(3):
        desk.window.stage.avatar.repaint()
    assert len(converted) == 1


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({"camera": True}, "The virtual camera is on: others may be watching."),
        ({"browser": True}, "The browser source is on: others may be watching."),
        ({"camera": True, "recording": Path("show.mp4")}, "Masque is recording."),
    ],
)
def test_the_close_question_names_what_is_on_and_defaults_to_stay(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, on: dict[str, Any], said: str
) -> None:
    asked = []

    def exec_(box: QMessageBox) -> int:
        asked.append(box.text())
        box.defaultButton().click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec_", exec_)
    monkeypatch.setattr(desk.captures, "state", dataclasses.replace(desk.captures.state, **on))
    assert desk.captures.live and not desk.window._sure() and asked == [said]


def test_a_mistake_in_the_window_is_told_and_ends_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from ui.app import tell_mistakes

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    tell_mistakes(desk.app)
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("division"), None)
    assert "Internal error in Masque: ZeroDivisionError: division" in desk.notices()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_thread_that_hangs_does_not_outlive_the_window(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_clean: bool
) -> None:
    """It may be in C++ code, which aborts the process when Python ends under it."""
    from ui import app
    from ui.look.language import Languages

    class Closing:
        def __init__(self, application: object) -> None:
            self.languages = Languages()
            self.languages.install("de")

        def show(self) -> None:
            pass

        def close(self) -> bool:
            self.languages.remove()
            return is_clean

    class Application:
        def setWindowIcon(self, icon: object) -> None:  # noqa: N802  (Qt's name)
            pass

        def exec_(self) -> int:
            return 0

    left: list[int] = []
    monkeypatch.setattr(app, "App", Closing)
    monkeypatch.setattr(app, "tell_mistakes", lambda _: None)
    monkeypatch.setattr("ui.look.icons.application_icon", lambda: None)
    monkeypatch.setattr("avatar.system.interrupts.leave", left.append)
    assert app.run(Application()) == 0  # type: ignore[arg-type]
    assert left == ([] if is_clean else [0])
    assert caplog.messages == ([] if is_clean else ["Etwas arbeitet noch und endet mit dem Programm."])
