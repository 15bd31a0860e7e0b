"""Driving pictures in, avatar pictures out, uint8 to uint8, on whatever device the model is.

On CUDA each frame is one copy up, one recorded graph of all its kernels, and one copy down, both through memory that
is pinned once. The first picture of every portrait is looked at for NaN: half precision reaches no further than 65504.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.errors import EngineError, ShapeError
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.fast import EncodedSource, FastModel, Tricks
from avatar.fomm.graphs import Graph, record
from avatar.fomm.model import FirstOrderModel
from avatar.foreign_text import first_line
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, Transfer, transfer_between

logger = logging.getLogger(__name__)

_WARM_UP = 3  # frames before a graph is recorded: cuDNN tries its algorithms, libraries make their workspaces


@dataclass(frozen=True)
class StreamOptions:
    """How motion is carried over, and how frames are computed."""

    relative: bool = True  # False: the portrait takes the driver's keypoints themselves
    adapt_scale: bool = True  # a smaller face moves less; relative motion only
    strength: float = 1.0  # 0..2; how far it moves
    precision: torch.dtype | None = None  # of the generator and the mask; None: the fastest that is close enough
    tricks: Tricks | None = None  # None: all that this torch is able to do here
    graph: bool = True  # record a CUDA graph, on CUDA
    compiled: bool = False  # let torch.compile join small steps: a minute of preparation, on CUDA a little faster

    def transfer(self, kp_source: Keypoints, kp_reference: Keypoints) -> Transfer:
        """How keypoints of driving frames are to be carried over."""
        reference = kp_reference if self.relative else None
        return transfer_between(kp_source, reference, adapt_scale=self.adapt_scale, strength=self.strength)


@dataclass(frozen=True, eq=False)
class Drawn:
    """All that is known of one frame, on the device; overwritten by the next one."""

    rgb: Tensor  # (H, W, 3) uint8: the prediction, or what `Finish` made of it
    scores: Tensor  # (1, C, h, w) float32: the prediction before its sigmoid
    kp_driving: Keypoints
    kp_norm: Keypoints
    motion: DenseMotion


Finish = Callable[[Tensor, DenseMotion], Tensor]  # prediction (1, C, h, w) in [0, 1], motion -> (H, W, 3) uint8


@dataclass(frozen=True, eq=False)
class _State:
    """What a frame depends on besides the driving picture. A recorded graph reads it where it is."""

    source: EncodedSource
    transfer: Transfer


class Stream:
    """A FirstOrderModel at work for one portrait and one reference frame at a time; used from one thread."""

    def __init__(self, model: FirstOrderModel, options: StreamOptions | None = None) -> None:
        """Prepare a model on its device."""
        self.options = options or StreamOptions()
        self.notes: list[str] = []  # what was not possible, or given up
        self._model = model
        self.fast = FastModel(model, precision=self.options.precision, tricks=self.options.tricks)
        self.device = self.fast.device
        self.drawn: Drawn | None = None  # the last frame
        self._state: _State | None = None
        self._source: EncodedSource | None = None
        self._kp_reference: Keypoints | None = None
        self._pictures: dict[str, RgbImage] = {}  # of source and reference, in case they must be looked at again
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
        """Of the generator and the mask, by name."""
        return str(self.fast.precision).removeprefix("torch.")

    @property
    def graphed(self) -> bool:
        """Whether frames are replayed from a CUDA graph (from the second frame on)."""
        return self._graph is not None

    @torch.inference_mode()
    def detect(self, rgb: RgbImage) -> Keypoints:
        """Keypoints of a picture, on the device."""
        return self.fast.detect(self._picture(rgb))

    @torch.inference_mode()
    def set_source(self, rgb: RgbImage, finish: Finish | None = None) -> None:
        """Encode a portrait (H, W, C) uint8 of the model's size; the reference frame is kept.

        Args:
            rgb: the portrait.
            finish: makes the picture that `animate` returns, on the device; None: the prediction itself.
        """
        if finish is not self._finish:
            self._graph, self._down = None, None
        self._pictures["source"], self._finish = rgb, finish
        self._source = self.fast.encode(self._picture(rgb))
        self._unchecked = True
        self._settle()

    @torch.inference_mode()
    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference frame (H, W, C) uint8."""
        self._pictures["reference"] = rgb
        self._kp_reference = self.detect(rgb)
        self._settle()

    @torch.inference_mode()
    def set_motion(self, *, relative: bool, adapt_scale: bool, strength: float) -> None:
        """Carry motion over in another way from the next frame on."""
        self.options = replace(self.options, relative=relative, adapt_scale=adapt_scale, strength=strength)
        self._graph, self._state = None, None  # they hold the old way
        self._settle()

    @torch.inference_mode()
    def animate(self, rgb: RgbImage) -> RgbImage:
        """The portrait as the driver (H, W, C) uint8 is now; a new array. Without calibration it is the reference.

        Raises:
            EngineError: there is no portrait, or the model computes NaN even in float32.
            ShapeError: the picture is not of the model's size.
        """
        if self._source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        self._check_shape(rgb)
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
        except Exception as error:  # whatever the driver or a library objects to: frames still come
            self._note(f"No CUDA graph could be recorded ({first_line(error)}), so frames take longer.")
            self._may_record = False
            return self._run_by_itself()

    def _run_by_itself(self) -> Drawn:
        if self._step == self._compute:
            return self._compute()
        try:
            return self._step()
        except Exception as error:  # a compiler may be missing, or choke
            self._note(f"torch.compile failed ({first_line(error)}), so frames take longer.")
            self._step = self._compute
            return self._compute()

    def _compute(self) -> Drawn:
        """One frame, from `_frame` and `_state`; only tensors, nothing that waits for the device."""
        state, fast = self._state, self.fast
        assert state is not None
        image = _as_image(self._frame)
        kp_driving = fast.detector(image)
        kp_norm = state.transfer.apply(kp_driving)
        motion = fast.motion(state.source, kp_norm)
        scores = fast.decoder(fast.move(state.source.features, motion))
        prediction = torch.sigmoid(scores)
        rgb = as_bytes(prediction) if self._finish is None else self._finish(prediction, motion)
        return Drawn(rgb, scores, kp_driving, kp_norm, motion)

    def _check(self) -> None:
        """Look at the first picture of a portrait; where it is not finite, go on in float32 for good."""
        assert self.drawn is not None
        if bool(torch.isfinite(self.drawn.scores).all()):
            self._unchecked = False
            return
        if self.fast.precision == torch.float32:
            raise EngineError("The model computes no picture of this portrait, only NaN.", remedy="Use another model.")
        self._note(f"In {self.precision} this model computes NaN, so float32 is used.")
        self._graph, self._state = None, None
        self.fast = FastModel(self._model, precision=torch.float32)
        self._source = self.fast.encode(self._picture(self._pictures["source"]))
        self.calibrate(self._pictures["reference"])
        with self.fast.arithmetic():
            self.drawn = self._run()
        self._check()

    def _settle(self) -> None:
        """Make the state of source and reference; in place, once a graph reads it there."""
        if self._source is None or self._kp_reference is None:
            return
        new = _State(self._source, self.options.transfer(self._source.keypoints, self._kp_reference))
        if self._state is None:
            self._state = _map(new, torch.clone)  # memory of its own: set_source and calibrate make theirs anew
        else:
            for kept, value in zip(_tensors(self._state), _tensors(new), strict=True):
                kept.copy_(value)

    def _picture(self, rgb: RgbImage) -> Tensor:
        self._check_shape(rgb)
        return _as_image(torch.from_numpy(np.array(rgb)).to(self.device))

    def _upload(self, rgb: RgbImage) -> None:
        self._up.numpy()[...] = rgb
        self._frame.copy_(self._up, non_blocking=True)

    def _download(self, rgb: Tensor) -> RgbImage:
        if self.device.type != "cuda":
            return rgb.cpu().numpy().copy()
        if self._down is None or self._down.shape != rgb.shape:
            self._down = self._host_memory(tuple(rgb.shape))
        self._down.copy_(rgb, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return self._down.numpy().copy()

    def _host_memory(self, shape: tuple[int, ...]) -> Tensor:
        memory = torch.zeros(shape, dtype=torch.uint8)
        if self.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # some systems allow no locked memory; copies then take longer
                memory = memory.pin_memory()
        return memory

    def _check_shape(self, rgb: RgbImage) -> None:
        if rgb.shape != self.shape or rgb.dtype != np.uint8:
            raise ShapeError(
                f"The model takes uint8 pictures of {self.shape}, got {rgb.shape} {rgb.dtype}.",
                remedy="Resize them.",
            )

    def _note(self, text: str) -> None:
        logger.warning(text)
        self.notes.append(text)


def _as_image(rgb: Tensor) -> Tensor:
    """(H, W, C) uint8 to (1, C, H, W) float32 in [0, 1]."""
    return rgb.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format) * (1 / 255)


def as_bytes(prediction: Tensor) -> Tensor:
    """(1, C, H, W) in [0, 1] to (H, W, C) uint8, rounded."""
    return (prediction[0] * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous()


def _tensors(record_: Any) -> list[Tensor]:
    """All tensors of nested dataclasses, in order."""
    if isinstance(record_, Tensor):
        return [record_]
    if not is_dataclass(record_):
        return []
    return [tensor for field in fields(record_) for tensor in _tensors(getattr(record_, field.name))]


def _map(record_: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested dataclasses with every tensor changed."""
    if isinstance(record_, Tensor):
        return change(record_)
    if not is_dataclass(record_) or isinstance(record_, type):
        return record_
    return replace(record_, **{field.name: _map(getattr(record_, field.name), change) for field in fields(record_)})
