"""Training recipes, read from YAML: the data, the networks, the schedule and the weights of the losses."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatar.errors import TrainingError
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import from_layout
from avatar.system.foreign_text import quoted
from avatar.system.message import Message
from avatar.system.yaml_file import read_yaml


@dataclass(frozen=True)
class DataConfig:
    """The data section. Folders are relative to the recipe, or to --data."""

    clips: tuple[str, ...] = ()  # folders of video files, GIFs and frame folders; one identity each, see `identity_of`
    stills: tuple[str, ...] = ()  # folders of images, one identity each
    pairs: tuple[str, ...] = ()  # folders of images; those that share a name up to the last "_" are one identity
    hold_out: tuple[str, ...] = ()  # prefixes of names that are held out
    hold_out_every: int = 0  # additionally holds out every n-th identity of stills and of pairs; 0: none
    crop: str = "face"  # "face": a square around the tracked face, fixed per clip; "none": the central square


@dataclass(frozen=True)
class SyntheticConfig:
    """The teacher section: the synthetic data generator, which animates stills and pairs with the warp engine."""

    frames: int = 0  # frames per identity; 0: no synthetic data
    turn_deg: float = 22.0  # twice the standard deviation of the added yaw; pitch and roll vary less
    workers: int = 0  # processes; 0: the number of cores minus one


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; 0 disables one."""

    pixels: float = 10.0  # L1 at four scales
    edges: float = 10.0  # L1 of differences between neighbouring pixels, at two scales
    structure: float = 0.0  # 1 - SSIM
    deformed: float = 5.0  # L1 of the warped source, where the occlusion map shows it
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0
    separation: float = 0.0  # repulsion of keypoints: without anchors they start at the same place
    anchors: float = 0.0  # L1 of the first keypoints to tracked landmarks
    features: float = 0.0  # feature distance in the landmark network, which is trained alongside
    landmarks: float = 0.0  # L1 of the landmarks that this network finds in the prediction
    adversarial: float = 0.0  # least-squares GAN on patches
    matching: float = 0.0  # feature matching in the discriminator
    attention: float = 0.0  # additional weight of pixels around the anchors
    moving: float = 0.0  # additional weight of pixels where source and driving frame differ


@dataclass(frozen=True)
class TrainConfig:
    """A complete recipe."""

    name: str
    model: ModelConfig
    size: int = 256  # side of the images, pixels
    batch: int = 32  # batch size over all devices
    steps: int = 10_000
    learning_rate: float = 2e-4
    warm_up: int = 100  # steps
    cool_down: float = 0.4  # fraction of the steps over which the learning rate falls to 2 %
    clip_norm: float = 10.0
    average: float = 0.998  # decay of the EMA of the weights, per step
    adversarial_from: float = 0.2  # fraction of the steps after which the adversarial losses start
    seed: int = 0
    shares: tuple[float, float, float] = (0.4, 0.1, 0.5)  # sampling weights of clips, pairs and synthetic frames
    flip: float = 0.5
    jitter: float = 0.1  # strength of the jitter of brightness, contrast and colours
    zoom: float = 0.08  # strength of random shift, zoom and rotation, for source and driving frame separately
    anchors: tuple[int, ...] = ()  # landmarks that the first keypoints are trained to follow
    data: DataConfig = field(default_factory=DataConfig)
    teacher: SyntheticConfig = field(default_factory=SyntheticConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w .-]{0,79}", self.name):  # also names a folder in runs/
            raise ValueError(f"the name {quoted(self.name)} is not one that a folder can have")
        _check("size", self.size, 16, 1024)
        _check("batch", self.batch, 1, 4096)
        _check("steps", self.steps, 1, 10_000_000)
        _check("learning_rate", self.learning_rate, 1e-7, 1.0)
        _check("average", self.average, 0.0, 0.99999)
        if len(self.anchors) > self.model.num_kp:
            raise ValueError(f"{len(self.anchors)} anchors are more than the {self.model.num_kp} keypoints")


def read_recipe(path: Path) -> TrainConfig:
    """Read a recipe. Raises TrainingError if the file is not one, naming the faulty entry."""
    try:
        return from_mapping(read_yaml(path))
    except (OSError, ValueError, TypeError, RecursionError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise TrainingError(
            Message("{path} is not a recipe: {why}.", path=path, why=why),
            remedy="See recipes/face.yaml for one that works.",
        ) from error


def from_mapping(content: object) -> TrainConfig:
    """Build a recipe from nested mappings; missing entries take their defaults. Raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError("it is not a set of names and values")
    values = dict(content)
    parts = {name: _record(kind, values.pop(name, {}), name) for name, kind in _PARTS.items()}
    model = from_layout({"model_params": values.pop("model_params", None)})
    config: TrainConfig = _record(TrainConfig, {"name": "model", **values, "model": model, **parts}, "the recipe")
    return config


_PARTS = {"data": DataConfig, "teacher": SyntheticConfig, "loss": LossConfig}


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
