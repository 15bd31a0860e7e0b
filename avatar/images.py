"""Pictures in and out: whatever a camera, a scanner or a web page produces becomes plain RGB.

Pillow reads most, because it comes with scikit-image anyway and knows EXIF, palettes and colour profiles; `heic` and
`deep_tiff` read what it does not, and `image_colours` makes sRGB of all of it.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from avatar import heic
from avatar.atomic import replacing
from avatar.colour_space import ColourSpace
from avatar.colour_tags import ColourTags, avif_colours, jp2_colours, png_colours
from avatar.cv import cv2
from avatar.deep_tiff import TILE_SIDES, eight_bits, is_tiff, needs_unpacking, read_deep_tiff
from avatar.errors import AvatarError, ImageError, OutputError
from avatar.frames import RgbImage
from avatar.image_colours import AlphaImage, pixels_of, png_in
from avatar.jpeg_scans import count_scans
from avatar.limits import MAX_JPEG_SCANS, MAX_PIXELS

__all__ = ["AlphaImage", "flatten", "load_image", "load_image_alpha", "save_png"]

_ROWS = 256  # blended at a time
BACKDROP = 128  # what shows through where a picture is transparent: grey favours neither light nor dark hair
# Formats that hold pixels only: Pillow would start Ghostscript for EPS, and others have no magic number.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = heic.SUFFIXES | {
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"
}  # fmt: skip
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})
_TAGS = {"PNG": png_colours, "AVIF": avif_colours, "JPEG2000": jp2_colours}


def load_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> RgbImage:
    """Read a picture as it is meant to be seen: upright, 8 bits, sRGB, transparent parts on a neutral grey.

    Args:
        path: PNG, JPEG, HEIC, WebP, AVIF, BMP, GIF (its first frame), TIFF, JPEG 2000 or PPM; also grey, palette,
            CMYK, Lab, of more than 8 bits, of a wide gamut and HDR.
        max_pixels: larger pictures are refused by their header, before anything is unpacked.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ImageError: missing, empty, not a picture, cut short, or too large.
    """
    rgb, alpha = load_image_alpha(path, max_pixels=max_pixels)
    return rgb if alpha is None else flatten(rgb, alpha)


def load_image_alpha(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[RgbImage, AlphaImage | None]:
    """Like `load_image`, with the colours not yet blended and the transparency apart; None where all is opaque."""
    with _explained(path, max_pixels):
        picture, space = _decoded(path, max_pixels)
        return pixels_of(_upright(picture), space)


def flatten(rgb: RgbImage, alpha: AlphaImage) -> RgbImage:
    """Lay a transparent picture on the neutral grey. rgb: (H, W, 3), alpha: (H, W), both uint8."""
    flat = np.empty_like(rgb)
    for start in range(0, len(rgb), _ROWS):  # at once it would take seven times the room of a large picture
        rows = slice(start, start + _ROWS)
        weight = alpha[rows, :, None].astype(np.uint16)
        blend = rgb[rows] * weight + BACKDROP * (255 - weight)  # at most 255 * 255, which fits
        flat[rows] = (blend + 127) // 255
    return flat


def save_png(path: Path, rgb: RgbImage) -> None:
    """Write an (H, W, 3) uint8 picture; the file appears whole or not at all.

    Raises:
        OutputError: the folder is missing, not writable, or the disk is full.
    """
    coded = encode_png(rgb)
    try:
        with replacing(path) as part:
            part.write_bytes(coded)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            remedy="Choose a folder that exists, that you may write to, and that has room.",
        ) from error


def encode_png(rgb: RgbImage) -> bytes:
    """The bytes of a PNG file of an (H, W, 3) uint8 picture."""
    done, coded = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OutputError("The picture could not be packed as PNG.", remedy="Choose a smaller size.")
    return bytes(coded.tobytes())


def square_thumbnail(rgb: RgbImage, size: int, around: npt.NDArray[np.floating] | None = None) -> RgbImage:
    """The largest square of a picture, (size, size, 3); its middle, or as near as can be to `around` (x, y)."""
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
    """Say in a sentence why a picture cannot be read. Decoders raise whatever they happen to meet."""
    try:
        yield
    except AvatarError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"There is no picture {path}.", remedy="Check the name and the folder.") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(path, "more pixels than fit into memory", max_pixels) from error
    except UnidentifiedImageError as error:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise ImageError(
                f"{path.name} is a video, not a picture.",
                remedy="A picture belongs here; the video that drives it is named after it.",
            ) from error
        raise ImageError(
            f"{path.name} is not a picture in a format that can be read here.",
            remedy="Save it as PNG or JPEG with a picture program and use that.",
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's word, not a decoder's
            raise ImageError(
                f"{path.name} cannot be opened: {_reason(error)}.",
                remedy="Check that you may read it, or choose another.",
            ) from error
        raise ImageError(
            f"{path.name} is damaged or cut short: {_reason(error)}.",
            remedy="Download or copy it again, or choose another picture.",
        ) from error


def _decoded(path: Path, max_pixels: int) -> tuple[Image.Image, ColourSpace | None]:
    """The picture, unpacked, and its colours where no profile in it says them."""
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise ImageError(f"{path} is a folder, not a picture.", remedy="Name one picture file in it.")
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe might never end
        raise ImageError(f"{path} is no file.", remedy="Name a picture file.")
    if facts.st_size == 0:
        raise ImageError(
            f"{path.name} is empty (0 bytes).", remedy="Download or copy it again, or choose another picture."
        )

    def check_size(width: int, height: int) -> None:
        if width * height > max_pixels:
            raise _too_large(path, f"{width} x {height} pixels", max_pixels)

    if heic.is_heic(path):
        return heic.read_heic(path, check_size)
    try:
        picture = _opened(path)
    except UnidentifiedImageError:
        if not is_tiff(path):
            raise
        return read_deep_tiff(path, max_pixels), None
    with contextlib.ExitStack() as close:
        close.callback(picture.close)
        check_size(*picture.size)
        _check_cost(picture, path, check_size)
        if picture.format == "TIFF" and needs_unpacking(getattr(picture, "tag_v2")):  # noqa: B009, only TIFF has it
            return read_deep_tiff(path, max_pixels), None
        tags = _TAGS[picture.format](path) if picture.format in _TAGS else ColourTags()
        if picture.format == "PNG" and tags.space is not None:  # then a profile does not count
            picture.info.pop("icc_profile", None)
            if not tags.space.is_srgb:
                unpacked = png_in(tags.space, path)
                unpacked.info = {key: picture.info[key] for key in ("exif",) if key in picture.info}
                return unpacked, None
        picture.load()
        close.pop_all()
    if picture.format == "PPM" and picture.mode == "I":  # Pillow has scaled it to 16 bits
        picture = Image.fromarray(eight_bits(np.asarray(picture), 65535.0))
    if tags.profile:
        picture.info.setdefault("icc_profile", tags.profile)
    profile_first = picture.format == "AVIF" and "icc_profile" in picture.info  # in PNG it is the other way round
    return picture, None if profile_first else tags.space


def _check_cost(picture: Image.Image, path: Path, check_size: Callable[[int, int], None]) -> None:
    """Refuse what takes more memory or time than its size says. Raises: ImageError."""
    if picture.format == "TIFF":  # a tile is unpacked whole, however little of it is seen
        tags = getattr(picture, "tag_v2")  # noqa: B009, only TIFF has it
        check_size(*(int(tags.get(tag, 0)) for tag in TILE_SIDES))
    if picture.format in ("JPEG", "MPO") and count_scans(path, MAX_JPEG_SCANS + 1) > MAX_JPEG_SCANS:
        raise ImageError(
            f"{path.name} draws its picture in more than {MAX_JPEG_SCANS} passes.",
            remedy="Save it again as PNG or JPEG with a picture program and use that.",
        )


def _opened(path: Path) -> Image.Image:
    """The picture with its header read and nothing unpacked."""
    Image.init()
    return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def _too_large(path: Path, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"{path.name} has {size}; the limit is {max_pixels / 1e6:.0f} megapixels.",
        remedy="Scale it down with a picture program (4000 pixels on the longer side are plenty).",
    )


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _upright(picture: Image.Image) -> Image.Image:
    """Turn and mirror as the camera's EXIF note says; a note that makes no sense is ignored."""
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(picture)
    return picture
