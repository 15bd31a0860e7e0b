"""What irritated at a first try stays mended."""

from __future__ import annotations

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import QPoint, QPointF, QRectF, Qt
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtWidgets import QApplication, QToolButton

from avatar.errors import EngineError, OutputError
from avatar.live.config import VOICE
from avatar.live.events import (
    EngineFailed,
    EngineReady,
    EngineSlow,
    FaceLost,
    OutputFailed,
    OutputStarted,
    SourceBack,
    SourceLost,
)
from avatar.settings import Place
from avatar.sources.base import SourceFacts
from avatar.system.message import Message
from ui.session import Notice
from ui.widgets.choice import CalmCombo
from ui.widgets.value_slider import CalmSlider


def places(desk: Desk) -> list[tuple[int, int]]:
    return [(button.x(), button.width()) for button in desk.window.header.findChildren(QToolButton)]


@pytest.mark.parametrize("width", [760, 1000, 1180, 1600])
def test_no_button_of_the_header_moves_when_one_is_switched(desk: Desk, width: int) -> None:
    desk.window.resize(width, 760)
    desk.bot.wait(20)
    before = places(desk)
    desk.captures.set_camera(True)
    desk.bot.wait(20)
    assert places(desk) == before
    desk.captures.set_camera(False)
    assert places(desk) == before


@pytest.mark.parametrize("width", [760, 900, 1180, 1600])
def test_no_label_of_the_header_is_cut(desk: Desk, width: int) -> None:
    desk.window.resize(width, 760)
    desk.captures.set_camera(True)
    desk.bot.wait(20)
    header = desk.window.header
    assert header.sizeHint().width() <= header.width()
    for button in header.findChildren(QToolButton):
        assert button.width() >= button.sizeHint().width(), button.text()


@pytest.mark.parametrize("preview", ["corner", "large"])
@pytest.mark.parametrize("place", [Place(), Place(1.0, 0.3, -0.3), Place(1.2, 0.35, 0.2), Place(0.6, -0.4, -0.3)])
def test_the_cameras_picture_leaves_the_face_alone(desk: Desk, preview: str, place: Place) -> None:
    desk.window.resize(1180, 760)
    desk.use_camera()
    desk.pipeline.show(200)
    stage = desk.window.stage
    desk.until(lambda: stage.avatar.frame is not None)
    desk.session.change("window", preview=preview)
    desk.session.place(desk.session.settings.avatar, place)
    face = stage.avatar.face_rect()
    assert not face.isEmpty() and stage.avatar.canvas_rect().intersects(face)
    assert not QRectF(stage.camera.geometry()).intersects(face)


def test_one_cause_has_one_notice(desk: Desk) -> None:
    desk.use_camera()
    desk.pipeline.tell(SourceBack("Desk Camera", SourceFacts(64, 48, 30.0)))
    desk.pipeline.tell(FaceLost())
    desk.until(lambda: len(desk.notices()) == 1)
    desk.pipeline.tell(SourceLost("The camera was unplugged.", "Plug it in."))
    desk.pipeline.tell(FaceLost())
    desk.until(lambda: any("unplugged" in text for text in desk.notices()))
    assert len(desk.notices()) == 1


def test_a_microphone_that_does_not_open_is_nowhere_said_to_be_opened_or_heard(desk: Desk) -> None:
    window = desk.window
    window.guide.begin()
    desk.session.change("camera", source=VOICE)
    notes = (window.panel.camera.status, window.guide.camera_status)
    assert [note.text() for note in notes] == 2 * ["Opening the microphone…"]
    assert "speaks as you do" in window.stage.camera.message
    desk.pipeline.tell(SourceLost("The microphone is busy.", "Close the other program."))
    desk.until(lambda: all("busy. Close the other" in note.text() for note in notes))
    assert "moves by itself" in window.stage.camera.message
    desk.pipeline.tell(SourceBack(VOICE, SourceFacts(0, 0, None)))
    desk.until(lambda: all(note.text() == "The avatar speaks as you do." for note in notes))
    assert "speaks as you do" in window.stage.camera.message


def test_the_guide_says_why_there_is_no_camera(desk: Desk) -> None:
    desk.use_camera()
    desk.window.guide.begin()
    assert "Opening" in desk.window.guide.camera_status.text()
    desk.pipeline.tell(SourceLost("The camera is busy.", "Close the other program."))
    desk.until(lambda: "busy" in desk.window.guide.camera_status.text())
    assert "Close the other program." in desk.window.guide.camera_status.text()
    assert desk.window.stage.camera.message == "No picture from the camera.", "nothing is waited for"
    desk.pipeline.tell(SourceBack("Desk Camera", SourceFacts(64, 48, 30.0)))
    desk.until(lambda: "busy" not in desk.window.guide.camera_status.text())


def test_a_slow_engine_is_announced_with_a_way_back(desk: Desk) -> None:
    desk.session.change("engine", name="fomm")
    banner = desk.window.stage.banners.banners()[-1]
    assert "Loading" in banner.notice.text and banner.action_button is not None
    desk.pipeline.tell(EngineReady("fomm", "cpu", "float32", ""))
    desk.until(lambda: any("is loaded" in text for text in desk.notices()))
    button = desk.window.stage.banners.banners()[-1].action_button
    assert button is not None
    button.click()
    assert desk.session.settings.engine.name == "warp"
    desk.until(lambda: not any("Loading" in text for text in desk.notices()))


