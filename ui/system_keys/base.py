"""Types shared by the system-wide keys of all systems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from avatar.errors import AvatarError

SHIFT, CONTROL, ALT, META = "Shift", "Ctrl", "Alt", "Meta"
KEYS = {  # action -> the key after the prefix, as on a US keyboard
    "freeze": "F", "virtual_camera": "V", "pass_through": "0", "record": "R", "previous_avatar": "Left",
    "next_avatar": "Right", **{f"avatar_{number}": str(number) for number in range(1, 10)},
}  # fmt: skip
HELD = "pass_through"  # must be held for a while


@dataclass(frozen=True)
class SystemKey:
    """One key that is to be listened for."""

    action: str
    modifiers: tuple[str, ...]
    key: str  # a letter, a digit, "Left" or "Right"

    @property
    def text(self) -> str:
        """Text for the user, such as "Ctrl+Alt+F"."""
        return "+".join((*self.modifiers, self.key))


def keys_with(prefix: str) -> tuple[SystemKey, ...]:
    """Return all keys with the modifiers of `settings.SYSTEM_KEYS`; none with an empty prefix."""
    if not prefix:
        return ()
    return tuple(SystemKey(action, tuple(prefix.split("+")), key) for action, key in KEYS.items())


Heard = Callable[[str, bool], None]  # action, and whether its key went down; on any thread
Failed = Callable[[AvatarError], None]  # on any thread


class Listener(Protocol):
    """Keys that are being listened for."""

    @property
    def taken(self) -> Sequence[SystemKey]:
        """Keys that belong to another program."""
        ...

    def close(self) -> None:
        """Let go of the keys; safe to call twice."""
        ...


class SystemKeysError(AvatarError):
    """System-wide keys cannot be had here."""
