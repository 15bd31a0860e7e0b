"""Outline of a checkpoint's pickle, read before torch loads it: names, tensors and their memory.

torch's reader (`weights_only`) does not run code from the file, but does not limit the memory and time that a file may
cost. The pickle's instructions are therefore interpreted here first, with placeholders for objects, and everything that
a state dict does not need is refused.
"""

from __future__ import annotations

import functools
import io
import pickletools
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avatar.system.limits import MAX_DIRECTORY_BYTES, MAX_OUTLINE_BYTES, MAX_WHOLE_BYTES, megabytes
from avatar.system.message import Message

_LEGACY_PICKLES = 5  # torch before 1.6: magic number, version, facts, the content, the storages' keys; then their bytes
_END_BYTES, _END = 22, b"PK\x05\x06"  # a zip's last record, without a comment
_END64_BYTES, _END64, _LOCATOR_BYTES, _LOCATOR = 56, b"PK\x06\x06", 20, b"PK\x06\x07"

_ITEM_BYTES = {
    "Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexFloat": 8, "ComplexDouble": 16, "QInt8": 1, "QUInt8": 1, "QInt32": 4,
}  # fmt: skip
_STORAGES = {f"torch.{kind}Storage": size for kind, size in _ITEM_BYTES.items()}
_ORDERED_DICT, _TENSOR, _PARAMETER = (
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
)  # fmt: skip
_LONGEST_NAME = 200  # characters
_HARMLESS_PACKAGES = ("torch", "collections", "builtins", "_codecs")  # named by torch.save besides weights


class OutlineError(ValueError):
    """Reason why the file is refused, as half a sentence that follows its name."""


class ForeignNameError(OutlineError):
    """The pickle refers to code to be run."""


class _NoOutlineError(Exception):
    """The bytes are not a pickle as written by torch."""


@dataclass(frozen=True)
class _Name:
    """A name in the pickle that may be called."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A contiguous storage of numbers of one type."""

    count: int
    item_bytes: int


class _Thing:
    """Placeholder for an object with arbitrary contents."""

    __slots__ = ()


class _Mapping(_Thing):
    __slots__ = ()


class _Sequence(_Thing):
    __slots__ = ()


class _Tensor(_Thing):
    __slots__ = ()


class _Mark(_Thing):
    __slots__ = ()


def check_outline(path: Path) -> bool:
    """Check a pickled checkpoint against the actual size of its file and against the budgets.

    Args:
        path: a file of `torch.save`, of either kind.
    Returns:
        True if the file is a zip, whose storages can be memory-mapped.
    Raises:
        OutlineError: it claims more than it contains or than the budget, or contains something other than weights.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                _check_zip(file)
                return True
            _check_legacy(file)
            return False
    except OutlineError:
        raise
    except (_NoOutlineError, zipfile.BadZipFile, ValueError, LookupError, TypeError, EOFError) as error:
        raise OutlineError(Message("is damaged or not a checkpoint")) from error


def _check_zip(file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise OutlineError(Message("holds compressed parts, which torch never writes"))
        if len(members) < len(archive.infolist()) or sum(member.file_size for member in members.values()) > size:
            raise OutlineError(Message("is damaged: it claims to hold more than its own size"))
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise _NoOutlineError
        folder = pickles[0].removesuffix("data.pkl")
        if members[pickles[0]].file_size > MAX_OUTLINE_BYTES:
            raise OutlineError(Message("has a list of contents over {size}", size=megabytes(MAX_OUTLINE_BYTES)))
        outline = _Outline(io.BytesIO(archive.read(pickles[0])))
        outline.read_pickle()
        order = members.get(f"{folder}byteorder")
        swapped = order is not None and (order.file_size > 10 or archive.read(order).decode() != sys.byteorder)
    for key, storage in outline.storages.items():
        held = members.get(f"{folder}data/{key}")
        if held is None or storage.count * storage.item_bytes > held.file_size:
            raise OutlineError(Message("is cut short or damaged: it claims more numbers than it holds"))
    if swapped and outline.bytes > MAX_WHOLE_BYTES:
        raise OutlineError(Message("is in another byte order and larger than {size}", size=megabytes(MAX_WHOLE_BYTES)))


def _check_directory(file: BinaryIO, size: int) -> None:
    """Check a zip's end record before its directory is read; it must be where torch writes it, to be unambiguous."""
    file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES - _END64_BYTES))
    tail = file.read()
    end = tail[-_END_BYTES:]
    if end[:4] != _END or end[-2:] != b"\0\0":
        raise _NoOutlineError
    length, start, stops = (*(int.from_bytes(end[at : at + 4], "little") for at in (12, 16)), size - _END_BYTES)
    if tail[-_END_BYTES - _LOCATOR_BYTES :][:4] == _LOCATOR and tail[:4] == _END64:
        length, start = (int.from_bytes(tail[at : at + 8], "little") for at in (40, 48))
        stops -= _LOCATOR_BYTES + _END64_BYTES
    if length > MAX_DIRECTORY_BYTES:
        raise OutlineError(Message("has a list of parts over {size}", size=megabytes(MAX_DIRECTORY_BYTES)))
    if start + length != stops:
        raise _NoOutlineError


