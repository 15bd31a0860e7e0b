"""Snapshots of the output as PNG."""

from __future__ import annotations

from pathlib import Path

from avatar.errors import UsageError
from avatar.frames import Frame
from avatar.images.load import save_png
from avatar.outputs.canvas import CanvasOptions, compose_frame
from avatar.provenance.credentials import sign_or_remember
from avatar.system.message import Message


def save_snapshot(path: Path, frame: Frame, canvas: CanvasOptions | None = None) -> None:
    """Write an avatar frame as composed for outputs to a PNG, atomically.

    Raises:
        UsageError: the name does not end in .png.
        OutputError: the folder is missing, not writable, or the disk is full.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(
            Message("{name} does not end in .png.", name=path.name),
            remedy="Snapshots are PNG: give a name like me.png.",
        )
    composed = compose_frame(frame, canvas or CanvasOptions())
    save_png(path, composed.rgb, composed.alpha)
    sign_or_remember(path, composite=frame.passed_through)
