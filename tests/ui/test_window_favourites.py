"""Favourites and search in the strip, with more avatars than there are number keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import QPoint, Qt
from PyQt5.QtTest import QTest
from window_avatars import add

from avatar.settings import Settings, load_settings
from ui.widgets.avatar_strip import AvatarList, star_rect

MANY = ("Hanna", "Ines", "Jakob", "Karl", "Lea")


@pytest.fixture
def many(desk: Desk, tmp_path: Path) -> Desk:
    add(desk, tmp_path, *MANY)
    return desk


def strip(desk: Desk) -> AvatarList:
    found = desk.window.strip.list
    assert isinstance(found, AvatarList)
    return found


def click_star(desk: Desk, name: str) -> None:
    row = strip(desk).model_.row_of(name)
    strip(desk).scrollTo(strip(desk).model_.index(row))
    star = star_rect(strip(desk).visualRect(strip(desk).model_.index(row)))
    QTest.mouseClick(strip(desk).viewport(), Qt.LeftButton, Qt.NoModifier, star.center().toPoint())


def test_a_click_on_the_star_gives_the_first_key_and_chooses_nothing(many: Desk) -> None:
    shown = many.session.settings.avatar
    click_star(many, "Karl")
    click_star(many, "Ines")
    assert many.session.settings.favourites == ["Karl", "Ines"] and many.session.settings.avatar == shown
    assert strip(many).model_.data(
        strip(many).model_.index(strip(many).model_.row_of("Ines")), Qt.AccessibleTextRole
    ) == ("Ines, key 1, favourite")
    many.press(Qt.Key_2)
    assert many.session.settings.avatar == "Karl", "in the order of the strip"
    many.press(Qt.Key_3)
    assert many.session.settings.avatar == many.names()[0], "the others come after them"
    click_star(many, "Ines")
    many.press(Qt.Key_1)
    assert many.session.settings.avatar == "Karl"
    many.app.session.save_now()
    many.until(lambda: load_settings().favourites == ["Karl"])


def test_a_click_beside_the_star_still_chooses(many: Desk) -> None:
    index = strip(many).model_.index(strip(many).model_.row_of(many.names()[1]))
    place = strip(many).visualRect(index).center() + QPoint(0, 10)
    click_star(many, many.names()[1])
    QTest.mouseClick(strip(many).viewport(), Qt.LeftButton, Qt.NoModifier, place)
    assert many.session.settings.avatar == many.names()[1]


def test_the_key_stars_the_marked_one_and_takes_the_star_away(many: Desk) -> None:
    many.press(Qt.Key_B)
    assert many.session.settings.favourites == [many.names()[0]]
    many.press(Qt.Key_B)
    assert many.session.settings.favourites == []


def test_search_shows_what_fits_and_enter_chooses_the_first(many: Desk) -> None:
    field = many.window.strip.search
    many.press(Qt.Key_F, Qt.ControlModifier)
    assert field.hasFocus()
    QTest.keyClicks(field, "KA")
    assert strip(many).found() == ["Karl"]
    assert many.session.settings.avatar != "Karl", "letters are no keys while somebody types"
    QTest.keyClick(field, Qt.Key_Return)
    assert many.session.settings.avatar == "Karl" and strip(many).found() == many.names()
    many.press(Qt.Key_F, Qt.ControlModifier)
    QTest.keyClicks(field, "nobody is called that")
    assert strip(many).found() == []
    strip(many).grab()
    QTest.keyClick(field, Qt.Key_Return)
    assert many.session.settings.avatar == "Karl"
    QTest.keyClick(field, Qt.Key_Escape)
    assert strip(many).found() == many.names() and not field.hasFocus()


def test_only_favourites_are_shown_where_that_is_wanted(many: Desk, tmp_path: Path) -> None:
    click_star(many, "Lea")
    QTest.mouseClick(many.window.strip.only, Qt.LeftButton)
    assert strip(many).found() == ["Lea"]
    add(many, tmp_path, "Max")
    assert strip(many).found() == ["Lea"], "also after the folder was read again"
    click_star(many, "Lea")
    assert strip(many).found() == []
    QTest.mouseClick(many.window.strip.only, Qt.LeftButton)
    assert strip(many).found() == many.names()


def test_a_renamed_favourite_stays_one(many: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    click_star(many, "Lea")
    strip(many).setCurrentIndex(strip(many).model_.index(strip(many).model_.row_of("Lea")))
    monkeypatch.setattr("ui.avatar_jobs.QInputDialog.getText", lambda *_, **__: ("Leandra", True))
    many.press(Qt.Key_F2)
    many.until(lambda: many.session.settings.favourites == ["Leandra"])


def test_favourites_edited_by_hand_must_be_texts() -> None:
    with pytest.raises(ValueError, match="favourites: 3 must be a text"):
        Settings(favourites=[3])  # type: ignore[list-item]
