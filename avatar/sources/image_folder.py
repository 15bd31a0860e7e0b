"""A folder of numbered images as a driving clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from avatar.errors import VideoError
from avatar.frames import Frame
from avatar.images.load import SUFFIXES, load_image
from avatar.sources.facts import DrivingFacts, DrivingVideo
from avatar.system.message import Message

DEFAULT_RATE = Fraction(25)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts frame2 before frame10; equal numbers are ordered by spelling."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


class ImageFolder(DrivingVideo):
    """The images of one folder in natural order, at a fixed rate. Other files are ignored."""

    def __init__(self, folder: Path, rate: Fraction = DEFAULT_RATE) -> None:
        """List the folder and read the first image.

        Raises:
            VideoError: fewer than two images.
            ImageError: the first image cannot be read.
        """
        self._files = _images(folder)
        if len(self._files) < 2:
            what = (
                Message(
                    "The folder {folder} holds a single picture ({name}); motion needs several.",
                    folder=folder,
                    name=self._files[0].name,
                )
                if self._files
                else Message("The folder {folder} holds no pictures; motion needs several.", folder=folder)
            )
            raise VideoError(what, remedy="Name a folder of numbered PNG or JPEG frames, or a video file.")
        height, width = load_image(self._files[0]).shape[:2]
        count = len(self._files)
        self.facts = DrivingFacts(
            folder, width, height, rate, 1 / rate, float(count / rate), frames_estimate=count, has_audio=False
        )
        self.end_s = 0.0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        """Read the images one by one.

        Raises:
            ImageError: one of them cannot be read.
            VideoError: one of them has another size than the first.
        """
        expected = (self.facts.height_px, self.facts.width_px)
        for number, path in enumerate(self._files):
            rgb = load_image(path)
            if rgb.shape[:2] != expected:
                raise VideoError(
                    Message(
                        "{name} is {width} x {height} pixels, {first} is {first_width} x {first_height}; the frames "
                        "of a clip have one size.",
                        name=path.name,
                        width=rgb.shape[1],
                        height=rgb.shape[0],
                        first=self._files[0].name,
                        first_width=expected[1],
                        first_height=expected[0],
                    ),
                    remedy="Move pictures that are not part of the clip to another folder.",
                )
            self.end_s = float((number + 1) / self.facts.rate)
            yield Frame(rgb, number, round(number * 1_000_000_000 / self.facts.rate))

    def rewind(self) -> bool:
        """Return True; every iteration begins with the first image."""
        return True

    def close(self) -> None:
        """Do nothing; no file stays open between images."""


def _images(folder: Path) -> list[Path]:
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    except OSError as error:
        raise VideoError(
            Message("The folder {folder} cannot be read: {why}.", folder=folder, why=error.strerror),
            remedy="Check that you may read it.",
        ) from error
    return sorted(names, key=lambda path: natural_key(path.name))
