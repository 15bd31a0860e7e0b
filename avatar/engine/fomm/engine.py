"""The engine: a portrait of any size, driven by whatever keypoints a checkpoint knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avatar.devices import Device, choose_device
from avatar.engine.fomm import crop as crops
from avatar.engine.fomm.choice import FACES, WHOLE, ModelChoice, choose_model
from avatar.engine.fomm.detail import Composer
from avatar.engine.fomm.panels import MotionFacts, draw_panels
from avatar.errors import EngineError, FaceError, UsageError
from avatar.frames import FloatArray, Frame, RgbImage
from avatar.portrait_crop import Box, Crop
from avatar.tracking.face import Face
from avatar.weights import models_folder

if TYPE_CHECKING:
    import torch

    from avatar.fomm.stream import Drawn, Finish, StreamOptions
    from avatar.images import AlphaImage
    from avatar.motion.keypoints import Keypoints
    from avatar.tracking import FaceTracker

LOOK_EVERY = 5  # frames between two looks whether the driver's face is still there


@dataclass(frozen=True)
class FommOptions:
    """What to draw with, and how the driver's motion is carried over."""

    model: str | Path | None = None  # a name of the manifest, a file, a folder of ONNX files; None: Masque's own
    config: str | Path | None = None  # of the checkpoint; None: what it says itself
    device: str = "auto"
    relative: bool = True
    adapt_scale: bool = True
    strength: float = 1.0  # 0..2
    crop: Crop = "auto"  # "auto": a square around the face, for models of faces; "none": all; or a part of the portrait
    size: int | None = None  # longer side of the output in pixels; None: the portrait's own
    tensorrt: bool = False  # let TensorRT compile ONNX files first; on CUDA, and it takes minutes once
    detail: bool = True  # lay the portrait's fine detail over what the generator draws


class _Stream(Protocol):
    """What `fomm.stream.Stream` and `fomm.onnx_stream.OnnxStream` have in common."""

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

    def set_motion(self, *, relative: bool, adapt_scale: bool, strength: float) -> None: ...


