"""System-wide keys on Windows and macOS, by pynput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatar.system.foreign_text import first_line
from avatar.system.message import Message
from ui.system_keys.base import ALT, CONTROL, META, SHIFT, Heard, SystemKey, SystemKeysError

_NAMES = {SHIFT: "<shift>", CONTROL: "<ctrl>", ALT: "<alt>", META: "<cmd>"}


class PynputKeys:
    """Keys heard by pynput's listener, on its thread. It cannot tell which of them other programs use."""

    taken: Sequence[SystemKey] = ()

    def __init__(self, keys: Sequence[SystemKey], heard: Heard) -> None:
        """Listen. Raises SystemKeysError: pynput is not installed, or the system does not let it listen."""
        try:
            from pynput import keyboard
        except ImportError as missing:
            raise SystemKeysError(
                "System-wide keys need the package pynput.", remedy="Install Masque's packages again."
            ) from missing
        self._down: set[str] = set()
        self._heard = heard
        self._hotkeys = [
            keyboard.HotKey(keyboard.HotKey.parse(_written(key)), lambda action=key.action: self._press(action))
            for key in keys
        ]
        try:
            self._listener: Any = keyboard.Listener(on_press=self._on_press, on_release=self._on_release)
            self._listener.start()
        except Exception as failed:
            raise SystemKeysError(
                Message("The system does not let Masque listen for keys: {why}.", why=first_line(failed)),
                remedy="Allow it in the system's privacy settings, under Accessibility.",
            ) from failed

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._listener.stop()

    def _on_press(self, key: Any) -> None:
        for hotkey in self._hotkeys:
            hotkey.press(self._listener.canonical(key))

    def _on_release(self, key: Any) -> None:
        for hotkey in self._hotkeys:
            hotkey.release(self._listener.canonical(key))
        for action in sorted(self._down):  # whichever key of a combination is let go of ends it
            self._down.discard(action)
            self._heard(action, False)

    def _press(self, action: str) -> None:
        if action not in self._down:  # held keys repeat
            self._down.add(action)
            self._heard(action, True)


def _written(key: SystemKey) -> str:
    """Write a key as pynput does."""
    last = key.key.lower() if len(key.key) == 1 else f"<{key.key.lower()}>"
    return "+".join((*(_NAMES[name] for name in key.modifiers), last))
