"""Configs as the authors' YAML files write them; ours carry the same layout, as JSON, in a .safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatar.errors import UsageError
from avatar.fomm.config import PUBLISHED, VOX, HourglassConfig, ModelConfig
from avatar.foreign_text import quoted
from avatar.yaml_file import read_yaml


def find_config(config: str | Path | ModelConfig) -> ModelConfig:
    """Return the config meant by a published name, by a YAML file, or by itself.

    Raises:
        UsageError: no such name or file, or the file is not a config in the authors' layout.
    """
    if isinstance(config, ModelConfig):
        return config
    if str(config) in PUBLISHED:
        return PUBLISHED[str(config)]
    path = Path(config).expanduser()
    if not path.is_file():
        raise UsageError(
            f"There is no config called {str(config)!r}, and no such file.",
            remedy=f"Name a YAML file or one of: {', '.join(PUBLISHED)}. Or leave the config out.",
        )
    return read_layout(path)


def read_layout(path: Path) -> ModelConfig:
    """Read a config in the authors' layout. Raises UsageError for anything else."""
    try:
        return from_layout(read_yaml(path))
    # RecursionError: YAML nests without end; OverflowError: .inf where an int belongs
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"{path} is not a config of a First Order Motion Model: {why}.",
            remedy="It needs model_params as in the authors' YAML files. Or leave the config out.",
        ) from error


def from_layout(layout: object) -> ModelConfig:
    """Build a config from the nested mapping that the authors' YAML files hold; what it leaves out is as in theirs.

    Raises:
        ValueError: a part is missing or is not what it should be.
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
    """The inverse of `from_layout`."""
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
    """One mapping of the layout; asks for values by name and kind. ValueError: missing, or of another kind."""

    def __init__(self, values: object, name: str = "the file") -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{name} is not a set of names and values")
        self._values, self._name = values, name

    def section(self, name: str) -> Section:
        """A mapping in it."""
        return Section(self._get(name), name)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not a number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        values = self._get(name)
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise ValueError(f"{name} in {self._name} is {values!r}, not a list of whole numbers")
        return tuple(values)

    def flag(self, name: str) -> bool:
        """True or false; False where nothing is said."""
        value = self._get(name, False)
        if not isinstance(value, bool):
            raise ValueError(f"{name} in {self._name} is {quoted(value)}, not true or false")
        return value

    def _get(self, name: str, default: object = None) -> object:
        value = self._values.get(name, default)
        if value is None:
            raise ValueError(f"{self._name} has no {name}")
        return value
