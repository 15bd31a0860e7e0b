"""Choice of the device that networks run on, with the reason."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from avatar.errors import EngineError, UsageError
from avatar.system.message import Message


@dataclass(frozen=True)
class Device:
    """An available device."""

    name: str  # "cpu", "cuda:0", "mps"; torch's word for it
    about: str  # description for the user
    why: str  # reason for the choice

    def notes(self, wanted: str) -> tuple[Message, ...]:
        """Return the note that tells what was chosen, where `auto` was wanted."""
        if wanted != "auto":
            return ()
        return (Message("Drawn on {name} ({about}): {why}.", name=self.name, about=self.about, why=self.why),)

    def __str__(self) -> str:
        return f"{self.name} ({self.about}): {self.why}"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_device_name(name: str) -> None:
    """Raise UsageError unless `choose_device` accepts this name."""
    kind, _, number = name.partition(":")
    if not (name in ("auto", "cpu", "cuda", "mps") or (kind == "cuda" and number.isascii() and number.isdecimal())):
        raise UsageError(
            Message("There is no device called {name}.", name=name), remedy="Give auto, cpu, cuda, cuda:0 or mps."
        )


def require_processor(name: str) -> None:
    """Check that the device is the CPU, as the warp engine requires; raise EngineError for any other."""
    if name not in ("auto", "cpu"):
        raise EngineError(
            Message("The warp engine draws on the processor and cannot use {name}.", name=name),
            remedy="Leave --device out; it is fast enough without a graphics card.",
        )


def choose_device(wanted: str = "auto") -> Device:
    """Return the requested device; `auto` picks CUDA, then MPS, then the CPU.

    Raises:
        UsageError: there is no such kind of device.
        EngineError: this machine has no such device.
    """
    check_device_name(wanted)
    if wanted == "cpu":
        return Device("cpu", _processor(), Message("asked for"))
    if wanted.startswith("cuda"):
        return _cuda(int(wanted.partition(":")[2] or 0), Message("asked for"))
    if wanted == "mps":
        if lacking := _lacks_mps():
            raise EngineError(
                Message("MPS was asked for, but {lacking}.", lacking=lacking), remedy="Choose --device auto or cpu."
            )
        return Device("mps", "Apple GPU", Message("asked for"))
    no_cuda, no_mps = _lacks_cuda(), _lacks_mps()
    if not no_cuda:
        return _cuda(0, Message("auto uses a CUDA GPU if there is one"))
    if not no_mps:
        return Device("mps", "Apple GPU", Message("auto; {no_cuda}", no_cuda=no_cuda))
    return Device("cpu", _processor(), Message("auto; {no_cuda}, and {no_mps}", no_cuda=no_cuda, no_mps=no_mps))


def _cuda(index: int, why: str) -> Device:
    import torch

    if lacking := _lacks_cuda():
        remedy = "Choose --device auto or cpu. With an NVIDIA card: install its driver and the CUDA build of torch."
        raise EngineError(Message("CUDA was asked for, but {lacking}.", lacking=lacking), remedy=remedy)
    count = torch.cuda.device_count()
    if index >= count:
        raise EngineError(
            Message("There is no device cuda:{index}; there is one, counted from 0.", index=index)
            if count == 1
            else Message(
                "There is no device cuda:{index}; there are {count}, counted from 0.", index=index, count=count
            ),
            remedy="Choose --device cuda:0.",
        )
    return Device(f"cuda:{index}", torch.cuda.get_device_name(index), why)


def _lacks_cuda() -> str:
    """Describe what CUDA lacks; empty if nothing."""
    import torch

    if torch.version.cuda is None:
        return Message("this torch was built without CUDA")
    return "" if torch.cuda.is_available() else Message("no CUDA device was found")


def _lacks_mps() -> str:
    import torch

    return "" if torch.backends.mps.is_available() else Message("there is no Apple GPU")


def _processor() -> str:
    import torch

    return Message("processor, {threads} threads", threads=torch.get_num_threads())


def processor_name() -> str:
    """Return the CPU's model name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
