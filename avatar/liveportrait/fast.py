"""The networks M, W and G optimised for a stream of frames: several times faster, equal within rounding.

What depends on the portrait alone is computed once. Norms are folded, memory layouts suit the convolutions, conditions
are convolved on their own small grid, and W and G are computed in float16 or bfloat16 where that is faster. Keypoints,
positions and sampled features are computed in float32. On CUDA, a frame is a recorded graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from avatar.errors import EngineError, ShapeError
from avatar.fomm.fast_layers import Target, can_fuse, can_pack
from avatar.fomm.graphs import Graph, record
from avatar.fomm.precision import cuda_arithmetic, faster_precision
from avatar.liveportrait.fast_generator import FastGenerator
from avatar.liveportrait.fast_warping import FastWarping, PreparedPortrait
from avatar.liveportrait.model import LivePortraitModel, Rendering
from avatar.liveportrait.motion import MotionParameters
from avatar.liveportrait.warping import Warped
from avatar.system.foreign_text import first_line
from avatar.system.message import Message

logger = logging.getLogger(__name__)
Outputs = TypeVar("Outputs")

_WARM_UP = 3  # runs before a graph is recorded: cuDNN benchmarks its algorithms, libraries allocate workspaces


@dataclass(frozen=True)
class FastOptions:
    """Choices of `FastRuntime`; None: what this device and torch do fastest."""

    precision: torch.dtype | None = None  # of W and G
    packed: bool | None = None  # prepack the weights for oneDNN, on CPUs
    graph: bool = True  # record CUDA graphs, on CUDA


class FastRuntime:
    """A `Runtime` that computes W and G in another arrangement; used from one thread."""

    def __init__(self, model: LivePortraitModel, options: FastOptions | None = None) -> None:
        """Prepare a model on its device.

        Args:
            model: is not changed; its extractor M is used as it is.
            options: None: the usual ones.
        """
        self._model, self._options = model, options or FastOptions()
        self.device = next(model.parameters()).device
        self.notes: list[str] = []
        self._may_record = self._options.graph and self.device.type == "cuda"
        self._appearance: Tensor | None = None
        self._x_s: Tensor | None = None
        self._networks: Networks | None = None  # made for the first portrait, whose volume says their size
        self._precision = self._options.precision or faster_precision(self.device)
        self._motion_graph: Graph[MotionParameters] | None = None
        self._image: Tensor | None = None  # the input of that graph

    @property
    def precision(self) -> str:
        """Name of the dtype of W and G."""
        return str(self._precision).removeprefix("torch.")

    @property
    def networks(self) -> Networks:
        """W and G as they are arranged. Raises EngineError: no portrait was prepared."""
        if self._networks is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._networks

    @property
    def graphed(self) -> bool:
        """True if frames are replayed from a CUDA graph (from the second frame on)."""
        return self._networks is not None and self._networks.graph is not None

    @torch.inference_mode()
    def motion(self, image: Tensor) -> MotionParameters:
        """Extract the motion parameters; see `Runtime`."""
        image = image.contiguous(memory_format=torch.channels_last)
        with self._arithmetic():
            if not self._may_record or len(image) != 1:
                return self._model.motion(image)
            if self._motion_graph is None or self._image is None:
                kept = self._image = image.clone()
                self._motion_graph = self._recorded(lambda: self._model.motion(kept))
                if self._motion_graph is None:
                    return self._model.motion(image)
            self._image.copy_(image)
            replayed = self._motion_graph.replay()
            return MotionParameters(*(getattr(replayed, each.name).clone() for each in fields(replayed)))

    @torch.inference_mode()
    def prepare(self, appearance: Tensor, x_s: Tensor) -> None:
        """Compute what depends on the portrait alone; see `Runtime`."""
        self._appearance, self._x_s = appearance, x_s
        with self._arithmetic():
            size = tuple(appearance.shape[2:])
            if self._networks is None or self._networks.size != size:
                self._networks = self._made(size)
            self._networks.prepare(appearance, x_s)

    @torch.inference_mode()
    def render(self, x_d: Tensor) -> Rendering:
        """Generate the image; see `Runtime`. On CUDA, it is overwritten by the next one.

        Raises:
            EngineError: no portrait was prepared, or the model computes NaN even in float32.
        """
        networks = self.networks
        wanted = (1, self._model.config.motion.num_kp, 3)
        if tuple(x_d.shape) != wanted:
            raise ShapeError(
                Message("The portrait has keypoints of {wanted}, got {found}.", wanted=wanted, found=tuple(x_d.shape))
            )
        with self._arithmetic():
            drawn = self._drawn(networks, x_d)
            while not bool(drawn.finite):
                drawn = self._drawn_more_precisely(x_d)
        return drawn.rendering

    def _drawn(self, networks: Networks, x_d: Tensor) -> _Drawn:
        """Run the networks for keypoints (1, K, 3)."""
        if not self._may_record:
            return networks.render(x_d)
        if networks.graph is None:
            networks.x_d = x_d.clone()
            networks.graph = self._recorded(lambda: networks.render(networks.x_d))
            if networks.graph is None:
                return networks.render(x_d)
        networks.x_d.copy_(x_d)
        return networks.graph.replay()

    def _drawn_more_precisely(self, x_d: Tensor) -> _Drawn:
        """Change to the next precision for good, and generate the image for keypoints (1, K, 3) in it."""
        if self._precision == torch.float32:
            raise EngineError("The model computes only NaN for this portrait.", remedy="Use another model.")
        bfloat16_helps = self.device.type == "cuda" and self._precision == torch.float16  # it has float32's range
        before = self.precision
        self._precision = torch.bfloat16 if bfloat16_helps else torch.float32
        self._note(
            Message(
                "In {precision} this model computes NaN, so {wider} is used.", precision=before, wider=self.precision
            )
        )
        assert self._appearance is not None and self._x_s is not None
        self._networks = self._made(tuple(self._appearance.shape[2:]))
        self._networks.prepare(self._appearance, self._x_s)
        return self._drawn(self._networks, x_d)

    def _recorded(self, step: Callable[[], Outputs]) -> Graph[Outputs] | None:
        """Record a CUDA graph; None, and never again, if something in it cannot be recorded."""
        try:
            return record(step, self.device, _WARM_UP)
        except Exception as error:  # whatever the driver or a library raises: frames are still computed
            self._note(
                Message("No CUDA graph could be recorded ({why}), so frames take longer.", why=first_line(error))
            )
            self._may_record = False
            return None

    def _made(self, size: tuple[int, ...]) -> Networks:
        """Arrange the networks for volumes of (D, h, w)."""
        packed = self._options.packed
        target = Target(
            self._precision,
            self.device,
            packed=can_pack(self._precision, self.device) if packed is None else packed,
            fused=can_fuse(self._precision, self.device),
        )
        depth, height, width = size
        return Networks(self._model, target, (depth, height, width))

    def _arithmetic(self) -> AbstractContextManager[None]:
        return cuda_arithmetic(tf32=False) if self.device.type == "cuda" else nullcontext()

    def _note(self, text: str) -> None:
        logger.warning(text)
        self.notes.append(text)


@dataclass(frozen=True, eq=False)
class _Drawn:
    rendering: Rendering
    finite: Tensor  # () bool: the image is made of numbers


class Networks:
    """W and G in one precision, for volumes of one size."""

    def __init__(self, model: LivePortraitModel, target: Target, size: tuple[int, int, int]) -> None:
        self.size = size
        self.warping = FastWarping(model.warping_module, target, size)
        self.generator = FastGenerator(model.spade_generator, target, size[1])
        self.graph: Graph[_Drawn] | None = None
        self.x_d = torch.empty(0)  # the input of that graph
        self._portrait: PreparedPortrait | None = None

    def prepare(self, appearance: Tensor, x_s: Tensor) -> None:
        """Keep a portrait, (1, C, D, h, w) and (1, K, 3), in the memory of the one before, where a graph reads it."""
        new = self.warping.prepare(appearance, x_s)
        if self._portrait is None or self.graph is None:
            self._portrait = new
        else:
            self._portrait.copy_(new)

    def warp(self, x_d: Tensor) -> Warped:
        """Run W for keypoints (1, K, 3)."""
        assert self._portrait is not None
        return self.warping(self._portrait, x_d)

    def render(self, x_d: Tensor) -> _Drawn:
        """Generate the image for keypoints (1, K, 3)."""
        warped = self.warp(x_d)
        logits = self.generator(warped.features)
        drawn = Rendering(logits.sigmoid(), warped.deformation, warped.occlusion_map)
        return _Drawn(drawn, torch.isfinite(logits).all())  # of the logits: the sigmoid of infinity is 1
