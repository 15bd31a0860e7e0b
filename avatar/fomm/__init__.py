"""The First Order Motion Model (Siarohin et al. 2019): animates any category that a checkpoint was trained on.

The names below are imported on first use, because they need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avatar.fomm.checkpoint import load_checkpoint
    from avatar.fomm.config import PUBLISHED, ModelConfig
    from avatar.fomm.convert import convert_checkpoint
    from avatar.fomm.dense_motion import DenseMotion
    from avatar.fomm.model import FirstOrderModel

__all__ = ["PUBLISHED", "DenseMotion", "FirstOrderModel", "ModelConfig", "convert_checkpoint", "load_checkpoint"]

_HOME = {
    "load_checkpoint": "checkpoint",
    "PUBLISHED": "config",
    "ModelConfig": "config",
    "convert_checkpoint": "convert",
    "DenseMotion": "dense_motion",
    "FirstOrderModel": "model",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
