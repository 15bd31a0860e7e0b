"""A desktop's portal for system-wide keys, on a session bus of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from v4l2_shim import skip_or_fail

NAME = "org.freedesktop.portal.Desktop"
PATH = "/org/freedesktop/portal/desktop"
SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"


@contextlib.contextmanager
def session_bus(folder: Path) -> Iterator[str]:
    """Run a session bus; yields its address."""
    if sys.platform != "linux":
        pytest.skip("portals are Linux's")
    if shutil.which("dbus-daemon") is None:
        skip_or_fail("dbus-daemon is missing", "apt install dbus")
    address = f"unix:path={folder}/bus"
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", f"--address={address}", "--nofork"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline_s = time.monotonic() + 10
        while not (folder / "bus").exists():
            assert time.monotonic() < deadline_s, "the session bus does not start"
            time.sleep(0.01)
        yield address
    finally:
        bus.terminate()
        bus.wait(10)


class FakePortal:
    """Answers as xdg-desktop-portal does, on a thread of its own."""

    def __init__(self, address: str) -> None:
        from jeepney import DBusAddress, MessageType
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import DBusConnection, prep_socket

        self.code = 0  # of the response to BindShortcuts: 1 = the user said no, 2 = the desktop did
        self.without: set[str] = set()  # shortcuts that get no key
        self.silent = False  # the user has not answered yet
        self.wished: dict[str, tuple[str, str]] = {}  # trigger and description by id
        self.session, self.closed = "", False
        self._client = ""
        self._lock = threading.Lock()
        self._bus = DBusConnection(prep_socket(address.removeprefix("unix:path=")))
        self._bus.send_and_get_reply(message_bus.RequestName(NAME))
        self._shortcuts = DBusAddress(PATH, interface=SHORTCUTS)
        self._method_call = MessageType.method_call
        self._thread = threading.Thread(target=self._run, name="fake-portal", daemon=True)
        self._thread.start()

    def press(self, action: str, *, down: bool = True, session: str | None = None) -> None:
        """Tell that a key went down or up."""
        body: tuple[object, ...] = (self.session if session is None else session, action, 1, {})
        self._signal(self._shortcuts, "Activated" if down else "Deactivated", "osta{sv}", body)

    def end_session(self) -> None:
        """End the session, as the desktop may at any time."""
        from jeepney import DBusAddress

        self._signal(DBusAddress(self.session, interface="org.freedesktop.portal.Session"), "Closed", "", ())

    def stop(self) -> None:
        """Leave the bus."""
        self._stopping = True
        self._thread.join(5)
        self._bus.close()

    _stopping = False

    def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                message = self._bus.receive(timeout=0.02)
                if message.header.message_type is self._method_call:
                    self._answer(message)

    def _answer(self, message: Any) -> None:
        from jeepney import HeaderFields, new_error, new_method_return

        fields = message.header.fields
        member, self._client = fields[HeaderFields.member], fields[HeaderFields.sender]
        if member == "Get":
            self._send(new_method_return(message, "v", (("u", 1),)))
        elif member in ("CreateSession", "BindShortcuts"):
            options = message.body[-1]
            handle = self._place("request", options["handle_token"][1])
            self._send(new_method_return(message, "o", (handle,)))
            self._respond(member, message.body, handle)
        elif member == "Close" and fields[HeaderFields.path] == self.session:
            self.closed = True
            self._send(new_method_return(message))
        else:
            self._send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))

    def _respond(self, member: str, body: Any, handle: str) -> None:
        from jeepney import DBusAddress

        request = DBusAddress(handle, interface="org.freedesktop.portal.Request")
        if member == "CreateSession":
            self.session = self._place("session", body[0]["session_handle_token"][1])
            self._signal(request, "Response", "ua{sv}", (0, {"session_handle": ("s", self.session)}))
            return
        assert body[0] == self.session
        self.wished = {name: (about["preferred_trigger"][1], about["description"][1]) for name, about in body[1]}
        bound = [
            (name, {"description": ("s", text), "trigger_description": ("s", "" if name in self.without else key)})
            for name, (key, text) in self.wished.items()
        ]
        if not self.silent:
            results = {"shortcuts": ("a(sa{sv})", bound)} if self.code == 0 else {}
            self._signal(request, "Response", "ua{sv}", (self.code, results))

    def _place(self, kind: str, token: str) -> str:
        return f"{PATH}/{kind}/{self._client.removeprefix(':').replace('.', '_')}/{token}"

    def _signal(self, emitter: Any, member: str, signature: str, body: tuple[object, ...]) -> None:
        from jeepney import new_signal

        self._send(new_signal(emitter, member, signature, body) if signature else new_signal(emitter, member))

    def _send(self, message: Any) -> None:
        with self._lock:
            self._bus.send(message)
