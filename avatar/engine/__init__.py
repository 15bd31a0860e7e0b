"""Engines: a portrait and a driving frame in, an avatar frame out."""

from __future__ import annotations

from typing import Protocol

from avatar.errors import EngineError
from avatar.frames import Frame

__all__ = ["ENGINES", "AvatarEngine", "open_engine"]

ENGINES = ("warp", "fomm")


class AvatarEngine(Protocol):
    """One model on one device; opened, used and closed on the same thread."""

    def set_source(self, source_image: Frame) -> None:
        """Encode the portrait once."""

    def calibrate(self, driving_frame: Frame) -> None:
        """Keep the reference frame."""

    def animate(self, driving_frame: Frame) -> Frame:
        """Draw the avatar frame; keeps `sequence` and `captured_ns`."""

    def close(self) -> None:
        """Release everything; safe to call twice."""


def open_engine(name: str = "warp", *, smoothing: bool = False, **options: object) -> AvatarEngine:
    """Open an engine by name.

    Args:
        name: one of ENGINES.
        smoothing: filter the driver's landmarks over time, for live use.
        options: the fields of the engine's own options: `WarpOptions` for "warp", `FommOptions` for "fomm".
    Raises:
        EngineError: there is no engine of that name, or no such device.
        WeightsError: its models are missing.
    """
    if name not in ENGINES:
        raise EngineError(f"There is no engine called {name!r}.", remedy=f"Choose one of: {', '.join(ENGINES)}.")
    from avatar.tracking import open_tracker

    if name == "fomm":
        from avatar.engine.fomm.engine import FommEngine, FommOptions

        chosen = FommOptions(**options)  # type: ignore[arg-type]
        return FommEngine(chosen, open_tracker() if chosen.crop == "auto" else None)
    from avatar.engine.warp.engine import WarpEngine, WarpOptions

    return WarpEngine(open_tracker(smoothing=smoothing), WarpOptions(**options))  # type: ignore[arg-type]
