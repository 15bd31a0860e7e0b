"""From the pipeline's threads to the window's: pixels by mailbox, news by queued signals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from PyQt5.QtCore import QObject, pyqtSignal

from avatar.frames import Frame, Latest
from avatar.live.events import Event
from avatar.live.tap import Preview, Tap
from avatar.pipeline import Pipeline

Item = TypeVar("Item")


class Pump(Generic[Item]):
    """Waits for the items of one tap and says when there is a new one; an item that was not fetched is replaced."""

    def __init__(self, name: str, tap: Tap[Item], tell: Callable[[], None]) -> None:
        self._tap, self._tell = tap, tell
        self._inbox = tap.subscribe()
        self._newest: Latest[Item] = Latest()
        self._told = threading.Event()  # set: the window knows and has not come yet
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self) -> Item | None:
        """The newest item, once; never waits."""
        self._told.clear()
        return self._newest.take(timeout_s=0)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Let go of the tap."""
        self._tap.unsubscribe(self._inbox)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._inbox.take()) is not None:
            self._newest.put(item)
            if not self._told.is_set():  # at most one signal is under way, however slow the window is
                self._told.set()
                self._tell()


class PipelineBridge(QObject):
    """Hands what the pipeline makes to the window."""

    avatar_ready = pyqtSignal()  # then take_avatar()
    camera_ready = pyqtSignal()  # then take_camera()
    happened = pyqtSignal(object)  # an Event

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._avatar: Pump[Frame] | None = None
        self._camera: Pump[Preview] | None = None

    def tell(self, event: Event) -> None:
        """Called by the pipeline on the thread where something happened."""
        self.happened.emit(event)

    def watch(self, pipeline: Pipeline) -> None:
        """Take the pixels of this pipeline from now on."""
        self._avatar = Pump("masque-window-avatar", pipeline.avatar_frames, self.avatar_ready.emit)
        self._camera = Pump("masque-window-camera", pipeline.camera_frames, self.camera_ready.emit)

    def take_avatar(self) -> Frame | None:
        """The newest avatar frame that was not taken yet."""
        return self._avatar.take() if self._avatar else None

    def take_camera(self) -> Preview | None:
        """The newest camera picture that was not taken yet."""
        return self._camera.take() if self._camera else None

    def close(self) -> bool:
        """Take nothing any more; safe to call twice."""
        pumps = [pump for pump in (self._avatar, self._camera) if pump is not None]
        return all([pump.stop() for pump in pumps])  # a list: every one is to be stopped
