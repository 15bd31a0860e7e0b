"""Images, profiles and transfer curves shared by the tests of colours."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageCms

from avatar.frames import RgbImage

HEIGHT, WIDTH = 48, 64


def colours() -> RgbImage:
    """Every kind of colour that Display P3 and sRGB share, skin among it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([90 + x * 2, 70 + y * 2, 60 + (x + y)], axis=-1)
    rgb[:8] = np.arange(64)[None, :, None] * 4  # greys
    return rgb.astype(np.uint8)


def p3_profile() -> bytes:
    """An ICC profile (version 4) of Display P3 with the curve of sRGB."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    curve = b"para\0\0\0\0\0\3\0\0" + b"".join(map(number, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    xyz = {b"rXYZ": (0.51512, 0.2412, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189),
           b"bXYZ": (0.1571, 0.06657, 0.78407), b"wtpt": (0.9642, 1.0, 0.8249)}  # fmt: skip
    tags = {tag: b"XYZ \0\0\0\0" + b"".join(map(number, values)) for tag, values in xyz.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for tag in (b"desc", b"cprt"):
        tags[tag] = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 4, 28) + "P3".encode("utf-16-be")
    at, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for tag, body in tags.items():
        table += tag + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = b"\0\0\0\0" + struct.pack(">I", 0x04300000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(map(number, (0.9642, 1.0, 0.8249))) + bytes(48)
    body = head + struct.pack(">I", len(tags)) + table + data
    return struct.pack(">I", len(body) + 4) + body


def apart(one: RgbImage, other: RgbImage) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def through_profile(rgb: RgbImage) -> RgbImage:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(p3_profile()))
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    return np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), transform))


def light_of(rgb: RgbImage) -> np.ndarray:
    signal = rgb / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def as_pq(nits: np.ndarray) -> np.ndarray:
    part = (nits / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * part) / (1 + 18.6875 * part)) ** 78.84375)


def as_hlg(nits: np.ndarray) -> np.ndarray:
    """Of greys, on a screen of 1000 cd/m2."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    )
