"""Reading of weight files: extracts the part that animation with the First Order Motion Model needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from avatar.errors import WeightsError
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import from_layout
from avatar.system.foreign_text import quoted
from avatar.system.message import Message, together
from avatar.weights.state_files import is_safetensors, plain_tensors, read_pickle, read_safetensors

PARTS = ("generator", "kp_detector")
CONFIG_KEY = "config"  # in the metadata of our own .safetensors: the config as JSON, in the authors' layout

GET_ONE = "Fetch one: python run.py models pull vox-adv (751 MB, MIT), or: python run.py models import NAME FILE"
_FETCH_AGAIN = together("Get the file again from a source you trust.", GET_ONE)


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The part of a file that animation needs."""

    weights: dict[str, Tensor]  # on the CPU, "generator." or "kp_detector." before the authors' names
    config: ModelConfig | None  # as stored in the file; None if it stores none


def read_weight_file(path: Path) -> WeightFile:
    """Read a checkpoint in either format, which its first bytes determine.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or holds code.
    """
    return _of_safetensors(path) if is_safetensors(path, GET_ONE) else _of_pickle(path)


def _of_pickle(path: Path) -> WeightFile:
    content = read_pickle(path, GET_ONE)
    values: dict[str, object] = {}
    for part in PARTS:
        state = content.get(part) if isinstance(content, Mapping) else None
        if not isinstance(state, Mapping):
            what = Message(
                "{path} is not a checkpoint of a First Order Motion Model: {inventory}, no {part}.",
                path=path,
                inventory=_inventory(content),
                part=part,
            )
            raise WeightsError(what, remedy=GET_ONE)
        values |= {f"{part}.{name}": x for name, x in state.items()}
    return WeightFile(plain_tensors(path, values, GET_ONE), None)


def _of_safetensors(path: Path) -> WeightFile:
    weights, metadata = read_safetensors(path, GET_ONE, lambda name: name.startswith(PARTS))
    if not weights:
        raise WeightsError(
            Message("{path} is not a checkpoint of a First Order Motion Model.", path=path), remedy=GET_ONE
        )
    return WeightFile(weights, _stored_config(path, metadata))


def _stored_config(path: Path, metadata: Mapping[str, str]) -> ModelConfig | None:
    if CONFIG_KEY not in metadata:
        return None
    try:
        return from_layout(json.loads(metadata[CONFIG_KEY]))
    except (ValueError, RecursionError, OverflowError) as error:
        raise WeightsError(
            Message("{path} describes an invalid structure: {error}.", path=path, error=error), remedy=_FETCH_AGAIN
        ) from error


def _inventory(content: object) -> str:
    if not isinstance(content, Mapping):
        return Message("it holds a {kind}", kind=type(content).__name__)
    names = [quoted(name, 40) for name in content]
    if not names:
        return Message("it holds nothing")
    return Message("it holds {names}", names=", ".join(names[:5]) + (", ..." if len(names) > 5 else ""))
