"""LivePortrait (Guo et al. 2024, arXiv 2407.03168): implicit 3-D keypoints, a warped feature volume, a SPADE generator.

The names below are imported on first use, because they need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avatar.liveportrait.checkpoint import load_liveportrait
    from avatar.liveportrait.config import LivePortraitConfig
    from avatar.liveportrait.model import LivePortraitModel
    from avatar.liveportrait.motion import MotionParameters, absolute_motion, relative_motion, scale_motion
    from avatar.liveportrait.runtime import Runtime, open_runtime

__all__ = [
    "LivePortraitConfig",
    "LivePortraitModel",
    "MotionParameters",
    "Runtime",
    "absolute_motion",
    "load_liveportrait",
    "open_runtime",
    "relative_motion",
    "scale_motion",
]

_HOME = {
    "load_liveportrait": "checkpoint",
    "LivePortraitConfig": "config",
    "LivePortraitModel": "model",
    "MotionParameters": "motion",
    "absolute_motion": "motion",
    "relative_motion": "motion",
    "scale_motion": "motion",
    "Runtime": "runtime",
    "open_runtime": "runtime",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
