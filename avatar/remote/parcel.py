"""A portrait as it travels to a host, once: lossless, in a format of its own that needs no decoder of images."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from avatar.engines.base import Portrait
from avatar.frames import AlphaImage, RgbImage
from avatar.remote.faces import pack_reference, unpack_reference
from avatar.remote.protocol import MAX_PORTRAIT_BYTES, ProtocolError, Refusal
from avatar.system.limits import MAX_CANVAS_PIXELS
from avatar.tracking.face import Face

_HEAD = struct.Struct("<HH?HH")  # width, height, has alpha, longer side at which it is drawn, length of the face
_SIDES_PX = (16, 8192)
_LEVEL = 6  # of zlib


@dataclass(frozen=True, eq=False)
class Parcel:
    """A packed portrait and its name."""

    data: bytes
    digest: bytes  # SHA-256
    width: int  # of the drawn frames
    height: int


def pack_portrait(rgb: RgbImage, face: Face, alpha: AlphaImage | None, size_px: int | None = None) -> Parcel:
    """Pack a portrait.

    Args:
        rgb, face, alpha: (H, W, 3), the face in its pixels, and (H, W) or None.
        size_px: longer side of the drawn frames; None: the portrait's own.
    """
    height, width = rgb.shape[:2]
    side_px = size_px or max(height, width)
    layers = rgb if alpha is None else np.dstack([rgb, alpha])
    steps = np.diff(layers, axis=1, prepend=np.zeros_like(layers[:, :1]))  # modulo 256: neighbours are alike
    packed_face = pack_reference(face)
    head = _HEAD.pack(width, height, alpha is not None, side_px, len(packed_face))
    data = head + packed_face + zlib.compress(steps.transpose(2, 0, 1).tobytes(), _LEVEL)
    return Parcel(data, hashlib.sha256(data).digest(), *_drawn(width, height, side_px))


def unpack_portrait(data: bytes) -> tuple[Portrait, tuple[int, int]]:
    """Unpack a portrait, and width and height of its drawn frames. Raises: ProtocolError: it is none, or too large."""
    if not _HEAD.size <= len(data) <= MAX_PORTRAIT_BYTES:
        raise ProtocolError(Refusal.MALFORMED)
    width, height, has_alpha, side_px, face_bytes = _HEAD.unpack_from(data)
    sizes = (width, height), _drawn(width, height, side_px)
    in_range = all(_SIDES_PX[0] <= side <= _SIDES_PX[1] for size in sizes for side in size)
    if not in_range or max(w * h for w, h in sizes) > MAX_CANVAS_PIXELS or data[4] > 1:
        raise ProtocolError(Refusal.MALFORMED)
    at = _HEAD.size + face_bytes
    face = unpack_reference(data[_HEAD.size : at])
    count = width * height * (4 if has_alpha else 3)
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data[at:], count + 1)
    except zlib.error as error:
        raise ProtocolError(Refusal.MALFORMED) from error
    if len(plain) != count or not unpacker.eof or unpacker.unused_data:
        raise ProtocolError(Refusal.MALFORMED)
    steps = np.frombuffer(plain, np.uint8).reshape(-1, height, width).transpose(1, 2, 0)
    layers = np.cumsum(steps, axis=1, dtype=np.uint8)
    rgb = np.ascontiguousarray(layers[..., :3])
    alpha = np.ascontiguousarray(layers[..., 3]) if has_alpha else None
    return Portrait(rgb, face, alpha, separate=True), sizes[1]


def _drawn(width: int, height: int, side_px: int) -> tuple[int, int]:
    """Return width and height of a portrait whose longer side is scaled to `side_px`, as engines compute them."""
    times = side_px / max(width, height, 1)
    return max(1, round(width * times)), max(1, round(height * times))
