"""Reads the tensors in files of torch.save and in .safetensors; nothing that a file holds is run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module

from avatar.errors import WeightsError
from avatar.foreign_text import quoted, shown
from avatar.limits import MAX_OUTLINE_BYTES, MAX_WEIGHT_BYTES, megabytes
from avatar.outline import ForeignNameError, OutlineError, check_outline
from avatar.small_files import is_special

BATCH_COUNT = ".num_batches_tracked"  # a counter of the training, of no use afterwards
_TYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_SAFETENSORS_TYPES = {"F16", "BF16", "F32", "F64", "I64"}  # I64: the counters


def is_safetensors(path: Path, get_one: str) -> bool:
    """Tell the two kinds of file apart by their first bytes.

    Args:
        path: of either kind.
        get_one: how to get a file that works: the remedy of all errors here.
    Raises:
        WeightsError: missing, not readable, or with a list of contents over the budget.
    """
    if is_special(path):
        raise WeightsError(f"The checkpoint {path} is not a file but a device or a pipe.", remedy=get_one)
    try:
        with path.open("rb") as stream:
            head, size = stream.read(9), os.fstat(stream.fileno()).st_size
    except OSError as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise WeightsError(f"The checkpoint {path} {why}.", remedy=get_one) from error
    # A .safetensors begins with the length of its header, which is JSON; noise may have a brace in that place too.
    header_bytes = int.from_bytes(head[:8], "little")
    found = head[8:] == b"{" and header_bytes <= size - 8
    if found and header_bytes > MAX_OUTLINE_BYTES:
        what = f"{path} has a list of contents over {megabytes(MAX_OUTLINE_BYTES)}."
        raise WeightsError(what, remedy=_again(get_one))
    return found


def read_pickle(path: Path, get_one: str) -> object:
    """Read what torch.save wrote: nested mappings of tensors and plain values. Raises: WeightsError."""
    try:
        is_zip = check_outline(path)
        # weights_only: what a pickle asks to run is refused. mmap: the training state is never read where it need not
        # be, which files of torch before 1.6, no zips, do not allow.
        content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except ForeignNameError as error:
        raise WeightsError(
            f"{path} asks to run code when it is opened ({shown(error)}). It was not run.",
            remedy=f"Do not open it elsewhere either. {_again(get_one)}",
        ) from error
    except OutlineError as error:
        raise WeightsError(f"{path} {error}.", remedy=_again(get_one)) from error
    except Exception as error:  # torch raises what its unpickler happens to meet
        raise WeightsError(f"{path} is damaged or no checkpoint at all.", remedy=_again(get_one)) from error
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
        raise WeightsError(f"{path} is damaged: {quoted(error, 200)}.", remedy=_again(get_one)) from error


def plain_tensors(path: Path, values: Mapping[str, object], get_one: str) -> dict[str, Tensor]:
    """Return the values of a pickle, all ordinary tensors within the budget. Raises: WeightsError."""
    weights: dict[str, Tensor] = {}
    for name, x in values.items():
        if not isinstance(x, Tensor) or not _is_plain(name, x):
            raise _strange(path, quoted(name), get_one)
        weights[name] = x
    _check_size(path, {name: x.numel() for name, x in weights.items()}, get_one)
    return weights


def fill(model: Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model made on the meta device its weights in float32, ready to use and not to be trained.

    Args:
        model: of whichever kind; changed in place.
        weights: all that it has, of its shapes; counters need not be among them.
    """
    counters = {name: torch.zeros((), dtype=torch.long) for name in model.state_dict() if name.endswith(BATCH_COUNT)}
    numbers = {name: x.to(torch.float32) for name, x in weights.items() if not name.endswith(BATCH_COUNT)}
    model.load_state_dict({**numbers, **counters}, assign=True)
    model.eval().requires_grad_(False)


def is_finite(x: Tensor) -> bool:
    """Return whether all numbers are; without the copies that `isfinite` makes of a large tensor."""
    return x.numel() == 0 or all(bool(torch.isfinite(end)) for end in torch.aminmax(x))


def _is_plain(name: str, x: Tensor) -> bool:
    """Whether these are ordinary numbers in memory; whole numbers only where training counts its steps."""
    types = _TYPES | {torch.int64} if name.endswith(BATCH_COUNT) else _TYPES
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and x.dtype in types


def _check_size(path: Path, numbers: Mapping[str, int], get_one: str) -> None:
    """Refuse more weights than the budget, before they are copied or computed with."""
    if (size := 4 * sum(numbers.values())) > MAX_WEIGHT_BYTES:
        what = f"{path} holds weights of {megabytes(size)}; the limit is {megabytes(MAX_WEIGHT_BYTES)}."
        raise WeightsError(what, remedy=f"Use a smaller model. {get_one}")


def _strange(path: Path, name: str, get_one: str) -> WeightsError:
    return WeightsError(f"{path} holds something else than weights under {name}.", remedy=_again(get_one))


def _again(get_one: str) -> str:
    return f"Get the file again from a source you trust. {get_one}"
