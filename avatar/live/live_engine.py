"""An engine as the pipeline uses it: driven by the motion source, idling while no face is seen."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import (
    Arrival,
    Checkpoint,
    DistantEngine,
    Driving,
    Engine,
    EngineConfig,
    LayeredEngine,
    Portrait,
    framing_of,
    go_on,
)
from avatar.engines.crop import Framing
from avatar.engines.registry import create_engine
from avatar.errors import AvatarError
from avatar.frames import AlphaImage, PortraitLayers, RgbImage
from avatar.live.config import LiveConfig
from avatar.live.events import EngineReady
from avatar.live.idle_images import IdleImages, builtin_idle_images
from avatar.live.motion_source import CATCH_S, EASE_S, DrivingState
from avatar.motion.smoothstep import smoothstep
from avatar.outputs.canvas import size_on_canvas
from avatar.portrait.check import check_portrait
from avatar.portrait.source import PortraitSource
from avatar.settings import MotionSettings
from avatar.tracking import open_tracker
from avatar.tracking.face import Face


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A portrait as the engine prepared it."""

    portrait: Any
    avatar: str
    face: tuple[float, float] | None  # centre of the face at rest, in [0, 1] of width and height
    face_size: tuple[float, float]  # likewise


@dataclass(frozen=True, eq=False)
class _Fade:
    """Cross-fade from the last frame of the previous reference, because images cannot be blended as faces can."""

    before: RgbImage
    matte: AlphaImage | None  # of that frame; None: not asked for
    began_s: float
    length_s: float


class NothingNewError(Exception):
    """An engine that draws elsewhere has no new frame yet."""


