from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from avatar.images.box import Box
from avatar.settings import Place
from avatar.system.tree_file import UnfitError, pack, read, unpack

HERE = ["avatar.images", "avatar.settings"]


def again(value: Any) -> Any:
    box = Box(1, 2, 3, 4)
    vars(box)["left"] = value
    return unpack(pack(box), HERE).left


@pytest.mark.parametrize(
    "value",
    [None, True, 7, -2.5, float("inf"), "words", (1, (2.0, "x")), [1, [2]], {"a": 1, "b": (2,)}, slice(1, None, 2)],
)
def test_plain_values_come_back(value: Any) -> None:
    found = again(value)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "int64", "float32", "float64"])
def test_arrays_come_back_and_can_be_written(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)[:, ::-1]
    found = again(array)
    assert np.array_equal(found, array) and found.dtype == array.dtype and found.flags.writeable
    assert again(np.float32(0.5)) == np.float32(0.5) and isinstance(again(np.float32(0.5)), np.float32)
    assert again(np.zeros((0, 2), dtype)).shape == (0, 2)


def test_what_hangs_in_two_places_is_one_thing_afterwards() -> None:
    array, box = np.arange(3), Box(0, 0, 1, 1)
    first, second, third, fourth = again((array, array, box, box))
    assert first is second and third is fourth


@pytest.mark.parametrize("value", [object(), Path("x"), lambda: 1, {1}, b"x"])
def test_anything_else_is_not_kept(value: Any) -> None:
    with pytest.raises(UnfitError):
        again(value)


def test_only_allowed_classes_are_made() -> None:
    content = pack(Place(2.0))
    assert unpack(content, HERE) == Place(2.0)
    for modules in ([], ["avatar.images"], ["avatar.set"]):
        with pytest.raises(UnfitError):
            unpack(content, modules)


def forged(tree: Any) -> bytes:
    import hashlib

    body = save({}, {"tree": json.dumps(tree)})
    return hashlib.sha256(body).digest() + body


@pytest.mark.parametrize(
    "record",
    [["os", "system"], ["avatar.settings", "os"], ["avatar.settings", "load_settings"],
     ["avatar.settings", "re.compile"], ["avatar.settings", "__doc__"], ["avatar.settings.x", "y"],
     ["avatar.settings", "nothing"]],
)  # fmt: skip
def test_no_text_reaches_a_function(record: list[str]) -> None:
    with pytest.raises((UnfitError, ImportError)):
        unpack(forged({"record": record, "number": 0, "fields": {}}), HERE)


@pytest.mark.parametrize(
    "tree", [{"array": 5, "shape": [1]}, {"same": 3}, {"list": 3}, {"what": 1}, {"tuple": [{"x": 1}]}]
)
def test_nonsense_is_refused(tree: Any) -> None:
    with pytest.raises(UnfitError):
        unpack(forged(tree), HERE)


def test_damage_is_seen(tmp_path: Path) -> None:
    content = bytearray(pack(Place()))
    content[-3] ^= 1
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UnfitError):
        read(tmp_path / "x", HERE)
    for cut in (0, 10, 40):
        (tmp_path / "x").write_bytes(bytes(content[:cut]))
        with pytest.raises(UnfitError):
            read(tmp_path / "x", HERE)
