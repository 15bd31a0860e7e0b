"""A recipe: what to train on, which networks, how long, and how much each loss counts. Read from YAML."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatar.errors import TrainingError
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import from_layout
from avatar.foreign_text import quoted
from avatar.yaml_file import read_yaml


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures are. Folders are relative to the recipe, or to --data."""

    clips: tuple[str, ...] = ()  # folders of video files, GIFs and frame folders; one identity each, see `identity_of`
    stills: tuple[str, ...] = ()  # folders of pictures, one identity each
    pairs: tuple[str, ...] = ()  # folders of pictures; those that share a name up to the last "_" are one identity
    hold_out: tuple[str, ...] = ()  # beginnings of names that are never trained on
    hold_out_every: int = 0  # besides, every n-th identity of stills and of pairs; 0: none
    crop: str = "face"  # "face": a square around the tracked face, fixed per clip; "none": the middle square


@dataclass(frozen=True)
class TeacherConfig:
    """The warp engine's part: stills and pairs, moved."""

    frames: int = 0  # per identity; 0: no teacher
    turn_deg: float = 22.0  # spread of the extra turn of the head, yaw; pitch and roll less
    workers: int = 0  # processes; 0: one less than there are cores


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; 0 leaves one out."""

    pixels: float = 10.0  # L1 at four scales
    edges: float = 10.0  # L1 of differences between neighbours, at two scales
    structure: float = 0.0  # 1 - SSIM
    deformed: float = 5.0  # L1 of the source, merely deformed, where the occlusion map shows it
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0
    separation: float = 0.0  # keypoints apart from one another: without anchors they begin as one
    anchors: float = 0.0  # keypoints on tracked landmarks
    features: float = 0.0  # of the reader, a network that learns to find landmarks meanwhile
    landmarks: float = 0.0  # where the reader sees them in the prediction
    adversarial: float = 0.0  # least squares, patches
    matching: float = 0.0  # features of the discriminator
    attention: float = 0.0  # how much more pixels around the anchors count
    moving: float = 0.0  # how much more pixels count where source and driving frame differ


@dataclass(frozen=True)
class TrainConfig:
    """A whole recipe."""

    name: str
    model: ModelConfig
    size: int = 256  # sides of the pictures, pixels
    batch: int = 32  # over all devices
    steps: int = 10_000
    learning_rate: float = 2e-4
    warm_up: int = 100  # steps
    cool_down: float = 0.4  # share of the steps over which the learning rate falls to 2 %
    clip_norm: float = 10.0
    average: float = 0.998  # per step, of the weights that are kept
    adversarial_from: float = 0.2  # share of the steps
    seed: int = 0
    shares: tuple[float, float, float] = (0.4, 0.1, 0.5)  # of a batch: clips, pairs, teacher
    flip: float = 0.5
    jitter: float = 0.1  # of brightness, contrast and colours
    zoom: float = 0.08  # of source and driving frame apart: how far they may be shifted, zoomed and turned
    anchors: tuple[int, ...] = ()  # landmarks on which the first keypoints are kept
    data: DataConfig = field(default_factory=DataConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w .-]{0,79}", self.name):  # a folder in runs/ is called so
            raise ValueError(f"the name {quoted(self.name)} is not one that a folder can have")
        _check("size", self.size, 16, 1024)
        _check("batch", self.batch, 1, 4096)
        _check("steps", self.steps, 1, 10_000_000)
        _check("learning_rate", self.learning_rate, 1e-7, 1.0)
        _check("average", self.average, 0.0, 0.99999)
        if len(self.anchors) > self.model.num_kp:
            raise ValueError(f"{len(self.anchors)} anchors are more than the {self.model.num_kp} keypoints")


def read_recipe(path: Path) -> TrainConfig:
    """Read a recipe. Raises TrainingError for anything else, with the line's name."""
    try:
        return from_mapping(read_yaml(path))
    except (OSError, ValueError, TypeError, RecursionError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise TrainingError(
            f"{path} is not a recipe: {why}.", remedy="See recipes/face.yaml for one that works."
        ) from error


def from_mapping(content: object) -> TrainConfig:
    """Build a recipe of nested mappings; what they leave out is as above. Raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError("it is not a set of names and values")
    values = dict(content)
    parts = {name: _record(kind, values.pop(name, {}), name) for name, kind in _PARTS.items()}
    model = from_layout({"model_params": values.pop("model_params", None)})
    config: TrainConfig = _record(TrainConfig, {"name": "model", **values, "model": model, **parts}, "the recipe")
    return config


_PARTS = {"data": DataConfig, "teacher": TeacherConfig, "loss": LossConfig}


def _record(kind: Any, values: object, where: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{where} is not a set of names and values")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    if unknown := [name for name in values if name not in fields]:
        raise ValueError(f"{where} has no {quoted(unknown[0])}")
    return kind(**{name: _as(fields[name], value) for name, value in values.items()})


def _as(wanted: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(wanted.type)
    if kind.startswith("tuple"):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{wanted.name} is not a list")
        return tuple(value)
    if kind in ("int", "float") and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{wanted.name} is {quoted(value)}, not a number")
    if kind == "int" and value != int(value):
        raise ValueError(f"{wanted.name} is {quoted(value)}, not a whole number")
    if kind == "str" and not isinstance(value, str):
        raise ValueError(f"{wanted.name} is {quoted(value)}, not a word")
    return {"int": int, "float": float}.get(kind, lambda same: same)(value)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, must be {low} to {high}")
