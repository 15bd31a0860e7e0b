"""The avatar's place and background, by mouse, wheel, keys and panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from fakes_ui import Desk
from PyQt5.QtCore import QEvent, QPoint, QPointF, Qt
from PyQt5.QtGui import QMouseEvent, QWheelEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QColorDialog, QFileDialog

from avatar.frames import Frame
from avatar.images.load import save_png
from avatar.settings import Place


def place_of(desk: Desk) -> Place:
    return desk.pipeline.config.canvas.place(desk.session.settings.avatar)


@pytest.fixture
def shown(desk: Desk) -> Desk:
    """A desk on which an avatar is seen."""
    desk.pipeline.show(200)
    desk.until(lambda: desk.window.stage.avatar.frame is not None)
    return desk


def drag(desk: Desk, right: int, down: int) -> None:
    view = desk.window.stage.avatar
    middle = view.canvas_rect().center().toPoint()
    QTest.mousePress(view, Qt.LeftButton, Qt.NoModifier, middle)
    for step in range(1, 6):
        at = QPointF(middle) + QPointF(right, down) * step / 5
        QApplication.sendEvent(
            view, QMouseEvent(QEvent.MouseMove, at, Qt.NoButton, Qt.LeftButton, Qt.NoModifier)
        )  # fmt: skip
    QTest.mouseRelease(view, Qt.LeftButton, Qt.NoModifier, middle + QPoint(right, down))


def turn_wheel(desk: Desk, at: QPointF, notches: int) -> None:
    view = desk.window.stage.avatar
    event = QWheelEvent(
        at, QPointF(view.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * notches), Qt.NoButton, Qt.NoModifier,
        Qt.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view, event)


def test_a_drag_moves_the_avatar(shown: Desk) -> None:
    area = shown.window.stage.avatar.canvas_rect()
    drag(shown, round(0.2 * area.width()), round(-0.1 * area.height()))
    place = place_of(shown)
    assert (place.zoom, place.right, place.down) == pytest.approx((1, 0.2, -0.1), abs=0.01)


def test_a_drag_goes_along_with_a_mirrored_output(shown: Desk) -> None:
    shown.session.change("canvas", mirror=True)
    area = shown.window.stage.avatar.canvas_rect()
    drag(shown, round(0.2 * area.width()), 0)
    assert place_of(shown).right == pytest.approx(-0.2, abs=0.01)


def test_the_wheel_zooms_about_the_pointer(shown: Desk) -> None:
    area = shown.window.stage.avatar.canvas_rect()
    turn_wheel(shown, area.center(), 3)
    assert place_of(shown).zoom == pytest.approx(1.08**3, rel=0.01) and abs(place_of(shown).right) < 0.01
    turn_wheel(shown, QPointF(area.left() + 0.6 * area.width(), area.center().y()), 5)
    assert place_of(shown).right < -0.01
    turn_wheel(shown, area.center(), -60)
    assert place_of(shown).zoom == 0.25


def test_the_first_avatar_keeps_its_place_however_its_name_is_written(shown: Desk) -> None:
    assert shown.session.settings.avatar == "astronaut", "as it is at the first start"
    turn_wheel(shown, shown.window.stage.avatar.canvas_rect().center(), 3)
    put = place_of(shown)
    shown.press(Qt.Key_2)
    shown.press(Qt.Key_1)
    assert shown.session.settings.avatar == "Astronaut" and place_of(shown) == put != Place()
    shown.session.rename_place("Astronaut", "ASTRONAUT")
    assert place_of(shown) == put and len(shown.session.settings.canvas.places) == 1
    shown.press(Qt.Key_0, Qt.AltModifier)
    assert shown.session.settings.canvas.places == {}


def test_keys_move_zoom_and_reset(shown: Desk) -> None:
    shown.press(Qt.Key_Right, Qt.AltModifier)
    shown.press(Qt.Key_Up, Qt.AltModifier)
    shown.press(Qt.Key_Equal, Qt.AltModifier)
    place = place_of(shown)
    assert place.right > 0 and place.down < 0 and place.zoom > 1
    assert shown.window.panel.frame_.reset.isEnabled()
    shown.press(Qt.Key_0, Qt.AltModifier)
    assert place_of(shown) == Place() and shown.session.settings.canvas.places == {}
    assert shown.pipeline.called("pass_through") == 0


def test_each_avatar_has_a_place_of_its_own(shown: Desk) -> None:
    first, other = shown.session.settings.avatar, "Somebody"
    shown.press(Qt.Key_Right, Qt.AltModifier)
    shown.session.change("", avatar=other)
    shown.pipeline.show(100)
    view = shown.window.stage.avatar
    shown.until(lambda: view.frame is not None and view.frame.layers.avatar == other)
    shown.press(Qt.Key_Down, Qt.AltModifier)
    places = shown.session.settings.canvas
    assert places.place(first).right > 0 and places.place(first).down == 0
    assert places.place(other).down > 0 and places.place(other).right == 0


def test_nothing_moves_while_the_camera_is_shown(shown: Desk) -> None:
    frame = Frame(plain(90, (64, 36)), 1, 0, passed_through=True)
    shown.pipeline.avatar_frames.put(frame)
    shown.until(lambda: shown.window.stage.avatar.frame is frame)
    drag(shown, 80, 0)
    shown.press(Qt.Key_Right, Qt.AltModifier)
    assert shown.session.settings.canvas.places == {}


def test_the_picture_shows_what_others_see(shown: Desk) -> None:
    """A moved avatar leaves room, and the label stands in it."""
    view = shown.window.stage.avatar
    before = view.grab().toImage()
    shown.press(Qt.Key_Right, Qt.AltModifier)
    shown.session.change("canvas", fit="fit", label=False)
    after, area = view.grab().toImage(), view.canvas_rect()
    left = QPoint(round(area.left() + 20), round(area.center().y()))
    assert before.pixelColor(left).lightness() > 150 and after.pixelColor(left).lightness() == 0


def test_a_background_colour_is_chosen(shown: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from PyQt5.QtGui import QColor

    frame = shown.window.panel.frame_
    frame.background.chosen.emit("colour")
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#aa1144"))
    frame.colour.click()
    canvas = shown.pipeline.config.canvas
    assert (canvas.background, canvas.background_colour) == ("colour", "#aa1144") and not frame.colour.isHidden()


def test_a_background_picture_is_looked_at_before_it_is_taken(
    shown: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, chosen = shown.window.panel.frame_, ""
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen, ""))
    frame.background.set_value("image")
    frame.background.chosen.emit("image")
    assert shown.session.settings.canvas.background == "own" and frame.background.value() == "own", "cancelled"
    chosen = str(tmp_path / "broken.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    frame.background.chosen.emit("image")
    shown.until(lambda: any("broken" in text for text in shown.notices()))
    assert shown.session.settings.canvas.background == "own"
    chosen = str(tmp_path / "sea.png")
    save_png(tmp_path / "sea.png", plain((9, 99, 200), (64, 36)))
    frame.background.chosen.emit("image")
    shown.until(lambda: shown.session.settings.canvas.background == "image")
    assert frame.about.text() == "sea.png"


def test_a_transparent_avatar_lies_over_a_pattern(shown: Desk) -> None:
    from avatar.frames import PortraitLayers

    matte = np.zeros((64, 64), np.uint8)
    matte[16:48, 16:48] = 255
    layers = PortraitLayers("x", (0.5, 0.5), plain(0, (64, 64)), matte)
    rgb = plain(0, (64, 64))
    rgb[matte > 0] = (220, 20, 20)
    frame = Frame(rgb, 2, 0, layers=layers)
    shown.session.change("canvas", background="transparent")
    shown.pipeline.avatar_frames.put(frame)
    view: Any = shown.window.stage.avatar
    shown.until(lambda: view.frame is frame)
    image, area = view.grab().toImage(), view.canvas_rect()
    assert image.pixelColor(area.center().toPoint()).red() > 200
    corner = image.pixelColor(round(area.left()) + 30, round(area.bottom()) - 30)
    assert corner.lightness() > 150, "neither black nor the portrait's own background"
