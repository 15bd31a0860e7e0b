"""The graphics chip: finding it, and opening it as a wgpu device."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from avatar.errors import EngineError
from avatar.system.foreign_text import shown
from avatar.system.message import Message
from avatar.system.program import how_to_install

PACKAGE = "wgpu"

logger = logging.getLogger(__name__)


class NoChipError(EngineError):
    """There is nothing to draw with besides the processor."""


@dataclass(frozen=True, eq=False)
class Chip:
    """A graphics chip that was found."""

    adapter: Any  # wgpu.GPUAdapter
    name: str  # of its maker's
    is_software: bool  # a driver that computes on the processor, such as Mesa's llvmpipe


def find_chip() -> Chip:
    """Return the chip that uses least power: a frame is little work for any, and a laptop's own shares its memory.

    Raises:
        NoChipError: the package or a driver is missing.
    """
    if find_spec(PACKAGE) is None:
        raise NoChipError(
            "Drawing on the graphics chip needs the package wgpu, which is not installed.",
            remedy=how_to_install(PACKAGE),
        )
    try:
        adapter = _gpu().request_adapter_sync(power_preference="low-power")
    except Exception as error:  # a broken installation or driver: ImportError, OSError, RuntimeError, GPUError
        logger.debug("No graphics chip", exc_info=True)
        raise NoChipError(
            "No graphics chip can be used.",
            remedy="Install the driver of its maker (on Linux with Vulkan), or draw on the processor.",
        ) from error
    info = adapter.info
    name = shown(info["device"] or info["vendor"] or info["backend_type"])
    return Chip(adapter, name, info["adapter_type"] == "CPU")


def open_device(chip: Chip) -> Any:
    """Return a wgpu.GPUDevice for textures as large as the chip takes. Raises NoChipError."""
    side_px = chip.adapter.limits["max-texture-dimension-2d"]
    try:
        return chip.adapter.request_device_sync(required_limits={"max-texture-dimension-2d": side_px})
    except Exception as error:
        logger.debug("The graphics chip could not be opened", exc_info=True)
        raise NoChipError(
            Message("The graphics chip {name} could not be opened.", name=chip.name),
            remedy="Close other programs that use it, or draw on the processor.",
        ) from error


@functools.cache
def _gpu() -> Any:
    """Load wgpu, once: without OpenGL, whose drivers know less and print of what they lack."""
    import wgpu
    from wgpu.backends.wgpu_native.extras import set_instance_extras

    if not logger.isEnabledFor(logging.DEBUG):  # the renderer says what counts, once
        logging.getLogger(PACKAGE).setLevel(logging.CRITICAL)
    set_instance_extras(backends=["Primary"])
    return wgpu.gpu
