"""Pictures in and out: whatever a camera, a scanner or a web page produces becomes plain RGB.

Pillow reads them, because it comes with scikit-image anyway and knows EXIF, palettes and colour profiles.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from avatar.atomic import replacing
from avatar.cv import cv2
from avatar.errors import ImageError, OutputError
from avatar.frames import RgbImage
from avatar.limits import MAX_PIXELS

AlphaImage = npt.NDArray[np.uint8]  # (H, W), 255 = opaque

_ROWS = 256  # blended at a time
BACKDROP = 128  # what shows through where a picture is transparent: grey favours neither light nor dark hair
# Formats that hold pixels only: Pillow would start Ghostscript for EPS, and others have no magic number.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)


def load_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> RgbImage:
    """Read a picture as it is meant to be seen: upright, 8 bits, sRGB, transparent parts on a neutral grey.

    Args:
        path: PNG, JPEG, WebP, AVIF, BMP, GIF (its first frame), TIFF, JPEG 2000 or PPM; also grey, palette, CMYK and
            16 bit.
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
    with _opened(path) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise _too_large(path, f"{width} x {height} pixels", max_pixels)
        try:
            picture.load()
            return _pixels(_upright(picture))
        except MemoryError as error:
            raise _too_large(path, f"{width} x {height} pixels", max_pixels) from error
        except _DAMAGED as error:
            raise ImageError(
                f"{path.name} is damaged or cut short: {_reason(error)}.",
                remedy="Download or copy it again, or choose another picture.",
            ) from error


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
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture with its header read and nothing unpacked."""
    try:
        size_bytes = path.stat().st_size
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not a picture.", remedy="Name one picture file in it.")
        if size_bytes == 0:
            raise ImageError(
                f"{path.name} is empty (0 bytes).", remedy="Download or copy it again, or choose another picture."
            )
        Image.init()
        with warnings.catch_warnings():  # Pillow also warns from 89 megapixels on; our own limit decides
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    except FileNotFoundError as error:
        raise ImageError(f"There is no picture {path}.", remedy="Check the name and the folder.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "an enormous size in its header", MAX_PIXELS) from error
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
    except _DAMAGED as error:
        raise ImageError(
            f"{path.name} cannot be opened: {_reason(error)}.", remedy="Check that you may read it, or choose another."
        ) from error
    with picture:
        yield picture


def _too_large(path: Path, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"{path.name} has {size}; the limit is {max_pixels / 1e6:.0f} megapixels.",
        remedy="Scale it down with a picture program (4000 pixels on the longer side are plenty).",
    )


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _upright(picture: Image.Image) -> Image.Image:
    """Turn and mirror as the camera's EXIF note says; a note that makes no sense is ignored."""
    with warnings.catch_warnings(), contextlib.suppress(*_DAMAGED):
        warnings.simplefilter("ignore")  # Pillow's remarks on broken EXIF are of no use to anybody
        return ImageOps.exif_transpose(picture)
    return picture


def _pixels(picture: Image.Image) -> tuple[RgbImage, AlphaImage | None]:
    """Eight-bit RGB and transparency (None: opaque) of a picture in any of Pillow's modes."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        sixteen = picture.mode.startswith("I;16")
        grey = _eight_bits(np.asarray(picture).astype(np.float32), top=65535.0 if sixteen else None)
        return np.repeat(grey[..., None], 3, axis=2), None
    if picture.has_transparency_data:
        rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")  # spares a copy of 256 MB
        alpha = np.array(rgba.getchannel("A"))
        rgb = np.array(_as_srgb(rgba.convert("RGB"), picture))
        return rgb, None if alpha.min() == 255 else alpha
    return np.array(_as_srgb(picture, picture)), None


def _eight_bits(values: npt.NDArray[np.float32], top: float | None) -> npt.NDArray[np.uint8]:
    """Bring grey levels of more than 8 bits to 0..255; without `top`, the end of their range is read off the values."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if top is None:
        largest = float(values.max())
        top = next((limit for limit in (1.0, 255.0, 65535.0) if largest <= limit), largest)
    grey: npt.NDArray[np.uint8] = np.clip(np.rint(values * (255.0 / top)), 0, 255).astype(np.uint8)
    return grey


def _as_srgb(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Eight-bit sRGB; an embedded profile is applied, so that a phone's wide-gamut photograph keeps its skin colour."""
    profile = original.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        with contextlib.suppress(ImageCms.PyCMSError, *_DAMAGED):
            converted = ImageCms.profileToProfile(
                picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
    return picture.convert("RGB")
