"""The engine: one portrait, driven by the motion that LivePortrait's networks find in the driver's images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatar.engines import crop as crops
from avatar.engines.base import Driving, DrivingInput, EngineConfig, EngineFacts, Portrait
from avatar.engines.cutout import Cutout, cut_out
from avatar.engines.liveportrait.choice import choose_weights
from avatar.engines.liveportrait.composer import Composer
from avatar.engines.liveportrait.framing import (
    DRIVER,
    INPUT_PX,
    Square,
    eye_ratios,
    lip_ratio,
    square_of_box,
    square_of_portrait,
)
from avatar.engines.liveportrait.measuring import as_array, as_measured, as_seen, as_tensor, images_of_moment
from avatar.engines.panels import MotionFacts, draw_panels
from avatar.errors import EngineError, UsageError
from avatar.frames import AlphaImage, RgbImage
from avatar.motion.parameters import Measured
from avatar.settings import MotionSettings
from avatar.system.devices import Device, choose_device
from avatar.system.message import Message
from avatar.system.program import require
from avatar.tracking.face import Face

if TYPE_CHECKING:
    import torch

    from avatar.engines.liveportrait.transfer_torch import Pose, Ratios
    from avatar.liveportrait import LivePortraitModel, Runtime
    from avatar.liveportrait.model import Rendering


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """A portrait at its drawn size, and the square crop for the networks."""

    rgb: RgbImage  # (H, W, 3)
    square: Square
    source: RgbImage  # (256, 256, 3), the crop
    face: Face | None  # in pixels of the portrait as it was given; only its proportions count
    cutout: Cutout | None = None  # None: not asked for, or there is nothing to tell the person by


@dataclass(frozen=True, eq=False)
class _Shown:
    """The current portrait, encoded."""

    prepared: PreparedPortrait
    pose: Pose
    composer: Composer


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The last frame."""

    driving: RgbImage  # (256, 256, 3)
    x_driving: torch.Tensor  # (1, K, 3)
    x_d: torch.Tensor
    rendering: Rendering
    square: RgbImage  # (S, S, 3), what was put back


