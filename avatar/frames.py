"""Frames and the one-slot mailbox that carries them between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3), RGB
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)  # eq=False: comparing arrays has no single truth value
class Frame:
    """One image and the facts needed to time it; read-only once published."""

    rgb: RgbImage  # (H, W, 3), RGB
    sequence: int  # position in its source, from 0; a gap means the source lost frames
    captured_ns: int  # time at which the frame was taken: monotonic for a camera, media time for a file

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            raise ValueError(f"rgb must be (H, W, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}")

    @property
    def width_px(self) -> int:
        """Width of the image."""
        return int(self.rgb.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the image."""
        return int(self.rgb.shape[0])


class LatestFrame:
    """One-slot mailbox: put never blocks, and take hands out each frame at most once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.replaced = 0  # frames overwritten unread

    def put(self, frame: Frame) -> None:
        """Leave a frame for `take`, in place of one nobody has taken yet; nothing after `close`."""
        with self._changed:
            if self._closed:
                return
            self.replaced += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """Return the newest unread frame; None after `timeout_s` or `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """Drop the frame and wake whoever waits; safe to call twice."""
        with self._changed:
            self._closed, self._frame = True, None
            self._changed.notify_all()
