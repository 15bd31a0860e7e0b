"""`stream.Stream` on ONNX Runtime: runs the files of `onnx_export`, with inputs bound to device memory."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avatar.errors import EngineError, WeightsError
from avatar.fomm.config import ModelConfig
from avatar.fomm.cost import check_cost
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.layout import from_layout
from avatar.fomm.onnx_export import CONFIG_KEY, FILES, KEYPOINTS
from avatar.fomm.onnx_trial import check_onnx
from avatar.fomm.stream import Drawn, Finish, StreamOptions, as_bytes, check_shape
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, Transfer
from avatar.settings import MotionSettings
from avatar.system.foreign_text import first_line
from avatar.system.message import Message
from avatar.system.program import how_to_install

Floats = npt.NDArray[np.float32]

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_QUIET = 4  # ONNX Runtime's log level "fatal": errors are raised anyway


class OnnxStream:
    """Session of a model exported to ONNX, for one portrait and one reference frame; used from one thread."""

    def __init__(
        self,
        folder: Path,
        options: StreamOptions | None = None,
        *,
        device: str = "auto",
        tensorrt: bool = False,
        cache: Path | None = None,
    ) -> None:
        """Open the three files.

        Args:
            folder: the folder that `export_onnx` wrote.
            options: motion-transfer options; torch-specific options are ignored.
            device: "auto", "cpu", "cuda" or "cuda:N".
            tensorrt: compile them with TensorRT first, which takes minutes; CUDA only.
            cache: folder for TensorRT's compiled engines.
        Raises:
            EngineError: ONNX Runtime is missing, or CUDA was requested and is not available.
            WeightsError: the files are missing or are something else.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError("ONNX Runtime is not installed.", remedy=how_to_install("onnxruntime")) from error
        self.options = options or StreamOptions()
        self.notes: list[str] = []
        self._ort: Any = onnxruntime
        if device != "cpu" and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # the CUDA libraries that are installed with torch
        wanted = _providers(device, tensorrt, cache)
        check_onnx([folder / name for name in FILES])
        self._encoder, self._detector, self._generator = (self._open(folder / name, wanted) for name in FILES)
        self.providers: list[str] = self._generator.get_providers()
        on_cuda = any(name in (CUDA, TENSORRT) for name in self.providers)
        if not on_cuda and device.startswith("cuda"):
            raise EngineError(
                Message(
                    "ONNX Runtime did not get CUDA to work; it offers {providers}.", providers=", ".join(self.providers)
                ),
                remedy="Install the CUDA and cuDNN that this onnxruntime-gpu needs, or choose --device cpu.",
            )
        index = int(device.partition(":")[2] or 0)
        self._place = ("cuda", index) if on_cuda else ("cpu", 0)
        self.place = f"cuda:{index}" if on_cuda else "cpu"
        self.device = torch.device("cpu")  # device of the tensors in `drawn`
        config = self._config(folder / FILES[2])
        self._check_parts(folder, config)
        size = config.frame_size
        self.shape = (size, size, config.num_channels)
        self._has_jacobian = any(each.name == KEYPOINTS[1] for each in self._generator.get_inputs())
        self.drawn: Drawn | None = None
        self._bound: dict[str, Any] = {}  # OrtValues of the source, on the device
        self._kp_source: Keypoints | None = None
        self._kp_reference: Keypoints | None = None
        self._transfer: Transfer | None = None
        self._finish: Finish | None = None
        self._unchecked = True

    @property
    def precision(self) -> str:
        """Name of the dtype of the generator's convolutions."""
        return "float16" if self._is_half else "float32"

    def detect(self, rgb: RgbImage) -> Keypoints:
        """Detect the keypoints of an (H, W, C) uint8 image."""
        names = ["value", "jacobian"] if self._has_jacobian else ["value"]
        found = self._call(self._detector, {"image": self._image(rgb)}, names)
        return Keypoints(*(torch.from_numpy(found[name]) for name in names))

    def set_source(self, rgb: RgbImage, finish: Finish | None = None) -> None:
        """Set the portrait, as `Stream.set_source`."""
        self._kp_source, self._finish, self._unchecked = self.detect(rgb), finish, True
        encoded = self._call(self._encoder, {"source": self._image(rgb)}, ["features", "small"])
        values = encoded | _named(KEYPOINTS[:2], self._kp_source)
        self._bound = {name: self._on_device(value) for name, value in values.items()}
        self._transfer = None

    def calibrate(self, rgb: RgbImage) -> None:
        """Set the reference frame, as `Stream.calibrate`."""
        self._kp_reference = self.detect(rgb)
        self._transfer = None

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer, as `Stream.set_motion`."""
        self.options = replace(self.options, motion=motion)
        self._transfer = None

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Compute a frame, as `Stream.animate`."""
        if self._kp_source is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        kp_driving = self.detect(rgb)
        if self._kp_reference is None:
            self._kp_reference = kp_driving
        if self._transfer is None:
            self._transfer = self.options.transfer(self._kp_source, self._kp_reference)
        kp_norm = self._transfer.apply(kp_driving)
        outputs = [output.name for output in self._generator.get_outputs()]
        found = self._call(self._generator, self._bound | _named(KEYPOINTS[2:], kp_norm), outputs)
        prediction, *maps = (torch.from_numpy(found[name]) for name in outputs)
        motion = DenseMotion(maps[0], torch.empty(0), maps[1] if len(maps) > 1 else None)
        if self._unchecked and not bool(torch.isfinite(prediction).all()):
            raise EngineError(
                Message(
                    "In {precision} this model computes only NaN for this portrait.",
                    precision=self.precision,
                ),
                remedy="Export it without --half, or use another model.",
            )
        self._unchecked = False
        drawn = as_bytes(prediction) if self._finish is None else self._finish(prediction, motion)
        self.drawn = Drawn(drawn, prediction, kp_driving, kp_norm, motion)
        return np.ascontiguousarray(drawn.numpy())

    def _call(self, session: Any, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Floats]:
        """Run a session with bound inputs: arrays (1, ...) or OrtValues on the device; returns (1, ...) on the host."""
        binding = session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name, "cpu")
        try:
            session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime has exception classes of its own
            what = Message("ONNX Runtime cannot compute this model: {why}.", why=first_line(error))
            raise EngineError(what, remedy="Export it again, or choose another.") from error
        return dict(zip(outputs, binding.copy_outputs_to_cpu(), strict=True))

    def _on_device(self, value: Floats) -> Any:
        """Copy an array, (1, ...), to the device."""
        return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), *self._place)

    def _image(self, rgb: RgbImage) -> Floats:
        """Convert an (H, W, C) uint8 image to (1, C, H, W) float32 in [0, 1]. Raises ShapeError."""
        check_shape(rgb, self.shape)
        return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32) * np.float32(1 / 255)

    def _open(self, path: Path, providers: list[Any]) -> Any:
        settings = self._ort.SessionOptions()
        settings.log_severity_level = _QUIET
        try:
            return self._ort.InferenceSession(str(path), settings, providers=providers)
        except Exception as error:  # ONNX Runtime has exception classes of its own
            what = Message("{path} cannot be opened by ONNX Runtime: {why}.", path=path, why=first_line(error))
            raise WeightsError(what, remedy="Export the model again.") from error

    def _check_parts(self, folder: Path, config: ModelConfig) -> None:
        """Refuse files that do not fit each other or their config, such as two that were swapped."""
        sessions = (self._encoder, self._detector, self._generator)
        for name, session, expected in zip(FILES, sessions, _interfaces(config), strict=True):
            ends = (session.get_inputs(), session.get_outputs())
            found = tuple({each.name: list(each.shape) for each in end} for end in ends)
            if found != expected or any(each.type != "tensor(float)" for each in ends[0]):
                raise WeightsError(
                    Message("{path} is another network, or does not fit the others in its folder.", path=folder / name),
                    remedy="Write all three again: python run.py models export NAME -o FOLDER",
                )

    def _config(self, path: Path) -> ModelConfig:
        metadata = self._generator.get_modelmeta().custom_metadata_map
        try:
            self._is_half = metadata.get("precision") == "float16"
            config = from_layout(json.loads(metadata[CONFIG_KEY]))
            check_cost(config)
            return config
        except (KeyError, ValueError, RecursionError, OverflowError) as error:
            raise WeightsError(
                Message("{path} was not written by Masque.", path=path),
                remedy="Write it: python run.py models export NAME -o FOLDER",
            ) from error


