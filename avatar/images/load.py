"""Reading and writing of images: files from cameras, scanners and web pages are converted to plain RGB.

Pillow, which scikit-image needs anyway, reads most formats and handles EXIF, palettes and colour profiles; `heic` and
`deep_tiff` read the others, and `colours` converts all of them to sRGB.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from avatar.cv import cv2
from avatar.errors import AvatarError, ImageError, OutputError
from avatar.frames import AlphaImage, RgbImage
from avatar.images import heic
from avatar.images.colour_space import ColourSpace
from avatar.images.colour_tags import ColourTags, avif_colours, jp2_colours, png_colours
from avatar.images.colours import pixels_of, png_in
from avatar.images.deep_tiff import TILE_SIDES, eight_bits, is_tiff, needs_unpacking, read_deep_tiff
from avatar.images.jpeg_scans import count_scans
from avatar.system.atomic import replacing
from avatar.system.limits import MAX_JPEG_SCANS, MAX_PIXELS
from avatar.system.message import Message

__all__ = ["flatten", "load_image", "load_image_alpha", "save_png", "straight"]

_ROWS = 256  # rows blended at a time
BACKDROP = 128  # grey level behind transparent parts, neutral between light and dark hair
# Formats that hold pixels only: Pillow would start Ghostscript for EPS, and others have no magic number.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = heic.SUFFIXES | {
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"
}  # fmt: skip
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})
_TAGS = {"PNG": png_colours, "AVIF": avif_colours, "JPEG2000": jp2_colours}


def load_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> RgbImage:
    """Read an image for display: upright, 8 bits, sRGB, transparent parts on a neutral grey.

    Args:
        path: PNG, JPEG, HEIC, WebP, AVIF, BMP, GIF (its first frame), TIFF, JPEG 2000 or PPM; also grey, palette,
            CMYK, Lab, of more than 8 bits, of a wide gamut and HDR.
        max_pixels: larger images are refused by their header, before decoding.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ImageError: missing, empty, not an image, truncated, or too large.
    """
    rgb, alpha = load_image_alpha(path, max_pixels=max_pixels)
    return rgb if alpha is None else flatten(rgb, alpha)


def load_image_alpha(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[RgbImage, AlphaImage | None]:
    """Read an image as `load_image`, with unblended colours and separate alpha (H, W); None: opaque."""
    with _explained(path, max_pixels):
        image, space = _decoded(path, max_pixels)
        return pixels_of(_upright(image), space)


def flatten(rgb: RgbImage, alpha: AlphaImage) -> RgbImage:
    """Blend a transparent image over the neutral grey. rgb: (H, W, 3), alpha: (H, W), both uint8."""
    flat = np.empty_like(rgb)
    for start in range(0, len(rgb), _ROWS):  # all at once would take seven times a large image's memory
        rows = slice(start, start + _ROWS)
        weight = alpha[rows, :, None].astype(np.uint16)
        blend = rgb[rows] * weight + BACKDROP * (255 - weight)  # at most 255 * 255, which fits uint16
        flat[rows] = (blend + 127) // 255
    return flat


def straight(rgb: RgbImage, alpha: AlphaImage) -> RgbImage:
    """Undo the premultiplication of an (H, W, 3) image by its (H, W) alpha, as in files: (H, W, 3)."""
    opaque = np.maximum(alpha, 1)
    return np.asarray(cv2.divide(rgb, cv2.merge([opaque] * 3), scale=255))


def save_png(path: Path, rgb: RgbImage, alpha: AlphaImage | None = None) -> None:
    """Write an image, atomically. Arguments as in `encode_png`.

    Raises:
        OutputError: the folder is missing, not writable, or the disk is full.
    """
    coded = encode_png(rgb, alpha)
    try:
        with replacing(path) as part:
            part.write_bytes(coded)
    except OSError as error:
        raise OutputError(
            Message("{path} cannot be written: {why}.", path=path, why=error.strerror or error),
            remedy="Choose a folder that exists, that you may write to, and that has room.",
        ) from error


def encode_png(rgb: RgbImage, alpha: AlphaImage | None = None) -> bytes:
    """Encode an image as PNG.

    Args:
        rgb: (H, W, 3) uint8, or (H, W, 4) with straight alpha.
        alpha: (H, W) that `rgb` is premultiplied by; None: opaque.
    """
    if alpha is not None:
        rgb = np.dstack([straight(rgb, alpha), alpha])
    bgr = np.dstack([rgb[..., 2::-1], rgb[..., 3:]])
    done, coded = cv2.imencode(".png", np.ascontiguousarray(bgr), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OutputError("The picture could not be encoded as PNG.", remedy="Choose a smaller size.")
    return bytes(coded.tobytes())


def square_thumbnail(rgb: RgbImage, size: int, around: npt.NDArray[np.floating] | None = None) -> RgbImage:
    """Crop the largest square and scale it to (size, size, 3); centred, or as close as possible to `around` (x, y)."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    x, y = (width / 2, height / 2) if around is None else (float(value) for value in around)
    left, top = (min(max(round(at - side / 2), 0), room - side) for at, room in ((x, width), (y, height)))
    square = rgb[top : top + side, left : left + side]
    shrinks = side > size
    resized = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.uint8)