class FommEngine:
    """An AvatarEngine; opened, used and closed on the same thread."""

    def __init__(
        self, options: FommOptions | None = None, tracker: FaceTracker | None = None, stream: _Stream | None = None
    ) -> None:
        """Load the checkpoint.

        Args:
            options: see there.
            tracker: finds faces in portraits and driving frames for `crop="auto"`; without one whole pictures are used,
                but for faces that callers hand over.
            stream: a model at work already, for tests.
        Raises:
            WeightsError, UsageError: the checkpoint is missing, damaged or unknown.
            EngineError: there is no such device.
        """
        self.options = options or FommOptions()
        self.choice: ModelChoice | None = None
        self.place = Device("cpu", "processor", "given")
        self._stream: _Stream | None = stream or self._opened()
        self._tracker = tracker
        self._size, _, channels = self._stream.shape
        if channels != 3:
            raise UsageError(
                f"This checkpoint draws pictures of {channels} channels, and portraits have 3.",
                remedy="Choose a checkpoint that was trained on colour pictures.",
            )
        self._portrait: RgbImage | None = None
        self._source: RgbImage | None = None  # as the model sees it
        self._composer: Composer | None = None
        self._driving_box: Box | None = None
        self._driving: RgbImage | None = None  # as the model saw it last
        self._shown: RgbImage | None = None
        self._kp_source: Keypoints | None = None
        self._frames = 0
        self._finish_of: tuple[Box, tuple[int, ...]] | None = None

    @property
    def precision(self) -> str:
        """Of the generator."""
        return self._open().precision

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not possible, or given up."""
        return tuple(self._open().notes)

    @property
    def follows_faces(self) -> bool:
        """Whether `crop="auto"` looks for faces with this checkpoint."""
        return self.options.crop == "auto" and (self.choice is None or self.choice.kind != WHOLE)

    def set_motion(self, *, relative: bool, adapt_scale: bool, strength: float) -> None:
        """Carry motion over in another way from the next frame on."""
        self.options = replace(self.options, relative=relative, adapt_scale=adapt_scale, strength=strength)
        self._open().set_motion(relative=relative, adapt_scale=adapt_scale, strength=strength)

    def set_source(
        self,
        source_image: Frame,
        face: Face | None = None,
        alpha: AlphaImage | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Encode a portrait; the reference frame is kept.

        Args:
            source_image: the portrait.
            face: in it, if it is known; else it is looked for where the checkpoint wants faces.
            alpha: of no matter here.
            size: longer side of the output in pixels; None: as the options say.
        Raises:
            UsageError: the part to take reaches outside the portrait.
        """
        stream = self._open()
        rgb = source_image.rgb
        box = self._portrait_box(rgb, face)
        rgb, box = _resized(rgb, box, size or self.options.size)
        self._portrait, self._source, self._shown = rgb, crops.cut(rgb, box, self._size), None
        if stream.device.type == "cpu":
            self._composer = Composer(rgb, box)
            stream.set_source(self._source)
        else:
            stream.set_source(self._source, self._finish(rgb, box))
        self._kp_source = stream.detect(self._source)

    def calibrate(self, driving_frame: Frame) -> None:
        """Keep this frame as the reference, and for `crop="auto"` the square around its face for those that follow.

        Raises:
            FaceError: the checkpoint animates faces, faces are looked for, and there is none.
        """
        box = crops.whole(driving_frame.rgb)
        if self.follows_faces and self._tracker is not None:
            self._tracker.reset()
            face = self._tracker.track(driving_frame.rgb, driving_frame.captured_ns * 1e-9)
            if face is not None:
                box = crops.square_of_face(face, driving_frame.rgb)
            elif self.choice is not None and self.choice.kind == FACES:
                raise FaceError(
                    "No face is in the reference frame.", remedy="Look into the camera and calibrate again."
                )
        self.calibrate_in(driving_frame, box)

    def calibrate_in(self, driving_frame: Frame, box: Box) -> None:
        """Keep this frame as the reference, and this part of it for those that follow."""
        self._driving_box = box
        self._open().calibrate(crops.cut(driving_frame.rgb, box, self._size))

    def look_at(self, box: Box) -> None:
        """Take another part of the frames that follow; the reference stays."""
        self._driving_box = box

    def animate(self, driving_frame: Frame) -> Frame:
        """Draw the portrait as the driver is now; without calibration the first frame is the reference.

        Raises:
            EngineError: no portrait is set.
        """
        stream = self._open()
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if self._driving_box is None:
            self.calibrate(driving_frame)
        assert self._driving_box is not None
        if self._shown is not None and not self._is_driven(driving_frame):
            return replace(driving_frame, rgb=self._shown.copy())
        if not self._driving_box.inside(driving_frame.rgb):  # a camera that changed its mind about its size
            self._driving_box = crops.whole(driving_frame.rgb)
        self._driving = crops.cut(driving_frame.rgb, self._driving_box, self._size)
        picture = stream.animate(self._driving)
        if self._composer is not None:
            picture = self._composer(picture, *self._motion(stream))
        self._shown = picture
        return replace(driving_frame, rgb=picture)

    def keypoints(self, picture: RgbImage, box: Box | None = None) -> FloatArray:
        """(K, 2) keypoints that the checkpoint finds in a part of a picture, in [-1, 1]."""
        found = self._open().detect(crops.cut(picture, box or crops.whole(picture), self._size))
        return _array(found.value)

    @property
    def source_keypoints(self) -> FloatArray:
        """(K, 2) keypoints of the portrait's part. Raises EngineError without a portrait."""
        if self._kp_source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return _array(self._kp_source.value)

    def panels(self, height_px: int) -> RgbImage:
        """Pictures of the motion in the last frame, (height_px, height_px, 3).

        Raises:
            EngineError: nothing was drawn yet.
        """
        drawn = self._open().drawn
        if drawn is None or self._driving is None or self._source is None or self._kp_source is None:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        kp_driving, kp_norm, motion = drawn.kp_driving, drawn.kp_norm, drawn.motion
        facts = MotionFacts(
            self._driving,
            self._source,
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
        self._stream = self._composer = self._portrait = self._source = self._shown = self._driving = None
        if self._tracker is not None:
            self._tracker.close()

    def _opened(self) -> _Stream:
        from avatar.fomm.stream import StreamOptions

        options = self.options
        carried = StreamOptions(options.relative, options.adapt_scale, options.strength)
        if options.model is not None and Path(options.model).expanduser().is_dir():
            return self._opened_onnx(carried)
        from avatar.fomm import load_checkpoint
        from avatar.fomm.stream import Stream

        self.place = choose_device(options.device)
        self.choice = choose_model(options.model)
        return Stream(load_checkpoint(self.choice.path, options.config, self.place.name), carried)

    def _opened_onnx(self, carried: StreamOptions) -> _Stream:
        from avatar.fomm.onnx_stream import OnnxStream

        choice = choose_model(self.options.model)
        if self.options.tensorrt:
            cache = models_folder().parent / "tensorrt"
            cache.mkdir(parents=True, exist_ok=True)
            stream = OnnxStream(choice.path, carried, device=self.options.device, tensorrt=True, cache=cache)
        else:
            stream = OnnxStream(choice.path, carried, device=self.options.device)
        self.choice, self.place = choice, Device(stream.place, stream.providers[0], "ONNX Runtime offers it")
        return stream

    def _open(self) -> _Stream:
        if self._stream is None:
            raise EngineError("This engine is closed: there is no portrait to animate.", remedy="Open it again.")
        return self._stream

    def _portrait_box(self, rgb: RgbImage, face: Face | None) -> Box:
        wanted = self.options.crop
        if isinstance(wanted, Box):
            if not wanted.inside(rgb):
                raise UsageError("The part to animate reaches outside the portrait.", remedy="Give --crop auto.")
            return wanted
        if not self.follows_faces:
            return crops.whole(rgb)
        if face is None and self._tracker is not None:
            face = next(iter(self._tracker.detect(rgb)), None)
        return crops.whole(rgb) if face is None else crops.square_of_face(face, rgb)

    def _finish(self, portrait: RgbImage, box: Box) -> Finish:
        from avatar.engine.fomm.detail_torch import TorchComposer

        return TorchComposer(portrait, box, self._size, self._open().device, detail=self.options.detail)

    def _motion(self, stream: _Stream) -> tuple[FloatArray | None, FloatArray | None]:
        if stream.drawn is None or not self.options.detail:
            return None, None
        motion = stream.drawn.motion
        occlusion = None if motion.occlusion_map is None else _array(motion.occlusion_map)[0]
        return _array(motion.deformation), occlusion

    def _is_driven(self, driving_frame: Frame) -> bool:
        """Whether a driver is in sight; looked for now and then, and always while there is none."""
        if self._tracker is None or not self.follows_faces or self.choice is None or self.choice.kind != FACES:
            return True
        self._frames += 1
        if self._frames % LOOK_EVERY:
            return True
        seen = self._tracker.track(driving_frame.rgb, driving_frame.captured_ns * 1e-9) is not None
        if not seen:
            self._frames -= 1  # look again at the next frame
        return seen


def _array(values: torch.Tensor) -> FloatArray:
    """The first of a batch, on the processor."""
    return np.asarray(values[0].detach().float().cpu().numpy())


def _resized(rgb: RgbImage, box: Box, size: int | None) -> tuple[RgbImage, Box]:
    """Portrait and box scaled so that the longer side has `size` pixels."""
    height, width = rgb.shape[:2]
    if size is None or size == max(height, width):
        return rgb, box
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = round(box.left * scale), round(box.top * scale)
    right = min(new_width, round((box.left + box.width) * scale))
    bottom = min(new_height, round((box.top + box.height) * scale))
    return crops.scaled(rgb, new_width, new_height), Box(left, top, max(1, right - left), max(1, bottom - top))
