"""Portraits that are prepared before they are asked for, and kept from start to start."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from live_fakes import FakeLiveEngine, Rig

from avatar.engines.base import Checkpoint
from avatar.images.box import Box
from avatar.library.prepared import PreparedStore
from avatar.live import engine_manager
from avatar.live.config import LiveConfig
from avatar.live.events import AvatarReady, AvatarRefused
from avatar.live.portrait_cache import cache_key
from avatar.live.preparation import yield_to_others
from avatar.portrait.source import Likeness, PortraitSource


class Keepable(FakeLiveEngine):
    """Prepares what can be kept."""

    def prepare(
        self, source: PortraitSource, config: LiveConfig, *, use_second_core: bool, checkpoint: Checkpoint
    ) -> Box:
        super().prepare(source, config, use_second_core=use_second_core, checkpoint=checkpoint)
        return Box(len(config.avatar), 0, 0, 0)


class LongSteps(Keepable):
    """Prepares a portrait named two until it is told that they are not wanted."""

    steps = 0

    def prepare(
        self, source: PortraitSource, config: LiveConfig, *, use_second_core: bool, checkpoint: Checkpoint
    ) -> Box:
        until_s = time.monotonic() + 20
        while "two" in config.avatar and time.monotonic() < until_s:
            checkpoint()
            self.steps += 1
            time.sleep(0.01)
        return super().prepare(source, config, use_second_core=use_second_core, checkpoint=checkpoint)


def rig_with(folder: Path, store: PreparedStore, kind: type[FakeLiveEngine] = Keepable) -> Rig:
    rig = Rig(folder)
    for image in (rig.portrait, rig.other, rig.faceless):
        os.utime(image, (1000, 1000))  # the rig writes them anew
    rig.engine_kind = kind
    manager = rig.pipeline._engine.manager
    manager._store = store
    return rig


def prepared(rig: Rig) -> list[str]:
    return [name for engine in rig.engines for name in engine.prepared]


def wait(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_after_a_restart_nothing_is_prepared_again(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path / "store")
    with rig_with(tmp_path, store) as rig:
        rig.wait_for(AvatarReady)
        assert len(prepared(rig)) == 1
    with rig_with(tmp_path, store) as rig:
        rig.wait_for(AvatarReady)
        assert prepared(rig) == []
        rig.change(avatar=str(rig.other))
        rig.wait_for(AvatarReady, 2)
        assert prepared(rig) == [str(rig.other)]


def test_those_that_come_next_are_prepared_while_nothing_else_is_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_manager, "QUIET_S", 0.05)
    with rig_with(tmp_path, PreparedStore(tmp_path / "store")) as rig:
        rig.wait_for(AvatarReady)
        rig.pipeline.prepare_ahead([str(rig.faceless), "nobody", str(rig.other)])
        wait(lambda: str(rig.other) in prepared(rig))
        rig.change(avatar=str(rig.other))
        ready = rig.wait_for(AvatarReady, 2)
        assert ready.name == str(rig.other) and prepared(rig).count(str(rig.other)) == 1


def test_four_quick_wishes_end_at_the_last(tmp_path: Path) -> None:
    with rig_with(tmp_path, PreparedStore(tmp_path / "store")) as rig:
        rig.wait_for(AvatarReady)
        config = rig.pipeline.config
        for avatar in (rig.other, rig.portrait, rig.faceless, rig.other):
            rig.pipeline.apply(dataclasses.replace(config, avatar=str(avatar)))
        wait(lambda: rig.pipeline._engine.manager.shown.avatar == str(rig.other))  # type: ignore[union-attr]
        assert rig.pipeline.statistics().avatar == str(rig.other)


def test_another_wish_ends_the_preparing_of_one_that_is_no_longer_wanted(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path / "store")
    with rig_with(tmp_path, store, LongSteps) as rig:
        rig.wait_for(AvatarReady)
        rig.change(avatar=str(rig.other))
        wait(lambda: rig.engine.steps > 3)  # type: ignore[attr-defined]
        rig.change(avatar=str(rig.faceless))
        refused = rig.wait_for(AvatarRefused)
        assert refused.name == str(rig.faceless) and not rig.of(AvatarReady)[1:]
        assert str(rig.other) not in prepared(rig) and len(list(store.folder.iterdir())) == 1


def test_a_portrait_that_is_prepared_ahead_gives_way_to_another_wish_but_not_to_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_manager, "QUIET_S", 0.05)
    with rig_with(tmp_path, PreparedStore(tmp_path / "store"), LongSteps) as rig:
        rig.wait_for(AvatarReady)
        for wish, goes_on in ((rig.other, True), (rig.faceless, False)):
            rig.pipeline.prepare_ahead([str(rig.other)])
            before = rig.engine.steps  # type: ignore[attr-defined]
            wait(lambda: rig.engine.steps > before + 3)  # type: ignore[attr-defined]  # noqa: B023
            rig.change(avatar=str(wish))
            if goes_on:
                before = rig.engine.steps  # type: ignore[attr-defined]
                wait(lambda: rig.engine.steps > before + 3)  # type: ignore[attr-defined]  # noqa: B023
                rig.change(avatar=str(rig.portrait))
                rig.wait_for(AvatarReady, 2)
            else:
                assert rig.wait_for(AvatarRefused).name == str(rig.faceless)


@pytest.mark.parametrize("ahead", [False, True])
def test_the_end_of_the_program_ends_a_preparation_and_keeps_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    monkeypatch.setattr(engine_manager, "QUIET_S", 0.05)
    store = PreparedStore(tmp_path / "store")
    with rig_with(tmp_path, store, LongSteps) as rig:
        rig.wait_for(AvatarReady)
        if ahead:
            rig.pipeline.prepare_ahead([str(rig.other)])
        else:
            rig.change(avatar=str(rig.other))
        wait(lambda: rig.engine.steps > 3)  # type: ignore[attr-defined]
        assert rig.pipeline.stop(2.0)
        assert len(list(store.folder.iterdir())) == 1, "the first one alone, whole"
        assert not rig.of(AvatarRefused)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities per thread")
def test_preparation_yields_to_the_program_whatever_its_own_priority() -> None:
    asked: list[int] = []

    def prepare() -> None:
        for _ in range(3):  # the next portrait does not sink deeper
            yield_to_others()
            asked.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=prepare)
    thread.start()
    thread.join()
    program = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert asked == [min(19, program + 2)] * 3


def test_a_name_is_one_portrait_whichever_case_it_has(tmp_path: Path) -> None:
    """The settings begin with "astronaut", its tile says "Astronaut"."""
    likeness = Likeness(tmp_path / "portrait.png")
    likeness.path.write_bytes(b"")
    keys = [cache_key(likeness, LiveConfig(avatar=name)) for name in ("astronaut", "Astronaut", "astronauts")]
    assert keys[0] == keys[1] != keys[2]
