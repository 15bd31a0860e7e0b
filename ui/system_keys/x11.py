"""System-wide keys on X11: each key is grabbed by itself, so that nothing else that is typed is seen."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Sequence
from typing import Any

from avatar.system.message import Message
from ui.system_keys.base import ALT, CONTROL, META, SHIFT, Heard, SystemKey, SystemKeysError

logger = logging.getLogger(__name__)

STOP_S = 2.0
_USED = 1 | 4 | 8 | 64  # masks of Shift, Control, Mod1 (Alt) and Mod4 (Meta)


class X11Keys:
    """Keys grabbed from an X server, on a thread with a connection of its own."""

    def __init__(self, keys: Sequence[SystemKey], heard: Heard) -> None:
        """Grab the keys that are free; the others are in `taken`.

        Raises:
            SystemKeysError: python-xlib is not installed, or the X server does not answer.
        """
        try:
            from Xlib import display, error
        except ImportError as missing:
            raise SystemKeysError(
                "System-wide keys need the package python-xlib.", remedy="Install Masque's packages again."
            ) from missing
        try:
            self._display: Any = display.Display()
        except (error.DisplayError, OSError) as failed:
            raise SystemKeysError(
                Message("The X server does not answer: {why}.", why=failed),
                remedy="Use the keys in Masque's window.",
            ) from failed
        self._root = self._display.screen().root
        self._heard = heard
        self._actions: dict[tuple[int, int], str] = {}  # by key code and modifiers
        self._down: dict[int, str] = {}  # actions of the keys that are down, by key code
        self.taken: list[SystemKey] = [key for key in keys if not self._grab(key)]
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="masque-system-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the keys; safe to call twice."""
        if self._thread.is_alive():
            os.write(self._writing, b".")
            self._thread.join(STOP_S)

    def _grab(self, key: SystemKey) -> bool:
        from Xlib import XK, X
        from Xlib.error import BadAccess, CatchError

        masks = {SHIFT: X.ShiftMask, CONTROL: X.ControlMask, ALT: X.Mod1Mask, META: X.Mod4Mask}
        modifiers = sum(masks[name] for name in key.modifiers)
        symbol = XK.string_to_keysym(key.key.lower() if len(key.key) == 1 else key.key)
        code = self._display.keysym_to_keycode(symbol)
        if not code:  # no such key on this keyboard
            return False
        for locks in (0, X.LockMask, X.Mod2Mask, X.LockMask | X.Mod2Mask):  # Caps Lock and Num Lock may be on
            refused = CatchError(BadAccess)
            self._root.grab_key(code, modifiers | locks, False, X.GrabModeAsync, X.GrabModeAsync, onerror=refused)
            self._display.sync()
            if refused.get_error():
                self._root.ungrab_key(code, modifiers | locks)
                return False
        self._actions[code, modifiers] = key.action
        return True

    def _listen(self) -> None:
        try:
            while True:
                ready, _, _ = select.select([self._display, self._reading], [], [])
                if self._reading in ready:
                    break
                self._take_events()
        except Exception:  # the X server is gone, and with it the window
            logger.debug("System-wide keys ended", exc_info=True)
        finally:
            os.close(self._reading)
            self._display.close()  # which also ends the grabs

    def _take_events(self) -> None:
        from Xlib import X

        for event in [self._display.next_event() for _ in range(self._display.pending_events())]:
            if event.type == X.KeyPress and event.detail not in self._down:
                action = self._actions.get((event.detail, event.state & _USED))
                if action is not None:
                    self._down[event.detail] = action
                    self._heard(action, True)
            elif event.type == X.KeyRelease and event.detail in self._down and not self._is_down(event.detail):
                self._heard(self._down.pop(event.detail), False)

    def _is_down(self, code: int) -> bool:
        """Return whether a key is down: a key that is held sends releases, too, one before each repeated press."""
        return bool(self._display.query_keymap()[code // 8] >> code % 8 & 1)
