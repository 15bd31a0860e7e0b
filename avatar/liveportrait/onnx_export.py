"""Export of a model to ONNX, in three parts.

    appearance.onnx  portrait (1, 3, 256, 256) -> appearance (1, C, D, h, w)     once per portrait
    motion.onnx      image (1, 3, 256, 256) -> MOTION                            once per portrait, and every frame
    render.onnx      appearance, x_s, x_d (1, K, 3) -> image (1, 3, H, W)        every frame

GridSample takes no volumes in TensorRT, DirectML and CoreML. `render.onnx` does without it: slices are a batch of 2-D
maps, the sparse motions are matrix products, and the volume is sampled by gathering rows.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from dataclasses import asdict, fields
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from avatar.fomm.fast_layers import Target
from avatar.fomm.onnx_export import CONFIG_KEY, OPSET, check_can_export
from avatar.liveportrait.fast_generator import FastGenerator
from avatar.liveportrait.fast_warping import FastWarping
from avatar.liveportrait.model import IMAGE_SIDE, LivePortraitModel
from avatar.liveportrait.motion import MotionParameters
from avatar.system.atomic import replacing, writing

FILES = ("appearance.onnx", "motion.onnx", "render.onnx")
MOTION = tuple(field.name for field in fields(MotionParameters))


def export_onnx(model: LivePortraitModel, folder: Path) -> list[Path]:
    """Write FILES in float32 to a folder, which is created if necessary.

    Raises:
        EngineError: the package that writes ONNX is not installed.
        OutputError: the folder cannot be written.
    """
    check_can_export()
    model = copy.deepcopy(model).to("cpu").eval()
    image = torch.rand(1, 3, IMAGE_SIDE, IMAGE_SIDE, generator=torch.Generator().manual_seed(0))
    appearance, x_s = model.appearance(image), model.motion(image).transformed()
    size = cast("tuple[int, int, int]", tuple(appearance.shape[2:]))
    parts: tuple[tuple[nn.Module, dict[str, Tensor], tuple[str, ...]], ...] = (
        (model.appearance_feature_extractor, {"portrait": image}, ("appearance",)),
        (_Motion(model), {"image": image}, MOTION),
        (_Render(model, size), {"appearance": appearance, "x_s": x_s, "x_d": x_s + 0.01}, ("image",)),
    )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (net, inputs, outputs) in zip(FILES, parts, strict=True):
            with replacing(folder / name) as path:
                _write(net, inputs, outputs, path, {CONFIG_KEY: json.dumps(asdict(model.config))})
    return [folder / name for name in FILES]


class _Motion(nn.Module):
    """The motion extractor, with its parameters one by one."""

    def __init__(self, model: LivePortraitModel) -> None:
        super().__init__()
        self.net = model.motion_extractor

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (1, 3, H, W) to MOTION."""
        motion = self.net(image)
        return tuple(getattr(motion, name) for name in MOTION)


class _Render(nn.Module):
    """W and G in their fast arrangement."""

    def __init__(self, model: LivePortraitModel, size: tuple[int, int, int]) -> None:
        super().__init__()
        target = Target(torch.float32, torch.device("cpu"), packed=False, layout=torch.contiguous_format)
        self.warping = FastWarping(model.warping_module, target, size)
        self.generator = FastGenerator(model.spade_generator, target, size[1])

    def forward(self, appearance: Tensor, x_s: Tensor, x_d: Tensor) -> Tensor:
        """Map (1, C, D, h, w) and keypoints (1, K, 3) to (1, 3, H, W) in [0, 1]."""
        portrait = self.warping.prepare(appearance, x_s)
        return self.generator(self.warping(portrait, x_d).features).sigmoid()


def _write(
    net: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...], path: Path, metadata: dict[str, str]
) -> None:
    """Export one part by torch's tracing exporter; `inputs`: names and example values, (1, ...)."""
    import onnx

    talk = logging.getLogger("torch.onnx")
    level = talk.level
    talk.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about the exporter's age and shapes that become constants
            torch.onnx.export(
                net, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=list(outputs),
                opset_version=OPSET, dynamo=False, verbose=False,
            )  # fmt: skip
    finally:
        talk.setLevel(level)
    content = onnx.load(str(path))
    onnx.helper.set_model_props(content, metadata)
    onnx.save(content, str(path))