@contextlib.contextmanager
def _explained(path: Path, max_pixels: int) -> Iterator[None]:
    """Convert errors to an ImageError with a readable reason, because decoders raise all kinds of exceptions."""
    try:
        yield
    except AvatarError:
        raise
    except FileNotFoundError as error:
        raise ImageError(
            Message("There is no picture {path}.", path=path), remedy="Check the name and the folder."
        ) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(path, Message("more pixels than fit into memory"), max_pixels) from error
    except UnidentifiedImageError as error:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise ImageError(
                Message("{name} is a video, not a picture.", name=path.name),
                remedy="Name a picture here, and the video that drives it after it.",
            ) from error
        raise ImageError(
            Message("{name} is not a picture in a supported format.", name=path.name),
            remedy="Save it as PNG or JPEG with a picture program and use that.",
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the operating system, not from a decoder
            raise ImageError(
                Message("{name} cannot be opened: {why}.", name=path.name, why=_reason(error)),
                remedy="Check that you may read it, or choose another.",
            ) from error
        raise ImageError(
            Message("{name} is damaged or cut short: {why}.", name=path.name, why=_reason(error)),
            remedy="Download or copy it again, or choose another picture.",
        ) from error


def _decoded(path: Path, max_pixels: int) -> tuple[Image.Image, ColourSpace | None]:
    """Decode an image of any size; return it with the colour space that the file states outside an ICC profile."""
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise ImageError(
            Message("{path} is a folder, not a picture.", path=path), remedy="Name one picture file in it."
        )
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe might block forever
        raise ImageError(Message("{path} is not a file.", path=path), remedy="Name a picture file.")
    if facts.st_size == 0:
        raise ImageError(
            Message("{name} is empty (0 bytes).", name=path.name),
            remedy="Download or copy it again, or choose another picture.",
        )

    def check_size(width: int, height: int) -> None:
        if width * height > max_pixels:
            raise _too_large(path, Message("{width} x {height} pixels", width=width, height=height), max_pixels)

    if heic.is_heic(path):
        return heic.read_heic(path, check_size)
    try:
        image = _opened(path)
    except UnidentifiedImageError:
        if not is_tiff(path):
            raise
        return read_deep_tiff(path, max_pixels), None
    with contextlib.ExitStack() as close:
        close.callback(image.close)
        check_size(*image.size)
        _check_cost(image, path, check_size)
        if image.format == "TIFF" and needs_unpacking(getattr(image, "tag_v2")):  # noqa: B009, only TIFF has it
            return read_deep_tiff(path, max_pixels), None
        tags = _TAGS[image.format](path) if image.format in _TAGS else ColourTags()
        if image.format == "PNG" and tags.space is not None:  # which has precedence over a profile
            image.info.pop("icc_profile", None)
            if not tags.space.is_srgb:
                unpacked = png_in(tags.space, path)
                unpacked.info = {key: image.info[key] for key in ("exif",) if key in image.info}
                return unpacked, None
        image.load()
        close.pop_all()
    if image.format == "PPM" and image.mode == "I":  # scaled to 16 bits by Pillow
        image = Image.fromarray(eight_bits(np.asarray(image), 65535.0))
    if tags.profile:
        image.info.setdefault("icc_profile", tags.profile)
    profile_first = image.format == "AVIF" and "icc_profile" in image.info  # the opposite of PNG
    return image, None if profile_first else tags.space


def _check_cost(image: Image.Image, path: Path, check_size: Callable[[int, int], None]) -> None:
    """Check that an image of any size takes no more memory or time than its header suggests. Raises: ImageError."""
    if image.format == "TIFF":  # a tile is decoded as a whole
        tags = getattr(image, "tag_v2")  # noqa: B009, only TIFF has it
        check_size(*(int(tags.get(tag, 0)) for tag in TILE_SIDES))
    if image.format in ("JPEG", "MPO") and count_scans(path, MAX_JPEG_SCANS + 1) > MAX_JPEG_SCANS:
        raise ImageError(
            Message(
                "{name} encodes its picture in more than {limit} passes.",
                name=path.name,
                limit=MAX_JPEG_SCANS,
            ),
            remedy="Save it again as PNG or JPEG with a picture program and use that.",
        )


def _opened(path: Path) -> Image.Image:
    """Open an image of any size and read its header without decoding pixels."""
    Image.init()
    return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def _too_large(path: Path, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        Message(
            "{name} has {size}; the limit is {limit:.0f} megapixels.",
            name=path.name,
            size=size,
            limit=max_pixels / 1e6,
        ),
        remedy="Scale it down with a picture program (4000 pixels on the longer side are plenty).",
    )


def _reason(error: Exception) -> str:
    if error.args and isinstance(error.args[0], Message):
        return error.args[0]
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _upright(image: Image.Image) -> Image.Image:
    """Rotate and mirror an image of any size according to EXIF; an invalid orientation is ignored."""
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image
