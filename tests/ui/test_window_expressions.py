"""Expression keys in the window."""

from __future__ import annotations

from fakes_ui import Desk
from PyQt5.QtCore import Qt

from avatar.live.events import ExpressionCaught
from avatar.motion.overlay import EXPRESSIONS


def put_on(desk: Desk) -> object:
    return [arguments for name, arguments in desk.pipeline.calls if name == "express"][-1]


def checked(desk: Desk) -> list[str]:
    names = ("smile", "surprise", "wink", "sad", "own")
    return [name for name in names if desk.window.actions_[f"express_{name}"].isChecked()]


def test_a_key_puts_one_on_in_place_of_another_and_takes_it_off(desk: Desk) -> None:
    desk.press(Qt.Key_1, Qt.ControlModifier)
    assert put_on(desk) == EXPRESSIONS["smile"] and checked(desk) == ["smile"]
    desk.press(Qt.Key_3, Qt.ControlModifier)
    assert put_on(desk) == EXPRESSIONS["wink"] and checked(desk) == ["wink"]
    desk.press(Qt.Key_3, Qt.ControlModifier)
    assert put_on(desk) == {} and checked(desk) == []


def test_the_own_one_is_caught_from_the_present_face(desk: Desk) -> None:
    desk.press(Qt.Key_5, Qt.ControlModifier)
    assert checked(desk) == [] and any("no own expression" in text for text in desk.notices())
    desk.window.actions_["catch_expression"].trigger()
    assert ("catch_expression", ()) in desk.pipeline.calls
    desk.pipeline.tell(ExpressionCaught({"jawOpen": 0.5}))
    desk.until(lambda: desk.session.settings.window.own_expression == "jawOpen=0.5")
    desk.press(Qt.Key_5, Qt.ControlModifier)
    assert put_on(desk) == {"jawOpen": 0.5} and checked(desk) == ["own"]
    desk.pipeline.tell(ExpressionCaught({"cheekPuff": 0.25}))
    desk.until(lambda: put_on(desk) == {"cheekPuff": 0.25})


def test_a_face_without_expression_is_not_kept(desk: Desk) -> None:
    desk.pipeline.tell(ExpressionCaught({}))
    desk.until(lambda: any("no expression that could be kept" in text for text in desk.notices()))
    assert desk.session.settings.window.own_expression == ""


def test_settings_that_were_edited_by_hand_do_no_harm(desk: Desk) -> None:
    desk.session.change("window", own_expression="laugh=lots")
    desk.press(Qt.Key_5, Qt.ControlModifier)
    assert checked(desk) == []


def test_an_engine_that_follows_images_is_named(desk: Desk) -> None:
    section = desk.window.panel.expressions
    assert section.status.text() == ""
    desk.session.change("engine", name="fomm")
    assert "follows images" in section.status.text()
