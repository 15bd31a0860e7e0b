"""One picture of the show."""

from __future__ import annotations

from pathlib import Path

from avatar.credentials import sign_or_remember
from avatar.errors import UsageError
from avatar.frames import Frame
from avatar.images import save_png
from avatar.outputs.canvas import CanvasOptions, compose_frame


def save_snapshot(path: Path, frame: Frame, canvas: CanvasOptions | None = None) -> None:
    """Write an avatar frame as others see it to a PNG, whole or not at all.

    Raises:
        UsageError: another ending than .png.
        OutputError: the folder is missing, not writable, or the disk is full.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path.name} does not end in .png.", remedy="Snapshots are PNG: give a name like me.png.")
    save_png(path, compose_frame(frame, canvas or CanvasOptions()))
    sign_or_remember(path, composite=frame.passed_through)
