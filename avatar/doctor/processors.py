"""Checks of the CPU, and of a GPU that both frameworks can actually use."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from avatar.doctor.check import AGAIN, BROKEN, LACKING, OK, WARNING, Check
from avatar.doctor.packages import CLASHES
from avatar.system.devices import usable_cores
from avatar.system.foreign_text import first_line
from avatar.system.message import Message, together
from avatar.system.program import how_to_install, installed_version

_DRIVER = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_NEEDLESS = "The warp engine needs no graphics card."
_WARP_ALONE = "Only the warp engine can draw."


def look_at_processor() -> Iterator[Check]:
    """Check cores and relevant instruction sets, which torch reports if it is installed."""
    cores = usable_cores()
    level = _instructions()
    if _has_amx():
        what = Message("Cores: {cores}, {level}, bfloat16 on matrices (AMX).", cores=cores, level=level)
    else:
        what = Message("Cores: {cores}, {level}.", cores=cores, level=level)
    if cores < 2:
        yield Check("processor", WARNING, what, "Close other programs; 30 pictures a second need about two cores.")
    elif level == "DEFAULT" and platform.machine() in ("x86_64", "AMD64"):
        yield Check(
            "processor", WARNING, together(what, "No AVX2."), "Choose a smaller size: this processor is an old one."
        )
    else:
        yield Check("processor", OK, what)


def look_at_torch() -> Iterator[Check]:
    """Multiply two matrices on each device that torch lists."""
    if find_spec("torch") is None:
        yield Check(
            "graphics",
            LACKING,
            together(Message("{name} is not installed.", name="torch"), _WARP_ALONE),
            how_to_install("torch"),
        )
        return
    import torch

    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    devices += ["mps"] if torch.backends.mps.is_available() else []
    for device in devices:
        try:
            ones = torch.ones(64, 64, device=device)
            right = bool(((ones @ ones).cpu() == 64).all())
        except RuntimeError as error:
            line = first_line(error)
            remedy = "Update its driver; until then choose --device cpu."
            what = Message("torch sees {device} and cannot compute on it: {why}", device=device, why=line)
            yield Check("graphics", BROKEN, what, remedy)
            continue
        if right:
            yield Check("graphics", OK, Message("torch computes on {device}.", device=device))
        else:
            what = Message("torch computes wrongly on {device}.", device=device)
            yield Check("graphics", BROKEN, what, "Choose --device cpu.")
    if not devices and _has_nvidia_driver():
        if build := torch.version.cuda:
            what = Message("There is an NVIDIA driver, but it is too old for CUDA {version} of torch.", version=build)
            yield Check("graphics", WARNING, what, "Update the driver.")
        else:
            alone = "There is an NVIDIA driver, but this torch is built for the processor alone."
            yield Check("graphics", WARNING, alone, "Install the torch with CUDA: see pytorch.org, Get Started.")
    elif not devices:
        yield Check("graphics", OK, together("No graphics card for torch; the processor computes.", _NEEDLESS))


def look_at_graphics_chip() -> Iterator[Check]:
    """Open the graphics chip and have it compile the shader of the warp engine."""
    from avatar.engines.warp.graphics.chip import NoChipError
    from avatar.engines.warp.graphics.choice import open_this_chip

    try:
        chip = open_this_chip(accept_software=False)
    except NoChipError as error:
        what = together("The warp engine draws on the processor.", error.what)
        yield Check("graphics", OK, what, "" if find_spec("wgpu") else error.remedy)
        return
    chip.renderer.close()
    yield Check("graphics", OK, Message("The warp engine can draw on {chip}.", chip=chip.name))


def look_at_onnxruntime() -> Iterator[Check]:
    """Run one operation on the CPU, and on CUDA if torch has it."""
    if not any(map(installed_version, CLASHES["onnxruntime"])):
        yield Check(
            "graphics", LACKING, Message("{name} is not installed.", name="ONNX Runtime"), how_to_install("onnxruntime")
        )
        return
    try:
        import onnxruntime
    except ImportError as error:
        yield Check("graphics", BROKEN, Message("ONNX Runtime cannot be loaded: {why}.", why=error), AGAIN)
        return
    if not _runs(onnxruntime, "CPU"):
        yield Check("graphics", BROKEN, "ONNX Runtime computes wrongly.", AGAIN)
        return
    yield Check("graphics", OK, "ONNX Runtime computes on the processor.")
    if _torch_has_cuda():  # otherwise ONNX Runtime would print a page of errors
        if _runs(onnxruntime, "CUDA"):
            yield Check("graphics", OK, "ONNX Runtime computes on CUDA.")
        else:
            remedy = "Its version must fit the CUDA of torch: 1.27 and later need CUDA 13."
            yield Check("graphics", WARNING, "ONNX Runtime cannot use CUDA, although torch can.", remedy)


def _runs(onnxruntime: Any, kind: str) -> bool:
    """Return whether a one-node model computes correctly there, because a listed provider may not work."""
    import numpy as np

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    provider = f"{kind}ExecutionProvider"
    session = onnxruntime.InferenceSession(_RELU, options, providers=[provider])
    answer = session.run(None, {"x": np.array([-1, 2], np.float32)})[0]
    return bool(session.get_providers()[0] == provider and answer.tolist() == [0, 2])


def _field(number: int, value: int | bytes) -> bytes:
    """Encode one field of a protocol buffer; numbers and lengths below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def _value(name: bytes) -> bytes:
    """Encode an ONNX ValueInfoProto of two floats."""
    shape = _field(2, _field(1, _field(1, 2)))
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + shape))


# ONNX ModelProto: ir_version 8, opset 13, a graph of one Relu. Encoded by hand, so that no package is needed.
_NODE = _field(1, b"x") + _field(2, b"y") + _field(4, b"Relu")
_GRAPH = _field(1, _NODE) + _field(2, b"g") + _field(11, _value(b"x")) + _field(12, _value(b"y"))
_RELU = _field(1, 8) + _field(8, _field(2, 13)) + _field(7, _GRAPH)


def _instructions() -> str:
    if find_spec("torch") is None:
        return platform.machine()
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def _torch_has_cuda() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL(_DRIVER.get(sys.platform, ""))
    except (OSError, TypeError):
        return False
    return sys.platform in _DRIVER


def _has_amx() -> bool:
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
