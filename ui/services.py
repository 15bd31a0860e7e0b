"""Slow functions of the program that the window calls; replaced in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avatar import weights
from avatar.engines.registry import ENGINES
from avatar.system import v4l2
from avatar.weights import ModelState
from avatar.weights.download import Progress

if TYPE_CHECKING:
    from avatar.remote.identity import Address, KnownHost
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


def _doctor_report(unwanted: threading.Event) -> Report:
    from ui.dialogs.doctor_report import report

    return report(unwanted)


def _known_hosts() -> dict[str, KnownHost]:
    from avatar.remote.identity import known_hosts

    return known_hosts()


def _look_at_host(address: Address) -> str:
    from avatar.remote.link import fingerprint_at

    return fingerprint_at(address)


def _join_host(address: Address, token: str, fingerprint: str, keep: bool) -> str:
    from avatar.remote.engine import join
    from avatar.remote.identity import find_host, remember

    host = replace(find_host(str(address), token or None, fingerprint or None, keep), fingerprint=fingerprint)
    remember(join(host))
    return str(host.address)


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
    doctor_report: Callable[[threading.Event], Report] = _doctor_report  # until the event is set
    known_hosts: Callable[[], dict[str, KnownHost]] = _known_hosts
    look_at_host: Callable[[Address], str] = _look_at_host  # its fingerprint; empty: none, on this machine
    join_host: Callable[[Address, str, str, bool], str] = _join_host  # token, fingerprint, keep; asks and remembers it
    engines: tuple[str, ...] = ENGINES