def test_lists_show_all_their_entries(desk: Desk) -> None:
    panel = desk.window.panel
    for choice in (panel.frame_.background, panel.output.size_, panel.camera.choice):
        assert choice.combo.count() <= choice.combo.maxVisibleItems()


PLACES = [
    Place(), Place(1.0, 0.3, -0.3), Place(1.2, 0.35, 0.2), Place(0.6, -0.4, -0.3), Place(1.6, 0, 0), Place(2.5, 0, 0.3),
]  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(1000, 700), (1180, 760), (1920, 1080)])
def test_notices_never_cover_the_mouth(desk: Desk, size: tuple[int, int], place: Place, count: int) -> None:
    desk.window.resize(*size)
    desk.pipeline.show(200)
    stage = desk.window.stage
    desk.until(lambda: stage.avatar.frame is not None)
    for number in range(count):
        what = f"Something rather long happened that wants to be told in more than a few words, number {number}."
        desk.session.notice(Notice(what, "And here is what can be done about it.", "warning", f"k{number}", "import"))
    desk.session.place(desk.session.settings.avatar, place)
    desk.bot.wait(30)
    mouth = stage.avatar.face_rect()
    mouth.setTop(mouth.center().y())
    shown = [banner for banner in stage.banners.banners() if not banner.isHidden()]
    assert shown and shown[-1].notice.text.endswith(f"number {count - 1}.")
    visible = mouth.intersected(QRectF(stage.rect()))
    assert not QRectF(stage.banners.geometry()).intersects(visible)
    assert stage.rect().contains(stage.banners.geometry())
    for banner in shown:
        assert banner.height() >= banner.heightForWidth(banner.width()), (banner.size(), banner.minimumSizeHint())


def test_a_notice_returns_to_its_place_and_the_others_come_back(desk: Desk) -> None:
    desk.window.resize(1180, 760)
    desk.pipeline.show(200)
    stage = desk.window.stage
    desk.until(lambda: stage.avatar.frame is not None)
    for number in range(3):
        desk.session.notice(Notice(f"Notice {number}.", "Long remedy. " * 12, "warning", f"k{number}"))
    desk.session.place(desk.session.settings.avatar, Place(1.6, 0, 0))
    desk.bot.wait(30)
    assert [banner.isHidden() for banner in stage.banners.banners()] == [True, True, False]
    desk.session.place(desk.session.settings.avatar, Place(0.6, -0.4, -0.3))
    desk.bot.wait(30)
    assert not any(banner.isHidden() for banner in stage.banners.banners())


def test_a_failed_engine_takes_the_notice_that_it_loads_along(desk: Desk) -> None:
    desk.session.change("engine", name="fomm")
    desk.until(lambda: any("Loading" in text for text in desk.notices()))
    desk.pipeline.tell(EngineFailed(EngineError("It does not open."), "warp"))
    desk.until(lambda: any("does not open" in text for text in desk.notices()))
    assert len(desk.notices()) == 1


def test_the_browser_source_that_works_again_takes_its_notice_along(desk: Desk) -> None:
    desk.pipeline.tell(OutputFailed("browser-source", OutputError("The port is taken.")))
    desk.until(lambda: desk.notices() == ["The port is taken."])
    desk.pipeline.tell(OutputStarted("browser-source", "http://127.0.0.1:1/x"))
    desk.until(lambda: desk.notices() == [])


def test_a_slow_warp_does_not_offer_itself(desk: Desk) -> None:
    desk.pipeline.tell(EngineSlow("warp", 0.5))
    desk.until(desk.notices)
    banner = desk.window.stage.banners.banners()[-1]
    assert banner.action_button is None and "Other programs" in banner.notice.remedy


def test_no_button_of_a_narrow_notice_is_cut(desk: Desk) -> None:
    desk.window.resize(1180, 760)
    desk.pipeline.show(200)
    stage = desk.window.stage
    desk.until(lambda: stage.avatar.frame is not None)
    command = Message("Type: {command}", command="sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1")
    for number in range(3):
        desk.session.notice(Notice(f"Notice {number}.", command, "error", f"k{number}", "virtual_camera"))
    desk.session.place(desk.session.settings.avatar, Place(1.6, 0.35, 0))
    desk.bot.wait(30)
    assert stage.banners.width() < 460
    for banner in stage.banners.banners():
        for button in banner.findChildren(QToolButton):
            assert banner.isHidden() or button.width() >= button.sizeHint().width(), button.text()


def test_scrolling_on_with_the_pointer_on_a_control_just_used_changes_nothing(desk: Desk) -> None:
    panel = desk.window.panel
    for control in (*panel.findChildren(CalmCombo), *panel.findChildren(CalmSlider)):
        control.setFocus()
        at = QPointF(control.rect().center())
        where = (at, QPointF(control.mapToGlobal(control.rect().center())), QPoint(), QPoint(0, -120))
        turned = QWheelEvent(*where, Qt.NoButton, Qt.NoModifier, Qt.NoScrollPhase, False)
        before = control.currentIndex() if isinstance(control, CalmCombo) else control.value()
        QApplication.sendEvent(control, turned)
        assert before == (control.currentIndex() if isinstance(control, CalmCombo) else control.value())
