"""What a checkpoint's pickle asks for, read before torch acts on it: names, tensors and the room they need.

torch's reader (`weights_only`) runs no code of the file's, but sets no bound to the memory and time that a file may ask
for. So the pickle's instructions are followed here first, with placeholders for objects, and everything that a state
dict does not need is refused.
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

from avatar.limits import MAX_DIRECTORY_BYTES, MAX_OUTLINE_BYTES, MAX_WHOLE_BYTES, megabytes

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
_HARMLESS_PACKAGES = ("torch", "collections", "builtins", "_codecs")  # named by torch.save for what is no weight


class OutlineError(ValueError):
    """Why the file is not read; half a sentence that follows its name."""


class ForeignNameError(OutlineError):
    """The pickle names something to be run."""


class _NoOutlineError(Exception):
    """The bytes are no pickle of the kind that torch writes."""


@dataclass(frozen=True)
class _Name:
    """Something that the pickle names and may call."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A run of numbers of one type."""

    count: int
    item_bytes: int


class _Thing:
    """A placeholder: what it holds does not matter."""

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
    """Check what a pickled checkpoint asks for against what the file holds and against the budgets.

    Args:
        path: a file of `torch.save`, of either kind.
    Returns:
        Whether the file is a zip, whose storages need not be read to be used.
    Raises:
        OutlineError: it asks for more than it holds, for more than the budget, or for something else than weights.
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
        raise OutlineError("is damaged or no checkpoint at all") from error


def _check_zip(file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise OutlineError("holds compressed parts, which torch never writes")
        if len(members) < len(archive.infolist()) or sum(member.file_size for member in members.values()) > size:
            raise OutlineError("is damaged: it claims to hold more than its own size")
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise _NoOutlineError
        folder = pickles[0].removesuffix("data.pkl")
        if members[pickles[0]].file_size > MAX_OUTLINE_BYTES:
            raise OutlineError(f"has a list of contents over {megabytes(MAX_OUTLINE_BYTES)}")
        outline = _Outline(io.BytesIO(archive.read(pickles[0])))
        outline.read_pickle()
        order = members.get(f"{folder}byteorder")
        swapped = order is not None and (order.file_size > 10 or archive.read(order).decode() != sys.byteorder)
    for key, storage in outline.storages.items():
        held = members.get(f"{folder}data/{key}")
        if held is None or storage.count * storage.item_bytes > held.file_size:
            raise OutlineError("is cut short or damaged: it claims more numbers than it holds")
    if swapped and outline.bytes > MAX_WHOLE_BYTES:
        raise OutlineError(f"is in another byte order and larger than {megabytes(MAX_WHOLE_BYTES)}")


def _check_directory(file: BinaryIO, size: int) -> None:
    """Look at a zip's end before its list of members is read; only where torch puts them, so that all agree on it."""
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
        raise OutlineError(f"has a list of parts over {megabytes(MAX_DIRECTORY_BYTES)}")
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
        raise OutlineError(f"has a list of contents over {megabytes(MAX_OUTLINE_BYTES)}") from error
    if outline.position + outline.bytes + 8 * len(outline.storages) > size:  # each begins with its length
        raise OutlineError("is cut short or damaged: it claims more numbers than it holds")
    if outline.bytes > MAX_WHOLE_BYTES:
        raise OutlineError(f"holds more than {megabytes(MAX_WHOLE_BYTES)} and can only be read as a whole")


class _Outline:
    """Follows the instructions of protocol 2, as far as torch.save uses them."""

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
        """Of all storages."""
        return sum(storage.count * storage.item_bytes for storage in self.storages.values())

    @property
    def position(self) -> int:
        """In the file, in bytes: behind what was read."""
        return self._file.tell()

    def read_pickle(self) -> None:
        """Follow one pickle to its end. Raises: OutlineError, ValueError and others where it is none."""
        self._stack.clear()
        self._memo.clear()
        for instruction, argument, _ in pickletools.genops(self._file):
            do = self._do.get(instruction.name)
            if do is None:
                raise _NoOutlineError  # of another protocol, which torch does not read either
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
            raise OutlineError("holds something else than weights: a table whose keys are no names")

    def _name(self, argument: object) -> None:
        name = str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)  # as protocol 2 has it
        if not (name.isascii() and name.isprintable() and len(name) < _LONGEST_NAME):
            raise _NoOutlineError
        if name.split(".")[0] not in _HARMLESS_PACKAGES:
            raise ForeignNameError(name)
        self._stack.append(_Name(name))

    def _build(self, _: object) -> None:
        target, state = self._pop(2)
        if not (isinstance(target, _Mapping) and isinstance(state, _Mapping)):
            raise OutlineError("holds something else than weights: an object with a state of its own")
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
            raise OutlineError(f"holds something else than weights: {called.name}")

    def _persistent(self, _: object) -> None:
        """A storage: ("storage", type, key, place, count), and in the older kind which part of it is meant."""
        (numbers,) = self._pop(1)
        if not isinstance(numbers, tuple) or len(numbers) not in (5, 6) or numbers[0] != "storage":
            raise _NoOutlineError
        kind, key, place, count = numbers[1:5]
        if not (isinstance(kind, _Name) and kind.name in _STORAGES):
            raise OutlineError("holds something else than weights: numbers of an unusual type")
        if not (isinstance(key, str) and isinstance(place, str) and isinstance(count, int) and count >= 0):
            raise _NoOutlineError
        storage = self.storages.setdefault(key, _Storage(count, _STORAGES[kind.name]))
        if len(numbers) == 6 and (part := numbers[5]) is not None:
            if not (isinstance(part, tuple) and len(part) == 3 and isinstance(part[0], str) and _is_integers(part[1:])):
                raise _NoOutlineError
            if part[1] + part[2] > storage.count:
                raise OutlineError("is cut short or damaged: it claims more numbers than it holds")
            storage = _Storage(part[2], storage.item_bytes)
        self._stack.append(storage)


def _tensor(storage: object, offset: object, shape: object, stride: object) -> _Tensor:
    """A tensor that lies within its storage and shows each number of it once at most."""
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise OutlineError("holds something else than weights: a tensor of an unusual kind")
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
        raise OutlineError("holds a tensor larger than what is stored for it")
    return _Tensor()


def _is_integers(values: object) -> bool:
    """Whether these are whole numbers from 0 that torch can count with."""
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**62 for value in values)
