"""The embedded engine: face landmarks are the keypoints, a smooth warp is the generator; no network draws anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engine.warp.renderer import PortraitRenderer
from avatar.errors import EngineError, FaceError
from avatar.frames import FloatArray, Frame, RgbImage
from avatar.motion.expression import Expression, as_expressing, expression_basis, transfer
from avatar.motion.head import HeadMotion, head_motion, legibility, weaken
from avatar.tracking import FaceTracker
from avatar.tracking.face import Face

HOLD_S = 0.25  # a face lost for less than this keeps its last motion
RELEASE_S = 0.8  # then the portrait eases back to rest over this time
CATCH_S = 0.3  # and into the motion again, over this time, when the face is back


@dataclass(frozen=True)
class WarpOptions:
    """How the driver's motion is carried over."""

    relative: bool = True  # False: the portrait takes the driver's own pose and expression
    adapt_scale: bool = True  # the head's shift is measured in head sizes; False: in picture widths
    strength_head: float = 1.0  # 0 to 2
    strength_expression: float = 1.0  # 0 to 2
    size: int | None = None  # longer side of the output in pixels; None: the portrait's own


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """A portrait with everything that is done once; belongs to one engine."""

    renderer: PortraitRenderer
    expression: Expression


@dataclass(frozen=True, eq=False)
class _Reference:
    face: Face
    picture_width_px: int | None