class LiveEngine:
    """Owner of an engine; created on the preparation thread, then used on the engine thread."""

    def __init__(self, engine: Engine, motion: MotionSettings, idle: IdleImages | None = None) -> None:
        """Take ownership of an open engine.

        Args:
            engine: the engine; closed by `close`.
            motion: the motion settings that it was opened with.
            idle: drives engines that draw from images while no face is seen; None: the last frame stays.
        """
        self.engine = engine
        self._motion, self._idle = motion, idle
        self._reference: Face | RgbImage | None = None  # reference that the engine was calibrated with
        self._shown: RgbImage | None = None
        self._matte: AlphaImage | None = None  # of the last frame, if it was asked for
        self._fade: _Fade | None = None
        self._share = 1.0  # opacity of the last frame in that fade
        self._prepared: _Prepared | None = None  # that is on
        self.arrival: Arrival | None = None  # the frame drawn last, if it was drawn elsewhere
        self.wants_matte = False  # of the next frames

    @property
    def needs_face(self) -> bool:
        """True if the engine idles while no face is seen."""
        return self.engine.wants.needs_face

    @property
    def follows_faces(self) -> bool:
        """True if the engine depends on the position of the face."""
        return self.engine.wants.follows_faces

    @property
    def framing(self) -> Framing:
        """The square around a driver's face that the engine expects."""
        return framing_of(self.engine)

    @property
    def ready(self) -> EngineReady:
        """Event that describes the open engine."""
        facts = self.engine.facts
        return EngineReady(facts.engine, facts.device, facts.precision, facts.why)

    @property
    def is_inseparable(self) -> bool:
        """True if the person of the portrait that is on cannot be told from its background."""
        return isinstance(self.engine, LayeredEngine) and self.engine.background() is None

    def prepare(
        self,
        source: PortraitSource,
        config: LiveConfig,
        *,
        use_second_core: bool = True,
        checkpoint: Checkpoint = go_on,
    ) -> _Prepared:
        """Prepare a portrait at the size at which the canvas shows it; may run on another thread.

        Args:
            source: the portrait.
            config: the configuration that it is prepared for.
            use_second_core: False while another portrait is drawn, which needs the CPU.
            checkpoint: called between the steps; what it raises ends them.
        Raises:
            AvatarError: the portrait cannot be animated.
        """
        report = check_portrait(source.rgb, source.faces)
        if self.needs_face:
            report.raise_if_refused()
        height, width = source.rgb.shape[:2]
        size_px = config.size or _size_drawn(width, height, config)
        portrait = Portrait(source.rgb, report.face, source.alpha, separate=True, checkpoint=checkpoint)
        prepared = self.engine.prepare(portrait, size_px, use_second_core=use_second_core)
        return _Prepared(prepared, config.avatar, *_place_of(report.face, width, height))

    def show(self, prepared: _Prepared) -> None:
        """Draw this portrait from the next frame on."""
        self.engine.show(prepared.portrait)
        self._prepared = prepared
        self._shown = self._fade = self._matte = None

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        if motion != self._motion:
            self._motion = motion
            self.engine.set_motion(motion)

    def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
        """Draw the portrait, (H, W, 3) uint8, a new array.

        Raises:
            NothingNewError: the last frame stays, because none has come from elsewhere.
            EngineError, and any exception of the engine.
        """
        if self.engine.wants.is_image:
            return self._draw_by_image(state, time_s)
        if state.reference is not self._reference:
            self._reference = state.reference
            self.engine.calibrate(Driving(face=state.reference, frame_width_px=frame_width_px))
        driving = Driving(face=state.face, frame_width_px=frame_width_px, captured_ns=state.captured_ns)
        return self._drawn(driving)

    def layers(self) -> PortraitLayers:
        """Return the layers of the portrait in the last frame, with the matte if it is wanted."""
        prepared = self._prepared
        assert prepared is not None
        layers = PortraitLayers(prepared.avatar, prepared.face, face_size=prepared.face_size)
        if isinstance(self.engine, LayeredEngine):
            self._matte = self.engine.matte() if self.wants_matte else None
            layers = replace(layers, background=self.engine.background(), matte=self._faded_matte(self._matte))
        return layers

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self.engine.close()

    def _draw_by_image(self, state: DrivingState, time_s: float) -> RgbImage:
        """Draw from the driver's image or the idle image; (H, W, 3) uint8, a new array."""
        image, reference = state.image, state.reference_image
        speaks = state.following and image is None and reference is None  # a voice, which comes without images
        if self._idle is not None and (speaks or not state.following):
            image = self._idle.drawn(state.face) if speaks else self._idle.at(time_s)
            reference = self._idle.reference
        is_distant = isinstance(self.engine, DistantEngine)
        if image is None and self._shown is not None and not is_distant:
            return self._faded(self._shown, time_s).copy()
        if image is None or reference is None:  # no driver yet: the portrait at rest
            image = reference = np.full((64, 64, 3), 128, np.uint8) if image is None else image
        if reference is not self._reference:
            self._reference = reference
            moment = state.reference_moment if reference is state.reference_image else ()
            self.engine.calibrate(Driving(face=state.reference, image=reference, moment=moment))
            if self._shown is not None and not is_distant:  # one that is fades when such a frame comes
                self._fade = _Fade(self._shown, self._matte, time_s, CATCH_S if state.following else EASE_S)
        self._shown = self._drawn(Driving(face=state.face, image=image, captured_ns=state.captured_ns))
        return self._faded(self._shown, time_s)

    def _drawn(self, driving: Driving) -> RgbImage:
        """Return the frame for this input, or the newest that came from elsewhere, (H, W, 3) uint8."""
        if not isinstance(self.engine, DistantEngine):
            return self.engine.draw(driving)
        self.arrival = self.engine.draw_newest(replace(driving, wants_matte=self.wants_matte))
        if self.arrival is None:
            raise NothingNewError
        return self.arrival.rgb

    def _faded(self, rgb: RgbImage, time_s: float) -> RgbImage:
        """Cross-fade (H, W, 3) uint8 from the previous reference's last frame."""
        self._share = 1.0
        if self._fade is None or self._fade.before.shape != rgb.shape:
            return rgb
        share = float(smoothstep((time_s - self._fade.began_s) / self._fade.length_s))
        if share >= 1:
            self._fade = None
            return rgb
        self._share = share
        return np.asarray(cv2.addWeighted(rgb, share, self._fade.before, 1 - share, 0.0))

    def _faded_matte(self, matte: AlphaImage | None) -> AlphaImage | None:
        """Cross-fade an (H, W) matte as its frame was."""
        if matte is None or self._share >= 1 or self._fade is None or self._fade.matte is None:
            return matte
        return np.asarray(cv2.addWeighted(matte, self._share, self._fade.matte, 1 - self._share, 0.0))


def _size_drawn(width_px: int, height_px: int, config: LiveConfig) -> int:
    """Return the longer side at which a portrait is drawn: its size on the canvas; if zoomed in, up to its own size."""
    shown = size_on_canvas(width_px, height_px, config.canvas)
    return max(shown, min(round(shown * config.sharpness), max(width_px, height_px)))


def _place_of(
    face: Face | None, width_px: int, height_px: int
) -> tuple[tuple[float, float] | None, tuple[float, float]]:
    """Return centre and size of a face in [0, 1] of an image's width and height."""
    if face is None:
        return None, (0.0, 0.0)
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    middle, size = (low + high) / 2, high - low
    return (
        (float(middle[0]) / width_px, float(middle[1]) / height_px),
        (float(size[0]) / width_px, float(size[1]) / height_px),
    )


def open_live_engine(config: LiveConfig) -> LiveEngine:
    """Open the engine of a session. Raises: EngineError, WeightsError, UsageError; SetupError: an unknown host."""
    engine: Engine
    if config.remote:
        from avatar.remote.engine import open_remote

        engine = open_remote(config.remote, config.motion, config.model, config.device)
    else:
        engine = create_engine(
            EngineConfig(config.engine, config.model, device=config.device, motion=config.motion, render=config.render)
        )
    idle = None
    if engine.wants.is_image and engine.wants.needs_face:
        with contextlib.closing(open_tracker()) as tracker, contextlib.suppress(AvatarError):
            idle = builtin_idle_images(tracker, framing_of(engine))
    return LiveEngine(engine, config.motion, idle)
