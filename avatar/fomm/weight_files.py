"""Reads weight files of both kinds without running anything that they hold: .pth.tar pickles and .safetensors."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from avatar.errors import WeightsError
from avatar.fomm.config import ModelConfig
from avatar.fomm.layout import from_layout
from avatar.fomm.outline import ForeignNameError, OutlineError, check_outline
from avatar.limits import MAX_OUTLINE_BYTES, MAX_WEIGHT_BYTES, megabytes

PARTS = ("generator", "kp_detector")
CONFIG_KEY = "config"  # in the metadata of our own .safetensors: the config as JSON, in the authors' layout

GET_ONE = "Fetch one: python run.py models pull vox-adv (751 MB, MIT), or: python run.py models import NAME FILE"
BATCH_COUNT = ".num_batches_tracked"  # a counter of the training, of no use afterwards
_TYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_SAFETENSORS_TYPES = {"F16", "BF16", "F32", "F64", "I64"}  # I64: the counters
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
    header_bytes = int.from_bytes(head[:8], "little")
    is_ours = head[8:] == b"{" and header_bytes <= size - 8
    if is_ours and header_bytes > MAX_OUTLINE_BYTES:
        raise WeightsError(f"{path} has a list of contents over {megabytes(MAX_OUTLINE_BYTES)}.", remedy=_FETCH_AGAIN)
    return _read_safetensors(path) if is_ours else _read_pickle(path)


def _read_pickle(path: Path) -> WeightFile:
    try:
        is_zip = check_outline(path)
        # weights_only: what a pickle asks to run is refused. mmap: the training state is never read where it need not
        # be, which files of torch before 1.6, no zips, do not allow.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except ForeignNameError as error:
        raise WeightsError(
            f"{path} asks to run code when it is opened ({error}). It was not run.",
            remedy=f"Do not open it elsewhere either. {_FETCH_AGAIN}",
        ) from error
    except OutlineError as error:
        raise WeightsError(f"{path} {error}.", remedy=_FETCH_AGAIN) from error
    except Exception as error:  # torch raises what its unpickler happens to meet
        raise WeightsError(f"{path} is damaged or no checkpoint at all.", remedy=_FETCH_AGAIN) from error
    values: dict[str, object] = {}
    for part in PARTS:
        state = content.get(part) if isinstance(content, Mapping) else None
        if not isinstance(state, Mapping):
            what = f"{path} is not a checkpoint of a First Order Motion Model: {_inventory(content)}, no {part}."
            raise WeightsError(what, remedy=GET_ONE)
        values |= {f"{part}.{name}": x for name, x in state.items()}
    weights = {name: x for name, x in values.items() if isinstance(x, Tensor)}
    strange = [name for name in values if name not in weights]
    strange += [name for name, x in weights.items() if not _is_plain(name, x)]
    if strange:
        raise WeightsError(f"{path} holds something else than weights under {strange[0]}.", remedy=_FETCH_AGAIN)
    _check_size(path, {name: x.numel() for name, x in weights.items()})
    return WeightFile(weights, None)


def _read_safetensors(path: Path) -> WeightFile:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            names = [name for name in stream.keys() if name.startswith(PARTS)]  # noqa: SIM118
            slices = {name: stream.get_slice(name) for name in names}
            if strange := [name for name, each in slices.items() if each.get_dtype() not in _SAFETENSORS_TYPES]:
                what = f"{path} holds something else than weights under {strange[0]} ({slices[strange[0]].get_dtype()})."
                raise WeightsError(what, remedy=_FETCH_AGAIN)
            _check_size(path, {name: math.prod(each.get_shape()) for name, each in slices.items()})
            weights = {name: stream.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {error}.", remedy=_FETCH_AGAIN) from error
    if not weights:
        raise WeightsError(f"{path} is not a checkpoint of a First Order Motion Model.", remedy=GET_ONE)
    return WeightFile(weights, _stored_config(path, metadata))


def _stored_config(path: Path, metadata: Mapping[str, str]) -> ModelConfig | None:
    if CONFIG_KEY not in metadata:
        return None
    try:
        return from_layout(json.loads(metadata[CONFIG_KEY]))
    except (ValueError, RecursionError, OverflowError) as error:
        raise WeightsError(f"{path} says nonsense about its structure: {error}.", remedy=_FETCH_AGAIN) from error


def _is_plain(name: str, x: Tensor) -> bool:
    """Whether these are ordinary numbers in memory; whole numbers only where training counts its steps."""
    types = _TYPES | {torch.int64} if name.endswith(BATCH_COUNT) else _TYPES
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and x.dtype in types


def _check_size(path: Path, numbers: Mapping[str, int]) -> None:
    """Refuse more weights than the budget, before they are copied or computed with."""
    if (size := 4 * sum(numbers.values())) > MAX_WEIGHT_BYTES:
        raise WeightsError(
            f"{path} holds weights of {megabytes(size)}; the limit is {megabytes(MAX_WEIGHT_BYTES)}.",
            remedy=f"Use a smaller model. {GET_ONE}",
        )


def _inventory(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    names = [str(name) for name in content]
    return f"it holds {', '.join(names[:5]) or 'nothing'}{', ...' if len(names) > 5 else ''}"
