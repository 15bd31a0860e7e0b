"""Avatars for the window's tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fakes_ui import Desk

from avatar.images.load import save_png

BRIGHT, TWO_FACES, DARK = 128, 250, 10


def picture(folder: Path, name: str, level: int = BRIGHT, size: int = 512) -> Path:
    rgb = np.full((size, size, 3), level, np.uint8)
    rgb[0, : len(name), 0] = np.frombuffer(name.encode(), np.uint8)  # no two are twins
    path = folder / f"{name}.png"
    save_png(path, rgb)
    return path


def add(desk: Desk, folder: Path, *names: str) -> None:
    from avatar.library.importing import Choice
    from ui.avatars import Import

    for name in names:
        added: list[Any] = []
        wanted = Import(picture(folder, name), Choice(), name, "", "", confirmed=True)
        desk.avatars.add(wanted, added.append, added.append)
        desk.until(partial(bool, added))
        desk.until(partial(lambda name: name in desk.names(), name))
