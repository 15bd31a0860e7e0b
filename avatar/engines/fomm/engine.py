"""The engine: animates a portrait of any size by the keypoints of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avatar.engines import crop as crops
from avatar.engines.base import Driving, DrivingInput, EngineConfig, EngineFacts, Portrait
from avatar.engines.cutout import Cutout, cut_out
from avatar.engines.fomm.choice import FACES, WHOLE, ModelChoice, choose_model
from avatar.engines.fomm.detail import Composer, MatteMover
from avatar.engines.panels import MotionFacts, draw_panels
from avatar.errors import EngineError, UsageError
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.images.box import Box
from avatar.motion.nearest import distances
from avatar.settings import MotionSettings
from avatar.system.devices import Device, choose_device
from avatar.system.message import Message
from avatar.system.program import require
from avatar.weights import models_folder

if TYPE_CHECKING:
    import torch

    from avatar.fomm.stream import Drawn, Finish, StreamOptions
    from avatar.motion.keypoints import Keypoints


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """A portrait at its drawn size, and the part of it that the model animates."""

    rgb: RgbImage  # (H, W, 3)
    part: Box  # the animated part
    source: RgbImage  # (S, S, 3), the part at the model's size
    cutout: Cutout | None = None  # None: not asked for, or there is nothing to tell the person by


class _Stream(Protocol):
    """Common interface of `fomm.stream.Stream` and `fomm.onnx_stream.OnnxStream`."""

    shape: tuple[int, int, int]
    notes: list[str]
    drawn: Drawn | None
    device: torch.device

    @property
    def precision(self) -> str: ...

    def detect(self, rgb: RgbImage) -> Keypoints: ...

    def set_source(self, rgb: RgbImage, finish: Finish | None = None) -> None: ...

    def calibrate(self, rgb: RgbImage) -> None: ...

    def animate(self, rgb: RgbImage) -> RgbImage: ...

    def set_motion(self, motion: MotionSettings) -> None: ...


class FommEngine:
    """An engine that runs a First Order Motion Model; see `avatar.engines.base.Engine`."""

    framing = crops.FACE_MESH

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        stream: _Stream | None = None,
        choice: ModelChoice | None = None,
    ) -> None:
        """Load the checkpoint.

        Args:
            config: options of the engine.
            stream: an open model, for tests and benchmarks.
            choice: the checkpoint of `stream`.
        Raises:
            WeightsError, UsageError: the checkpoint is missing, damaged or unknown.
            EngineError: there is no such device.
        """
        self._config = config or EngineConfig("fomm")
        self._choice = choice
        self._place = Device("cpu", "processor", "given")
        self._stream: _Stream | None = stream or self._opened()
        self._size, _, channels = self._stream.shape
        if channels != 3:
            raise UsageError(
                Message(
                    "This checkpoint draws images of {channels} channels, and portraits have 3.", channels=channels
                ),
                remedy="Choose a checkpoint that was trained on colour pictures.",
            )
        self.wants = _wanted(self._config, self._choice)
        self._portrait: PreparedPortrait | None = None
        self._composer: Composer | None = None
        self._mover: MatteMover | None = None
        self._driving: RgbImage | None = None  # (S, S, 3), last driving image at the model's size
        self._shown: RgbImage | None = None
        self._at_rest = False  # the last frame is the portrait itself
        self._kp_source: Keypoints | None = None

    @property
    def facts(self) -> EngineFacts:
        """Device, and the precision of the generator."""
        return EngineFacts("fomm", self._place.name, self._open().precision, self._place.why)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about options that were dropped, and the reason for the device that `auto` chose."""
        return (*self._open().notes, *self._place.notes(self._config.device))

    def prepare(
        self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True
    ) -> PreparedPortrait:
        """Choose the part and resize portrait and part. Raises: UsageError: the part reaches outside the portrait."""
        rgb, part = _resized(portrait.rgb, self._part(portrait), size_px)
        cutout = cut_out(portrait, rgb) if portrait.separate else None
        return PreparedPortrait(rgb, part, crops.cut(rgb, part, self._size), cutout)

    def show(self, prepared: PreparedPortrait) -> None:
        """Encode this portrait, to be drawn from the next frame on; the reference frame is kept."""
        stream = self._open()
        self._portrait, self._shown, self._at_rest = prepared, None, False
        self._mover = None if prepared.cutout is None else MatteMover(prepared.cutout.matte, prepared.part)
        if stream.device.type == "cpu":
            self._composer = Composer(prepared.rgb, prepared.part)
            stream.set_source(prepared.source)
        else:
            stream.set_source(prepared.source, self._finish(prepared))
        self._kp_source = stream.detect(prepared.source)

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on; head and expression move as one."""
        self._open().set_motion(motion)

    def calibrate(self, driving: Driving) -> None:
        """Keep the image as the reference frame."""
        assert driving.image is not None
        self._open().calibrate(self._seen(driving.image))

    def draw(self, driving: Driving) -> RgbImage:
        """Draw the portrait with the image's motion; without an image repeat the last frame, at first the portrait.

        Raises:
            EngineError: no portrait is shown.
        """
        stream = self._open()
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if driving.image is None:
            self._at_rest = self._shown is None
            return (self._portrait.rgb if self._shown is None else self._shown).copy()
        self._driving, self._at_rest = self._seen(driving.image), False
        drawn = stream.animate(self._driving)
        if self._composer is not None:
            drawn = self._composer(drawn, *self._motion(stream))
        self._shown = drawn
        return drawn

    def background(self) -> RgbImage | None:
        """Return the portrait without the person, (H, W, 3); None: unknown. Raises: EngineError: none is shown."""
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return None if self._portrait.cutout is None else self._portrait.cutout.background

    def matte(self) -> AlphaImage | None:
        """Return the person's part of the frame drawn last, (H, W). Raises: EngineError: nothing was drawn yet."""
        drawn = self._open().drawn
        if self._portrait is None or (self._shown is None and not self._at_rest):
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        if self._mover is None or self._portrait.cutout is None:
            return None
        if self._at_rest or drawn is None:
            return self._portrait.cutout.matte.copy()
        return self._mover(_array(drawn.motion.deformation))

    def distance(self, image: RgbImage) -> float:
        """Return the distance of the keypoints of an (h, w, 3) image from the portrait's, position and size aside."""
        if self._kp_source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        found = self._open().detect(self._seen(image))
        return float(distances(_array(self._kp_source.value), _array(found.value)[None])[0])

    def panels(self, height_px: int) -> RgbImage:
        """Draw the motion of the last frame, (height_px, height_px, 3). Raises: EngineError: nothing was drawn yet."""
        drawn = self._open().drawn
        if drawn is None or self._driving is None or self._portrait is None or self._kp_source is None:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        kp_driving, kp_norm, motion = drawn.kp_driving, drawn.kp_norm, drawn.motion
        facts = MotionFacts(
            self._driving,
            self._portrait.source,
            _array(kp_driving.value),
            _array(self._kp_source.value),
            _array(kp_norm.value),
            None if kp_driving.jacobian is None else _array(kp_driving.jacobian),
            None if kp_norm.jacobian is None else _array(kp_norm.jacobian),
            _array(motion.deformation),
            None if motion.occlusion_map is None else _array(motion.occlusion_map)[0],
        )
        return draw_panels(facts, height_px)

    def close(self) -> None:
        """Release everything; safe to call twice."""
        self._stream = self._composer = self._mover = self._portrait = self._shown = self._driving = None

    def _opened(self) -> _Stream:
        require("torch", Message("The engine {name}", name="fomm"))
        from avatar.fomm.stream import StreamOptions

        config = self._config
        carried = StreamOptions(config.motion)
        if config.model is not None and Path(config.model).expanduser().is_dir():
            return self._opened_onnx(carried)
        from avatar.fomm import load_checkpoint
        from avatar.fomm.stream import Stream

        self._place = choose_device(config.device)
        self._choice = choose_model(config.model)
        return Stream(load_checkpoint(self._choice.path, config.config, self._place.name), carried)

    def _opened_onnx(self, carried: StreamOptions) -> _Stream:
        from avatar.fomm.onnx_stream import OnnxStream

        choice = choose_model(self._config.model)
        if self._config.tensorrt:
            cache = models_folder().parent / "tensorrt"
            cache.mkdir(parents=True, exist_ok=True)
            stream = OnnxStream(choice.path, carried, device=self._config.device, tensorrt=True, cache=cache)
        else:
            stream = OnnxStream(choice.path, carried, device=self._config.device)
        self._choice, self._place = choice, Device(stream.place, stream.providers[0], "ONNX Runtime offers it")
        return stream

    def _open(self) -> _Stream:
        if self._stream is None:
            raise EngineError("This engine is closed: there is no portrait to animate.", remedy="Open it again.")
        return self._stream

    def _seen(self, image: RgbImage) -> RgbImage:
        """Resize an (h, w, 3) image to the model's size, (S, S, 3)."""
        return crops.scaled(image, self._size, self._size)

    def _part(self, portrait: Portrait) -> Box:
        if portrait.part is not None:
            if not portrait.part.inside(portrait.rgb):
                raise UsageError("The part to animate reaches outside the portrait.", remedy="Give --crop auto.")
            return portrait.part
        if not self.wants.follows_faces or portrait.face is None:
            return crops.whole(portrait.rgb)
        return crops.square_of_face(portrait.face, portrait.rgb)

    def _finish(self, prepared: PreparedPortrait) -> Finish:
        from avatar.engines.fomm.detail_torch import TorchComposer

        device, detail = self._open().device, self._config.detail
        return TorchComposer(prepared.rgb, prepared.part, self._size, device, detail=detail)

    def _motion(self, stream: _Stream) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the last frame's deformation (a, b, 2) and occlusion map (a, b), or None, for the compositor."""
        if stream.drawn is None or not self._config.detail:
            return None, None
        motion = stream.drawn.motion
        occlusion = None if motion.occlusion_map is None else _array(motion.occlusion_map)[0]
        return _array(motion.deformation), occlusion


def _wanted(config: EngineConfig, choice: ModelChoice | None) -> DrivingInput:
    """Choose the driving input for a checkpoint, from its training data."""
    kind = None if choice is None else choice.kind
    if not config.follow_faces or kind == WHOLE:
        return DrivingInput.FRAME
    return DrivingInput.FACE_CROP if kind == FACES else DrivingInput.CROP


def _array(values: torch.Tensor) -> FloatArray:
    """Copy the first element of a batch (B, ...) to host memory as float32 (...)."""
    return np.asarray(values[0].detach().float().cpu().numpy())


def _resized(rgb: RgbImage, box: Box, size: int | None) -> tuple[RgbImage, Box]:
    """Scale (H, W, 3) and a box in it so that the longer side has `size` pixels."""
    height, width = rgb.shape[:2]
    if size is None or size == max(height, width):
        return rgb, box
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = round(box.left * scale), round(box.top * scale)
    right = min(new_width, round((box.left + box.width) * scale))
    bottom = min(new_height, round((box.top + box.height) * scale))
    return crops.scaled(rgb, new_width, new_height), Box(left, top, max(1, right - left), max(1, bottom - top))
