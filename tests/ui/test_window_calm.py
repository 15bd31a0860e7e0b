"""Nothing moves under the mouse, nothing covers the avatar's eyes, and lists show all that is in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes_ui import Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PyQt5.QtCore import QPoint, QRect, QRectF, Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QAbstractButton, QComboBox, QToolButton, QWidget

from avatar.errors import OutputError
from avatar.live.events import OutputFailed, OutputStarted
from avatar.settings import Place
from ui.widgets.choice import CalmCombo, Choice


@pytest.fixture
def spoken(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The app in a language, which belongs to the application, with which the next test goes on."""
    desk.session.change("window", language=request.param)
    desk.until(lambda: desk.app._shown[0] == request.param and desk.names())
    desk.bot.wait(50)
    yield desk
    desk.app._languages.install("en")


def places(desk: Desk) -> dict[str, QRect]:
    """Where each button above and below the avatar is on the screen."""
    window = desk.window
    buttons = [*window.header.findChildren(QToolButton), *window.strip.findChildren(QAbstractButton)]
    return {
        f"{number} {each.accessibleName()}": QRect(each.mapToGlobal(QPoint()), each.size())
        for number, each in enumerate(buttons)
        if each.isVisible()
    }


@pytest.mark.parametrize("spoken", ["en", "de", "zh"], indirect=True)
@pytest.mark.parametrize("size", [(760, 520), (1180, 760), (1920, 1080)])
def test_no_button_moves_whatever_is_clicked(spoken: Desk, size: tuple[int, int]) -> None:
    desk = spoken
    desk.window.resize(*size)
    desk.use_camera()
    desk.bot.wait(50)
    header, before = desk.window.header, places(desk)
    assert len(before) >= 9
    for button in (header.camera, header.record, header.freeze, header.snapshot, header.replay, header.show_me):
        QTest.mouseClick(button, Qt.LeftButton)
        desk.bot.wait(30)
        assert places(desk) == before, button.accessibleName()
    desk.pipeline.tell(OutputStarted("virtual-camera", "/dev/video10, 1280 x 720 at 30"))
    desk.bot.wait(30)
    assert places(desk) == before
    desk.pipeline.tell(OutputFailed("virtual-camera", OutputError("It is gone.", remedy="Start it again.")))
    desk.bot.wait(30)
    desk.session.freeze(False)
    desk.session.pass_through(True)
    assert places(desk) == before
    desk.session.pass_through(False)
    for name in desk.names()[:4]:
        desk.session.change("", avatar=name)
        assert places(desk) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zoom=st.floats(0.25, 8.0), right=st.floats(-1.0, 1.0), down=st.floats(-1.0, 1.0),
    preview=st.sampled_from(["corner", "large"]), size=st.sampled_from([(760, 520), (1180, 760), (1920, 1080)]),
    mirror=st.booleans(),
)  # fmt: skip
def test_the_cameras_picture_never_covers_the_eyes_or_what_is_wrong(
    desk: Desk, zoom: float, right: float, down: float, preview: str, size: tuple[int, int], mirror: bool
) -> None:
    desk.window.resize(*size)
    desk.use_camera()
    desk.pipeline.show(200)
    stage = desk.window.stage
    desk.until(lambda: stage.avatar.frame is not None)
    desk.session.change("window", preview=preview)
    desk.session.change("canvas", mirror=mirror)
    desk.session.place(desk.session.settings.avatar, Place(zoom, right, down))
    face = stage.avatar.face_rect()
    eyes = QRectF(face.left(), face.top() + 0.15 * face.height(), face.width(), 0.35 * face.height())
    seen = eyes.intersected(stage.avatar.canvas_rect())
    if stage.camera.isVisible():
        assert not QRectF(stage.camera.geometry()).intersects(seen)
        assert stage.camera.geometry().intersected(stage.rect()) == stage.camera.geometry()
        assert not QRectF(stage.camera.geometry()).intersects(stage.avatar.chip_rect())
        assert stage.avatar.chip_rect().width() > 60


