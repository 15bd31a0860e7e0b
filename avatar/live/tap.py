"""Where frames come out of the pipeline: every subscriber has a mailbox of its own and takes frames at its own pace."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from avatar.frames import FloatArray, Frame, Latest
from avatar.portrait_crop import Box

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Preview:
    """The camera's picture and what was seen in it; for the user's own screen, never for an output."""

    frame: Frame  # as the engine sees it: mirrored if the driving signal is
    landmarks: FloatArray | None  # (478, 3) of the driver's face, pixels of the frame; None: no face
    crop: Box  # the part that engines see that work on pictures


class Tap(Generic[Item]):
    """Hands every item to all who subscribed; nobody waits for anybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: tuple[Latest[Item], ...] = ()

    def subscribe(self) -> Latest[Item]:
        """A mailbox that gets every item from now on."""
        mailbox: Latest[Item] = Latest()
        with self._lock:
            self._mailboxes = (*self._mailboxes, mailbox)
        return mailbox

    def unsubscribe(self, mailbox: Latest[Item]) -> None:
        """Close a mailbox of `subscribe`; safe to call twice."""
        with self._lock:
            self._mailboxes = tuple(each for each in self._mailboxes if each is not mailbox)
        mailbox.close()

    def put(self, item: Item) -> None:
        """Hand an item to all subscribers."""
        for mailbox in self._mailboxes:
            mailbox.put(item)
