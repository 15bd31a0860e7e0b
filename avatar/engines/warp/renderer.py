"""Drawing of a prepared portrait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from avatar.cv import cv2
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.look_up import Box, LookUp
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage

_WORTH_A_THREAD_PX = 50_000  # below this, starting a thread takes longer than it saves


@dataclass(frozen=True)
class Place:
    """Device that draws."""

    device: str  # "cpu" or "gpu"
    why: str = ""  # that one was taken; names the graphics chip, if there is one


class Renderer(Protocol):
    """Draws scenes; used on one thread."""

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw a portrait.

        Args:
            layers: of the portrait.
            scene: its motion in this frame, made for this portrait.
        Returns:
            (H, W, 3) uint8, a new array each time; without any motion, the portrait itself.
        """
        ...

    def close(self) -> None:
        """Release everything; safe to call twice."""


class EngineRenderer(Renderer, Protocol):
    """A renderer that draws whatever happens, and says where."""

    place: Place  # replaced as a whole; may change while it draws
    notes: tuple[str, ...]  # sentences on what was given up

    def settle(self, portrait: WarpPortrait) -> None:
        """Choose where to draw, by a prepared portrait, which may take seconds; on any thread.

        Without it the choice is made by a frame, once that takes no waiting.
        """


class ProcessorRenderer:
    """Draws with OpenCV and NumPy, on as many threads as OpenCV may use, two at most."""

    place = Place("cpu")
    notes: tuple[str, ...] = ()

    def settle(self, portrait: WarpPortrait) -> None:
        """Have no choice."""

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw a portrait; see `Renderer.draw`."""
        canvas = layers.at_rest()
        parts = layers.moving_parts.of(scene.look_up)
        if cv2.getNumThreads() > 1 and sum(part.width * part.height for part in parts) > _WORTH_A_THREAD_PX:
            with ThreadPoolExecutor(1, "masque-drawing") as beside:
                others = beside.submit(_compose, canvas, layers, scene.look_up, parts[1::2])
                _compose(canvas, layers, scene.look_up, parts[::2])
                others.result()
        else:
            _compose(canvas, layers, scene.look_up, parts)
        layers.openings.draw(canvas, scene)
        return canvas

    def close(self) -> None:
        """Release nothing, for it holds nothing."""


def _compose(canvas: RgbImage, layers: Layers, look_up: LookUp, parts: list[Box]) -> None:
    """Draw parts of the frame, (H, W, 3), in place."""
    for part in parts:
        part.view(canvas, look_up.whole.box)[:] = layers.compose(look_up, part)
