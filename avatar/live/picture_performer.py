"""The First Order Motion Model as the pipeline uses it: driven by pictures, not by faces."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.fomm.choice import FACES
from avatar.engine.fomm.crop import whole
from avatar.engine.fomm.engine import FommEngine, FommOptions
from avatar.errors import AvatarError
from avatar.frames import Frame, RgbImage
from avatar.live.driver import CATCH_S, EASE_S, Drive
from avatar.live.events import EngineReady
from avatar.live.idle_pictures import IdlePictures, builtin_idle_pictures
from avatar.live.options import LiveOptions
from avatar.outputs.canvas import size_on_canvas
from avatar.portrait import check_portrait
from avatar.portrait_source import PortraitSource
from avatar.settings import MotionSettings
from avatar.smoothstep import smoothstep
from avatar.tracking import open_tracker
from avatar.tracking.face import Face


@dataclass(frozen=True, eq=False)
class _Portrait:
    rgb: RgbImage
    face: Face | None
    size: int


@dataclass(frozen=True, eq=False)
class _Fade:
    """From the last picture under another reference frame: two of them cannot be blended as faces can."""

    before: RgbImage
    began_s: float
    length_s: float


class PicturePerformer:
    """Opened on a helper thread, then used on the engine's."""

    def __init__(self, options: LiveOptions, engine: FommEngine | None = None) -> None:
        """Load the checkpoint; tests bring their own engine. Raises: WeightsError, UsageError, EngineError."""
        motion = options.motion
        self._engine = engine or FommEngine(
            FommOptions(
                model=options.model,
                device=options.device,
                relative=motion.relative,
                adapt_scale=motion.adapt_scale,
                strength=motion.strength_head,
            )
        )
        choice, place = self._engine.choice, self._engine.place
        self.needs_face = choice is not None and choice.kind == FACES
        self.watches_faces = self._engine.follows_faces
        self.facts = EngineReady("fomm", place.name, self._engine.precision, place.why)
        self._motion = motion
        self._idle: IdlePictures | None = None
        if self.needs_face:
            with contextlib.closing(open_tracker()) as tracker, contextlib.suppress(AvatarError):
                self._idle = builtin_idle_pictures(tracker)
        self._reference: RgbImage | None = None
        self._shown: RgbImage | None = None
        self._fade: _Fade | None = None

    def prepare(self, portrait: PortraitSource, options: LiveOptions, *, hurry: bool = True) -> _Portrait:
        """Look whether the portrait can be used; encoding it takes little more than a frame. Raises: FaceError."""
        report = check_portrait(portrait.rgb, portrait.faces)
        if self.needs_face:
            report.raise_if_refused()
        height, width = portrait.rgb.shape[:2]
        return _Portrait(portrait.rgb, report.face, options.size or size_on_canvas(width, height, options.canvas))

    def show(self, prepared: _Portrait) -> None:
        """Encode this portrait and draw it from the next frame on."""
        self._engine.set_source(Frame(prepared.rgb, 0, 0), prepared.face, size=prepared.size)
        self._shown = self._fade = None

    def set_motion(self, motion: MotionSettings) -> None:
        """Carry motion over in another way; this engine moves head and expression as one."""
        if motion != self._motion:
            self._motion = motion
            self._engine.set_motion(
                relative=motion.relative, adapt_scale=motion.adapt_scale, strength=motion.strength_head
            )

    def draw(self, drive: Drive, picture_width_px: int, time_s: float) -> RgbImage:
        """Draw the portrait. Raises: EngineError."""
        picture, reference = drive.picture, drive.reference_picture
        if not drive.following and self._idle is not None:
            picture, reference = self._idle.at(time_s), self._idle.reference
        if picture is None and self._shown is not None:
            return self._faded(self._shown, time_s).copy()
        if picture is None or reference is None:  # nobody was ever seen: the portrait as it is
            picture = reference = np.full((64, 64, 3), 128, np.uint8) if picture is None else picture
        if reference is not self._reference:
            self._refer_to(reference, drive.following, time_s)
        self._shown = self._engine.animate(Frame(picture, 0, 0)).rgb
        return self._faded(self._shown, time_s)

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self._engine.close()

    def _refer_to(self, reference: RgbImage, following: bool, time_s: float) -> None:
        self._reference = reference
        frame = Frame(reference, 0, 0)
        self._engine.calibrate_in(frame, whole(reference))
        if self._shown is not None:
            self._fade = _Fade(self._shown, time_s, CATCH_S if following else EASE_S)

    def _faded(self, rgb: RgbImage, time_s: float) -> RgbImage:
        if self._fade is None or self._fade.before.shape != rgb.shape:
            return rgb
        share = float(smoothstep((time_s - self._fade.began_s) / self._fade.length_s))
        if share >= 1:
            self._fade = None
            return rgb
        return np.asarray(cv2.addWeighted(rgb, share, self._fade.before, 1 - share, 0.0))
