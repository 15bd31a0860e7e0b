"""Reading of tensors from files of torch.save and from .safetensors, without running code from them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from avatar.errors import WeightsError
from avatar.system.atomic import replacing, writing
from avatar.system.foreign_text import quoted, shown
from avatar.system.limits import MAX_OUTLINE_BYTES, MAX_WEIGHT_BYTES, megabytes
from avatar.system.message import Message, together
from avatar.system.small_files import is_special
from avatar.weights.outline import ForeignNameError, OutlineError, check_outline

BATCH_COUNT = ".num_batches_tracked"  # a training counter, not needed afterwards
_TYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_SAFETENSORS_TYPES = {"F16", "BF16", "F32", "F64", "I64"}  # I64: the counters


def save_tensors(tensors: Mapping[str, Tensor], target: Path, metadata: Mapping[str, str]) -> int:
    """Write tensors of any shapes to a .safetensors, whole or not at all, and return its size. Raises: OutputError."""
    from safetensors.torch import save_file

    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            save_file(dict(tensors), part, dict(metadata))
        return target.stat().st_size


def is_safetensors(path: Path, get_one: str) -> bool:
    """Distinguish the two kinds of file by their first bytes.

    Args:
        path: a file of either kind.
        get_one: how to get a working file: the remedy of all errors in this module.
    Raises:
        WeightsError: missing, not readable, or with a directory over the budget.
    """
    if is_special(path):
        raise WeightsError(
            Message("The checkpoint {path} is not a file but a device or a pipe.", path=path), remedy=get_one
        )
    try:
        with path.open("rb") as stream:
            head, size = stream.read(9), os.fstat(stream.fileno()).st_size
    except OSError as error:
        what = (
            Message("The checkpoint {path} is missing.", path=path)
            if isinstance(error, FileNotFoundError)
            else Message("The checkpoint {path} cannot be read ({why}).", path=path, why=error.strerror)
        )
        raise WeightsError(what, remedy=get_one) from error
    # A .safetensors begins with the length of its header, which is JSON; random bytes may contain a brace there too.
    header_bytes = int.from_bytes(head[:8], "little")
    found = head[8:] == b"{" and header_bytes <= size - 8
    if found and header_bytes > MAX_OUTLINE_BYTES:
        what = Message("{path} has a list of contents over {size}.", path=path, size=megabytes(MAX_OUTLINE_BYTES))
        raise WeightsError(what, remedy=_again(get_one))
    return found


def read_pickle(path: Path, get_one: str) -> object:
    """Read a file of torch.save: nested mappings of tensors and plain values. Raises: WeightsError."""
    try:
        is_zip = check_outline(path)
        # weights_only: refuses code in a pickle. mmap: avoids reading the training state; not possible for files of
        # torch before 1.6, which are not zips.
        content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except ForeignNameError as error:
        raise WeightsError(
            Message(
                "{path} asks to run code when it is opened ({error}). It was not run.", path=path, error=shown(error)
            ),
            remedy=together("Do not open it elsewhere either.", _again(get_one)),
        ) from error
    except OutlineError as error:
        raise WeightsError(Message("{path} {error}.", path=path, error=error), remedy=_again(get_one)) from error
    except Exception as error:  # torch raises any exception of its unpickler
        raise WeightsError(
            Message("{path} is damaged or not a checkpoint.", path=path), remedy=_again(get_one)
        ) from error
    return content


def read_safetensors(
    path: Path, get_one: str, wanted: Callable[[str], bool] = lambda _: True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the wanted tensors of a .safetensors by name, and its metadata. Raises: WeightsError."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            slices = {name: stream.get_slice(name) for name in stream.keys() if wanted(name)}  # noqa: SIM118
            for name, each in slices.items():
                if each.get_dtype() not in _SAFETENSORS_TYPES:
                    raise _strange(path, f"{quoted(name)} ({shown(each.get_dtype())})", get_one)
            _check_size(path, {name: math.prod(each.get_shape()) for name, each in slices.items()}, get_one)
            return {name: stream.get_tensor(name) for name in slices}, metadata
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            Message("{path} is damaged: {error}.", path=path, error=quoted(error, 200)), remedy=_again(get_one)
        ) from error


def plain_tensors(path: Path, values: Mapping[Any, object], get_one: str) -> dict[str, Tensor]:
    """Return the values of a pickle, all ordinary tensors within the budget. Raises: WeightsError."""
    weights: dict[str, Tensor] = {}
    for name, x in values.items():
        if not isinstance(name, str) or not isinstance(x, Tensor) or not _is_plain(name, x):
            raise _strange(path, quoted(str(name)), get_one)
        weights[name] = x
    _check_size(path, {name: x.numel() for name, x in weights.items()}, get_one)
    return weights


def fill(model: Module, weights: Mapping[str, Tensor]) -> None:
    """Load float32 weights into a model created on the meta device, for evaluation.

    Args:
        model: any model; changed in place.
        weights: all its weights, in its shapes; counters may be missing.
    """
    counters = {name: torch.zeros((), dtype=torch.long) for name in model.state_dict() if name.endswith(BATCH_COUNT)}
    numbers = {name: x.to(torch.float32) for name, x in weights.items() if not name.endswith(BATCH_COUNT)}
    model.load_state_dict({**numbers, **counters}, assign=True)
    model.eval().requires_grad_(False)


def is_finite(x: Tensor) -> bool:
    """Return whether all numbers of a tensor, any shape, are finite, without the copies that `isfinite` makes."""
    return x.numel() == 0 or all(bool(torch.isfinite(end)) for end in torch.aminmax(x))


def _is_plain(name: str, x: Tensor) -> bool:
    """Return whether `x`, any shape, is a dense tensor of an accepted dtype; int64 only where training counts steps."""
    types = _TYPES | {torch.int64} if name.endswith(BATCH_COUNT) else _TYPES
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and x.dtype in types


def _check_size(path: Path, numbers: Mapping[str, int], get_one: str) -> None:
    """Refuse weights over the budget, before they are copied or used."""
    if (size := 4 * sum(numbers.values())) > MAX_WEIGHT_BYTES:
        what = Message(
            "{path} holds weights of {size}; the limit is {limit}.",
            path=path,
            size=megabytes(size),
            limit=megabytes(MAX_WEIGHT_BYTES),
        )
        raise WeightsError(what, remedy=together("Use a smaller model.", get_one))


def _strange(path: Path, name: str, get_one: str) -> WeightsError:
    return WeightsError(
        Message("{path} holds something other than weights under {name}.", path=path, name=name), remedy=_again(get_one)
    )


def _again(get_one: str) -> str:
    return together("Get the file again from a source you trust.", get_one)
