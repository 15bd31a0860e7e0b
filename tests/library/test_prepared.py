from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face

from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.registry import create_engine
from avatar.images.box import Box
from avatar.library import prepared
from avatar.library.prepared import PreparedStore


@pytest.fixture
def store(tmp_path: Path) -> PreparedStore:
    return PreparedStore(tmp_path / "prepared")


def test_a_portrait_that_comes_back_draws_the_same(store: PreparedStore) -> None:
    """The whole of what the warp engine prepares, through the file."""
    rows, columns = np.mgrid[0:160, 0:160].astype(np.float32)
    rgb = np.stack([128 + 90 * np.sin((rows * (1 + each) + columns * 2) / 23) for each in range(3)], 2).astype(np.uint8)
    engine, other = create_engine(EngineConfig()), create_engine(EngineConfig())
    made = engine.prepare(Portrait(rgb, make_face(scale=38, centre=(80, 80))))
    store.keep("somebody", made)
    found = store.find("somebody")
    assert found is not None
    engine.show(made)
    other.show(found)
    for yaw in (0, 12, -20, 5):
        driving = Driving(face=make_face(yaw=yaw), frame_width_px=640)
        assert np.array_equal(engine.draw(driving), other.draw(driving))


def test_what_is_not_there_is_not_found(store: PreparedStore) -> None:
    assert store.find("x") is None and not store.has("x")
    store.keep("x", Box(1, 2, 3, 4))
    assert store.find("x") == Box(1, 2, 3, 4) and store.has("x") and store.find("y") is None
    store.clear()
    assert store.find("x") is None


def test_only_the_user_can_read_them(store: PreparedStore) -> None:
    store.keep("x", Box(1, 2, 3, 4))
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}
        assert store.folder.stat().st_mode & 0o777 == 0o700


def test_the_one_not_used_for_longest_goes(store: PreparedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.keep(0, Box(0, 0, 0, 0))
    size = next(store.folder.iterdir()).stat().st_size
    monkeypatch.setattr(prepared, "MAX_BYTES", 3 * size + size // 2)
    for key in (1, 2):
        store.keep(key, Box(key, 0, 0, 0))
    for age, key in enumerate((1, 2, 0)):
        os.utime(store._path(key), (1000 + age, 1000 + age))
    store.find(1)
    store.keep(3, Box(3, 0, 0, 0))
    assert [key for key in range(4) if store.has(key)] == [0, 1, 3]


def test_another_version_finds_nothing(store: PreparedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.keep("x", Box(1, 2, 3, 4))
    monkeypatch.setattr(prepared, "_code_digest", lambda: "another")
    assert store.find("x") is None


def test_damage_costs_one_file(store: PreparedStore) -> None:
    store.keep("x", Box(1, 2, 3, 4))
    store._path("x").write_bytes(b"nothing")
    assert store.find("x") is None and not store.has("x")


def test_no_folder_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PreparedStore(tmp_path / "file")
    store.keep("x", Box(1, 2, 3, 4))
    assert store.find("x") is None
    store.clear()


def test_what_cannot_be_kept_is_not(store: PreparedStore) -> None:
    store.keep("x", {"a thing": object()})
    assert store.find("x") is None


def test_what_was_made_of_an_image_is_forgotten_with_it(store: PreparedStore, tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    for image in (one, other):
        image.touch()
        for key in (1, 2):
            store.keep(key, Box(key, 0, 0, 0), image)
    store.keep(1, Box(1, 0, 0, 0))
    store.forget(one)
    assert not store.has(1, one) and not store.has(2, one)
    assert store.has(1, other) and store.has(2, other) and store.has(1)
    assert not any("one" in path.name for path in store.folder.iterdir())


def test_a_portrait_whose_avatar_went_while_it_was_prepared_is_not_kept(store: PreparedStore, tmp_path: Path) -> None:
    store.keep(1, Box(1, 0, 0, 0), tmp_path / "gone.png")
    assert list(store.folder.iterdir()) == []
