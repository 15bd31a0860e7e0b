"""Configs in the layout of the authors' YAML files; our .safetensors store the same layout as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatar.errors import UsageError
from avatar.fomm.config import PUBLISHED, VOX, HourglassConfig, ModelConfig
from avatar.system.foreign_text import quoted
from avatar.system.message import Message
from avatar.system.yaml_file import read_yaml


def find_config(config: str | Path | ModelConfig) -> ModelConfig:
    """Return the config for a published name or a YAML file; a ModelConfig is returned unchanged.

    Raises:
        UsageError: there is no such name or file, or the file is not a config in the authors' layout.
    """
    if isinstance(config, ModelConfig):
        return config
    if str(config) in PUBLISHED:
        return PUBLISHED[str(config)]
    path = Path(config).expanduser()
    if not path.is_file():
        raise UsageError(
            Message("There is no config called {config!r}, and no such file.", config=str(config)),
            remedy=Message("Name a YAML file or one of: {names}. Or leave the config out.", names=", ".join(PUBLISHED)),
        )
    return read_layout(path)


def read_layout(path: Path) -> ModelConfig:
    """Read a config in the authors' layout. Raises UsageError if the file is not one."""
    try:
        return from_layout(read_yaml(path))
    # RecursionError: YAML nests without end; OverflowError: .inf where an int belongs
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            Message("{path} is not a config of a First Order Motion Model: {why}.", path=path, why=why),
            remedy="It needs model_params as in the authors' YAML files. Or leave the config out.",
        ) from error


def from_layout(layout: object) -> ModelConfig:
    """Build a config from the nested mapping of the authors' YAML files, with the authors' defaults.

    Raises:
        ValueError: an entry is missing or has the wrong type.
    """
    params = Section(layout).section("model_params")
    common = params.section("common_params")
    detector, generator = params.section("kp_detector_params"), params.section("generator_params")
    return ModelConfig(
        detector=_hourglass(detector),
        motion=_hourglass(generator.section("dense_motion_params")),
        block_expansion=generator.integer("block_expansion"),
        max_features=generator.integer("max_features"),
        num_down_blocks=generator.integer("num_down_blocks"),
        num_bottleneck_blocks=generator.integer("num_bottleneck_blocks"),
        num_kp=common.integer("num_kp"),
        num_channels=common.integer("num_channels", 3),
        estimate_jacobian=common.flag("estimate_jacobian"),
        single_jacobian_map=detector.flag("single_jacobian_map"),
        estimate_occlusion_map=generator.flag("estimate_occlusion_map"),
        temperature=detector.number("temperature", VOX.temperature),
        heatmap_padding=detector.integer("pad", 0),
    )


def to_layout(config: ModelConfig) -> dict[str, Any]:
    """Convert a config to the authors' layout: the inverse of `from_layout`."""
    return {
        "model_params": {
            "common_params": {
                "num_kp": config.num_kp,
                "num_channels": config.num_channels,
                "estimate_jacobian": config.estimate_jacobian,
            },
            "kp_detector_params": {
                **vars(config.detector),
                "temperature": config.temperature,
                "single_jacobian_map": config.single_jacobian_map,
                "pad": config.heatmap_padding,
            },
            "generator_params": {
                "block_expansion": config.block_expansion,
                "max_features": config.max_features,
                "num_down_blocks": config.num_down_blocks,
                "num_bottleneck_blocks": config.num_bottleneck_blocks,
                "estimate_occlusion_map": config.estimate_occlusion_map,
                "dense_motion_params": vars(config.motion).copy(),
            },
        }
    }


def _hourglass(section: Section) -> HourglassConfig:
    return HourglassConfig(
        section.integer("block_expansion"),
        section.integer("max_features"),
        section.integer("num_blocks"),
        section.number("scale_factor", 1.0),
    )


class Section:
    """One mapping of the layout, with typed access by name. ValueError: missing, or of another type."""

    def __init__(self, values: object, name: str = "the file") -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{name} is not a set of names and values")
        self._values, self._name = values, name

    def section(self, name: str) -> Section:
        """Return a nested mapping."""
        return Section(self._get(name), name)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not a number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        values = self._get(name)
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise ValueError(f"{name} in {self._name} is {values!r}, not a list of whole numbers")
        return tuple(values)

    def flag(self, name: str) -> bool:
        """Return a truth value; False if it is missing."""
        value = self._get(name, False)
        if not isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not true or false")
        return value

    def _get(self, name: str, default: object = None) -> object:
        value = self._values.get(name, default)
        if value is None:
            raise ValueError(f"{self._name} has no {name}")
        return value
