"""The packed dataset: all images of a recipe in one file, cropped, with their landmarks and blendshapes.

Written once by `prepare`, as a .safetensors, so that opening one from elsewhere runs no code. The training machine
needs neither the clips nor the tracker.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.errors import TrainingError
from avatar.frames import FloatArray, RgbImage
from avatar.system.atomic import replacing
from avatar.system.message import Message
from avatar.tracking.face import BLENDSHAPES, LANDMARKS

VERSION = 1
KINDS = ("clip", "pair", "still")
JPEG_QUALITY = 90
GRAIN = 64  # landmarks are stored in 64ths of a pixel


@dataclass(frozen=True)
class Group:
    """Images of one identity that can drive each other."""

    name: str
    identity: str
    kind: str  # one of KINDS
    start: int  # index of its first image in the pack
    count: int
    held_out: bool  # excluded from training, used for contact sheets and metrics


@dataclass(frozen=True, eq=False)
class Pack:
    """N images of one size with their annotations."""

    size: int  # side of the images, pixels
    groups: tuple[Group, ...]
    images: tuple[npt.NDArray[np.uint8], ...]  # N JPEG files, (bytes,) each
    landmarks: FloatArray  # (N, 478, 3) pixels, or (0, 478, 3) where the category is not tracked
    blendshapes: FloatArray  # (N, 52) in [0, 1], or (0, 52)
    mattes: tuple[npt.NDArray[np.uint8], ...]  # N greyscale PNG files, (bytes,) each; empty where not needed

    @property
    def is_tracked(self) -> bool:
        """True if the images have landmarks."""
        return len(self.landmarks) > 0

    def image(self, index: int) -> RgbImage:
        """Decode an image: (size, size, 3) uint8 RGB."""
        decoded = cv2.imdecode(self.images[index], cv2.IMREAD_COLOR)
        if decoded is None or decoded.shape != (self.size, self.size, 3):
            raise TrainingError(
                Message("Image {index} of the pack is damaged.", index=index),
                remedy="Create the pack again (--prepare).",
            )
        return np.ascontiguousarray(decoded[..., ::-1])

    def matte(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Decode a matte: (size, size) uint8, 255 = the person; None if there is none."""
        coded = self.mattes[index]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)) if len(coded) else None


def encode_jpeg(rgb: RgbImage) -> npt.NDArray[np.uint8]:
    """Encode an (H, W, 3) uint8 image as JPEG, with chroma at half resolution as in the clips; (bytes,) uint8."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    return np.asarray(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]).reshape(-1)


def save_pack(pack: Pack, path: Path) -> None:
    """Write a pack atomically. Raises TrainingError if that fails."""
    from safetensors.numpy import save_file

    head = {"version": VERSION, "size": pack.size, "groups": [asdict(group) for group in pack.groups]}
    arrays = {
        **_joined("images", pack.images),
        **_joined("mattes", pack.mattes),
        "landmarks": np.round(pack.landmarks * GRAIN).clip(-32768, 32767).astype(np.int16),
        "blendshapes": np.round(pack.blendshapes * 255).astype(np.uint8),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            save_file(arrays, part, {"masque-pack": json.dumps(head)})
    except OSError as error:
        remedy = "Choose a folder with room that you may write to."
        raise TrainingError(
            Message("{path} cannot be written: {why}.", path=path, why=error.strerror or error), remedy=remedy
        ) from error


def load_pack(path: Path) -> Pack:
    """Read a pack. Raises TrainingError if the file is not one."""
    import safetensors

    remedy = "Create it again: python run.py train CONFIG --prepare."
    try:
        with safetensors.safe_open(path, framework="np") as stream:
            head = json.loads((stream.metadata() or {}).get("masque-pack", "{}"))
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
        return _from_arrays(head, arrays)
    except FileNotFoundError as error:
        raise TrainingError(Message("There is no pack {path}.", path=path), remedy=remedy) from error
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            Message("{path} is not a pack of this version: {error}.", path=path, error=error), remedy=remedy
        ) from error


def _from_arrays(head: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Pack:
    """Build a pack from the file's metadata and arrays: landmarks (N, 478, 3) int16, blendshapes (N, 52) uint8, ..."""
    if head.get("version") != VERSION:
        raise ValueError(f"version {head.get('version')}")
    groups = tuple(Group(**group) for group in head["groups"])
    images = _split(arrays["images"], arrays["images_at"])
    landmarks = arrays["landmarks"].astype(np.float32) / np.float32(GRAIN)
    blendshapes = arrays["blendshapes"].astype(np.float32) / np.float32(255)
    count = len(images)
    if any(group.kind not in KINDS or group.start < 0 or group.start + group.count > count for group in groups):
        raise ValueError("its groups do not fit its pictures")
    if len(landmarks) not in (0, count) or landmarks.shape[1:] != (LANDMARKS, 3):
        raise ValueError("its landmarks do not fit its pictures")
    if blendshapes.shape != (len(landmarks), len(BLENDSHAPES)):
        raise ValueError("its expressions do not fit its pictures")
    mattes = _split(arrays["mattes"], arrays["mattes_at"])
    return Pack(int(head["size"]), groups, images, landmarks, blendshapes, mattes)


def _joined(name: str, parts: tuple[npt.NDArray[np.uint8], ...]) -> dict[str, npt.NDArray[Any]]:
    """Concatenate N parts of (bytes,) each; the offsets are (N + 1,) int64."""
    ends = np.cumsum([0, *(len(part) for part in parts)])
    return {name: np.concatenate([np.zeros(0, np.uint8), *parts]), f"{name}_at": ends.astype(np.int64)}


def _split(joined: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], ...]:
    """Split (bytes,) at (N + 1,) offsets: the inverse of `_joined`."""
    if len(ends) == 0 or ends[0] != 0 or ends[-1] != len(joined) or (np.diff(ends) < 0).any():
        raise ValueError("its pictures are cut wrongly")
    return tuple(joined[a:b] for a, b in pairwise(ends))
