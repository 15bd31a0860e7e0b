"""Slow functions of the program that the window calls; replaced in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar import weights
from avatar.engines.registry import ENGINES
from avatar.system import v4l2
from avatar.weights import ModelState
from avatar.weights.download import Progress

if TYPE_CHECKING:
    from avatar.sources.camera_list import CameraInfo
    from avatar.sources.microphone import SoundMonitor, SoundSource
    from ui.dialogs.doctor_report import Report


def _list_cameras() -> tuple[CameraInfo, ...]:
    from avatar.sources.camera_list import list_cameras

    return list_cameras()


def _list_virtual_cameras() -> tuple[str, ...]:
    from avatar.outputs.live.loopback import names

    return names()


def _list_microphones() -> tuple[str, ...]:
    from avatar.sources.microphone import list_microphones

    return list_microphones()


def _open_microphone(name: str, monitor: SoundMonitor) -> SoundSource:
    from avatar.sources.microphone import Microphone

    return Microphone(name or None, monitor=monitor)


def _doctor_report() -> Report:
    from ui.dialogs.doctor_report import report

    return report()


@dataclass(frozen=True)
class Services:
    """Functions that may block, and are therefore never called on the window's thread."""

    list_cameras: Callable[[], tuple[CameraInfo, ...]] = _list_cameras
    list_microphones: Callable[[], tuple[str, ...]] = _list_microphones
    open_microphone: Callable[[str, SoundMonitor], SoundSource] = _open_microphone  # "": the system's default
    list_virtual_cameras: Callable[[], tuple[str, ...]] = _list_virtual_cameras
    list_models: Callable[[], list[ModelState]] = weights.list_choices
    pull_model: Callable[[str, Progress], Path] = weights.pull
    import_model: Callable[[str, Path], Path] = weights.import_file
    count_viewers: Callable[[], int] = v4l2.count_viewers
    doctor_report: Callable[[], Report] = _doctor_report
    engines: tuple[str, ...] = ENGINES
