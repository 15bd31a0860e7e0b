"""System-wide keys on Wayland: the desktop's portal listens for them, and the user allows it in the desktop's window.

org.freedesktop.portal.GlobalShortcuts, over the session bus. What we wish for is a proposal: the desktop, or its user,
may choose other keys, or none.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import secrets
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any

from avatar.errors import AvatarError
from avatar.system.message import Message
from ui.system_keys.base import ALT, CONTROL, META, SHIFT, Failed, Heard, SystemKey, SystemKeysError

logger = logging.getLogger(__name__)

STOP_S = 2.0
_CALL_S = 25.0  # the bus may have to start the portal first
_CLOSE_S = 1.0
_NAME, _PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
_SHORTCUTS, _REQUEST, _SESSION = (
    f"org.freedesktop.portal.{each}" for each in ("GlobalShortcuts", "Request", "Session")
)
_MODIFIERS = {SHIFT: "SHIFT", CONTROL: "CTRL", ALT: "ALT", META: "LOGO"}
_AGAIN = "Switch them off and on again in the key sheet (F1), and allow them in the desktop's window."


class _StoppedError(Exception):
    """`close` was called."""


class PortalKeys:
    """Keys heard from the portal, on a thread with a connection of its own; nothing is known of them before that."""

    taken: Sequence[SystemKey] = ()

    def __init__(
        self, keys: Sequence[SystemKey], heard: Heard, failed: Failed, describe: Callable[[str], str] = str
    ) -> None:
        """Ask for the keys, without waiting for the answer.

        Args:
            keys: the keys to propose.
            heard: is told of presses and releases, on our thread.
            failed: is told what went wrong, on our thread.
            describe: returns the text of an action, for the desktop's window; called here.
        Raises:
            SystemKeysError: jeepney is not installed.
        """
        try:
            import jeepney.io.blocking  # noqa: F401 - the thread needs it
        except ImportError as missing:
            raise SystemKeysError(
                "System-wide keys need the package jeepney.", remedy="Install Masque's packages again."
            ) from missing
        self._keys = {key.action: key for key in keys}
        self._described = {action: describe(action) for action in self._keys}
        self._heard, self._failed = heard, failed
        self._down: set[str] = set()
        self._writing: int | None
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._run, name="masque-system-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the keys; safe to call twice."""
        if self._writing is None:
            return
        with contextlib.suppress(OSError):  # the thread has ended already
            os.write(self._writing, b".")
        self._thread.join(STOP_S)
        os.close(self._writing)
        self._writing = None

    def _run(self) -> None:
        from jeepney import DBusErrorResponse

        try:
            with _Portal(self._reading) as portal:
                self._listen(portal)
        except _StoppedError:
            pass
        except AvatarError as error:
            self._failed(error)
        except (DBusErrorResponse, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            logger.debug("The portal failed", exc_info=True)
            self._failed(
                SystemKeysError(
                    Message("The desktop's portal for system-wide keys failed: {why}.", why=error), remedy=_AGAIN
                )
            )
        finally:
            os.close(self._reading)
            for action in sorted(self._down):  # nobody else would end what is held
                self._heard(action, False)

    def _listen(self, portal: _Portal) -> None:
        wished = [
            (action, {"description": ("s", self._described[action]), "preferred_trigger": ("s", written(key))})
            for action, key in self._keys.items()
        ]
        given = portal.bind(wished)
        lacking = [key for action, key in self._keys.items() if action not in given]
        if lacking:
            names = ", ".join(key.text for key in lacking)
            self._failed(
                SystemKeysError(
                    Message("The desktop has given Masque no keys in place of {keys}.", keys=names),
                    remedy="Another program may use them: choose other ones in the desktop's settings for keys.",
                )
            )
        while True:
            action, goes_down = portal.next_key()
            if action in self._keys and (action in self._down) != goes_down:
                (self._down.add if goes_down else self._down.discard)(action)
                self._heard(action, goes_down)


class _Portal:
    """A connection to the session bus, and our session with the portal; used on one thread."""

    def __init__(self, stopping: int) -> None:
        """Keep a file descriptor that becomes readable when all is to end."""
        from jeepney import DBusAddress

        self._stopping = stopping
        self._shortcuts = DBusAddress(_PATH, _NAME, _SHORTCUTS)
        self._signals: collections.deque[Any] = collections.deque()
        self._session = self._owner = ""

    def __enter__(self) -> _Portal:
        from jeepney import DBusErrorResponse, MatchRule, Properties, message_bus
        from jeepney.io.blocking import open_dbus_connection

        no_portal = SystemKeysError(
            "This desktop has no portal for system-wide keys.", remedy="Use the keys in Masque's window."
        )
        try:
            self._bus: Any = open_dbus_connection()
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise no_portal from error
        try:
            self._filter = self._bus.filter(MatchRule(type="signal"), queue=self._signals)
            for interface in (_SHORTCUTS, _REQUEST, _SESSION):
                self._call(message_bus.AddMatch(MatchRule(type="signal", sender=_NAME, interface=interface)))
            gone = MatchRule(type="signal", sender="org.freedesktop.DBus", member="NameOwnerChanged")
            gone.add_arg_condition(0, _NAME)
            self._call(message_bus.AddMatch(gone))
            self._call(Properties(self._shortcuts).get("version"))
            (self._owner,) = self._call(message_bus.GetNameOwner(_NAME))
        except (DBusErrorResponse, OSError) as error:
            self._bus.close()
            raise no_portal from error
        return self

    def __exit__(self, *_: object) -> None:
        from jeepney import DBusAddress, DBusErrorResponse, new_method_call

        with contextlib.suppress(DBusErrorResponse, OSError):
            if self._session:
                session = DBusAddress(self._session, _NAME, _SESSION)
                self._call(new_method_call(session, "Close"), _CLOSE_S)
        self._bus.close()

    def bind(self, wished: list[tuple[str, dict[str, tuple[str, str]]]]) -> set[str]:
        """Ask for shortcuts by (id, options), and return the ids of those that have keys now.

        Raises: SystemKeysError: the user, or the desktop, said no.
        """
        token = {"session_handle_token": ("s", _token())}
        self._session = str(self._asked("CreateSession", "a{sv}", (), token)["session_handle"][1])
        bound = self._asked("BindShortcuts", "oa(sa{sv})sa{sv}", (self._session, wished, ""), {})
        _, shortcuts = bound.get("shortcuts", ("", []))
        return {name for name, about in shortcuts if about.get("trigger_description", ("s", "?"))[1]}

    def next_key(self) -> tuple[str, bool]:
        """Wait for the next key: its id, and whether it went down. Raises: SystemKeysError: the session ended."""
        while True:
            signal, member = self._next()
            if member in ("Activated", "Deactivated") and signal.body[0] == self._session:
                return str(signal.body[1]), member == "Activated"

    def _asked(self, method: str, signature: str, body: tuple[object, ...], options: dict[str, Any]) -> dict[str, Any]:
        """Make a request of the portal, and wait for its response, which may take as long as the user does."""
        from jeepney import HeaderFields, new_method_call

        options = options | {"handle_token": ("s", _token())}
        (handle,) = self._call(new_method_call(self._shortcuts, method, signature, (*body, options)))
        while True:
            signal, member = self._next()
            if member == "Response" and signal.header.fields.get(HeaderFields.path) == handle:
                break
        code, results = signal.body
        if code == 1:
            raise SystemKeysError("You have not allowed Masque system-wide keys.", remedy=_AGAIN)
        if code != 0:
            raise SystemKeysError("The desktop gives Masque no system-wide keys.", remedy=_AGAIN)
        return dict(results)

    def _next(self) -> tuple[Any, str]:
        """Wait for a signal of the portal; return it with its name.

        Raises: _StoppedError; SystemKeysError: the portal has ended our session.
        """
        from jeepney import HeaderFields

        while True:
            while self._signals:
                signal = self._signals.popleft()
                fields = signal.header.fields
                member, sender = fields.get(HeaderFields.member, ""), fields.get(HeaderFields.sender)
                is_gone = member == "NameOwnerChanged" and signal.body[1] == self._owner
                is_ours = fields.get(HeaderFields.path) == self._session and sender == self._owner
                if is_gone or (member == "Closed" and is_ours):
                    self._session = ""
                    raise SystemKeysError("The desktop has ended the system-wide keys.", remedy=_AGAIN)
                if sender == self._owner:  # other programs on the bus may send us anything
                    return signal, member
            self._wait()

    def _wait(self) -> None:
        """Take in what the bus sends; wait for it if there is nothing yet. Raises: _StoppedError."""
        try:
            self._bus.recv_messages(timeout=0)
        except TimeoutError:
            select.select([self._bus.sock, self._stopping], [], [])
        if select.select([self._stopping], [], [], 0)[0]:
            raise _StoppedError

    def _call(self, message: Any, timeout_s: float = _CALL_S) -> tuple[Any, ...]:
        """Call a method and return what it returns. Raises: DBusErrorResponse; OSError: no answer came."""
        from jeepney.wrappers import unwrap_msg

        return tuple(unwrap_msg(self._bus.send_and_get_reply(message, timeout=timeout_s)))


def written(key: SystemKey) -> str:
    """Write a key as the portal does, such as "CTRL+ALT+f"; names of keys are those of xkb."""
    return "+".join((*(_MODIFIERS[name] for name in key.modifiers), key.key.lower() if len(key.key) == 1 else key.key))


def _token() -> str:
    return f"masque_{secrets.token_hex(8)}"
