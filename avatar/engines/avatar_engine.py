"""An engine with its own face tracker, for programs that pass frames in and get frames back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avatar.engines import crop as crops
from avatar.engines.base import Driving, DrivingInput, Engine, EngineConfig, Portrait, framing_of
from avatar.engines.registry import create_engine, find_engine
from avatar.errors import FaceError
from avatar.frames import Frame, RgbImage
from avatar.images.box import Box
from avatar.motion.presence import Presence
from avatar.portrait.crop import Crop
from avatar.settings import MotionSettings
from avatar.tracking import FaceTracker, open_tracker
from avatar.tracking.face import Face


class AvatarEngine:
    """One portrait, one driver; opened, used and closed on the same thread."""

    def __init__(
        self, engine: Engine, tracker: FaceTracker | None, *, part: Box | None = None, size_px: int | None = None
    ) -> None:
        """Take over an engine and a tracker.

        Args:
            engine: the engine; closed by `close`.
            tracker: finds the faces of driver and portrait; closed by `close`. None: whole images are used.
            part: part of portraits to animate; None: the engine chooses.
            size_px: longer side of the drawn frames; None: the portrait's own.
        """
        self._engine, self._tracker = engine, tracker
        self._part, self._size_px = part, size_px
        self._presence = Presence()
        self._calibrated = False
        self._square: Box | None = None  # crop of driving frames for engines that draw from images

    def set_source(self, source_image: Frame) -> None:
        """Animate this portrait from the next frame on; the reference frame is kept.

        Raises:
            FaceError: the engine animates faces, and the portrait shows none.
        """
        rgb = source_image.rgb
        found = [] if self._tracker is None else self._tracker.detect(rgb)
        portrait = Portrait(rgb, next(iter(found), None), part=self._part)
        self._engine.show(self._engine.prepare(portrait, self._size_px))

    def calibrate(self, driving_frame: Frame) -> None:
        """Keep this frame as the reference; for engines that draw from images also the square around its face.

        Raises:
            FaceError: the engine animates faces, and the frame shows none.
        """
        if self._tracker is not None and self._engine.wants.is_image:
            self._tracker.reset()
        self._calibrate(driving_frame, self._face_in(driving_frame))

    def animate(self, driving_frame: Frame) -> Frame:
        """Draw the avatar frame, which keeps `sequence` and `captured_ns`.

        Without calibration the first frame is the reference.

        Raises:
            EngineError: no portrait is set.
            FaceError: the engine animates faces and needs a first frame with one.
        """
        face = self._face_in(driving_frame)
        weight = self._presence.update(face is not None, driving_frame.captured_ns * 1e-9)
        wants = self._engine.wants
        if wants is DrivingInput.FACE:
            driving = Driving(face=face, frame_width_px=driving_frame.width_px, weight=weight)
        elif self._calibrated and face is None and wants.needs_face and self._tracker is not None:
            driving = Driving(weight=weight)
        else:
            if not self._calibrated:
                self._calibrate(driving_frame, face)
            driving = Driving(face=face, image=self._part_of(driving_frame), weight=weight)
        captured_ns = driving_frame.captured_ns
        return replace(driving_frame, rgb=self._engine.draw(replace(driving, captured_ns=captured_ns)))

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self._engine.close()
        if self._tracker is not None:
            self._tracker.close()

    def _face_in(self, frame: Frame) -> Face | None:
        if self._tracker is None or not self._engine.wants.follows_faces:
            return None
        return self._tracker.track(frame.rgb, frame.captured_ns * 1e-9)

    def _calibrate(self, frame: Frame, face: Face | None) -> None:
        wants = self._engine.wants
        if face is None and wants.needs_face and (self._tracker is not None or not wants.is_image):
            raise FaceError("No face is in the reference frame.", remedy="Look into the camera and calibrate again.")
        framing = framing_of(self._engine)
        self._square = crops.whole(frame.rgb) if face is None else crops.square_of_face(face, frame.rgb, framing)
        image = self._part_of(frame) if wants.is_image else None
        self._engine.calibrate(Driving(face=face, image=image, frame_width_px=frame.width_px))
        self._calibrated = True

    def _part_of(self, frame: Frame) -> RgbImage:
        """Return the (h, w, 3) uint8 crop of a frame."""
        if self._square is None or not self._square.inside(frame.rgb):  # the camera has changed its frame size
            self._square = crops.whole(frame.rgb)
        return self._square.of(frame.rgb)


def open_engine(
    name: str = "warp",
    *,
    model: str | Path | None = None,
    config: str | Path | None = None,
    device: str = "auto",
    relative: bool = True,
    adapt_scale: bool = True,
    strength: float | None = None,
    strength_head: float = 1.0,
    strength_expression: float = 1.0,
    crop: Crop = "auto",
    size: int | None = None,
    smoothing: bool = False,
    detail: bool = True,
    tensorrt: bool = False,
) -> AvatarEngine:
    """Open an engine by name.

    Args:
        name: one of ENGINES.
        model, config, device, detail, tensorrt: see `EngineConfig`.
        relative, adapt_scale, strength_head, strength_expression: see `MotionSettings`.
        strength: sets both strengths.
        crop: for engines that draw from images: "auto" follows faces, "none" takes whole images; or a part.
        size: longer side of the drawn frames, in pixels; None: the portrait's own.
        smoothing: filter the driver's landmarks over time, for live use.
    Raises:
        EngineError: there is no engine of that name, or no such device.
        WeightsError: its models are missing.
        ValueError: a strength is out of range.
    """
    find_engine(name)
    head, expression = (strength_head, strength_expression) if strength is None else (strength, strength)
    motion = MotionSettings(relative, adapt_scale, head, expression, smoothing)
    settings = EngineConfig(name, model, config, device, motion, crop == "auto", detail, tensorrt)
    engine = create_engine(settings)
    tracker = open_tracker(smoothing=smoothing) if engine.wants.follows_faces else None
    return AvatarEngine(engine, tracker, part=crop if isinstance(crop, Box) else None, size_px=size)