class WarpEngine:
    """Warps a portrait by the landmarks of a driving face; an AvatarEngine that also takes faces already tracked."""

    def __init__(self, tracker: FaceTracker | None, options: WarpOptions | None = None) -> None:
        """Set up; without a tracker it takes only faces that are tracked already."""
        self.options = options or WarpOptions()
        self._tracker = tracker
        self._renderer: PortraitRenderer | None = None
        self._source: Expression | None = None
        self._reference: _Reference | None = None
        self._reference_expression: Expression | None = None
        self._driver: Face | None = None  # as last seen
        self._motion: tuple[FloatArray, HeadMotion] | None = None  # of the portrait, driven by that face
        self._seen_s: float | None = None  # when a face was last seen
        self._frame_s: float | None = None
        self._trust = 1.0  # 1: the driver's motion, 0: at rest

    def set_source(
        self, source_image: Frame, face: Face | None = None, alpha: npt.NDArray[np.uint8] | None = None
    ) -> None:
        """Prepare a portrait and use it: see `prepare_source` and `use_source`."""
        if face is None:
            face = next(iter(self._watching.detect(source_image.rgb)), None)
        self.use_source(self.prepare_source(source_image, face, alpha))

    def prepare_source(
        self,
        source_image: Frame,
        face: Face | None,
        alpha: npt.NDArray[np.uint8] | None = None,
        size: int | None = None,
        *,
        hurry: bool = True,
    ) -> PreparedPortrait:
        """Do everything for a portrait that is done once; may run on another thread while this engine draws.

        Args:
            source_image: the portrait.
            face: the face to animate.
            alpha: (H, W), the picture's own transparency, if it has any: it says what is the person.
            size: longer side in pixels; None: as the options say.
            hurry: use a second core; an engine that draws meanwhile would feel it.
        Raises:
            FaceError: there is no face.
        """
        if face is None:
            raise FaceError(
                "No face was found in the portrait.",
                remedy="Choose a picture that shows one face from the front, at least 80 pixels wide.",
            )
        rgb, face = _resized(source_image.rgb, face, size or self.options.size)
        if alpha is not None:
            alpha = np.asarray(cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA))
        return PreparedPortrait(PortraitRenderer.of(rgb, face, alpha, hurry=hurry), Expression.of(face))

    def use_source(self, prepared: PreparedPortrait) -> None:
        """Animate this portrait from the next frame on; the reference frame is kept."""
        self._renderer, self._source = prepared.renderer, prepared.expression
        self._reference_expression = None
        if self._driver is not None and self._reference is not None:
            self._motion = self._carried_over(self._driver)  # the last one was in pixels of the old portrait

    def set_motion(
        self, *, relative: bool, adapt_scale: bool, strength_head: float, strength_expression: float
    ) -> None:
        """Carry motion over in another way from the next frame on: the fields of WarpOptions."""
        self.options = replace(
            self.options,
            relative=relative,
            adapt_scale=adapt_scale,
            strength_head=strength_head,
            strength_expression=strength_expression,
        )
        self._reference_expression = None

    def calibrate(self, driving_frame: Frame) -> None:
        """Keep the driver's face in this frame as the reference frame.

        Raises:
            FaceError: no face was found in it.
        """
        face = self._watching.track(driving_frame.rgb, driving_frame.captured_ns * 1e-9)
        if face is None:
            raise FaceError("No face is in the reference frame.", remedy="Look into the camera and calibrate again.")
        self.calibrate_face(face, driving_frame.width_px)

    def calibrate_face(self, face: Face, picture_width_px: int | None = None) -> None:
        """Keep a tracked face as the reference frame; the picture's width serves `adapt_scale=False` only."""
        self._reference = _Reference(face, picture_width_px)
        self._reference_expression = None

    def animate(self, driving_frame: Frame) -> Frame:
        """Draw the portrait as the driver is now; without calibration the first face seen is the reference."""
        time_s = driving_frame.captured_ns * 1e-9
        face = self._watching.track(driving_frame.rgb, time_s)
        return replace(driving_frame, rgb=self.animate_face(face, time_s))

    def animate_face(self, face: Face | None, time_s: float) -> RgbImage:
        """Draw the portrait as the face is; None (no face in this frame) holds the last motion, then eases to rest.

        Args:
            face: the driver.
            time_s: when, on any steady clock.
        Returns:
            (H, W, 3) uint8, a new array.
        Raises:
            EngineError: no portrait is set.
        """
        if self._renderer is None or self._source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if face is not None:
            if self._reference is None:
                self.calibrate_face(face)
            self._driver, self._motion = face, self._carried_over(face)
        self._update_trust(face is not None, time_s)
        return self._renderer.draw(*self._shown())

    def landmarks(self) -> FloatArray:
        """Where the portrait's landmarks are in the frame that was drawn last, (478, 3) pixels.

        Raises:
            EngineError: no portrait is set.
        """
        if self._renderer is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._renderer.deformation.landmarks(*self._shown())

    def close(self) -> None:
        """Let go of the portrait and the tracker; safe to call twice."""
        self._renderer = self._source = self._driver = self._motion = None
        if self._tracker is not None:
            self._tracker.close()

    @property
    def _watching(self) -> FaceTracker:
        if self._tracker is None:
            raise EngineError("This engine takes only faces that are tracked already.", remedy="Give it a tracker.")
        return self._tracker

    def _shown(self) -> tuple[FloatArray, HeadMotion]:
        """The motion as far as it is trusted."""
        assert self._renderer
        if self._motion is None:
            return np.zeros_like(self._renderer.deformation.face.landmarks), HeadMotion.still()
        expression, motion = self._motion
        return expression * np.float32(self._trust), weaken(motion, self._trust)

    def _carried_over(self, face: Face) -> tuple[FloatArray, HeadMotion]:
        """Displacement of the portrait's landmarks by expression (478, 3), in its own pose, and the head's motion."""
        assert self._renderer and self._source and self._reference
        options, portrait = self.options, self._renderer.deformation
        pose = portrait.face.pose
        if self._reference_expression is None:
            reference = Expression.of(self._reference.face)
            if not options.relative:
                reference = as_expressing(reference, self._source, expression_basis())
            self._reference_expression = reference
        strength = options.strength_expression * legibility(face.pose)
        shape = transfer(self._source, self._reference_expression, Expression.of(face), strength=strength)
        expression_px = ((shape - self._source.shape) * np.float32(pose.scale_px)) @ pose.rotation.T
        motion = head_motion(
            portrait.face, self._reference.face, face, strength=options.strength_head, relative=options.relative
        )
        if not options.adapt_scale and self._reference.picture_width_px:
            per_picture = portrait.width_px / self._reference.picture_width_px
            per_head = pose.scale_px / self._reference.face.pose.scale_px
            motion = replace(motion, shift_px=motion.shift_px * np.float32(per_picture / per_head))
        return expression_px.astype(np.float32), portrait.relief.bounded(motion)

    def _update_trust(self, seen: bool, time_s: float) -> None:
        elapsed = 0.0 if self._frame_s is None else min(max(time_s - self._frame_s, 0.0), RELEASE_S)
        self._frame_s = time_s
        if seen:
            self._trust = 1.0 if self._seen_s is None else min(1.0, self._trust + elapsed / CATCH_S)
            self._seen_s = time_s
        elif self._seen_s is not None and time_s - self._seen_s > HOLD_S:
            self._trust = max(0.0, self._trust - elapsed / RELEASE_S)


def _resized(rgb: RgbImage, face: Face, size: int | None) -> tuple[RgbImage, Face]:
    """Picture and face scaled so that the longer side has `size` pixels."""
    height, width = rgb.shape[:2]
    if size is None or size == max(height, width):
        return rgb, face
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    resized = cv2.resize(rgb, (new_width, new_height), interpolation=kernel)
    factor = np.array([new_width / width, new_height / height, scale], np.float32)
    half = np.array([0.5, 0.5, 0.0], np.float32)  # pixel centres are whole numbers, so the picture's corner is at -0.5
    centre = (face.pose.centre_px + half) * factor - half
    pose = replace(face.pose, centre_px=centre, scale_px=face.pose.scale_px * scale)
    return np.asarray(resized), replace(face, landmarks=(face.landmarks + half) * factor - half, pose=pose)
