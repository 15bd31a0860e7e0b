"""Configs in the layout of the authors' models.yaml, for comparison with the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from avatar.errors import UsageError
from avatar.fomm.layout import Section
from avatar.liveportrait.config import LivePortraitConfig
from avatar.system.message import Message
from avatar.system.yaml_file import read_yaml


def check_layout(path: Path, config: LivePortraitConfig) -> None:
    """Compare a YAML file in the authors' layout with the structure derived from the weights.

    The weights determine everything in the YAML, and more, such as the widths of the motion extractor.

    Raises:
        UsageError: it cannot be read, is not such a file, or contradicts the weights.
    """
    try:
        params = Section(read_yaml(path)).section("model_params")
        differing = [
            Message("{name} is {said} there and {found} in the weights", name=name, said=said, found=found)
            for name, said, found in _both(params, config)
            if said != found
        ]
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            Message("{path} is not a config of a LivePortrait model: {why}.", path=path, why=why),
            remedy="It needs model_params as in the authors' models.yaml. Or leave the config out.",
        ) from error
    if differing:
        what = Message("{path} does not fit the weights: {differing}.", path=path, differing=differing[0])
        raise UsageError(what, remedy="Leave the config out: it is derived from the weights.")


def _both(params: Section, config: LivePortraitConfig) -> Iterator[tuple[str, object, object]]:
    """Yield the name, the value in the YAML and the value in the weights of each entry."""
    appearance, volume = params.section("appearance_feature_extractor_params"), config.appearance
    for name in ("block_expansion", "num_down_blocks", "num_resblocks", "reshape_channel", "reshape_depth"):
        yield name, appearance.integer(name), getattr(volume, name)
    yield "num_kp", params.section("motion_extractor_params").integer("num_kp"), config.motion.num_kp
    warping = params.section("warping_module_params")
    motion = warping.section("dense_motion_params")
    for name in ("block_expansion", "num_blocks", "compress"):
        yield name, motion.integer(name), getattr(config.warping, name)
    occlusion = warping.flag("estimate_occlusion_map")
    yield "estimate_occlusion_map", occlusion, config.warping.estimate_occlusion_map
    generator = params.section("spade_generator_params")
    yield "upscale", generator.integer("upscale", 1), config.generator.upscale
    sizes = params.section("stitching_retargeting_module_params")
    for name, found in (("stitching", config.stitching), ("eye", config.eyes), ("lip", config.lips)):
        yield f"{name} hidden_sizes", sizes.section(name).integers("hidden_sizes"), found
