"""Eight-bit sRGB and transparency out of what the decoders give: all modes of Pillow, ICC profiles, wide gamut, HDR."""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from avatar.colour_space import ColourSpace, to_srgb
from avatar.cv import cv2
from avatar.deep_tiff import eight_bits
from avatar.frames import RgbImage

AlphaImage = npt.NDArray[np.uint8]  # (H, W), 255 = opaque


def pixels_of(picture: Image.Image, space: ColourSpace | None = None) -> tuple[RgbImage, AlphaImage | None]:
    """Eight-bit sRGB and transparency (None: opaque) of a picture in any of Pillow's modes.

    Args:
        picture: decoded; an ICC profile in its `info` counts, unless there is a `space`.
        space: what its numbers mean; None: what its profile says, sRGB without one.
    """
    picture, alpha = _without_alpha(picture)
    rgb = _as_srgb(picture, space)
    return rgb, None if alpha is None or alpha.min() == 255 else alpha


def png_in(space: ColourSpace, path: Path) -> Image.Image:
    """Return a PNG of another space than sRGB, in sRGB: from all its bits, of which Pillow drops the lower eight.

    Raises:
        ValueError: it is damaged.
    """
    coded = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("the pixels cannot be unpacked")
    levels = np.asarray(values) if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    rgb = Image.fromarray(to_srgb(np.ascontiguousarray(levels[..., 2::-1]), space))
    if levels.shape[2] == 4:
        rgb.putalpha(Image.fromarray(eight_bits(levels[..., 3], float(np.iinfo(levels.dtype).max))))
    return rgb


def _without_alpha(picture: Image.Image) -> tuple[Image.Image, AlphaImage | None]:
    """A picture of a mode that profiles are for (L, RGB, CMYK, LAB), and its transparency."""
    mode, info = picture.mode, picture.info
    alpha: AlphaImage | None = None
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = np.asarray(picture)
        clear = info.get("transparency")
        if isinstance(clear, int):
            alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        picture = Image.fromarray(eight_bits(values, 65535.0 if mode.startswith("I;16") else None))
    elif picture.has_transparency_data:
        grey = mode in ("L", "LA", "La")
        with_alpha = (picture.convert("LA") if mode == "La" else picture).convert("RGBA")
        alpha = np.array(with_alpha.getchannel("A"))
        picture = with_alpha.getchannel("R") if grey else with_alpha.convert("RGB")
    elif mode not in ("L", "RGB", "CMYK", "LAB"):
        picture = picture.convert("L" if mode == "1" else "RGB")
    picture.info = info
    return picture, alpha


def _as_srgb(picture: Image.Image, space: ColourSpace | None) -> RgbImage:
    """(H, W, 3) sRGB; profiles are applied, so that a phone's wide-gamut photograph keeps its skin colour."""
    profile = picture.info.get("icc_profile")
    if picture.mode == "LAB":
        return np.array(_through_profile(picture, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))))
    if space is None and profile:
        with contextlib.suppress(Exception):  # a damaged profile costs the colours' precision, not the picture
            return np.array(_through_profile(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile))))
    rgb: RgbImage = np.array(picture.convert("RGB"))
    return rgb if space is None else to_srgb(rgb, space)


def _through_profile(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    if picture.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
        picture = picture.convert("RGB")
    transform = ImageCms.buildTransform(profile, _srgb_profile(), picture.mode, "RGB")
    return ImageCms.applyTransform(picture, transform) or picture  # None only where it works in place


@functools.cache
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
