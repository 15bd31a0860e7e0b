"""Keys on Wayland: asked of a portal on a session bus, which a stand-in answers."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_portal import FakePortal, session_bus
from fakes_ui import Desk

from avatar.errors import AvatarError
from ui.system_keys import keys as system_keys
from ui.system_keys.base import KEYS, SystemKeysError, keys_with
from ui.system_keys.portal import PortalKeys, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="portals are Linux's")
pytest.importorskip("jeepney") if sys.platform == "linux" else None


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with session_bus(tmp_path_factory.mktemp("bus")) as address:
        yield address


@pytest.fixture(autouse=True)
def address(bus: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    return bus


@pytest.fixture
def portal(bus: str) -> Iterator[FakePortal]:
    fake = FakePortal(bus)
    yield fake
    fake.stop()


class Told:
    """What a listener told."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, bool]] = []
        self.errors: list[AvatarError] = []

    def heard(self, action: str, down: bool) -> None:
        self.keys.append((action, down))


def becomes(what: Callable[[], object], wanted: object) -> None:
    deadline_s = time.monotonic() + 10
    while what() != wanted and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert what() == wanted


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def opened(told: Told) -> Iterator[Callable[[], PortalKeys]]:
    """Opens listeners, and closes them in the end."""
    listeners: list[PortalKeys] = []

    def open_one() -> PortalKeys:
        keys = keys_with("Ctrl+Alt")
        listeners.append(PortalKeys(keys, told.heard, told.errors.append, lambda action: f"Do {action}"))
        return listeners[-1]

    yield open_one
    for listener in listeners:
        listener.close()
        assert not listener._thread.is_alive()


def test_keys_are_proposed_with_what_they_do(portal: FakePortal, opened: Callable[[], PortalKeys]) -> None:
    opened()
    becomes(lambda: set(portal.wished), set(KEYS))
    assert portal.wished["freeze"] == ("CTRL+ALT+f", "Do freeze")
    assert portal.wished["previous_avatar"][0] == "CTRL+ALT+Left"
    assert written(keys_with("Meta+Alt")[0]) == "LOGO+ALT+f"


def test_keys_go_down_and_up_and_the_session_is_closed(
    portal: FakePortal, opened: Callable[[], PortalKeys], told: Told
) -> None:
    listener = opened()
    becomes(lambda: bool(portal.wished), True)
    portal.press("freeze", session="/org/freedesktop/portal/desktop/session/other")
    portal.press("pass_through")
    portal.press("pass_through")
    portal.press("something_else")
    portal.press("pass_through", down=False)
    becomes(lambda: told.keys, [("pass_through", True), ("pass_through", False)])
    portal.press("pass_through")
    becomes(lambda: len(told.keys), 3)
    listener.close()
    listener.close()
    assert told.keys[3:] == [("pass_through", False)], "what is held ends with the listener"
    becomes(lambda: portal.closed, True)
    assert not told.errors


def test_other_programs_press_no_keys(
    portal: FakePortal, opened: Callable[[], PortalKeys], told: Told, bus: str
) -> None:
    from jeepney import DBusAddress, HeaderFields, new_signal
    from jeepney.io.blocking import DBusConnection, prep_socket

    opened()
    becomes(lambda: bool(portal.wished), True)
    portal.press("freeze")
    becomes(lambda: told.keys, [("freeze", True)])
    stranger = DBusConnection(prep_socket(bus.removeprefix("unix:path=")))
    emitter = DBusAddress("/org/freedesktop/portal/desktop", interface="org.freedesktop.portal.GlobalShortcuts")
    forged = new_signal(emitter, "Activated", "osta{sv}", (portal.session, "pass_through", 1, {}))
    forged.header.fields[HeaderFields.destination] = portal._client
    stranger.send(forged)
    portal.press("freeze", down=False)
    becomes(lambda: told.keys, [("freeze", True), ("freeze", False)])
    stranger.close()


@pytest.mark.parametrize(("code", "said"), [(1, "have not allowed"), (2, "gives Masque no")])
def test_a_no_is_said(portal: FakePortal, opened: Callable[[], PortalKeys], told: Told, code: int, said: str) -> None:
    portal.code = code
    opened()
    becomes(lambda: len(told.errors), 1)
    assert said in told.errors[0].what and "F1" in told.errors[0].remedy
    becomes(lambda: portal.closed, True)


def test_keys_that_the_desktop_did_not_give_are_named(
    portal: FakePortal, opened: Callable[[], PortalKeys], told: Told
) -> None:
    portal.without = {"freeze", "record"}
    opened()
    becomes(lambda: len(told.errors), 1)
    assert "Ctrl+Alt+F, Ctrl+Alt+R." in told.errors[0].what
    portal.press("virtual_camera")
    becomes(lambda: told.keys, [("virtual_camera", True)])


def test_it_is_closed_while_the_user_is_still_asked(portal: FakePortal, opened: Callable[[], PortalKeys]) -> None:
    portal.silent = True
    listener = opened()
    becomes(lambda: bool(portal.wished), True)
    began_s = time.monotonic()
    listener.close()
    assert time.monotonic() - began_s < 2 and not listener._thread.is_alive()


@pytest.mark.parametrize("how", ["session", "portal"])
def test_an_end_by_the_desktop_lets_go_and_is_said(
    bus: str, opened: Callable[[], PortalKeys], told: Told, how: str
) -> None:
    fake = FakePortal(bus)
    opened()
    becomes(lambda: bool(fake.wished), True)
    fake.press("pass_through")
    becomes(lambda: told.keys, [("pass_through", True)])
    fake.end_session() if how == "session" else fake.stop()
    becomes(lambda: told.keys, [("pass_through", True), ("pass_through", False)])
    assert [error.what for error in told.errors] == ["The desktop has ended the system-wide keys."]
    fake.stop()


def test_without_a_portal_one_sentence_says_so(
    opened: Callable[[], PortalKeys], told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened()
    becomes(lambda: len(told.errors), 1)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    opened()
    becomes(lambda: len(told.errors), 2)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    opened()
    becomes(lambda: len(told.errors), 3)
    assert {error.what for error in told.errors} == {"This desktop has no portal for system-wide keys."}


def test_a_missing_jeepney_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jeepney.io.blocking", None)
    with pytest.raises(SystemKeysError, match="package jeepney"):
        PortalKeys(keys_with("Ctrl+Alt"), lambda *_: None, lambda _: None)


def test_the_window_asks_on_wayland_alone_and_when_switched_on(
    desk: Desk, portal: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not system_keys.on_wayland()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert system_keys.on_wayland() and not portal.wished
    desk.session.change("window", system_keys="Ctrl+Alt")
    desk.until(lambda: bool(portal.wished))
    assert portal.wished["pass_through"][1] and portal.wished["avatar_3"][1].endswith("3")
    portal.press("freeze")
    desk.until(lambda: desk.session.state.frozen)
    desk.session.change("window", system_keys="")
    becomes(lambda: portal.closed, True)
    portal.code = 1
    desk.session.change("window", system_keys="Meta+Alt")
    desk.until(lambda: any("not allowed" in text for text in desk.notices()))
    desk.app.system_keys.close()
    assert not any(thread.name == "masque-system-keys" for thread in threading.enumerate())
