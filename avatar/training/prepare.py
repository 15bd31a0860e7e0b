"""Preparation of a packed dataset from folders: reads, tracks and crops, and reports what was left out and why."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.crop import face_square
from avatar.errors import AvatarError, TrainingError
from avatar.frames import RgbImage
from avatar.images.load import SUFFIXES, load_image
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.message import Message
from avatar.tracking.face import BLENDSHAPES, LANDMARKS, Face
from avatar.training.config import DataConfig
from avatar.training.pack import Group, Pack, encode_jpeg

MIN_FACE_PX = 48  # size of the face mesh in the original image
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif"})
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class _Found:
    """The cropped images of one group."""

    name: str
    identity: str
    kind: str
    images: list[RgbImage]  # (size, size, 3) uint8 each
    faces: list[Face]  # one per image, in its pixels; empty without tracking


def prepare(data: DataConfig, root: Path, size: int, report: Report = lambda line: None) -> Pack:
    """Read all folders of a recipe into a packed dataset.

    Args:
        data: the recipe's data section; its folders are relative to `root`.
        root: the folder of the data.
        size: side of the packed images, pixels.
        report: receives a line for each entry that was read or left out.
    Raises:
        TrainingError: a folder is missing, or nothing can be used.
        WeightsError: the face model is missing.
    """
    groups: list[Group] = []
    images: list[npt.NDArray[np.uint8]] = []
    mattes: list[npt.NDArray[np.uint8]] = []
    faces: list[Face] = []
    with contextlib.ExitStack() as opened:
        reader = _Reader(size, data.crop == "face", report)
        opened.callback(reader.close)
        for found in _held(reader, data, root):
            out = any(found.name.startswith(name) or found.identity.startswith(name) for name in data.hold_out)
            out = out or (found.kind != "clip" and _is_nth(found, groups, data.hold_out_every))
            groups.append(Group(found.name, found.identity, found.kind, len(images), len(found.images), out))
            images += [encode_jpeg(image) for image in found.images]
            faces += found.faces
            mattes += [reader.matte(found, index) for index in range(len(found.images))]
    if not groups:
        raise TrainingError("Nothing that can be trained on was found.", remedy="See the lines above for the reasons.")
    landmarks = np.stack([face.landmarks for face in faces]) if faces else np.zeros((0, LANDMARKS, 3), np.float32)
    shapes = np.stack([face.blendshapes for face in faces]) if faces else np.zeros((0, len(BLENDSHAPES)), np.float32)
    return Pack(size, tuple(groups), tuple(images), landmarks, shapes, tuple(mattes))


def identity_of(path: Path, kind: str) -> str:
    """Derive the identity label from a file name: clips that share a name up to the second "_" are one identity."""
    stem = path.stem
    if kind == "still":
        return stem
    if kind == "pair":
        return stem.rpartition("_")[0] or stem
    return "_".join(re.split(r"_", stem)[:2])


def _is_nth(found: _Found, groups: list[Group], every: int) -> bool:
    earlier = {group.identity for group in groups if group.kind == found.kind}
    return every > 0 and len(earlier) % every == every - 1


def _held(reader: _Reader, data: DataConfig, root: Path) -> Iterator[_Found]:
    for folder in data.clips:
        for path in _entries(root / folder, videos=True):
            yield from reader.clip(path)
    for folder in data.pairs:
        paths = _entries(root / folder)
        for name in dict.fromkeys(identity_of(path, "pair") for path in paths):
            yield from reader.pair(name, [path for path in paths if identity_of(path, "pair") == name])
    for folder in data.stills:
        for path in _entries(root / folder):
            yield from reader.still(path)


def _entries(folder: Path, *, videos: bool = False) -> list[Path]:
    if not folder.is_dir():
        raise TrainingError(
            Message("The folder {folder} is missing.", folder=folder),
            remedy="Correct the recipe, or name --data FOLDER.",
        )
    wanted = VIDEO_SUFFIXES if videos else SUFFIXES
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in wanted or (videos and path.is_dir()))


class _Reader:
    """File reader that shares one tracker."""

    def __init__(self, size: int, tracked: bool, report: Report) -> None:
        from avatar.tracking import open_tracker

        self._size, self._report = size, report
        self._tracker = open_tracker() if tracked else None

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()

    def clip(self, path: Path) -> Iterable[_Found]:
        from avatar.sources.video import open_driving

        try:
            with open_driving(path) as driving:
                frames = [frame.rgb for frame in driving]
        except AvatarError as error:
            return self._left_out(path.name, error.what)
        if self._tracker is None:
            return [self._found(path.name, identity_of(path, "clip"), "clip", [_middle(rgb) for rgb in frames], [])]
        self._tracker.reset()
        tracked = [(rgb, self._tracker.track(rgb)) for rgb in frames]
        return self._cropped(path.name, identity_of(path, "clip"), "clip", [(a, b) for a, b in tracked if b])

    def pair(self, name: str, paths: list[Path]) -> Iterable[_Found]:
        return self._images(name, name, "pair", paths)

    def still(self, path: Path) -> Iterable[_Found]:
        return self._images(path.name, identity_of(path, "still"), "still", [path])

    def matte(self, found: _Found, index: int) -> npt.NDArray[np.uint8]:
        """Compute the person's matte as a PNG file, (bytes,), for images used for synthetic data; else (0,)."""
        if not found.faces or found.kind == "clip":
            return np.zeros(0, np.uint8)
        from avatar.engines.warp.matting.matte import person_matte

        image, face = self._resized(found.images[index], found.faces[index])
        alpha = np.round(person_matte(image, face.landmarks) * 255).astype(np.uint8)
        return np.asarray(cv2.imencode(".png", alpha)[1]).reshape(-1)

    def _images(self, name: str, identity: str, kind: str, paths: list[Path]) -> Iterable[_Found]:
        try:
            images = [load_image(path) for path in paths]
        except AvatarError as error:
            return self._left_out(name, error.what)
        if self._tracker is None:
            return [self._found(name, identity, kind, [_middle(rgb) for rgb in images], [])]
        seen = [(rgb, next(iter(self._tracker.detect(rgb)), None)) for rgb in images]
        return self._cropped(name, identity, kind, [(rgb, face) for rgb, face in seen if face])

    def _cropped(self, name: str, identity: str, kind: str, seen: list[tuple[RgbImage, Face]]) -> Iterable[_Found]:
        """Crop (H, W, 3) uint8 images of one size to a common square around their faces."""
        if not seen:
            return self._left_out(name, "no face was found")
        shape = seen[0][0].shape[:2]
        seen = [(rgb, face) for rgb, face in seen if rgb.shape[:2] == shape]
        points = np.concatenate([face.landmarks[:, :2] for _, face in seen])
        longest = max(float(np.ptp(face.landmarks[:, :2], axis=0).max()) for _, face in seen)
        if longest < MIN_FACE_PX:
            return self._left_out(name, f"the face is only {longest:.0f} px large")
        box = face_square(points, longest, shape[1], shape[0])
        part = [(box.of(rgb), face.shifted(-box.left, -box.top)) for rgb, face in seen]
        return [self._found(name, identity, kind, [a for a, _ in part], [b for _, b in part])]

    def _found(self, name: str, identity: str, kind: str, images: list[RgbImage], faces: list[Face]) -> _Found:
        """Resize square (S, S, 3) uint8 images, with their faces if any, to one group."""
        self._report(f"{shown(name)}: {len(images)} images of {shown(identity)}, {images[0].shape[0]} px")
        if not faces:
            return _Found(name, identity, kind, [_scaled(rgb, self._size) for rgb in images], [])
        resized = [self._resized(rgb, face) for rgb, face in zip(images, faces, strict=True)]
        return _Found(name, identity, kind, [a for a, _ in resized], [b for _, b in resized])

    def _resized(self, rgb: RgbImage, face: Face) -> tuple[RgbImage, Face]:
        """Resize a square (S, S, 3) uint8 image and its face to (size, size, 3)."""
        from avatar.tracking.canonical import pose_of

        side = rgb.shape[0]
        if side == self._size:
            return rgb, face
        half = np.array([0.5, 0.5, 0.0], np.float32)
        landmarks = ((face.landmarks + half) * np.float32(self._size / side) - half).astype(np.float32)
        return _scaled(rgb, self._size), Face(landmarks, face.blendshapes, face.presence, pose_of(landmarks))

    def _left_out(self, name: str, why: str) -> list[_Found]:
        self._report(f"{shown(name)}: left out, {shown(why.rstrip('.'), MOST_OF_SENTENCE)}")
        return []


def _middle(rgb: RgbImage) -> RgbImage:
    """Return the largest central square (S, S, 3) of an (H, W, 3) image, as a view."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return rgb[top : top + side, left : left + side]


def _scaled(rgb: RgbImage, size: int) -> RgbImage:
    """Resize a square (S, S, 3) image to (size, size, 3)."""
    kernel = cv2.INTER_AREA if rgb.shape[0] > size else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(rgb, (size, size), interpolation=kernel))
