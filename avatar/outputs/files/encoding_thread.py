"""Encoding on its own thread, so that it overlaps with drawing the next frame."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Self

from avatar.frames import RgbImage
from avatar.outputs.files.writer import FrameWriter

DEPTH = 4  # maximum number of pending frames
MAX_WAITING_BYTES = 64_000_000  # limit of their size: a 4K frame has 25 MB
_LOOK_UP_S = 0.1  # interval at which a blocked `put` checks whether the encoder failed


class EncodingThread:
    """Passes frames to a writer in order; an error of the writer is raised by the next call.

    Use it in a `with` block and call `finish` at its end; leaving without it drops the pending frames.
    """

    def __init__(self, writer: FrameWriter, *, frame_bytes: int = 0) -> None:
        self._writer = writer
        depth = min(DEPTH, max(1, MAX_WAITING_BYTES // max(1, frame_bytes)))
        self._waiting: queue.Queue[tuple[RgbImage, float] | None] = queue.Queue(depth)
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="masque-encoder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def put(self, rgb: RgbImage, time_s: float) -> None:
        """Hand over one (H, W, 3) uint8 RGB frame; blocks while too many are pending. Raises what the writer raised."""
        self._offer((rgb, time_s))

    def finish(self) -> None:
        """Wait until every frame is written. Raises what the writer raised."""
        self._offer(None)
        self._thread.join()
        self._raise_error()

    def _offer(self, item: tuple[RgbImage, float] | None) -> None:
        """Enqueue an (H, W, 3) uint8 frame and its time, or the end; raises an error of the writer."""
        while True:
            self._raise_error()
            try:
                self._waiting.put(item, timeout=_LOOK_UP_S)
                return
            except queue.Full:
                continue

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    item = self._waiting.get(timeout=_LOOK_UP_S)
                except queue.Empty:
                    continue
                if item is None:
                    return
                self._writer.write(*item)
        except BaseException as error:  # raised again on the drawing thread
            self._error = error
