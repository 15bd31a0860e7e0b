"""Transfer from the pipeline's threads to the window's: frames by mailbox, events by queued signals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from PyQt5.QtCore import QObject, pyqtSignal

from avatar.frames import Frame, Latest
from avatar.live.broadcast import Broadcast, Preview
from avatar.live.events import Event
from avatar.live.pipeline import Pipeline

Item = TypeVar("Item")


class Relay(Generic[Item]):
    """Waits for the items of a broadcast and signals new ones; an unread item is replaced."""

    def __init__(self, name: str, tap: Broadcast[Item], tell: Callable[[], None]) -> None:
        self._tap, self._tell = tap, tell
        self._inbox = tap.subscribe()
        self._newest: Latest[Item] = Latest()
        self._told = threading.Event()  # set while a notification is pending
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self) -> Item | None:
        """Return the newest item, at most once; never blocks."""
        self._told.clear()
        return self._newest.take(timeout_s=0)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Unsubscribe and stop."""
        self._tap.unsubscribe(self._inbox)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._inbox.take()) is not None:
            self._newest.put(item)
            if not self._told.is_set():  # at most one signal is pending, however slow the window is
                self._told.set()
                self._tell()


class PipelineBridge(QObject):
    """Delivers the pipeline's frames and events to the window."""

    avatar_ready = pyqtSignal()  # then take_avatar()
    camera_ready = pyqtSignal()  # then take_camera()
    happened = pyqtSignal(object)  # an Event

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._avatar: Relay[Frame] | None = None
        self._camera: Relay[Preview] | None = None

    def tell(self, event: Event) -> None:
        """Emit an event; called by the pipeline on the thread where it occurred."""
        self.happened.emit(event)

    def watch(self, pipeline: Pipeline) -> None:
        """Receive the frames of this pipeline from now on."""
        self._avatar = Relay("masque-window-avatar", pipeline.avatar_frames, self.avatar_ready.emit)
        self._camera = Relay("masque-window-camera", pipeline.camera_frames, self.camera_ready.emit)

    def take_avatar(self) -> Frame | None:
        """Return the newest unread avatar frame."""
        return self._avatar.take() if self._avatar else None

    def take_camera(self) -> Preview | None:
        """Return the newest unread camera frame."""
        return self._camera.take() if self._camera else None

    def close(self) -> bool:
        """Stop receiving; safe to call twice."""
        relays = [relay for relay in (self._avatar, self._camera) if relay is not None]
        return all([relay.stop() for relay in relays])  # a list, so that every relay is stopped