def combos(root: QWidget) -> list[CalmCombo]:
    return [each for each in root.findChildren(CalmCombo) if each.count() and not each.isHidden()]


@pytest.mark.parametrize("spoken", ["en", "de", "zh"], indirect=True)
def test_lists_show_all_their_entries_in_full(spoken: Desk) -> None:
    desk = spoken
    desk.services.microphones = tuple(f"Microphone number {number} of a mixing desk" for number in range(14))
    desk.services.virtual_cameras = ("Masque", "Dummy video device (0x0001)", "Dummy video device (0x0002)")
    desk.use_camera()
    panel = desk.window.panel
    panel.sound.look_for_microphones()
    panel.output.look_for_devices()
    desk.until(lambda: panel.sound.choice.combo.count() == 15 and panel.output.device.combo.count() == 4)
    desk.until(panel.camera.cameras)
    found = combos(panel)
    assert len(found) >= 8
    for combo in found:
        combo.showPopup()
        view = combo.view()
        desk.bot.wait(20)
        name = f"{combo.accessibleName()}: {[combo.itemText(row) for row in range(combo.count())]}"
        last = view.visualRect(view.model().index(combo.count() - 1, 0))
        first = view.visualRect(view.model().index(0, 0))
        assert first.top() >= 0 and last.bottom() <= view.viewport().height(), name
        assert view.sizeHintForColumn(0) <= view.viewport().width(), name
        assert combo.screen().availableGeometry().contains(view.window().geometry()), name
        combo.hidePopup()


@pytest.mark.parametrize("chosen", ["0", "5"])
def test_a_list_at_the_lower_edge_of_the_screen_opens_upwards(desk: Desk, chosen: str) -> None:
    choice = Choice("Background", [(str(number), f"Background {number}") for number in range(6)])
    screen = choice.combo.screen()
    choice.set_value(chosen)
    choice.setGeometry(0, screen.availableGeometry().bottom() - 80, 200, 70)
    choice.show()
    choice.combo.showPopup()
    desk.bot.wait(20)
    view = choice.combo.view()
    rows = [view.visualRect(view.model().index(row, 0)) for row in range(6)]
    assert all(view.viewport().rect().contains(row) for row in rows), rows
    assert screen.availableGeometry().contains(view.window().geometry())
    assert min(row.height() for row in rows) >= 28, "rows that a finger or a shaking hand meets"
    choice.combo.hidePopup()
    choice.deleteLater()


def test_a_list_longer_than_the_room_above_and_below_its_box_is_not_cut(desk: Desk) -> None:
    choice = Choice("Camera")
    area = choice.combo.screen().availableGeometry()
    count = min(choice.combo.maxVisibleItems(), round(0.7 * area.height()) // 30)
    choice.set_options([(str(number), f"Camera {number}") for number in range(count)])
    choice.setGeometry(0, area.center().y() - 35, 200, 70)
    choice.show()
    choice.combo.showPopup()
    desk.bot.wait(20)
    view = choice.combo.view()
    rows = [view.visualRect(view.model().index(row, 0)) for row in range(count)]
    assert count * rows[0].height() > 0.6 * area.height(), "more than there is room on either side"
    assert all(view.viewport().rect().contains(row) for row in rows), rows
    assert area.contains(view.window().geometry())
    choice.combo.hidePopup()
    choice.deleteLater()


def test_a_list_longer_than_the_screen_scrolls_to_its_end(desk: Desk) -> None:
    combo: QComboBox = desk.window.panel.output.size_.combo
    for number in range(200):
        combo.addItem(f"{number} x {number}", f"{number}x{number}")
    combo.setFocus()
    combo.showPopup()
    view = combo.view()
    QTest.keyClick(view, Qt.Key_End)
    last = view.visualRect(view.model().index(combo.count() - 1, 0))
    assert last.bottom() <= view.viewport().height() and last.top() >= 0
    combo.hidePopup()
