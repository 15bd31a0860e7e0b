"""Files of prepared data: records of our own, plain values and arrays. Reading one runs no code.

A safetensors file holds the arrays; a text in its header says how they hang together. What the text names can only be a
class of the modules that the reader allows, and is filled without being called. A digest before it all tells damage.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.system.limits import MAX_PREPARED_BYTES

_DIGEST_BYTES = 32
_TREE = "tree"
_DEPTH = 60


class UnfitError(Exception):
    """Data that cannot be kept, or a file that cannot be used."""


def pack(root: Any) -> bytes:
    """Return the file's content for a record. Raises UnfitError: it holds what is neither of ours nor plain."""
    from safetensors.numpy import save

    writer = _Writer()
    tree = writer.node(root)
    body = save(writer.arrays, {_TREE: json.dumps(tree)})
    return bytes(hashlib.sha256(body).digest() + body)


def unpack(content: bytes, modules: Sequence[str]) -> Any:
    """Return the record of a file's content.

    Args:
        content: from `pack`.
        modules: names of modules and packages whose classes may appear.
    Raises:
        UnfitError: it is damaged, or names anything else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise UnfitError("damaged")
    try:
        length = int.from_bytes(body[:8], "little")
        tree = json.loads(json.loads(body[8 : 8 + length])["__metadata__"][_TREE])
        return _Reader(load(body), modules).value(tree)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UnfitError(str(error)) from error


def read(path: Path, modules: Sequence[str]) -> Any:
    """Read a file; see `unpack`. Raises: UnfitError, OSError."""
    if path.stat().st_size > MAX_PREPARED_BYTES:
        raise UnfitError("too large")
    return unpack(path.read_bytes(), modules)


class _Writer:
    """Turns objects into a tree of plain values, and collects their arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._numbers: dict[int, int] = {}  # by the identity of records and arrays, which may hang in several places
        self._kept: list[Any] = []  # so that no identity is given away again

    def node(self, value: Any, depth: int = 0) -> Any:
        """Describe a value."""
        if depth > _DEPTH:
            raise UnfitError("too deep")
        if value is None or (isinstance(value, bool | int | float | str) and type(value).__module__ == "builtins"):
            return value
        if id(value) in self._numbers:
            return {"same": self._numbers[id(value)]}
        return self._collection(value, depth + 1) or self._thing(value, depth + 1)

    def _collection(self, value: Any, depth: int) -> Any:
        """Describe a plain collection or a NumPy number; None: it is neither."""
        described: Any = None
        match value:
            case np.generic():
                described = {"number": value.item(), "dtype": value.dtype.str}
            case tuple() if type(value) is tuple:
                described = {"tuple": [self.node(each, depth) for each in value]}
            case list():
                described = {"list": [self.node(each, depth) for each in value]}
            case dict():
                described = {"dict": [[self.node(key), self.node(each, depth)] for key, each in value.items()]}
            case slice():
                described = {"slice": [self.node(each) for each in (value.start, value.stop, value.step)]}
        return described

    def _thing(self, value: Any, depth: int) -> Any:
        """Describe an array or a record."""
        number = self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        if type(value) is np.ndarray:
            self.arrays[str(number)] = np.ascontiguousarray(value)
            return {"array": number, "shape": list(value.shape)}
        kind = type(value)
        if not kind.__module__.startswith("avatar.") or not hasattr(value, "__dict__"):
            raise UnfitError(f"a {kind.__qualname__} cannot be kept")
        fields = {name: self.node(each, depth) for name, each in vars(value).items()}
        return {"record": [kind.__module__, kind.__qualname__], "number": number, "fields": fields}


class _Reader:
    """Turns the tree back into objects."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]], modules: Sequence[str]) -> None:
        self._arrays, self._modules = arrays, modules
        self._made: dict[int, Any] = {}

    def value(self, node: Any) -> Any:
        """Build what a node describes."""
        if not isinstance(node, dict):
            return node
        built: Any
        match node:
            case {"same": number}:
                built = self._made[number]
            case {"number": value, "dtype": dtype}:
                built = np.dtype(dtype).type(value)
            case {"tuple": nodes}:
                built = tuple(self.value(each) for each in nodes)
            case {"list": nodes}:
                built = [self.value(each) for each in nodes]
            case {"dict": pairs}:
                built = {self.value(key): self.value(each) for key, each in pairs}
            case {"slice": ends}:
                built = slice(*(self.value(each) for each in ends))
            case {"array": number, "shape": shape}:
                built = self._made[number] = np.array(self._arrays[str(number)]).reshape(shape)
            case {"record": [module, name], "number": number, "fields": fields}:
                built = self._made[number] = object.__new__(self._class(module, name))
                vars(built).update({key: self.value(each) for key, each in fields.items()})
            case _:
                raise UnfitError("not understood")
        return built

    def _class(self, module: str, name: str) -> type:
        if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in self._modules):
            raise UnfitError(f"{module} is not allowed")
        importlib.import_module(module)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        if not isinstance(found, type) or found.__module__ != module:
            raise UnfitError(f"{module}.{name} is no record")
        return found
