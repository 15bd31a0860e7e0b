"""The warp engine: face landmarks are the keypoints and a smooth warp is the generator, without a neural renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Driving, DrivingInput, EngineFacts, Portrait
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import EngineRenderer, ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.errors import EngineError, FaceError
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.motion.expression import Expression, PartStrengths, as_expressing, expression_basis, transfer
from avatar.motion.head import HeadMotion, head_motion, legibility, weaken
from avatar.settings import MotionSettings
from avatar.system.memory import give_back_memory
from avatar.tracking.face import Face


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """A portrait with everything that is precomputed; belongs to one engine."""

    portrait: WarpPortrait
    expression: Expression


@dataclass(frozen=True, eq=False)
class _Reference:
    face: Face
    frame_width_px: int | None


class WarpEngine:
    """Warps a portrait by the landmarks of a driving face; see `avatar.engines.base.Engine`."""

    wants = DrivingInput.FACE

    def __init__(self, motion: MotionSettings | None = None, renderer: EngineRenderer | None = None) -> None:
        """Start without a portrait.

        Args:
            motion: the motion transfer.
            renderer: closed with this; None: the processor's.
        """
        self.motion = motion or MotionSettings()
        self._renderer: EngineRenderer = renderer or ProcessorRenderer()
        self._portrait: WarpPortrait | None = None
        self._scene: Scene | None = None  # of the frame drawn last
        self._source: Expression | None = None
        self._reference: _Reference | None = None
        self._reference_expression: Expression | None = None
        self._driver: Face | None = None  # the last one seen
        self._carried: tuple[FloatArray, HeadMotion] | None = None  # motion transferred from that face to the portrait
        self._weight = 1.0  # weight of the last frame

    @property
    def facts(self) -> EngineFacts:
        """Device that draws, and why; both may change while the engine runs."""
        place = self._renderer.place
        return EngineFacts("warp", place.device, "float32", place.why)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what failed."""
        return self._renderer.notes

    def prepare(
        self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True
    ) -> PreparedPortrait:
        """Resize, separate and fill everything that frames need. Raises: FaceError: there is no face."""
        if portrait.face is None:
            raise FaceError(
                "No face was found in the portrait.",
                remedy="Choose a picture that shows one face from the front, at least 80 pixels wide.",
            )
        rgb, face = resized(portrait.rgb, portrait.face, size_px)
        alpha = portrait.alpha
        if alpha is not None:
            alpha = np.asarray(cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA))
        prepared = WarpPortrait.of(rgb, face, alpha, use_second_core=use_second_core, checkpoint=portrait.checkpoint)
        give_back_memory()
        self._renderer.settle(prepared)
        return PreparedPortrait(prepared, Expression.of(face))

    def show(self, prepared: PreparedPortrait) -> None:
        """Animate this portrait from the next frame on; the reference frame is kept."""
        self._portrait, self._source = prepared.portrait, prepared.expression
        self._reference_expression = self._scene = None
        if self._driver is not None and self._reference is not None:
            self._carried = self._carried_over(self._driver)  # recomputed in pixels of the new portrait

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        self.motion = motion
        self._reference_expression = None

    def calibrate(self, driving: Driving) -> None:
        """Keep the driver's face as the reference; its frame's width serves `adapt_scale=False` only."""
        assert driving.face is not None
        self._reference = _Reference(driving.face, driving.frame_width_px)
        self._reference_expression = None

    def draw(self, driving: Driving) -> RgbImage:
        """Draw the portrait with the motion of the face, scaled by `weight`; without a face the last motion is kept.

        Raises:
            EngineError: no portrait is shown.
        """
        if self._portrait is None or self._source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if driving.face is not None:
            if self._reference is None:
                self.calibrate(driving)
            self._driver, self._carried = driving.face, self._carried_over(driving.face)
        self._weight = driving.weight
        self._scene = self._portrait.scene(*self._shown())
        return self._renderer.draw(self._portrait.layers, self._scene)

    def background(self) -> RgbImage:
        """Return the portrait without the person, (H, W, 3). Raises: EngineError: no portrait is shown."""
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._portrait.layers.background

    def matte(self) -> AlphaImage:
        """Return the person's part of the frame drawn last, (H, W). Raises: EngineError: nothing was drawn yet."""
        if self._portrait is None or self._scene is None:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        return self._portrait.layers.matte(self._scene.look_up)

    def landmarks(self) -> FloatArray:
        """Return the portrait's landmarks in the frame that was drawn last, (478, 3) pixels.

        Raises:
            EngineError: no portrait is shown.
        """
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._portrait.deformation.landmarks(*self._shown())

    def close(self) -> None:
        """Release the portrait; safe to call twice."""
        self._portrait = self._source = self._driver = self._carried = self._scene = None
        self._renderer.close()

    def _shown(self) -> tuple[FloatArray, HeadMotion]:
        """Scale the last transferred motion by the weight of the frame.

        Returns:
            (478, 3) float32 landmark displacements in the portrait's own pose, pixels, and the head motion.
        """
        assert self._portrait
        if self._carried is None:
            return np.zeros_like(self._portrait.deformation.face.landmarks), HeadMotion.still()
        expression, motion = self._carried
        return expression * np.float32(self._weight), weaken(motion, self._weight)

    def _carried_over(self, face: Face) -> tuple[FloatArray, HeadMotion]:
        """Transfer the driver's motion: (478, 3) landmark displacements in the portrait's own pose, and head motion."""
        assert self._portrait and self._source and self._reference
        settings, portrait = self.motion, self._portrait.deformation
        pose = portrait.face.pose
        if self._reference_expression is None:
            reference = Expression.of(self._reference.face)
            if not settings.relative:
                reference = as_expressing(reference, self._source, expression_basis())
            self._reference_expression = reference
        strength = settings.strength_expression * legibility(face.pose)
        parts = PartStrengths(settings.strength_mouth, settings.strength_eyes, settings.strength_brows)
        shape = transfer(self._source, self._reference_expression, Expression.of(face), strength=strength, parts=parts)
        expression_px = ((shape - self._source.shape) * np.float32(pose.scale_px)) @ pose.rotation.T
        motion = head_motion(
            portrait.face, self._reference.face, face, strength=settings.strength_head, relative=settings.relative
        )
        if not settings.adapt_scale and self._reference.frame_width_px:
            per_frame = portrait.width_px / self._reference.frame_width_px
            per_head = pose.scale_px / self._reference.face.pose.scale_px
            motion = replace(motion, shift_px=motion.shift_px * np.float32(per_frame / per_head))
        return expression_px.astype(np.float32), portrait.relief.bounded(motion)


def resized(rgb: RgbImage, face: Face, size: int | None) -> tuple[RgbImage, Face]:
    """Scale an (H, W, 3) image and its face to a longer side of `size` pixels; None: as they are."""
    height, width = rgb.shape[:2]
    if size is None or size == max(height, width):
        return rgb, face
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    resized = cv2.resize(rgb, (new_width, new_height), interpolation=kernel)
    factor = np.array([new_width / width, new_height / height, scale], np.float32)
    half = np.array([0.5, 0.5, 0.0], np.float32)  # pixel centres are whole numbers, so the image's corner is at -0.5
    centre = (face.pose.centre_px + half) * factor - half
    pose = replace(face.pose, centre_px=centre, scale_px=face.pose.scale_px * scale)
    return np.asarray(resized), replace(face, landmarks=(face.landmarks + half) * factor - half, pose=pose)
