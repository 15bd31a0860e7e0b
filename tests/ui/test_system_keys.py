"""Keys while another program has the focus: on a real X server, and on a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fakes_ui import Desk
from v4l2_shim import skip_or_fail

from ui.system_keys import by_pynput, x11
from ui.system_keys.base import KEYS, Failed, Heard, SystemKey, SystemKeysError, keys_with

ON_X11 = pytest.mark.skipif(sys.platform != "linux", reason="X11 is Linux's")


@pytest.fixture
def server(display: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A display on which keys can be pressed."""
    if shutil.which("xdotool") is None:
        skip_or_fail("xdotool is missing", "apt install xdotool")
    monkeypatch.setenv("DISPLAY", display)
    return display


def press(display: str, *words: str) -> None:
    environment = os.environ | {"DISPLAY": display}
    subprocess.run(["xdotool", *words], env=environment, check=True, timeout=20)


def becomes(what: Callable[[], object], wanted: object) -> None:
    deadline_s = time.monotonic() + 10
    while what() != wanted and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert what() == wanted


@pytest.fixture
def heard() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def grabbed(server: str, heard: list[tuple[str, bool]]) -> Iterator[x11.X11Keys]:
    listener = x11.X11Keys(keys_with("Ctrl+Alt"), lambda action, down: heard.append((action, down)))
    yield listener
    listener.close()


@ON_X11
def test_our_keys_are_heard_and_no_others(server: str, grabbed: x11.X11Keys, heard: list[tuple[str, bool]]) -> None:
    assert not grabbed.taken
    press(server, "key", "f", "key", "ctrl+f", "key", "ctrl+alt+z", "key", "ctrl+shift+alt+f", "key", "ctrl+alt+f")
    becomes(lambda: heard, [("freeze", True), ("freeze", False)])
    press(server, "key", "ctrl+alt+3", "key", "ctrl+alt+Left")
    becomes(lambda: [action for action, down in heard if down], ["freeze", "avatar_3", "previous_avatar"])


@ON_X11
def test_they_are_heard_with_num_lock_on(server: str, grabbed: x11.X11Keys, heard: list[tuple[str, bool]]) -> None:
    press(server, "key", "Num_Lock")
    try:
        press(server, "key", "ctrl+alt+v")
        becomes(lambda: heard, [("virtual_camera", True), ("virtual_camera", False)])
    finally:
        press(server, "key", "Num_Lock")


@ON_X11
def test_a_key_that_is_held_goes_down_once(server: str, grabbed: x11.X11Keys, heard: list[tuple[str, bool]]) -> None:
    press(server, "keydown", "ctrl", "keydown", "alt", "keydown", "0", "sleep", "1.5")
    assert heard == [("pass_through", True)]
    press(server, "keyup", "ctrl", "keyup", "alt", "keyup", "0")
    becomes(lambda: heard, [("pass_through", True), ("pass_through", False)])


@ON_X11
def test_a_key_of_another_program_is_named_and_the_others_work(
    server: str, grabbed: x11.X11Keys, heard: list[tuple[str, bool]]
) -> None:
    second = x11.X11Keys([*keys_with("Ctrl+Alt")[:1], *keys_with("Meta+Alt")[:1]], lambda *_: None)
    assert [key.text for key in second.taken] == ["Ctrl+Alt+F"]
    second.close()
    press(server, "key", "ctrl+alt+f")
    becomes(lambda: heard[:1], [("freeze", True)])


@ON_X11
def test_a_key_is_free_again_afterwards(server: str) -> None:
    for _ in range(2):
        listener = x11.X11Keys(keys_with("Ctrl+Alt"), lambda *_: None)
        assert not listener.taken
        listener.close()
        listener.close()
        assert not listener._thread.is_alive()


@ON_X11
def test_no_server_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(SystemKeysError, match="does not answer"):
        x11.X11Keys(keys_with("Ctrl+Alt"), lambda *_: None)


