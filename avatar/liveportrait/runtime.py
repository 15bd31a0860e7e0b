"""The networks that run for every frame, behind one interface that is independent of their implementation."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from avatar.errors import EngineError
from avatar.liveportrait.model import LivePortraitModel, Rendering
from avatar.liveportrait.motion import MotionParameters


class Runtime(Protocol):
    """The networks M, W and G for one portrait after the other, on one device; used from one thread."""

    device: torch.device
    notes: list[str]  # notes about options that were not possible or were dropped

    @property
    def precision(self) -> str:
        """Name of the dtype of W and G, for instance "float32"."""
        ...

    def motion(self, image: Tensor) -> MotionParameters:
        """Extract the motion parameters, float32, of (B, 3, 256, 256) RGB images in [0, 1] on the device."""
        ...

    def prepare(self, appearance: Tensor, x_s: Tensor) -> None:
        """Precompute everything that is needed once per portrait.

        Args:
            appearance: (1, C, D, h, w) float32 feature volume, as `LivePortraitModel.appearance`.
            x_s: (1, K, 3) float32 keypoints.
        """

    def render(self, x_d: Tensor) -> Rendering:
        """Generate the image of the portrait with the keypoints (1, K, 3) float32.

        Raises:
            EngineError: no portrait was prepared.
        """
        ...


class PlainRuntime:
    """The plain model, in float32."""

    def __init__(self, model: LivePortraitModel) -> None:
        self._model = model
        self.device = next(model.parameters()).device
        self.notes: list[str] = []
        self._portrait: tuple[Tensor, Tensor] | None = None

    @property
    def precision(self) -> str:
        """Name of the dtype of W and G."""
        return "float32"

    @torch.inference_mode()
    def motion(self, image: Tensor) -> MotionParameters:
        """Extract the motion parameters; see `Runtime`."""
        return self._model.motion(image)

    def prepare(self, appearance: Tensor, x_s: Tensor) -> None:
        """Keep the portrait; see `Runtime`."""
        self._portrait = appearance, x_s

    @torch.inference_mode()
    def render(self, x_d: Tensor) -> Rendering:
        """Generate the image; see `Runtime`."""
        if self._portrait is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        return self._model.render(*self._portrait, x_d)


def open_runtime(model: LivePortraitModel, precision: torch.dtype | None = None) -> Runtime:
    """Create a runtime for a model on its device.

    Args:
        model: the model; not changed.
        precision: dtype of W and G; None: the fastest that is accurate enough.
    """
    from avatar.liveportrait.fast import FastOptions, FastRuntime  # it implements the protocol above

    return FastRuntime(model, FastOptions(precision=precision))