def _check_legacy(file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(MAX_OUTLINE_BYTES)
    if head[:1] != b"\x80":
        raise _NoOutlineError
    outline = _Outline(io.BytesIO(head))
    try:
        for _ in range(_LEGACY_PICKLES):
            outline.read_pickle()
    except (ValueError, EOFError) as error:
        if len(head) < MAX_OUTLINE_BYTES or isinstance(error, OutlineError):
            raise
        raise OutlineError(Message("has a list of contents over {size}", size=megabytes(MAX_OUTLINE_BYTES))) from error
    if outline.position + outline.bytes + 8 * len(outline.storages) > size:  # each storage is preceded by its length
        raise OutlineError(Message("is cut short or damaged: it claims more numbers than it holds"))
    if outline.bytes > MAX_WHOLE_BYTES:
        raise OutlineError(
            Message("holds more than {size} and can only be read as a whole", size=megabytes(MAX_WHOLE_BYTES))
        )


class _Outline:
    """Interpreter of the instructions of protocol 2 that torch.save uses."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.storages: dict[str, _Storage] = {}
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._do: dict[str, Callable[[object], None]] = {
            "GLOBAL": self._name, "BINPERSID": self._persistent, "REDUCE": self._call, "BUILD": self._build,
            "MARK": lambda _: self._stack.append(_Mark()), "TUPLE": lambda _: self._stack.append(self._to_mark()),
            "APPEND": lambda _: self._append(self._pop(1)), "APPENDS": lambda _: self._append(self._to_mark()),
            "SETITEM": lambda _: self._set_items(self._pop(2)), "SETITEMS": lambda _: self._set_items(self._to_mark()),
            "BINPUT": self._put, "LONG_BINPUT": self._put, "BINGET": self._get, "LONG_BINGET": self._get,
            "EMPTY_DICT": lambda _: self._stack.append(_Mapping()), "STOP": lambda _: None, "PROTO": lambda _: None,
            "EMPTY_LIST": lambda _: self._stack.append(_Sequence()), "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "EMPTY_SET": lambda _: self._stack.append(_Thing()), "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True), "NEWFALSE": lambda _: self._stack.append(False),
        }  # fmt: skip
        self._do |= {f"TUPLE{count}": functools.partial(self._tuple, count) for count in (1, 2, 3)}
        constants = ("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "LONG1")
        self._do |= dict.fromkeys(constants, self._push)

    @property
    def bytes(self) -> int:
        """Size of all storages in bytes."""
        return sum(storage.count * storage.item_bytes for storage in self.storages.values())

    @property
    def position(self) -> int:
        """Offset in the file after the last instruction, in bytes."""
        return self._file.tell()

    def read_pickle(self) -> None:
        """Interpret one pickle to its end. Raises: OutlineError; ValueError and others if it is not a pickle."""
        self._stack.clear()
        self._memo.clear()
        for instruction, argument, _ in pickletools.genops(self._file):
            do = self._do.get(instruction.name)
            if do is None:
                raise _NoOutlineError  # another protocol, which torch does not read either
            do(argument)

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _tuple(self, count: int, _: object) -> None:
        self._stack.append(self._pop(count))

    def _pop(self, count: int) -> tuple[object, ...]:
        if len(self._stack) < count:
            raise _NoOutlineError
        values = tuple(self._stack[-count:])
        del self._stack[-count:]
        return values

    def _to_mark(self) -> tuple[object, ...]:
        values = []
        while not isinstance(value := self._stack.pop(), _Mark):
            values.append(value)
        return tuple(reversed(values))

    def _put(self, place: object) -> None:
        assert isinstance(place, int)
        self._memo[place] = self._stack[-1]

    def _get(self, place: object) -> None:
        assert isinstance(place, int)
        self._stack.append(self._memo[place])

    def _append(self, _: tuple[object, ...]) -> None:
        if not isinstance(self._stack[-1], _Sequence):
            raise _NoOutlineError

    def _set_items(self, items: tuple[object, ...]) -> None:
        if not isinstance(self._stack[-1], _Mapping) or not all(isinstance(key, str | int) for key in items[::2]):
            raise OutlineError(Message("holds something other than weights: a table whose keys are not names"))

    def _name(self, argument: object) -> None:
        name = str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)  # as in protocol 2
        if not (name.isascii() and name.isprintable() and len(name) < _LONGEST_NAME):
            raise _NoOutlineError
        if name.split(".")[0] not in _HARMLESS_PACKAGES:
            raise ForeignNameError(name)
        self._stack.append(_Name(name))

    def _build(self, _: object) -> None:
        target, state = self._pop(2)
        if not (isinstance(target, _Mapping) and isinstance(state, _Mapping)):
            raise OutlineError(Message("holds something other than weights: an object with its own state"))
        self._stack.append(target)

    def _call(self, _: object) -> None:
        called, arguments = self._pop(2)
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise _NoOutlineError
        if called.name == _ORDERED_DICT and not arguments:
            self._stack.append(_Mapping())
        elif called.name == _TENSOR and len(arguments) == 6:
            self._stack.append(_tensor(*arguments[:4]))
        elif called.name == _PARAMETER and isinstance(arguments[0], _Tensor):
            self._stack.append(arguments[0])
        elif called.name == "torch.Size" and len(arguments) == 1 and _is_integers(arguments[0]):
            self._stack.append(_Thing())
        else:
            raise OutlineError(Message("holds something other than weights: {name}", name=called.name))

    def _persistent(self, _: object) -> None:
        """Describe a storage: ("storage", type, key, place, count), plus the used part in the older format."""
        (numbers,) = self._pop(1)
        if not isinstance(numbers, tuple) or len(numbers) not in (5, 6) or numbers[0] != "storage":
            raise _NoOutlineError
        kind, key, place, count = numbers[1:5]
        if not (isinstance(kind, _Name) and kind.name in _STORAGES):
            raise OutlineError(Message("holds something other than weights: numbers of an unusual type"))
        if not (isinstance(key, str) and isinstance(place, str) and isinstance(count, int) and count >= 0):
            raise _NoOutlineError
        storage = self.storages.setdefault(key, _Storage(count, _STORAGES[kind.name]))
        if len(numbers) == 6 and (part := numbers[5]) is not None:
            if not (isinstance(part, tuple) and len(part) == 3 and isinstance(part[0], str) and _is_integers(part[1:])):
                raise _NoOutlineError
            if part[1] + part[2] > storage.count:
                raise OutlineError(Message("is cut short or damaged: it claims more numbers than it holds"))
            storage = _Storage(part[2], storage.item_bytes)
        self._stack.append(storage)


def _tensor(storage: object, offset: object, shape: object, stride: object) -> _Tensor:
    """Check that a tensor lies within its storage and has no more elements than that."""
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise OutlineError(Message("holds something other than weights: a tensor of an unusual kind"))
    if not _is_integers((offset, *shape, *stride)) or len(shape) != len(stride):
        raise _NoOutlineError
    assert isinstance(offset, int)
    if 0 in shape:
        return _Tensor()
    count = 1
    for side in shape:
        count *= side
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if count > storage.count or last >= storage.count:
        raise OutlineError(Message("holds a tensor larger than what is stored for it"))
    return _Tensor()


def _is_integers(values: object) -> bool:
    """Return whether these are integers in [0, 2**62), the range torch can index."""
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**62 for value in values)
