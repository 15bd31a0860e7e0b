"""What a pipeline works with, and the engines and portraits that it opens beside the running ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from avatar.engine import open_engine
from avatar.frames import RgbImage
from avatar.live.options import LiveOptions
from avatar.sources.base import FrameSource
from avatar.tracking import Face, FaceTracker, open_tracker


class LiveEngine(Protocol):
    """An engine that is driven by tracked faces and takes portraits that were prepared on another thread."""

    def prepare_source(self, source_image: Any, face: Face | None = None, alpha: Any = None) -> Any:
        """Encode a portrait; the one call that is allowed on another thread while the engine works."""

    def use_source(self, prepared: Any) -> None:
        """Animate a portrait of `prepare_source` from the next frame on."""

    def calibrate_face(self, face: Face, picture_width_px: int | None = None) -> None:
        """Keep the driver's face of the reference frame."""

    def animate_face(self, face: Face | None, time_s: float) -> RgbImage:
        """Draw the portrait as the driver's face is."""
        ...

    def close(self) -> None:
        """Release everything."""


@dataclass(frozen=True)
class LiveTools:
    """What a pipeline works with; tests put their own in."""

    open_source: Callable[[str, tuple[int, int], int], FrameSource]
    open_tracker: Callable[[bool], FaceTracker]
    open_engine: Callable[[LiveOptions], LiveEngine]


def usual_tools() -> LiveTools:
    """Cameras and files, the face tracker, and the engines that ship."""
    return LiveTools(_open_source, lambda smoothing: open_tracker(smoothing=smoothing), _open_engine)


def _open_source(spec: str, size: tuple[int, int], rate: int) -> FrameSource:
    from avatar.errors import CameraError

    raise CameraError(f"{spec} cannot be opened in this version.", remedy="Use the idle motion: --camera idle.")


def _open_engine(options: LiveOptions) -> LiveEngine:
    motion = options.motion
    return open_engine(
        options.engine,
        relative=motion.relative,
        adapt_scale=motion.adapt_scale,
        strength_head=motion.strength_head,
        strength_expression=motion.strength_expression,
        size=options.size or max(options.canvas.width_px, options.canvas.height_px) // 2,
    )  # type: ignore[return-value]
