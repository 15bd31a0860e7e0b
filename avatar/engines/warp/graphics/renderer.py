"""Drawing of scenes on the graphics chip: coarse grids go up, one image comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.graphics.chip import Chip, NoChipError, open_device
from avatar.engines.warp.graphics.packing import FRAME_BYTES, Packed, pack
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.look_up import Box
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage

_SHADER = Path(__file__).with_name("shader.wgsl")
_FORMAT = "rgba8unorm"
_ROW_BYTES = 256  # rows of a copy from texture to buffer begin at multiples of this
_BOXES = {  # one box for each instance
    "array_stride": 16, "step_mode": "instance",
    "attributes": [{"format": "float32x4", "offset": 0, "shader_location": 0}],
}  # fmt: skip
_PASSES = ("draw_whole", "draw_around", "draw_middle")  # entry points of the shader, one per kind of box


class GraphicsRenderer:
    """Draws on one chip, one portrait at a time; see `Renderer`. Used on one thread.

    What does not move is copied from the portrait at rest. Eyes and mouth are drawn by the processor on the image that
    comes back: they are small, and their formulas stay in one place. Any exception of `draw` means that the chip is
    lost; nothing but `close` may follow.
    """

    def __init__(self, chip: Chip) -> None:
        """Open the chip and compile the shader. Raises NoChipError."""
        self._device = open_device(chip)
        try:
            self._layout = self._device.create_bind_group_layout(entries=_bindings())
            self._pipelines = self._compiled()
        except Exception as error:
            self.close()
            raise NoChipError("The graphics chip refuses the shader.", remedy="Draw on the processor.") from error
        self._sampler = self._device.create_sampler(mag_filter="linear", min_filter="linear")  # clamps to the edge
        self._surface: _Surface | None = None

    def takes(self, layers: Layers) -> bool:
        """Return whether a portrait is small enough for the chip's textures."""
        return bool(max(layers.person.shape[:2]) <= self._device.limits["max-texture-dimension-2d"])

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw a portrait; see `Renderer.draw`. Raises: whatever wgpu does."""
        if self._surface is None or self._surface.layers is not layers:
            self._surface = None  # its memory is free before the next takes some
            self._surface = _Surface(self._device, self._layout, self._sampler, layers)
        canvas = layers.at_rest()
        parts = layers.moving_parts.of(scene.look_up)
        if parts:
            self._surface.draw(
                canvas, pack(scene.look_up, layers.texture_scale, parts, layers.person_box), parts, self._pipelines
            )
        layers.openings.draw(canvas, scene)
        return canvas

    def close(self) -> None:
        """Release the chip; safe to call twice."""
        self._surface = None
        device, self._device = self._device, None
        if device is not None:
            device.destroy()

    def _compiled(self) -> list[Any]:
        code = self._device.create_shader_module(code=_SHADER.read_text(encoding="utf-8"))
        layout = self._device.create_pipeline_layout(bind_group_layouts=[self._layout])
        return [
            self._device.create_render_pipeline(
                layout=layout,
                vertex={"module": code, "entry_point": "corner", "buffers": [_BOXES]},
                primitive={"topology": "triangle-strip"},
                fragment={"module": code, "entry_point": name, "targets": [{"format": _FORMAT}]},
            )
            for name in _PASSES
        ]


class _Surface:
    """The textures and buffers of one portrait on the chip."""

    def __init__(self, device: Any, layout: Any, sampler: Any, layers: Layers) -> None:
        from wgpu import BufferUsage, TextureUsage

        self.layers = layers
        self._device, self._layout, self._sampler = device, layout, sampler
        self._height_px, self._width_px = layers.background.shape[:2]
        self._person = self._texture(layers.person)
        self._background = self._texture(cv2.cvtColor(layers.background, cv2.COLOR_RGB2RGBA))
        self._target = device.create_texture(
            size=(self._width_px, self._height_px, 1),
            format=_FORMAT,
            usage=TextureUsage.RENDER_ATTACHMENT | TextureUsage.COPY_SRC,
        )
        self._row_bytes = -(-4 * self._width_px // _ROW_BYTES) * _ROW_BYTES
        self._result = device.create_buffer(
            size=self._row_bytes * self._height_px, usage=BufferUsage.COPY_DST | BufferUsage.MAP_READ
        )
        self._frame = device.create_buffer(size=FRAME_BYTES, usage=BufferUsage.COPY_DST | BufferUsage.UNIFORM)
        self._grids: Any = None  # these grow with the face
        self._weights: Any = None
        self._boxes: Any = None
        self._group: Any = None

    def draw(self, canvas: RgbImage, packed: Packed, parts: list[Box], pipelines: list[Any]) -> None:
        """Draw parts of a frame without eyes and mouth, in place.

        Args:
            canvas: (H, W, 3) uint8.
            packed: for these parts.
            parts: at least one.
            pipelines: one per range of `packed.passes`.
        """
        queue = self._device.queue
        self._make_room(packed)
        queue.write_buffer(self._frame, 0, packed.frame.view(np.uint8))
        queue.write_buffer(self._grids, 0, packed.grids)
        queue.write_buffer(self._weights, 0, packed.weights)
        queue.write_buffer(self._boxes, 0, packed.boxes)
        encoder = self._device.create_command_encoder()
        attachment = {
            "view": self._target.create_view(), "load_op": "clear", "store_op": "store", "clear_value": (0, 0, 0, 1)
        }  # fmt: skip
        drawing = encoder.begin_render_pass(color_attachments=[attachment])
        drawing.set_bind_group(0, self._group)
        drawing.set_vertex_buffer(0, self._boxes)
        for pipeline, boxes in zip(pipelines, packed.passes, strict=True):
            drawing.set_pipeline(pipeline)
            drawing.draw(4, len(boxes), 0, boxes.start)
        drawing.end()
        drawn = _hull(parts)
        source = {"texture": self._target, "origin": (drawn.left, drawn.top, 0)}
        target = {"buffer": self._result, "bytes_per_row": self._row_bytes}
        encoder.copy_texture_to_buffer(source, target, (drawn.width, drawn.height, 1))
        queue.submit([encoder.finish()])
        self._read(canvas, drawn, parts)

    def _read(self, canvas: RgbImage, drawn: Box, parts: list[Box]) -> None:
        """Wait for the box that was drawn, and copy its parts to the canvas, (H, W, 3)."""
        self._result.map_sync("READ")
        mapped = np.frombuffer(self._result.read_mapped(copy=False), np.uint8)
        rgba = mapped.reshape(-1, self._row_bytes // 4, 4)
        image = Box(0, 0, self._width_px, self._height_px)
        for part in parts:
            part.view(canvas, image)[:] = cv2.cvtColor(part.view(rgba, drawn), cv2.COLOR_RGBA2RGB)
        self._result.unmap()  # nothing refers to it any more: the colours were copied

    def _make_room(self, packed: Packed) -> None:
        """Replace buffers that are too small."""
        from wgpu import BufferUsage

        arrays: list[npt.NDArray[Any]] = [packed.grids, packed.weights, packed.boxes]
        buffers = self._grids, self._weights, self._boxes
        if all(buffer and array.nbytes <= buffer.size for array, buffer in zip(arrays, buffers, strict=True)):
            return
        kinds = BufferUsage.STORAGE, BufferUsage.STORAGE, BufferUsage.VERTEX
        self._grids, self._weights, self._boxes = (
            self._device.create_buffer(size=(3 * array.nbytes // 2 + 64) // 16 * 16, usage=kind | BufferUsage.COPY_DST)
            for array, kind in zip(arrays, kinds, strict=True)
        )
        resources = (
            {"buffer": self._frame}, {"buffer": self._grids}, {"buffer": self._weights},
            self._person.create_view(), self._sampler, self._background.create_view(),
        )  # fmt: skip
        entries = [{"binding": number, "resource": resource} for number, resource in enumerate(resources)]
        self._group = self._device.create_bind_group(layout=self._layout, entries=entries)

    def _texture(self, rgba: npt.NDArray[np.uint8]) -> Any:
        """Upload an (h, w, 4) image."""
        from wgpu import TextureUsage

        height, width = rgba.shape[:2]
        usage = TextureUsage.TEXTURE_BINDING | TextureUsage.COPY_DST
        texture = self._device.create_texture(size=(width, height, 1), format=_FORMAT, usage=usage)
        layout = {"bytes_per_row": 4 * width, "rows_per_image": height}
        self._device.queue.write_texture({"texture": texture}, np.ascontiguousarray(rgba), layout, (width, height, 1))
        return texture


def _hull(parts: list[Box]) -> Box:
    """Return the smallest box around parts."""
    return Box(
        min(part.left for part in parts), min(part.top for part in parts),
        max(part.right for part in parts), max(part.bottom for part in parts),
    )  # fmt: skip


def _bindings() -> list[dict[str, Any]]:
    """Describe the shader's resources, in the order of its bindings."""
    from wgpu import ShaderStage

    kinds: tuple[dict[str, Any], ...] = (
        {"buffer": {"type": "uniform"}}, {"buffer": {"type": "read-only-storage"}},
        {"buffer": {"type": "read-only-storage"}}, {"texture": {}}, {"sampler": {}}, {"texture": {}},
    )  # fmt: skip
    visible = ShaderStage.VERTEX | ShaderStage.FRAGMENT
    return [{"binding": number, "visibility": visible, **kind} for number, kind in enumerate(kinds)]
