"""Frames and the one-slot mailbox that carries them between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3), RGB
FloatArray = npt.NDArray[np.float32]

_BLANK_LEVEL = 40  # grey


@dataclass(frozen=True, eq=False)  # eq=False: comparing arrays has no single truth value
class Frame:
    """One image and the facts needed to time it; read-only once published."""

    rgb: RgbImage  # (H, W, 3), RGB
    sequence: int  # position in its source, from 0; a gap means the source lost frames
    captured_ns: int  # time at which the frame was taken: monotonic for a camera, media time for a file
    passed_through: bool = False  # an avatar frame that shows the camera's own picture, because the user asked for it
    passage: int = 0  # which pass-through let it out, counted by the gate; between two of one nothing was forbidden

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


def blank_image(width_px: int, height_px: int) -> RgbImage:
    """Return what stands in for a camera frame that may not be shown where there was no avatar frame yet."""
    return np.full((height_px, width_px, 3), _BLANK_LEVEL, np.uint8)


Item = TypeVar("Item")


class Latest(Generic[Item]):
    """One-slot mailbox: put never blocks, and take hands out each item at most once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.replaced = 0  # items overwritten unread

    def put(self, item: Item) -> None:
        """Leave an item for `take`, in place of one nobody has taken yet; nothing after `close`."""
        with self._changed:
            if self._closed:
                return
            self.replaced += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Return the newest unread item; None after `timeout_s` or `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Drop the item and wake whoever waits; safe to call twice."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()


LatestFrame = Latest[Frame]
