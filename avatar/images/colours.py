"""Conversion of decoded images to 8-bit sRGB and alpha: all modes of Pillow, ICC profiles, wide gamut, HDR."""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from avatar.cv import cv2
from avatar.frames import AlphaImage, RgbImage
from avatar.images.colour_space import ColourSpace, to_srgb
from avatar.images.deep_tiff import eight_bits
from avatar.system.message import Message


def pixels_of(image: Image.Image, space: ColourSpace | None = None) -> tuple[RgbImage, AlphaImage | None]:
    """Convert an image in any of Pillow's modes to 8-bit sRGB (H, W, 3) and alpha (H, W), None if opaque.

    Args:
        image: decoded; an ICC profile in its `info` applies unless `space` is given.
        space: its colour space; None: that of its profile, sRGB without one.
    """
    image, alpha = _without_alpha(image)
    rgb = _as_srgb(image, space)
    return rgb, None if alpha is None or alpha.min() == 255 else alpha


def png_in(space: ColourSpace, path: Path) -> Image.Image:
    """Read a PNG of another space than sRGB at its full depth, of which Pillow drops the lower 8 bits, as sRGB.

    Raises:
        ValueError: it is damaged.
    """
    coded = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(Message("the pixels cannot be unpacked"))
    levels = np.asarray(values) if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    rgb = Image.fromarray(to_srgb(np.ascontiguousarray(levels[..., 2::-1]), space))
    if levels.shape[2] == 4:
        rgb.putalpha(Image.fromarray(eight_bits(levels[..., 3], float(np.iinfo(levels.dtype).max))))
    return rgb


def _without_alpha(image: Image.Image) -> tuple[Image.Image, AlphaImage | None]:
    """Convert an image to a mode that ICC profiles apply to (L, RGB, CMYK, LAB); return it and its alpha channel."""
    mode, info = image.mode, image.info
    alpha: AlphaImage | None = None
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = np.asarray(image)
        clear = info.get("transparency")
        if isinstance(clear, int):
            alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        image = Image.fromarray(eight_bits(values, 65535.0 if mode.startswith("I;16") else None))
    elif image.has_transparency_data:
        grey = mode in ("L", "LA", "La")
        with_alpha = (image.convert("LA") if mode == "La" else image).convert("RGBA")
        alpha = np.array(with_alpha.getchannel("A"))
        image = with_alpha.getchannel("R") if grey else with_alpha.convert("RGB")
    elif mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if mode == "1" else "RGB")
    image.info = info
    return image, alpha


def _as_srgb(image: Image.Image, space: ColourSpace | None) -> RgbImage:
    """Convert to (H, W, 3) uint8 sRGB; profiles are applied, so that wide-gamut photographs keep their colours."""
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        return np.array(_through_profile(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))))
    if space is None and profile:
        with contextlib.suppress(Exception):  # a damaged profile is ignored
            return np.array(_through_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile))))
    rgb: RgbImage = np.array(image.convert("RGB"))
    return rgb if space is None else to_srgb(rgb, space)


def _through_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Convert an image of any size from its profile to sRGB."""
    if image.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
        image = image.convert("RGB")
    transform = ImageCms.buildTransform(profile, _srgb_profile(), image.mode, "RGB")
    return ImageCms.applyTransform(image, transform) or image  # None only when in place


@functools.cache
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
