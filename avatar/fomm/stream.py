"""Streaming inference: uint8 driving frames to uint8 avatar frames, on the model's device.

On CUDA each frame is one upload, one recorded graph of all kernels and one download, through pinned memory. The first
frame of every portrait is checked for NaN, because float16 overflows at 65504.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.errors import EngineError, ShapeError
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.fast import EncodedSource, FastModel, KernelOptions
from avatar.fomm.graphs import Graph, record
from avatar.fomm.model import FirstOrderModel
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, Transfer, transfer_between
from avatar.settings import MotionSettings
from avatar.system.foreign_text import first_line
from avatar.system.message import Message

logger = logging.getLogger(__name__)

_WARM_UP = 3  # runs before a graph is recorded: cuDNN benchmarks its algorithms, libraries allocate workspaces


@dataclass(frozen=True)
class StreamOptions:
    """Options of motion transfer and computation."""

    motion: MotionSettings = field(default_factory=MotionSettings)  # head and expression move as one: `strength_head`
    precision: torch.dtype | None = None  # of the generator and the mask; None: the fastest that is accurate enough
    kernels: KernelOptions | None = None  # None: `KernelOptions.usual`
    graph: bool = True  # record a CUDA graph, on CUDA
    compiled: bool = False  # use torch.compile: a minute of preparation, slightly faster on CUDA

    def transfer(self, kp_source: Keypoints, kp_reference: Keypoints) -> Transfer:
        """Precompute the motion transfer; both sets of keypoints have value (1, K, 2) and jacobian (1, K, 2, 2)."""
        motion = self.motion
        reference = kp_reference if motion.relative else None
        return transfer_between(kp_source, reference, adapt_scale=motion.adapt_scale, strength=motion.strength_head)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Result of one frame, on the device; overwritten by the next frame."""

    rgb: Tensor  # (H, W, 3) uint8: the prediction, or the result of `Finish`
    logits: Tensor  # (1, C, h, w) float32: the prediction before the sigmoid; of an `OnnxStream`, after it
    kp_driving: Keypoints
    kp_norm: Keypoints
    motion: DenseMotion


Finish = Callable[[Tensor, DenseMotion], Tensor]  # prediction (1, C, h, w) in [0, 1], motion -> (H, W, 3) uint8


@dataclass(frozen=True, eq=False)
class _State:
    """Inputs of a frame besides the driving frame. A recorded graph reads them at fixed addresses."""

    source: EncodedSource
    transfer: Transfer


