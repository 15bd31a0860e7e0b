"""A folder of numbered pictures as a driving clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from avatar.errors import VideoError
from avatar.frames import Frame
from avatar.images import SUFFIXES, load_image
from avatar.sources.facts import DrivingFacts, DrivingVideo

DEFAULT_RATE = Fraction(25)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts frame2 before frame10; the same numbers with other padding stay apart by their spelling."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


class ImageFolder(DrivingVideo):
    """The pictures of one folder in natural order, at a fixed rate. Other files are passed over."""

    def __init__(self, folder: Path, rate: Fraction = DEFAULT_RATE) -> None:
        """Look at the names and at the first picture.

        Raises:
            VideoError: fewer than two pictures.
            ImageError: the first picture cannot be read.
        """
        self._files = _pictures(folder)
        if len(self._files) < 2:
            found = "no pictures" if not self._files else f"a single picture ({self._files[0].name})"
            raise VideoError(
                f"The folder {folder} holds {found}; motion needs several.",
                remedy="Name a folder of numbered PNG or JPEG frames, or a video file.",
            )
        height, width = load_image(self._files[0]).shape[:2]
        count = len(self._files)
        self.facts = DrivingFacts(
            folder, width, height, rate, 1 / rate, float(count / rate), frames_estimate=count, has_audio=False
        )
        self.end_s = 0.0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        """Read picture by picture.

        Raises:
            ImageError: one of them cannot be read.
            VideoError: one of them has another size than the first.
        """
        expected = (self.facts.height_px, self.facts.width_px)
        for number, path in enumerate(self._files):
            rgb = load_image(path)
            if rgb.shape[:2] != expected:
                raise VideoError(
                    f"{path.name} is {rgb.shape[1]} x {rgb.shape[0]} pixels, {self._files[0].name} is "
                    f"{expected[1]} x {expected[0]}; the frames of a clip have one size.",
                    remedy="Move pictures that are not part of the clip to another folder.",
                )
            self.end_s = float((number + 1) / self.facts.rate)
            yield Frame(rgb, number, round(number * 1_000_000_000 / self.facts.rate))

    def rewind(self) -> bool:
        """There is nothing to do."""
        return True

    def close(self) -> None:
        """Nothing stays open between pictures."""


def _pictures(folder: Path) -> list[Path]:
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    except OSError as error:
        raise VideoError(
            f"The folder {folder} cannot be read: {error.strerror}.", remedy="Check that you may read it."
        ) from error
    return sorted(names, key=lambda path: natural_key(path.name))
