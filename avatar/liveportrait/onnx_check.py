"""Comparison of exported ONNX files with the model, on ONNX Runtime's CPU provider."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.errors import EngineError
from avatar.liveportrait.model import IMAGE_SIDE, LivePortraitModel
from avatar.liveportrait.onnx_export import FILES, MOTION
from avatar.system.foreign_text import first_line
from avatar.system.message import Message

AGREEMENT = 1e-3  # largest difference between images in [0, 1], features and motion parameters
_QUIET = 4  # ONNX Runtime's log level "fatal": errors are raised anyway


def largest_difference(model: LivePortraitModel, folder: Path) -> float | None:
    """Compute a frame by the files of `export_onnx` and by the model, and return the largest difference of images.

    Returns:
        The difference, of images in [0, 1]; None: ONNX Runtime is not installed.
    Raises:
        EngineError: ONNX Runtime cannot run the files, or they differ by more than AGREEMENT.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    model = model.to("cpu")
    images = torch.rand(2, 3, IMAGE_SIDE, IMAGE_SIDE, generator=torch.Generator().manual_seed(1))
    source, driving = images[:1], images[1:]
    try:
        appearance, motion, render = (_open(folder / name) for name in FILES)
        (volume,) = appearance.run(None, {"portrait": source.numpy()})
        moved = dict(zip(MOTION, motion.run(list(MOTION), {"image": driving.numpy()}), strict=True))
        x_s, expected = model.motion(source).transformed(), model.motion(driving)
        x_d = expected.transformed()
        (image,) = render.run(None, {"appearance": volume, "x_s": x_s.numpy(), "x_d": x_d.numpy()})
    except Exception as error:  # ONNX Runtime has exception classes of its own
        raise EngineError(
            Message("ONNX Runtime cannot compute this model: {why}.", why=first_line(error)),
            remedy="Update the package onnxruntime and export again.",
        ) from error
    wanted = model.appearance(source)
    difference = _apart(image, model.render(wanted, x_s, x_d).image)
    others = max(_apart(volume, wanted), *(_apart(moved[name], getattr(expected, name)) for name in MOTION))
    if not max(difference, others) <= AGREEMENT:  # NaN, too
        raise EngineError(
            Message(
                "The exported files differ from torch by {difference:.1e}; {limit:.0e} is allowed.",
                difference=max(difference, others),
                limit=AGREEMENT,
            ),
            remedy="Update the packages torch, onnx and onnxruntime, and export again.",
        )
    return difference


def _open(path: Path) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _QUIET
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def _apart(found: np.ndarray[Any, np.dtype[np.float32]], wanted: torch.Tensor) -> float:
    """Return the largest difference of two arrays, (...) each."""
    return float(np.abs(found - wanted.numpy()).max())
