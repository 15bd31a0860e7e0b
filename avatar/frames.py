"""Frames and the one-slot mailbox that carries them between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3), RGB
AlphaImage = npt.NDArray[np.uint8]  # (H, W), 255 = opaque
FloatArray = npt.NDArray[np.float32]

_BLANK_LEVEL = 40  # grey level


@dataclass(frozen=True, eq=False)
class PortraitLayers:
    """Layers of the portrait in a frame, for placing it and for compositing it over another background."""

    avatar: str = ""  # by which its place is remembered
    face: tuple[float, float] | None = None  # centre of the face at rest, in [0, 1] of width and height
    background: RgbImage | None = None  # (H, W, 3), without the person: the same array while the portrait is on
    matte: AlphaImage | None = None  # (H, W), 255 = person, of this very frame; None: not asked for, or unknown
    face_size: tuple[float, float] = (0.0, 0.0)  # width and height of the face, likewise


@dataclass(frozen=True, eq=False)  # eq=False: comparing arrays has no single truth value
class Frame:
    """One image and the facts needed to time it; read-only once published."""

    rgb: RgbImage  # (H, W, 3), RGB
    sequence: int  # position in its source, from 0; a gap means the source lost frames
    captured_ns: int  # time at which the frame was taken: monotonic for a camera, media time for a file
    passed_through: bool = False  # an avatar frame that shows the camera's own picture, because the user asked for it
    passage: int = 0  # which pass-through let it out, counted by the gate; between two of one nothing was forbidden
    published: int = 0  # its place among all frames that the gate let out, from 1; 0: not published by a gate
    layers: PortraitLayers | None = None  # of an avatar frame as drawn
    before: Frame | None = None  # an avatar frame that this one is blended over, while one avatar fades to the next
    share: float = 1.0  # opacity of this frame over `before`
    alpha: AlphaImage | None = None  # of a composed frame with transparency; its `rgb` is premultiplied by it

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
    """Return (height_px, width_px, 3) that replaces a forbidden camera frame before the first avatar frame."""
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
        """Store an item for `take`, replacing an unread one; does nothing after `close`."""
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
        """Drop the item and wake waiting threads; safe to call twice."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()


LatestFrame = Latest[Frame]
