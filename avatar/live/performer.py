"""An engine as the pipeline uses it: opened on a helper thread, then drawing on the engine's."""

from __future__ import annotations

from typing import Any, Protocol

from avatar.devices import require_processor
from avatar.engine import ENGINES
from avatar.engine.warp.engine import PreparedPortrait, WarpEngine
from avatar.errors import EngineError
from avatar.frames import Frame, RgbImage
from avatar.live.driver import Drive
from avatar.live.events import EngineReady
from avatar.live.options import LiveOptions
from avatar.outputs.canvas import size_on_canvas
from avatar.portrait import check_portrait
from avatar.portrait_source import PortraitSource
from avatar.settings import MotionSettings
from avatar.tracking import Face


class Performer(Protocol):
    """Draws portraits as a driver moves."""

    facts: EngineReady
    needs_face: bool  # without a driver's face it idles
    watches_faces: bool  # it matters where the driver's face is

    def prepare(self, portrait: PortraitSource, options: LiveOptions, *, hurry: bool) -> Any:
        """Do what is done once per portrait; may run on another thread while this one draws.

        Args:
            portrait: what is to be moved.
            options: of the session.
            hurry: nothing is being drawn, so that all cores are free.
        Raises:
            AvatarError: it cannot be moved.
        """

    def show(self, prepared: Any) -> None:
        """Draw this portrait from the next frame on."""

    def set_motion(self, motion: MotionSettings) -> None:
        """Carry motion over in another way from the next frame on."""

    def draw(self, drive: Drive, picture_width_px: int, time_s: float) -> RgbImage:
        """Draw the portrait; a new array each time. Raises: EngineError, and whatever an engine may raise."""
        ...

    def close(self) -> None:
        """Release everything; safe to call twice."""


class FacePerformer:
    """The warp engine, which is driven by tracked faces."""

    needs_face = watches_faces = True

    def __init__(self, options: LiveOptions) -> None:
        """Open the engine. Raises: EngineError."""
        require_processor(options.device)
        self._engine = WarpEngine(None)
        self._reference: Face | None = None
        self.facts = EngineReady("warp", "cpu", "float32", "")
        self.set_motion(options.motion)

    def prepare(self, portrait: PortraitSource, options: LiveOptions, *, hurry: bool = True) -> PreparedPortrait:
        """Find out everything about a portrait that is needed to draw it. Raises: FaceError."""
        report = check_portrait(portrait.rgb, portrait.faces)
        report.raise_if_refused()
        height, width = portrait.rgb.shape[:2]
        size = options.size or size_on_canvas(width, height, options.canvas)
        frame = Frame(portrait.rgb, 0, 0)
        return self._engine.prepare_source(frame, report.face, portrait.alpha, size, hurry=hurry)

    def show(self, prepared: PreparedPortrait) -> None:
        """Draw this portrait from the next frame on."""
        self._engine.use_source(prepared)

    def set_motion(self, motion: MotionSettings) -> None:
        """Carry motion over in another way from the next frame on."""
        self._engine.set_motion(
            relative=motion.relative,
            adapt_scale=motion.adapt_scale,
            strength_head=motion.strength_head,
            strength_expression=motion.strength_expression,
        )

    def draw(self, drive: Drive, picture_width_px: int, time_s: float) -> RgbImage:
        """Draw the portrait. Raises: EngineError."""
        if drive.reference is not self._reference:
            self._reference = drive.reference
            self._engine.calibrate_face(drive.reference, picture_width_px)
        return self._engine.animate_face(drive.face, time_s)

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self._engine.close()


def open_performer(options: LiveOptions) -> Performer:
    """Open the engine that the options name. Raises: EngineError, WeightsError."""
    if options.engine == "warp":
        return FacePerformer(options)
    if options.engine == "fomm":
        from avatar.live.picture_performer import PicturePerformer

        return PicturePerformer(options)
    raise EngineError(f"There is no engine called {options.engine!r}.", remedy=f"Choose {' or '.join(ENGINES)}.")