class LivePortraitEngine:
    """An engine that runs LivePortrait; see `avatar.engines.base.Engine`."""

    framing = DRIVER

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        model: LivePortraitModel | None = None,
        place: Device | None = None,
    ) -> None:
        """Load the weights.

        Args:
            config: options of the engine.
            model: a loaded model, which is not changed and can be shared.
            place: the device that it is on; None: the processor.
        Raises:
            WeightsError, UsageError: the weights are missing, damaged or of another model.
            EngineError: there is no such device.
        """
        self._config = config or EngineConfig("liveportrait")
        self._motion = self._config.motion
        self._place = place or Device("cpu", "processor", "given")
        if model is None:
            model, self._place = load(self._config)
        from avatar.liveportrait import open_runtime

        self._model: LivePortraitModel | None = model
        self._runtime: Runtime | None = open_runtime(model)
        self.wants = DrivingInput.FACE_CROP if self._config.follow_faces else DrivingInput.FRAME
        self.points = model.config.motion.num_kp
        self._shown: _Shown | None = None
        self._reference: Pose | None = None
        self._drawn: _Drawn | None = None
        self._frame: RgbImage | None = None  # the last one
        self._at_rest = False  # it was the portrait itself

    @property
    def facts(self) -> EngineFacts:
        """Device, and the precision of the generator."""
        return EngineFacts("liveportrait", self._place.name, self._open().precision, self._place.why)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about options that were dropped, and the reason for the device that `auto` chose."""
        return (*self._open().notes, *self._place.notes(self._config.device))

    def prepare(
        self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True
    ) -> PreparedPortrait:
        """Choose the square and resize the portrait. Raises: UsageError: the part reaches outside."""
        square = self._square(portrait)
        height, width = portrait.rgb.shape[:2]
        times = 1.0 if size_px is None else size_px / max(height, width)
        rgb = crops.scaled(portrait.rgb, max(1, round(width * times)), max(1, round(height * times)))
        face = portrait.face if self.wants.follows_faces else None
        cutout = cut_out(portrait, rgb) if portrait.separate else None
        return PreparedPortrait(rgb, square.scaled(times), square.seen(portrait.rgb), face, cutout)

    def show(self, prepared: PreparedPortrait) -> None:
        """Encode this portrait, to be drawn from the next frame on; the reference frame is kept."""
        runtime, model = self._open(), self._loaded()
        image = self._tensor([prepared.source])
        pose = self._pose(image, prepared.face)
        runtime.prepare(model.appearance(image), pose.motion.transformed())
        self._shown = _Shown(prepared, pose, Composer(prepared.rgb, prepared.square, detail=self._config.detail))
        self._frame = self._drawn = None
        self._at_rest = False

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        self._motion = motion

    def calibrate(self, driving: Driving) -> None:
        """Set the reference to the mean over the image and the others of its moment."""
        from avatar.engines.liveportrait.transfer_torch import Pose, mean_motion

        if driving.measured is not None:
            self._reference = self._remembered(driving.measured)
            return
        motion = mean_motion(self._open().motion(self._tensor(images_of_moment(driving))))
        self._reference = Pose(motion, _ratios(driving.face))

    def draw(self, driving: Driving) -> RgbImage:
        """Draw the portrait with the image's motion; without an image repeat the last frame, at first the portrait.

        Raises:
            EngineError: no portrait is shown.
        """
        shown = self._on()
        self._at_rest = driving.measured is None and driving.image is None and self._frame is None
        if driving.measured is None and driving.image is None:
            return (shown.prepared.rgb if self._frame is None else self._frame).copy()
        if driving.measured is not None or driving.image is None:
            assert driving.measured is not None
            seen, pose = np.full((INPUT_PX, INPUT_PX, 3), 128, np.uint8), self._remembered(driving.measured)
        else:
            seen = as_seen(driving.image)
            pose = self._pose(self._tensor([seen]), driving.face)
        self._reference = self._reference or pose
        self._frame = self._render(shown, pose, seen, driving.weight)
        return self._frame.copy()

    def background(self) -> RgbImage | None:
        """Return the portrait without the person, (H, W, 3); None: unknown. Raises: EngineError: none is shown."""
        cutout = self._on().prepared.cutout
        return None if cutout is None else cutout.background

    def matte(self) -> AlphaImage | None:
        """Return the person's part of the frame drawn last, (H, W). Raises: EngineError: nothing was drawn yet."""
        shown, drawn = self._on(), self._drawn
        if drawn is None and not self._at_rest:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        cutout = shown.prepared.cutout
        if cutout is None or drawn is None:
            return None if cutout is None else cutout.matte.copy()
        return shown.composer.matte(cutout.matte, drawn.square, as_array(drawn.rendering.deformation))

    def distance(self, image: RgbImage) -> float:
        """Return the distance of expression and pose in an image (h, w, 3) from the portrait's."""
        from avatar.engines.liveportrait.transfer_torch import unlikeness

        shown = self._on()
        return unlikeness(shown.pose.motion, self._open().motion(self._tensor([as_seen(image)])))

    def measure(self, driving: Driving) -> Measured:
        """Measure the driver as the mean over the image and the others of its moment; needs no portrait."""
        image = self._tensor(images_of_moment(driving))
        return as_measured(self._open().motion(image), driving.face)

    @property
    def extractor_digest(self) -> bytes:
        """SHA-256 of the extractor M's weights; takes a moment."""
        from avatar.liveportrait.motion_extractor import digest_of

        self._open()
        return digest_of(self._loaded().motion_extractor)

    def distance_to(self, measured: Measured) -> float:
        """Return how unlike the portrait's expression and pose those that were measured are."""
        from avatar.engines.liveportrait.transfer_torch import unlikeness

        return unlikeness(self._on().pose.motion, self._remembered(measured).motion)

    def _remembered(self, measured: Measured) -> Pose:
        """Return what was measured as tensors; the keypoints of the driver's own face do not count."""
        import torch

        from avatar.engines.liveportrait.transfer_torch import Pose, Ratios
        from avatar.liveportrait import MotionParameters

        device = self._open().device
        angles, *others = (
            torch.from_numpy(np.array(each, np.float32)).to(device)[None]
            for each in (measured.angles_deg, measured.translation, measured.expression, measured.scale)
        )
        translation, expression, scale = others
        motion = MotionParameters(
            angles[:, 0:1], angles[:, 1:2], angles[:, 2:3], translation, expression, scale, torch.zeros_like(expression)
        )
        right, left, lips = measured.openings.tolist()
        return Pose(motion, None if math.isnan(lips) else Ratios((right, left), lips))

    def panels(self, height_px: int) -> RgbImage:
        """Draw the motion of the last frame, (height_px, height_px, 3). Raises: EngineError: nothing was drawn yet."""
        if self._drawn is None or self._shown is None:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        drawn, rendering = self._drawn, self._drawn.rendering
        facts = MotionFacts(
            drawn.driving,
            self._shown.prepared.source,
            as_array(drawn.x_driving)[:, :2],
            as_array(self._shown.pose.motion.transformed())[:, :2],
            as_array(drawn.x_d)[:, :2],
            None,
            None,
            as_array(rendering.deformation).mean(axis=0)[..., :2],
            None if rendering.occlusion_map is None else as_array(rendering.occlusion_map)[0],
        )
        return draw_panels(facts, height_px)

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self._model = self._runtime = self._shown = self._reference = self._drawn = self._frame = None

    def _render(self, shown: _Shown, pose: Pose, seen: RgbImage, weight: float) -> RgbImage:
        """Draw the whole portrait, (H, W, 3), with a pose of the driver; `seen`: (256, 256, 3), its driving image."""
        from avatar.engines.liveportrait.transfer_torch import target_keypoints

        assert self._reference is not None
        x_d = target_keypoints(self._loaded(), shown.pose, pose, self._reference, self._motion)
        if weight != 1:
            x_s = shown.pose.motion.transformed()
            x_d = x_s + weight * (x_d - x_s)
        rendering = self._open().render(x_d)
        image = (rendering.image[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).byte().cpu().numpy()
        self._drawn = _Drawn(seen, pose.motion.transformed(), x_d, rendering, image)
        if not self._config.detail:
            return shown.composer(image)
        occlusion = None if rendering.occlusion_map is None else as_array(rendering.occlusion_map)[0]
        return shown.composer(image, as_array(rendering.deformation), occlusion)

    def _pose(self, image: torch.Tensor, face: Face | None) -> Pose:
        """Measure the face in an image (1, 3, 256, 256)."""
        from avatar.engines.liveportrait.transfer_torch import Pose

        return Pose(self._open().motion(image), _ratios(face))

    def _square(self, portrait: Portrait) -> Square:
        if portrait.part is not None:
            if not portrait.part.inside(portrait.rgb):
                raise UsageError("The part to animate reaches outside the portrait.", remedy="Give --crop auto.")
            return square_of_box(portrait.part)
        if not self.wants.follows_faces or portrait.face is None:
            return square_of_box(crops.whole(portrait.rgb))
        return square_of_portrait(portrait.face.landmarks if portrait.outline is None else portrait.outline)

    def _tensor(self, images: Sequence[RgbImage]) -> torch.Tensor:
        """Copy B images, (256, 256, 3) uint8, to the device as (B, 3, 256, 256) in [0, 1]."""
        return as_tensor(images, self._open().device)

    def _open(self) -> Runtime:
        if self._runtime is None:
            raise EngineError("This engine is closed: there is no portrait to animate.", remedy="Open it again.")
        return self._runtime

    def _loaded(self) -> LivePortraitModel:
        assert self._model is not None  # else `_open` has refused
        return self._model

    def _on(self) -> _Shown:
        self._open()
        if self._shown is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._shown


def load(config: EngineConfig) -> tuple[LivePortraitModel, Device]:
    """Load the model of a config to its device. Raises as `LivePortraitEngine`."""
    require("torch", Message("The engine {name}", name="liveportrait"))
    from avatar.liveportrait import load_liveportrait

    place = choose_device(config.device)
    return load_liveportrait(choose_weights(config.model), config.config, place.name), place


def _ratios(face: Face | None) -> Ratios | None:
    from avatar.engines.liveportrait.transfer_torch import Ratios

    return None if face is None else Ratios(eye_ratios(face), lip_ratio(face))
