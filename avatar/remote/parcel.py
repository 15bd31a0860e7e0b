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

_HEAD = struct.Struct("<HH?H")  # width, height, has alpha, length of the face
_SIDES_PX = (16, 8192)
_LEVEL = 6  # of zlib


@dataclass(frozen=True, eq=False)
class Parcel:
    """A packed portrait and its name."""

    data: bytes
    digest: bytes  # SHA-256
    width: int
    height: int


def pack_portrait(rgb: RgbImage, face: Face, alpha: AlphaImage | None) -> Parcel:
    """Pack a portrait (H, W, 3) at the size at which it is drawn, with its face and its alpha (H, W)."""
    height, width = rgb.shape[:2]
    layers = rgb if alpha is None else np.dstack([rgb, alpha])
    steps = np.diff(layers, axis=1, prepend=np.zeros_like(layers[:, :1]))  # modulo 256: neighbours are alike
    packed_face = pack_reference(face)
    head = _HEAD.pack(width, height, alpha is not None, len(packed_face))
    data = head + packed_face + zlib.compress(steps.transpose(2, 0, 1).tobytes(), _LEVEL)
    return Parcel(data, hashlib.sha256(data).digest(), width, height)


def unpack_portrait(data: bytes) -> Portrait:
    """Unpack a portrait. Raises: ProtocolError: it is none, or too large."""
    if not _HEAD.size <= len(data) <= MAX_PORTRAIT_BYTES:
        raise ProtocolError(Refusal.MALFORMED)
    width, height, has_alpha, face_bytes = _HEAD.unpack_from(data)
    in_range = all(_SIDES_PX[0] <= side <= _SIDES_PX[1] for side in (width, height))
    if not in_range or width * height > MAX_CANVAS_PIXELS or data[4] > 1:
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
    return Portrait(rgb, face, np.ascontiguousarray(layers[..., 3]) if has_alpha else None)
