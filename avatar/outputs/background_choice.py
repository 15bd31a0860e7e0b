"""The value of `--background`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.errors import UsageError
from avatar.images.load import load_image
from avatar.settings import BACKGROUNDS, CanvasSettings
from avatar.system.message import Message

_WORDS = tuple(name for name in BACKGROUNDS if name not in ("colour", "image"))


@dataclass(frozen=True)
class BackgroundChoice:
    """A background with its colour or file."""

    kind: str = "own"  # one of BACKGROUNDS
    colour: str = CanvasSettings.background_colour
    image: Path | None = None

    def on(self, canvas: CanvasSettings) -> CanvasSettings:
        """Return a canvas with this background."""
        image = canvas.background_image if self.image is None else str(self.image)
        return replace(canvas, background=self.kind, background_colour=self.colour, background_image=image)


def parse_background(text: str) -> BackgroundChoice:
    """Parse a background: a word, a colour, or an image file, which is read as a check.

    Raises:
        UsageError: it is none of these.
        ImageError: the file cannot be read.
    """
    if text in _WORDS:
        return BackgroundChoice(text)
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return BackgroundChoice("colour", colour=text.lower())
    path = Path(text).expanduser()
    if not path.exists():
        raise UsageError(
            Message("{text} is no background, and there is no such file.", text=text),
            remedy=Message("Give one of {names}, a colour like #2f5d8a, or a picture.", names=", ".join(_WORDS)),
        )
    load_image(path)
    return BackgroundChoice("image", image=path.resolve())
