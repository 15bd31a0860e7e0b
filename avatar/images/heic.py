"""HEIC and HEIF images, from phones and newer cameras, through pillow-heif (libheif with libde265)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from avatar.errors import ImageError
from avatar.images.colour_space import ColourSpace, from_cicp, to_srgb
from avatar.system.message import Message, together
from avatar.system.program import how_to_install

SUFFIXES = frozenset({".heic", ".heif", ".hif"})
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def is_heic(path: Path) -> bool:
    """Return whether a file starts like a HEIF, except AVIF, which Pillow reads. Raises: OSError."""
    with path.open("rb") as file:
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        brands = file.read(min(max(size - 8, 0), 256)) if kind == b"ftyp" else b""
    named = {brands[:4], *(brands[at : at + 4] for at in range(8, len(brands), 4))}
    return brands[:4] in _BRANDS and not named & {b"avif", b"avis"}


def read_heic(path: Path, check_size: Callable[[int, int], None]) -> tuple[Image.Image, ColourSpace | None]:
    """Decode the main image, rotated and mirrored according to the file.

    Args:
        path: a file for which `is_heic` holds.
        check_size: called with width and height before decoding; raises if they are too large.
    Returns:
        An 8-bit image, its ICC profile in `info`, and its colour space if that is not in a profile.
    Raises:
        ImageError: pillow-heif is not installed.
        Exception: any error of libheif about a damaged file.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            Message(
                "{name} is a HEIC picture, and the package pillow-heif, which reads those, cannot be loaded.",
                name=path.name,
            ),
            remedy=together("Save the picture as JPEG or PNG. Or:", how_to_install("pillow_heif")),
        ) from error
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    check_size(*image.size)
    values = np.asarray(image)
    channels = image.mode.partition(";")[0].replace("I", "L")
    info: dict[str, Any] = image.info
    profile, colours = info.get("icc_profile"), info.get("nclx_profile")
    space = None
    if colours and not profile:
        space = from_cicp(int(colours["color_primaries"]), int(colours["transfer_characteristics"]))
    if values.dtype == np.uint16:
        values, space = _eight_bits(values, channels, space)
    decoded = Image.frombytes(channels, image.size, np.ascontiguousarray(values).tobytes())
    if channels in ("RGBa", "La"):
        decoded = decoded.convert(channels[:-1] + "A")
    if profile:
        decoded.info["icc_profile"] = profile
    return decoded, space


def _eight_bits(
    values: npt.NDArray[np.uint16], channels: str, space: ColourSpace | None
) -> tuple[npt.NDArray[Any], ColourSpace | None]:
    """Convert (H, W, C) uint16 to uint8; HDR is tone-mapped to SDR first, while all its bits are there."""
    plain = ((values + np.uint32(128)) // 257).astype(np.uint8)
    if space is None or not space.is_hdr or not channels.startswith("RGB"):
        return plain, space
    plain[..., :3] = to_srgb(values[..., :3], space)
    return plain, None