def _interfaces(config: ModelConfig) -> list[tuple[dict[str, list[int]], dict[str, list[int]]]]:
    """Return names and shapes of the inputs and outputs of each of FILES."""
    size, side = config.frame_size, round(config.frame_size * config.motion.scale_factor)
    inner, downs = size >> config.num_down_blocks, config.num_down_blocks
    image, points = [1, config.num_channels, size, size], [1, config.num_kp, 2]
    encoded = {"features": [1, config.channels(downs), inner, inner], "small": [1, config.num_channels, side, side]}
    found = {"value": points} | ({"jacobian": [*points, 2]} if config.estimate_jacobian else {})
    moved = {name: found[end] for name in KEYPOINTS if (end := name.rpartition("_")[2]) in found}
    drawn = {"prediction": image, "deformation": [1, side, side, 2]}
    drawn |= {"occlusion_map": [1, 1, side, side]} if config.estimate_occlusion_map else {}
    return [({"source": image}, encoded), ({"image": image}, found), (encoded | moved, drawn)]


def _named(names: tuple[str, ...], kp: Keypoints) -> dict[str, Floats]:
    """Return keypoints as arrays by name: (1, K, 2) and (1, K, 2, 2)."""
    values = [kp.value] if kp.jacobian is None else [kp.value, kp.jacobian]
    return {name: value.numpy() for name, value in zip(names, values, strict=False)}


def has_cuda(load: Callable[[str], object] = ctypes.CDLL) -> bool:
    """Return whether there is an NVIDIA device; ONNX Runtime lists CUDA on machines without one, then warns."""
    if torch.cuda.is_available():
        return True
    if torch.version.cuda is not None:
        return False  # this torch would have found it
    try:
        driver: Any = load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (AttributeError, OSError):
        return False


def _providers(device: str, tensorrt: bool, cache: Path | None) -> list[Any]:
    """Return the providers to request; the session reports which of them it uses."""
    if device == "cpu" or (device == "auto" and not has_cuda()):
        return [CPU]
    if not has_cuda():
        raise EngineError("There is no CUDA device here.", remedy="Choose --device auto or cpu.")
    place = {"device_id": int(device.partition(":")[2] or 0)}
    chosen: list[Any] = [(CUDA, place | {"cudnn_conv_algo_search": "EXHAUSTIVE"}), CPU]
    if tensorrt:
        kept = {} if cache is None else {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
        chosen.insert(0, (TENSORRT, place | {"trt_fp16_enable": True} | kept))
    return chosen
