"""Export of a model to ONNX, in three parts.

    encoder.onnx    source image -> features, downscaled source           once per portrait
    detector.onnx   image -> value, jacobian                              once per portrait, and every frame
    generator.onnx  features, small source, kp_source, kp_norm
                    -> prediction, deformation, occlusion map             every frame

Each file stores names, shapes and the model's config.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar.errors import EngineError
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.generator import Generator, move
from avatar.fomm.layout import to_layout
from avatar.fomm.model import FirstOrderModel
from avatar.motion.keypoints import Keypoints
from avatar.system.atomic import replacing, writing
from avatar.system.program import how_to_install

FILES = ("encoder.onnx", "detector.onnx", "generator.onnx")
OPSET = 18  # has GridSample, and older runtimes support it
CONFIG_KEY = "config"  # key in the files' metadata, as in our .safetensors
KEYPOINTS = ("kp_source_value", "kp_source_jacobian", "kp_norm_value", "kp_norm_jacobian")


def export_onnx(model: FirstOrderModel, folder: Path, *, half: bool = False) -> list[Path]:
    """Write FILES to a folder, which is created if necessary.

    Args:
        model: any model; exported in float32 unless `half`.
        folder: existing files of these names are replaced.
        half: compute the generator and the mask in float16, for CUDA.
    Raises:
        EngineError: the package that writes ONNX is not installed.
        OutputError: the folder cannot be written.
    """
    check_can_export()
    model = copy.deepcopy(model).to("cpu").eval()
    nets: tuple[Net, ...] = (_Encoder(model.generator), _Detector(model), _Generator(model.generator, half))
    metadata = {CONFIG_KEY: json.dumps(to_layout(model.config)), "precision": "float16" if half else "float32"}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        inputs = _sample_inputs(model)
        for name, net, (names, values) in zip(FILES, nets, inputs, strict=True):
            with replacing(folder / name) as path:
                _write(net, names, values, path, metadata)
    return [folder / name for name in FILES]


def has_newer_exporter() -> bool:
    """Return whether torch's newer exporter can be used; the older one writes the same but is deprecated."""
    return importlib.util.find_spec("onnxscript") is not None


def check_can_export() -> None:
    """Raise EngineError unless the package that writes ONNX is installed."""
    if importlib.util.find_spec("onnx") is None:
        raise EngineError("Writing ONNX needs the packages onnx and onnxscript.", remedy=how_to_install("onnx"))


class _Encoder(nn.Module):
    """The encoder: a source image to its features and its downscaled version."""

    outputs = ("features", "small")

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, C, H, W) to features (1, c, h, w) and the source at the dense motion network's resolution."""
        down = self.generator.dense_motion_network.down
        return self.generator.encode(source), source * 1 if down is None else down(source)


class _Detector(nn.Module):
    """The keypoint detector."""

    def __init__(self, model: FirstOrderModel) -> None:
        super().__init__()
        self.net = model.kp_detector
        self.outputs = ("value", "jacobian") if model.config.estimate_jacobian else ("value",)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (1, C, H, W) to (1, K, 2), and to (1, K, 2, 2) if the model has jacobians."""
        kp: Keypoints = self.net(image)
        return (kp.value,) if kp.jacobian is None else (kp.value, kp.jacobian)


class _Generator(nn.Module):
    """Dense motion and decoder: everything after the motion transfer."""

    def __init__(self, generator: Generator, half: bool) -> None:
        super().__init__()
        self.generator, self.half_precision = copy.deepcopy(generator), half
        net = self.generator.dense_motion_network
        self.occludes = net.occlusion is not None
        self.outputs = ("prediction", "deformation", "occlusion_map")[: 3 if self.occludes else 2]
        if half:
            for heavy in (net.hourglass, net.mask, net.occlusion, self.generator.bottleneck, self.generator.up_blocks):
                if heavy is not None:
                    heavy.half()
            self.generator.final.half()
            net.hourglass.register_forward_pre_hook(lambda _, inputs: tuple(x.half() for x in inputs))
            for head in (net.mask, net.occlusion, self.generator.final):
                if head is not None:
                    head.register_forward_hook(lambda _, inputs, output: output.float())

    def forward(self, features: Tensor, small: Tensor, *keypoints: Tensor) -> tuple[Tensor, ...]:
        """Map features, downscaled source and keypoints (1, K, 2), (1, K, 2, 2) to the prediction (1, C, H, W)."""
        half = len(keypoints) // 2
        kp_source, kp_norm = Keypoints(*keypoints[:half]), Keypoints(*keypoints[half:])
        motion: DenseMotion = self.generator.dense_motion_network.of_small(small, kp_source, kp_norm)
        x = move(features, motion)
        x = x.half() if self.half_precision else x
        for block in (self.generator.bottleneck, *self.generator.up_blocks):
            x = block(x)
        prediction = torch.sigmoid(self.generator.final(x))
        maps = (prediction, motion.deformation)
        return maps if motion.occlusion_map is None else (*maps, motion.occlusion_map)


Net = _Encoder | _Detector | _Generator


@torch.no_grad()
def _sample_inputs(model: FirstOrderModel) -> list[tuple[list[str], tuple[Tensor, ...]]]:
    """Return names and example values of the inputs of each part, (1, C, H, W) or (1, K, ...), for tracing."""
    size, channels = model.config.frame_size, model.config.num_channels
    image = torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(0))
    kp = model.detect(image)
    sets = [kp.value] if kp.jacobian is None else [kp.value, kp.jacobian]
    names = [name for name in KEYPOINTS if kp.jacobian is not None or name.endswith("value")]
    moved = [x + 0.01 for x in sets]  # one tensor under two names would become one input
    encoded = _Encoder(model.generator)(image)
    return [(["source"], (image,)), (["image"], (image,)), (["features", "small", *names], (*encoded, *sets, *moved))]


def _write(net: Net, names: list[str], values: tuple[Tensor, ...], path: Path, metadata: dict[str, str]) -> None:
    """Export one part by torch's exporter; the newer one needs onnxscript. `values`: example inputs, (1, ...)."""
    import onnx

    talk = logging.getLogger("torch.onnx")
    level = talk.level
    talk.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about operators of packages that are not used here
            torch.onnx.export(
                net, values, str(path), input_names=names, output_names=list(net.outputs),
                opset_version=OPSET, dynamo=has_newer_exporter(), external_data=False, verbose=False,
            )  # fmt: skip
    finally:
        talk.setLevel(level)
    content = onnx.load(str(path))
    onnx.helper.set_model_props(content, metadata)
    onnx.save(content, str(path))
