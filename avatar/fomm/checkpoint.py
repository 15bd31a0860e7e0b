"""Makes a FirstOrderModel of a checkpoint: the authors' .pth.tar, whole or pruned, or our .safetensors."""

from __future__ import annotations

from pathlib import Path

import torch

from avatar.errors import EngineError, WeightsError
from avatar.fomm.config import ModelConfig
from avatar.fomm.cost import check_cost
from avatar.fomm.layout import find_config
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.structure import SHOWN_KEYS, Weights, misfits, structure_of, summary
from avatar.fomm.weight_files import GET_ONE, read_weight_file
from avatar.foreign_text import first_line, quoted
from avatar.state_files import fill, is_finite


def load_checkpoint(
    path: str | Path, config: str | Path | ModelConfig | None = None, device: str | torch.device = "cpu"
) -> FirstOrderModel:
    """Load a First Order Motion Model, ready to use, in float32.

    Args:
        path: a checkpoint that holds `generator` and `kp_detector`; whatever else it holds is left alone.
        config: the name of a published model ("vox"), a YAML file in the authors' layout, or None: what the file says
            itself, and else what can be read off its weights.
        device: "cpu", "cuda", "cuda:1", "mps".
    Raises:
        WeightsError: the file is missing or damaged, holds code, another model or NaN, or does not fit the config.
        UsageError: there is no such config.
        EngineError: there is no such device.
    """
    path = Path(path).expanduser()
    wanted = None if config is None else find_config(config)
    place = usable_device(device)
    file = read_weight_file(path)
    structure = wanted or file.config or _structure(path, file.weights)
    _check_fit(path, file.weights, structure, "" if wanted is None else str(config))
    _check_cost(path, structure)
    _check_numbers(path, file.weights)
    return build(file.weights, structure).to(place)


def build(weights: Weights, config: ModelConfig) -> FirstOrderModel:
    """A model with these weights, in float32 and evaluation mode, not to be trained. They must fit the config."""
    with torch.device("meta"):  # spares filling 60 million numbers with noise that the weights then replace
        model = FirstOrderModel(config)
    fill(model, weights)
    return model


def _structure(path: Path, weights: Weights) -> ModelConfig:
    try:
        return structure_of(weights)
    except ValueError as error:
        raise WeightsError(
            f"{path} is not a checkpoint of a First Order Motion Model: {error}.",
            remedy=f"If it is one all the same, name its config with --config. {GET_ONE}",
        ) from error


def _check_fit(path: Path, weights: Weights, structure: ModelConfig, named: str) -> None:
    if clauses := misfits(weights, structure):
        what = f"the config {named}" if named else "a First Order Motion Model of its own structure"
        remedy = "Leave the config out: it is read off the weights." if named else f"The file is incomplete. {GET_ONE}"
        raise WeightsError(f"{path} does not fit {what}: {summary(clauses)}.", remedy=remedy)


def _check_cost(path: Path, structure: ModelConfig) -> None:
    try:
        check_cost(structure)
    except ValueError as error:
        what = f"{path} cannot be drawn with: {error}."
        raise WeightsError(what, remedy=f"Use a smaller model. {GET_ONE}") from error


def _check_numbers(path: Path, weights: Weights) -> None:
    if bad := [name for name, x in weights.items() if x.is_floating_point() and not is_finite(x)]:
        names = ", ".join(map(quoted, bad[:SHOWN_KEYS]))
        names += f" and {len(bad) - SHOWN_KEYS} more" if len(bad) > SHOWN_KEYS else ""
        raise WeightsError(
            f"{path} holds NaN or infinite numbers in {names}.",
            remedy=f"The file is damaged, or its training went astray. {GET_ONE}",
        )


def usable_device(device: str | torch.device) -> torch.device:
    """The device of that name. Raises EngineError unless it can be used here."""
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise EngineError(
            f"The device {str(device)!r} cannot be used here: {first_line(error)}.",
            remedy="Choose auto or cpu; python run.py doctor says what is there.",
        ) from error
    return place
