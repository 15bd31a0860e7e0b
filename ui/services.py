"""What the window asks of the rest of the program and may have to wait for; tests put their own in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar import v4l2, weights
from avatar.download import Progress
from avatar.engine import ENGINES
from avatar.weights import ModelState

if TYPE_CHECKING:
    from avatar.sources.camera_list import CameraInfo


def _list_cameras() -> tuple[CameraInfo, ...]:
    from avatar.sources.camera_list import list_cameras

    return list_cameras()


def _doctor_report() -> str:
    from ui.doctor_report import report

    return report()


@dataclass(frozen=True)
class Services:
    """Each may take its time, so each is called on a thread that is not the window's."""

    list_cameras: Callable[[], tuple[CameraInfo, ...]] = _list_cameras
    list_models: Callable[[], list[ModelState]] = weights.list_models
    pull_model: Callable[[str, Progress], Path] = weights.pull
    import_model: Callable[[str, Path], Path] = weights.import_file
    count_viewers: Callable[[], int] = v4l2.count_viewers
    doctor_report: Callable[[], str] = _doctor_report
    engines: tuple[str, ...] = ENGINES