class StandIn:
    """A listener whose keys a test presses."""

    def __init__(self, wanted: Sequence[SystemKey], heard: Heard) -> None:
        self.wanted, self.heard, self.closed = wanted, heard, False
        self.taken: Sequence[SystemKey] = [key for key in wanted if key.text == "Meta+Alt+F"]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """The listeners that the window opened."""
    listeners: list[StandIn] = []

    def open_listener(wanted: Sequence[SystemKey], heard: Heard, _: Failed) -> StandIn:
        listeners.append(StandIn(wanted, heard))
        return listeners[-1]

    monkeypatch.setattr(desk.app.system_keys, "_open", open_listener)
    return listeners


def test_they_are_off_until_switched_on_and_do_what_the_window_s_keys_do(desk: Desk, opened: list[StandIn]) -> None:
    assert not opened
    desk.session.change("window", system_keys="Ctrl+Alt")
    assert {key.action for key in opened[0].wanted} == set(KEYS)
    opened[0].heard("freeze", True)
    desk.until(lambda: desk.session.state.frozen)
    opened[0].heard("freeze", True)
    desk.until(lambda: not desk.session.state.frozen)
    other = desk.names()[1]
    opened[0].heard("avatar_2", True)
    desk.until(lambda: desk.session.settings.avatar == other)
    desk.session.change("window", system_keys="")
    assert opened[0].closed and len(opened) == 1


def test_the_real_face_needs_a_key_that_is_held(desk: Desk, opened: list[StandIn]) -> None:
    desk.use_camera()
    desk.session.change("window", system_keys="Ctrl+Alt")
    opened[0].heard("pass_through", True)
    opened[0].heard("pass_through", False)
    desk.bot.wait(1300)
    assert not desk.session.state.passing
    opened[0].heard("pass_through", True)
    desk.until(lambda: desk.session.state.passing)
    opened[0].heard("pass_through", False)
    opened[0].heard("pass_through", True)
    desk.until(lambda: not desk.session.state.passing)


def test_a_clash_is_said_with_the_key(desk: Desk, opened: list[StandIn]) -> None:
    desk.session.change("window", system_keys="Meta+Alt")
    desk.until(lambda: any("Meta+Alt+F" in text for text in desk.notices()))


def test_the_sheet_switches_them_on_and_names_them(desk: Desk, opened: list[StandIn]) -> None:
    from ui.dialogs.key_sheet import KeySheet

    sheet = KeySheet(desk.session, desk.window.actions_, desk.window)
    assert sheet.which.text() == "" and not opened
    sheet.anywhere.chosen.emit("Ctrl+Alt")
    assert len(opened) == 1 and "Ctrl+Alt+F" in sheet.which.text()
    assert desk.session.settings.window.system_keys == "Ctrl+Alt"
    sheet.close()


@ON_X11
def test_where_they_cannot_be_had_that_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.system_keys.keys.QGuiApplication.platformName", lambda: "wayland")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    desk.session.change("window", system_keys="Ctrl+Alt")
    desk.until(lambda: any("no portal" in text for text in desk.notices()))


def test_pynput_is_asked_in_its_own_writing() -> None:
    written = [by_pynput._written(key) for key in keys_with("Ctrl+Shift+Alt")]
    assert {"<ctrl>+<shift>+<alt>+f", "<ctrl>+<shift>+<alt>+0", "<ctrl>+<shift>+<alt>+<left>"} <= set(written)


def test_a_missing_pynput_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynput", None)
    with pytest.raises(SystemKeysError, match="package pynput"):
        by_pynput.PynputKeys(keys_with("Ctrl+Alt"), lambda *_: None)


def test_what_is_held_on_pynput_goes_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    listener = by_pynput.PynputKeys.__new__(by_pynput.PynputKeys)
    listener._down, listener._heard, listener._hotkeys = set(), lambda *given: heard.append(given), []
    listener._listener = None
    for _ in range(3):
        listener._press("freeze")
    listener._on_release(None)
    assert heard == [("freeze", True), ("freeze", False)]
