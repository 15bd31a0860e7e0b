"""Broadcast of frames to subscribers, each with a mailbox of its own, so that all take frames at their own pace."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from avatar.frames import FloatArray, Frame, Latest
from avatar.images.box import Box

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Preview:
    """A camera frame with the tracked face; for the user's own screen, never for an output."""

    frame: Frame  # as passed to the engine: mirrored if the driving signal is mirrored
    landmarks: FloatArray | None  # (478, 3) of the driver's face, pixels of the frame; None: no face
    crop: Box  # crop region fed to image-driven engines


class Broadcast(Generic[Item]):
    """Non-blocking broadcast of items to all subscribers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: tuple[Latest[Item], ...] = ()

    def subscribe(self) -> Latest[Item]:
        """Return a new mailbox that receives every item from now on."""
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
        """Send an item to all subscribers."""
        for mailbox in self._mailboxes:
            mailbox.put(item)
