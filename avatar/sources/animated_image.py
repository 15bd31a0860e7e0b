"""Animated GIF, PNG and WebP as driving clips, with the delays that browsers give them."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from avatar.errors import VideoError
from avatar.frames import Frame, RgbImage
from avatar.images.load import flatten
from avatar.sources.facts import DrivingFacts, DrivingVideo
from avatar.sources.streams import orientation_by_exif
from avatar.system.limits import MAX_CLIP_PIXELS
from avatar.system.message import Message

logger = logging.getLogger(__name__)

# Pillow supports transparency, disposal and every order of chunks; FFmpeg treats a PNG as a still if its animation
# chunk comes late, and its WebP decoder refuses animations. FFmpeg reads animated AVIF, with its colour tags.
READ_HERE = ("GIF", "PNG", "WEBP")
_MOVING = (*READ_HERE, "AVIF")  # other formats may contain several images, but as pages, sizes or views
_HEADS = (b"GIF8", b"\x89PNG", b"RIFF", b"\0\0\0")
_TIME_BASE = Fraction(1, 100_000)  # s
_SHORTEST_MS, _INSTEAD_MS = 10, 100  # Chromium, Firefox and WebKit show a frame of 10 ms or less for 100 ms
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


def animation_format(path: Path) -> str:
    """Return the format of an animated image ("GIF", "PNG", "WEBP" or "AVIF"); "" for stills and other files."""
    if not path.is_file():  # a pipe would block; opening it reports a better error
        return ""
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(_HEADS):
                return ""
        with _opened(path, _MOVING) as image:
            moves = getattr(image, "n_frames", 1) - int(getattr(image, "default_image", False)) > 1
            return str(image.format) if moves else ""
    except _DAMAGED:
        return ""


class AnimatedImage(DrivingVideo):
    """One animated image, decoded frame by frame; see DrivingVideo."""

    def __init__(self, path: Path) -> None:
        """Open an image whose `animation_format` is in READ_HERE, and decode its first frame.

        Raises:
            VideoError: it is damaged from the start, or too large.
        """
        self._path = path
        self._told_of_losses = False
        try:
            self._image = _opened(path, READ_HERE)
        except _DAMAGED as error:
            raise _unreadable(path) from error
        try:
            self.facts = self._read_facts()
        except _DAMAGED as error:
            self._image.close()
            raise _unreadable(path) from error
        except BaseException:
            self._image.close()
            raise
        self.end_s = 0.0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start; damage ends the clip, with a warning."""
        shown_ms = 0.0
        for number in range(self.facts.frames_estimate):
            try:
                rgb, length_ms = self._decode(number)
            except _DAMAGED as error:
                logger.debug("%s: frame %d cannot be decoded (%s)", self._path.name, number, error)
                if not self._told_of_losses:  # once, even if the clip is played repeatedly
                    logger.warning("%s is damaged; parts of it cannot be read and are left out.", self._path.name)
                self._told_of_losses = True
                return
            tick = round(shown_ms / 1000 / _TIME_BASE)
            shown_ms += length_ms
            self.end_s = shown_ms / 1000
            yield Frame(rgb, number, round(tick * _TIME_BASE * 1_000_000_000))

    def rewind(self) -> bool:
        """Return True; every iteration begins with the first frame."""
        return True

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._image.close()

    def _read_facts(self) -> DrivingFacts:
        image = self._image
        if image.width * image.height > MAX_CLIP_PIXELS:
            raise VideoError(
                Message(
                    "{name} is {width} x {height} pixels; the limit is {limit:.0f} megapixels.",
                    name=self._path.name,
                    width=image.width,
                    height=image.height,
                    limit=MAX_CLIP_PIXELS / 1e6,
                ),
                remedy="Scale it down first: 1080 lines are plenty to follow a face.",
            )
        self._skipped = int(getattr(image, "default_image", False))  # for programs without animation support
        self._turn = orientation_by_exif(image)
        first, length_ms = self._decode(0)
        return DrivingFacts(
            path=self._path,
            width_px=first.shape[1],
            height_px=first.shape[0],
            rate=1000 / Fraction(length_ms).limit_denominator(1000),
            time_base=_TIME_BASE,
            duration_s=0.0,
            frames_estimate=getattr(image, "n_frames", 1) - self._skipped,
            has_audio=False,
        )

    def _decode(self, number: int) -> tuple[RgbImage, float]:
        """Decode one frame; returns it upright, (H, W, 3) uint8, with its duration in milliseconds."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged files, for which we have our own message
            self._image.seek(number + self._skipped)
            self._image.load()
            if self._image.has_transparency_data:
                rgba = np.asarray(self._image.convert("RGBA"))
                rgb = flatten(rgba[..., :3], rgba[..., 3])
            else:
                rgb = np.array(self._image.convert("RGB"))
        given_ms = float(self._image.info.get("duration") or 0)
        return self._turn.apply(rgb), given_ms if given_ms > _SHORTEST_MS else float(_INSTEAD_MS)


def _opened(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """Open an animated image of any size, in one of these formats."""
    Image.init()
    with warnings.catch_warnings():  # our own size limit applies
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=[name for name in formats if name in Image.OPEN])


def _unreadable(path: Path) -> VideoError:
    return VideoError(
        Message("No picture in {name} can be decoded.", name=path.name),
        remedy="It is damaged or was cut short while it was copied: copy it again, or convert it to MP4.",
    )
