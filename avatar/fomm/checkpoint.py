"""Loading of a FirstOrderModel from a checkpoint: the authors' .pth.tar, whole or pruned, or our .safetensors."""

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
from avatar.system.foreign_text import first_line, quoted
from avatar.system.message import Message, together
from avatar.weights.state_files import fill, is_finite


def load_checkpoint(
    path: str | Path, config: str | Path | ModelConfig | None = None, device: str | torch.device = "cpu"
) -> FirstOrderModel:
    """Load a First Order Motion Model, ready to use, in float32.

    Args:
        path: a checkpoint that holds `generator` and `kp_detector`; other entries are ignored.
        config: the name of a published model ("vox"), a YAML file in the authors' layout, or None: the config stored
            in the file, else the structure derived from its weights.
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
    """Build a model with these weights, in float32 and evaluation mode, without gradients. They must fit the config."""
    with torch.device("meta"):  # saves initialising 60 million weights that the file then replaces
        model = FirstOrderModel(config)
    fill(model, weights)
    return model


def _structure(path: Path, weights: Weights) -> ModelConfig:
    try:
        return structure_of(weights)
    except ValueError as error:
        raise WeightsError(
            Message("{path} is not a checkpoint of a First Order Motion Model: {error}.", path=path, error=error),
            remedy=together("If it is one nevertheless, name its config with --config.", GET_ONE),
        ) from error


def _check_fit(path: Path, weights: Weights, structure: ModelConfig, named: str) -> None:
    if clauses := misfits(weights, structure):
        what = (
            Message("the config {name}", name=named)
            if named
            else Message("a First Order Motion Model of its own structure")
        )
        remedy = (
            "Leave the config out: it is derived from the weights."
            if named
            else together("The file is incomplete.", GET_ONE)
        )
        raise WeightsError(
            Message("{path} does not fit {what}: {summary}.", path=path, what=what, summary=summary(clauses)),
            remedy=remedy,
        )


def _check_cost(path: Path, structure: ModelConfig) -> None:
    try:
        check_cost(structure)
    except ValueError as error:
        what = Message("{path} cannot be drawn with: {error}.", path=path, error=error)
        raise WeightsError(what, remedy=together("Use a smaller model.", GET_ONE)) from error


def _check_numbers(path: Path, weights: Weights) -> None:
    if bad := [name for name, x in weights.items() if x.is_floating_point() and not is_finite(x)]:
        names = ", ".join(map(quoted, bad[:SHOWN_KEYS]))
        more = len(bad) - SHOWN_KEYS
        what = (
            Message(
                "{path} holds NaN or infinite numbers in {names} and {more} more.", path=path, names=names, more=more
            )
            if more > 0
            else Message("{path} holds NaN or infinite numbers in {names}.", path=path, names=names)
        )
        raise WeightsError(
            what,
            remedy=together("The file is damaged, or its training diverged.", GET_ONE),
        )


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device of that name. Raises EngineError if it cannot be used here."""
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise EngineError(
            Message("The device {device!r} cannot be used here: {why}.", device=str(device), why=first_line(error)),
            remedy="Choose auto or cpu; python run.py doctor shows what is available.",
        ) from error
    return place
