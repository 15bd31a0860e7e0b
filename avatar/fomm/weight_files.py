"""Reads weight files of both kinds without running anything that they hold: .pth.tar pickles and .safetensors."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from avatar.errors import WeightsError
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import from_layout
from avatar.foreign_text import quoted, shown

PARTS = ("generator", "kp_detector")
CONFIG_KEY = "config"  # in the metadata of our own .safetensors: the config as JSON, in the authors' layout

GET_ONE = "Fetch one: python run.py models pull vox-adv (751 MB, MIT), or: python run.py models import NAME FILE"
_FETCH_AGAIN = f"Get the file again from a source you trust. {GET_ONE}"


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The part of a file that animation needs."""

    weights: dict[str, Tensor]  # on the CPU, "generator." or "kp_detector." before the authors' names
    config: ModelConfig | None  # where the file says it


def read_weight_file(path: Path) -> WeightFile:
    """Read a checkpoint of either kind, told apart by its first bytes.

    Raises:
        WeightsError: missing, damaged, of another kind, or it holds code.
    """
    try:
        with path.open("rb") as stream:
            head, size = stream.read(9), os.fstat(stream.fileno()).st_size
    except OSError as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise WeightsError(f"The checkpoint {path} {why}.", remedy=GET_ONE) from error
    # A .safetensors begins with the length of its header, which is JSON; noise may have a brace in that place too.
    is_ours = head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size - 8
    return _read_safetensors(path) if is_ours else _read_pickle(path)


def _read_pickle(path: Path) -> WeightFile:
    try:
        # weights_only: what a pickle asks to run is refused. mmap: the training state is never read where it need not
        # be, which files of torch before 1.6, no zips, do not allow.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises what its unpickler happens to meet
        if called := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise WeightsError(
                f"{path} asks to run code when it is opened ({shown(called[1])}). It was not run.",
                remedy=f"Do not open it elsewhere either. {_FETCH_AGAIN}",
            ) from error
        raise WeightsError(f"{path} is damaged or no checkpoint at all.", remedy=_FETCH_AGAIN) from error
    values: dict[str, object] = {}
    for part in PARTS:
        state = content.get(part) if isinstance(content, Mapping) else None
        if not isinstance(state, Mapping):
            what = f"{path} is not a checkpoint of a First Order Motion Model: {_inventory(content)}, no {part}."
            raise WeightsError(what, remedy=GET_ONE)
        values |= {f"{part}.{name}": x for name, x in state.items()}
    return WeightFile(_tensors(path, values), None)


def _read_safetensors(path: Path) -> WeightFile:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            weights = {name: stream.get_tensor(name) for name in stream.keys() if name.startswith(PARTS)}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {quoted(error, 200)}.", remedy=_FETCH_AGAIN) from error
    if not weights:
        raise WeightsError(f"{path} is not a checkpoint of a First Order Motion Model.", remedy=GET_ONE)
    return WeightFile(_tensors(path, weights), _stored_config(path, metadata))


def _stored_config(path: Path, metadata: Mapping[str, str]) -> ModelConfig | None:
    if CONFIG_KEY not in metadata:
        return None
    try:
        return from_layout(json.loads(metadata[CONFIG_KEY]))
    except (ValueError, RecursionError, OverflowError) as error:
        raise WeightsError(f"{path} says nonsense about its structure: {error}.", remedy=_FETCH_AGAIN) from error


def _tensors(path: Path, values: Mapping[str, object]) -> dict[str, Tensor]:
    """Only tensors of plain numbers; anything else is no state dict."""
    strange = [name for name, x in values.items() if not isinstance(x, Tensor) or x.layout != torch.strided]
    strange += [name for name, x in values.items() if isinstance(x, Tensor) and (x.is_complex() or x.is_quantized)]
    if strange:
        raise WeightsError(f"{path} holds something else than weights under {quoted(strange[0])}.", remedy=_FETCH_AGAIN)
    return {name: x for name, x in values.items() if isinstance(x, Tensor)}


def _inventory(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    names = [quoted(name, 40) for name in content]
    return f"it holds {', '.join(names[:5]) or 'nothing'}{', ...' if len(names) > 5 else ''}"
