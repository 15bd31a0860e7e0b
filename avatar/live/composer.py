"""Composition of avatar frames for the outputs: once per frame and size, shared by all outputs."""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass, replace

from avatar.frames import Frame, RgbImage
from avatar.outputs.canvas import CanvasPainter
from avatar.settings import CanvasSettings

_KEPT = 3  # images: a slow output may still need the previous frame, another one the same frame at another size


@dataclass(frozen=True, eq=False)
class _Composed:
    source: RgbImage
    passed_through: bool
    before: Frame | None  # with which the frame was blended
    canvas: CanvasSettings
    result: Frame

    def fits(self, frame: Frame, canvas: CanvasSettings) -> bool:
        same = self.source is frame.rgb and self.passed_through == frame.passed_through and self.before is frame.before
        return same and self.canvas == canvas


class Composer:
    """Composes frames on the session's canvas; thread-safe.

    The first output that needs a frame composes it, and the others get the same image. Nothing is composed while no
    output is open, the engine thread does not wait, and frames that the gate substitutes are composed in the same way.
    """

    def __init__(self, canvas: CanvasSettings) -> None:
        """Set the initial canvas."""
        self.canvas = canvas  # replaced as a whole; applies to the next and to repeated frames
        self._lock = threading.Lock()
        self._painter = CanvasPainter()
        self._kept: collections.deque[_Composed] = collections.deque(maxlen=_KEPT)

    def compose(self, frame: Frame, canvas: CanvasSettings) -> Frame:
        """Return the frame as it leaves the program, with its times and numbers unchanged.

        Args:
            frame: an avatar frame of any size.
            canvas: the session's, or the same at another size for an output that does not support it.
        """
        with self._lock:
            found = next((each for each in self._kept if each.fits(frame, canvas)), None)
            if found is None:
                found = _Composed(
                    frame.rgb, frame.passed_through, frame.before, canvas, self._painter.compose(frame, canvas)
                )
                found.result.rgb.setflags(write=False)
                self._kept.append(found)
        return replace(frame, rgb=found.result.rgb, alpha=found.result.alpha, before=None)