class Stream:
    """Session of a FirstOrderModel for one portrait and one reference frame; used from one thread."""

    def __init__(self, model: FirstOrderModel, options: StreamOptions | None = None) -> None:
        """Prepare a model on its device."""
        self.options = options or StreamOptions()
        self.notes: list[str] = []  # warnings about fallbacks
        self._model = model
        self.fast = FastModel(model, precision=self.options.precision, kernels=self.options.kernels)
        self.device = self.fast.device
        self.drawn: Drawn | None = None  # the last frame
        self._state: _State | None = None
        self._source: EncodedSource | None = None
        self._kp_reference: Keypoints | None = None
        self._images: dict[str, RgbImage] = {}  # source and reference, in case they must be encoded again
        self._finish: Finish | None = None
        self._graph: Graph[Drawn] | None = None
        self._may_record = self.options.graph and self.device.type == "cuda"
        self._unchecked = True
        self._step: Callable[[], Drawn] = self._compute
        if self.options.compiled:
            self._step = torch.compile(self._compute, dynamic=False)
        size, channels = model.config.frame_size, model.config.num_channels
        self.shape = (size, size, channels)
        self._up = self._host_memory(self.shape)
        self._down: Tensor | None = None
        self._frame = torch.zeros(self.shape, dtype=torch.uint8, device=self.device)

    @property
    def precision(self) -> str:
        """Name of the dtype of the generator and the mask."""
        return str(self.fast.precision).removeprefix("torch.")

    @property
    def graphed(self) -> bool:
        """True if frames are replayed from a CUDA graph (from the second frame on)."""
        return self._graph is not None

    @torch.inference_mode()
    def detect(self, rgb: RgbImage) -> Keypoints:
        """Detect the keypoints of an (H, W, C) uint8 image; the result is on the device."""
        return self.fast.detect(self._image(rgb))

    @torch.inference_mode()
    def set_source(self, rgb: RgbImage, finish: Finish | None = None) -> None:
        """Set the portrait; the reference frame is kept.

        Args:
            rgb: (H, W, C) uint8 of the model's size.
            finish: computes the image that `animate` returns, on the device; None returns the prediction itself.
        """
        if finish is not self._finish:
            self._graph, self._down = None, None
        self._images["source"], self._finish = rgb, finish
        self._source = self.fast.encode(self._image(rgb))
        self._unchecked = True
        self._settle()

    @torch.inference_mode()
    def calibrate(self, rgb: RgbImage) -> None:
        """Set the reference frame, (H, W, C) uint8."""
        self._images["reference"] = rgb
        self._kp_reference = self.detect(rgb)
        self._settle()

    @torch.inference_mode()
    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        self.options = replace(self.options, motion=motion)
        self._graph, self._state = None, None  # they depend on the old options
        self._settle()

    @torch.inference_mode()
    def animate(self, rgb: RgbImage) -> RgbImage:
        """Animate the portrait with a driving frame, (H, W, C) uint8; returns a new array.

        Without calibration the first driving frame becomes the reference frame.

        Raises:
            EngineError: there is no portrait, or the model computes NaN even in float32.
            ShapeError: the image is not of the model's size.
        """
        if self._source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        check_shape(rgb, self.shape)
        if self._kp_reference is None:
            self.calibrate(rgb)
        self._upload(rgb)
        with self.fast.arithmetic():
            self.drawn = self._run()
        if self._unchecked:
            self._check()
        return self._download(self.drawn.rgb)

    def _run(self) -> Drawn:
        if self._graph is not None:
            return self._graph.replay()
        drawn = self._run_by_itself()
        if not self._may_record:
            return drawn
        try:
            self._graph = record(self._step, self.device, _WARM_UP)
            return self._graph.replay()
        except Exception as error:  # whatever the driver or a library raises: frames are still computed
            self._note(
                Message("No CUDA graph could be recorded ({why}), so frames take longer.", why=first_line(error))
            )
            self._may_record = False
            return self._run_by_itself()

    def _run_by_itself(self) -> Drawn:
        if self._step == self._compute:
            return self._compute()
        try:
            return self._step()
        except Exception as error:  # a compiler may be missing or fail
            self._note(Message("torch.compile failed ({why}), so frames take longer.", why=first_line(error)))
            self._step = self._compute
            return self._compute()

    def _compute(self) -> Drawn:
        """Compute one frame from `_frame` and `_state`, without synchronising with the device."""
        state, fast = self._state, self.fast
        assert state is not None
        image = _as_image(self._frame)
        kp_driving = fast.detector(image)
        kp_norm = state.transfer.apply(kp_driving)
        motion = fast.motion(state.source, kp_norm)
        logits = fast.decoder(fast.move(state.source.features, motion))
        prediction = torch.sigmoid(logits)
        rgb = as_bytes(prediction) if self._finish is None else self._finish(prediction, motion)
        return Drawn(rgb, logits, kp_driving, kp_norm, motion)

    def _check(self) -> None:
        """Check the first frame of a portrait; if it is not finite, switch to float32 permanently."""
        assert self.drawn is not None
        if bool(torch.isfinite(self.drawn.logits).all()):
            self._unchecked = False
            return
        if self.fast.precision == torch.float32:
            raise EngineError("The model computes only NaN for this portrait.", remedy="Use another model.")
        self._note(Message("In {precision} this model computes NaN, so float32 is used.", precision=self.precision))
        self._graph, self._state = None, None
        self.fast = FastModel(self._model, precision=torch.float32)
        self._source = self.fast.encode(self._image(self._images["source"]))
        self.calibrate(self._images["reference"])
        with self.fast.arithmetic():
            self.drawn = self._run()
        self._check()

    def _settle(self) -> None:
        """Update the state from source and reference, in place once it exists, because a graph reads it there."""
        if self._source is None or self._kp_reference is None:
            return
        new = _State(self._source, self.options.transfer(self._source.keypoints, self._kp_reference))
        if self._state is None:
            self._state = _map(new, torch.clone)  # memory of its own: set_source and calibrate allocate new tensors
        else:
            for kept, value in zip(_tensors(self._state), _tensors(new), strict=True):
                kept.copy_(value)

    def _image(self, rgb: RgbImage) -> Tensor:
        """Upload an (H, W, C) uint8 image as (1, C, H, W) float32 in [0, 1]."""
        check_shape(rgb, self.shape)
        return _as_image(torch.from_numpy(np.array(rgb)).to(self.device))

    def _upload(self, rgb: RgbImage) -> None:
        """Copy an (H, W, C) uint8 frame to the device."""
        self._up.numpy()[...] = rgb
        self._frame.copy_(self._up, non_blocking=True)

    def _download(self, rgb: Tensor) -> RgbImage:
        """Copy (H, W, 3) uint8 to host memory."""
        if self.device.type != "cuda":
            return rgb.cpu().numpy().copy()
        if self._down is None or self._down.shape != rgb.shape:
            self._down = self._host_memory(tuple(rgb.shape))
        self._down.copy_(rgb, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return self._down.numpy().copy()

    def _host_memory(self, shape: tuple[int, ...]) -> Tensor:
        """Allocate a uint8 tensor of this shape, (H, W, C), in pinned memory if possible."""
        memory = torch.zeros(shape, dtype=torch.uint8)
        if self.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # some systems allow no pinned memory; copies then take longer
                memory = memory.pin_memory()
        return memory

    def _note(self, text: str) -> None:
        logger.warning(text)
        self.notes.append(text)


def check_shape(rgb: RgbImage, shape: tuple[int, ...]) -> None:
    """Raise ShapeError unless an image is uint8 of the model's shape (H, W, C)."""
    if rgb.shape != shape or rgb.dtype != np.uint8:
        raise ShapeError(
            Message(
                "The model takes uint8 images of {shape}, got {found} {dtype}.",
                shape=shape,
                found=rgb.shape,
                dtype=rgb.dtype,
            ),
            remedy="Resize them.",
        )


def _as_image(rgb: Tensor) -> Tensor:
    """Convert (H, W, C) uint8 to (1, C, H, W) float32 in [0, 1]."""
    return rgb.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format) * (1 / 255)


def as_bytes(prediction: Tensor) -> Tensor:
    """Convert (1, C, H, W) in [0, 1] to (H, W, C) uint8, rounded."""
    return (prediction[0] * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous()


def _tensors(record_: Any) -> list[Tensor]:
    """Return all tensors, of any shape, of nested dataclasses, in order."""
    if isinstance(record_, Tensor):
        return [record_]
    if not is_dataclass(record_):
        return []
    return [tensor for field in fields(record_) for tensor in _tensors(getattr(record_, field.name))]


def _map(record_: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to every tensor, (...), of nested dataclasses."""
    if isinstance(record_, Tensor):
        return change(record_)
    if not is_dataclass(record_) or isinstance(record_, type):
        return record_
    return replace(record_, **{field.name: _map(getattr(record_, field.name), change) for field in fields(record_)})
