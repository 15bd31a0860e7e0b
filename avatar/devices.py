"""Where networks run: what a user asked for, what is there, and why one was taken."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import dataclass
from pathlib import Path

from avatar.errors import EngineError, UsageError


@dataclass(frozen=True)
class Device:
    """A device that is there."""

    name: str  # "cpu", "cuda:0", "mps"; torch's word for it
    about: str  # what it is, for people
    why: str  # it was taken

    def __str__(self) -> str:
        return f"{self.name} ({self.about}): {self.why}"


def check_device_name(name: str) -> None:
    """Raise UsageError unless this is a name that `choose_device` knows."""
    kind, _, number = name.partition(":")
    if not (name in ("auto", "cpu", "cuda", "mps") or (kind == "cuda" and number.isascii() and number.isdecimal())):
        raise UsageError(f"There is no device called {name}.", remedy="Give auto, cpu, cuda, cuda:0 or mps.")


def require_processor(name: str) -> None:
    """What the warp engine needs: raise EngineError for any other device."""
    if name not in ("auto", "cpu"):
        raise EngineError(
            f"The warp engine draws on the processor and cannot use {name}.",
            remedy="Leave --device out; it is quick enough without a graphics card.",
        )


def choose_device(wanted: str = "auto") -> Device:
    """The device that was asked for; `auto` takes CUDA, else MPS, else the processor.

    Raises:
        UsageError: there is no such kind of device.
        EngineError: there is none of it here.
    """
    check_device_name(wanted)
    if wanted == "cpu":
        return Device("cpu", _processor(), "asked for")
    if wanted.startswith("cuda"):
        return _cuda(int(wanted.partition(":")[2] or 0), "asked for")
    if wanted == "mps":
        if lacking := _lacks_mps():
            raise EngineError(f"MPS was asked for, but {lacking}.", remedy="Choose --device auto or cpu.")
        return Device("mps", "Apple GPU", "asked for")
    no_cuda, no_mps = _lacks_cuda(), _lacks_mps()
    if not no_cuda:
        return _cuda(0, "auto takes a CUDA GPU where there is one")
    if not no_mps:
        return Device("mps", "Apple GPU", f"auto; {no_cuda}")
    return Device("cpu", _processor(), f"auto; {no_cuda}, and {no_mps}")


def _cuda(index: int, why: str) -> Device:
    import torch

    if lacking := _lacks_cuda():
        remedy = "Choose --device auto or cpu. With an NVIDIA card: install its driver and the CUDA build of torch."
        raise EngineError(f"CUDA was asked for, but {lacking}.", remedy=remedy)
    count = torch.cuda.device_count()
    if index >= count:
        raise EngineError(
            f"There is no device cuda:{index}; there {'is one' if count == 1 else f'are {count}'}, counted from 0.",
            remedy="Choose --device cuda:0.",
        )
    return Device(f"cuda:{index}", torch.cuda.get_device_name(index), why)


def _lacks_cuda() -> str:
    """What is missing for CUDA; empty: nothing."""
    import torch

    if torch.version.cuda is None:
        return "this torch was built without CUDA"
    return "" if torch.cuda.is_available() else "no CUDA device was found"


def _lacks_mps() -> str:
    import torch

    return "" if torch.backends.mps.is_available() else "there is no Apple GPU"


def _processor() -> str:
    import torch

    return f"processor, {torch.get_num_threads()} threads"


def processor_name() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
