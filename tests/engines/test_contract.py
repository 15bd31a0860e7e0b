"""What every engine of the registry promises: see `avatar.engines.base.Engine`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from motion_samples import make_face

from avatar.engines.base import Driving, DrivingInput, Engine, EngineConfig, ImageEngine, LayeredEngine, Portrait
from avatar.engines.registry import ENGINES, ENTRIES, check_config, create_engine, find_engine
from avatar.errors import EngineError, UsageError
from avatar.frames import RgbImage
from avatar.settings import MotionSettings

SIDE = 160


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small First Order Motion Model with random weights."""
    from fomm_samples import authors_state, sample_model, save_checkpoint

    path = tmp_path_factory.mktemp("models") / "small-cpk.pth.tar"
    return save_checkpoint(path, authors_state(sample_model("other blocks"), pruned=True))


@pytest.fixture(scope="module")
def live_portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small LivePortrait with random weights, in the authors' five files."""
    from liveportrait_samples import small_model, write_files

    folder = tmp_path_factory.mktemp("liveportrait")
    write_files(small_model(), folder)
    return folder


@pytest.fixture(params=ENGINES)
def config(request: pytest.FixtureRequest, checkpoint: Path, live_portrait: Path) -> EngineConfig:
    """How each engine is opened, with a small model where it takes one."""
    models = {"fomm": checkpoint, "liveportrait": live_portrait}
    assert models.keys() == {name for name, entry in ENTRIES.items() if entry.takes_models}
    return EngineConfig(request.param, models.get(request.param))


@pytest.fixture
def engine(config: EngineConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    if config.name == "liveportrait":  # exact: random weights amplify what half precision rounds
        import torch

        monkeypatch.setattr("avatar.liveportrait.fast.faster_precision", lambda device: torch.float32)
    opened = create_engine(config)
    yield opened
    opened.close()


def portrait(seed: int = 0) -> Portrait:
    """Somebody on a smooth picture."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    waves = [128 + 90 * np.sin((rows * (1 + channel) + columns * (2 + seed)) / 23) for channel in range(3)]
    return Portrait(np.stack(waves, axis=2).astype(np.uint8), make_face(scale=38, centre=(SIDE / 2, SIDE / 2)))


def test_the_person_of_every_frame_can_be_laid_over_another_background(engine: Engine, config: EngineConfig) -> None:
    """Frame = person + what the matte leaves of the background, so that another can be put in its place."""
    assert isinstance(engine, LayeredEngine)
    with pytest.raises(EngineError):
        engine.background()
    engine.show(engine.prepare(replace(portrait(), separate=True)))
    with pytest.raises(EngineError):
        engine.matte()
    rgb = engine.draw(driven(engine, 0))
    engine.draw(driven(engine, 0))
    matte, background = engine.matte(), engine.background()
    assert matte is not None and background is not None
    assert matte.shape == rgb.shape[:2] and background.shape == rgb.shape and matte.dtype == np.uint8
    assert matte[SIDE // 2, SIDE // 2] == 255 and matte[:4, :4].max() < 128
    if config.name == "warp":  # the others draw noise with random weights
        assert np.abs(rgb.astype(int) - background)[matte == 0].mean() < 4, "without the person it is the background"
    assert engine.background() is background
    engine.draw(driven(engine, 25))
    moved = engine.matte()
    assert moved is not None and not np.array_equal(moved, matte), "it moves with the head"


class _EnoughError(Exception):
    """The test's own reason to end a preparation."""


@pytest.mark.parametrize("use_second_core", [False, True])
def test_preparing_ends_at_any_of_its_checkpoints(engine: Engine, use_second_core: bool) -> None:
    calls = 0

    def prepare(stop_at: int) -> None:
        nonlocal calls
        calls = 0

        def checkpoint() -> None:
            nonlocal calls
            calls += 1
            if calls >= stop_at:
                raise _EnoughError

        engine.prepare(replace(portrait(), separate=True, checkpoint=checkpoint), use_second_core=use_second_core)

    prepare(10**6)
    steps = calls
    assert steps >= 5, "each of them is short"
    for stop_at in range(1, steps + 1, 3):
        with pytest.raises(_EnoughError):
            prepare(stop_at)
        assert calls <= stop_at + 1, "at most the other core's step goes on"
    shown(engine, replace(portrait(), separate=True)).draw(driven(engine, 0))


def test_a_portrait_without_a_face_keeps_its_background(engine: Engine) -> None:
    if engine.wants is DrivingInput.FACE:
        return
    assert isinstance(engine, LayeredEngine)
    faceless = replace(portrait(), face=None, separate=True)
    shown(engine, faceless).draw(driven(engine, 0))
    assert engine.background() is None and engine.matte() is None
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[40:120, 30:130] = 255
    shown(engine, replace(faceless, alpha=alpha)).draw(Driving())
    matte = engine.matte()
    assert matte is not None and np.array_equal(matte, alpha), "drawn without a driver it is at rest"


def driven(engine: Engine, yaw: float, **changes: Any) -> Driving:
    """A driver turned by `yaw` degrees, as the engine wants to be told."""
    if engine.wants is DrivingInput.FACE:
        return Driving(face=make_face(yaw=yaw), **changes)
    image = np.asarray(np.roll(portrait(5).rgb, round(yaw), axis=1))
    return Driving(image=image, **changes)


def shown(engine: Engine, source: Portrait | None = None, size_px: int | None = None) -> Engine:
    engine.show(engine.prepare(source or portrait(), size_px))
    return engine


def test_the_default_is_there_and_needs_no_model() -> None:
    assert ENGINES[0] == EngineConfig().name == "warp" and not ENTRIES["warp"].takes_models
    with pytest.raises(EngineError, match="no engine called"):
        find_engine("deepfake")


def test_an_entry_says_what_the_open_engine_is(config: EngineConfig, engine: Engine) -> None:
    entry = find_engine(config.name)
    assert entry.from_images == engine.wants.is_image == isinstance(engine, ImageEngine)
    assert engine.facts.engine == entry.name and engine.facts.device and engine.facts.precision
    assert all(isinstance(note, str) and note for note in engine.notes)


@pytest.mark.parametrize("given", [{"model": "vox"}, {"config": "vox"}], ids=str)
def test_what_an_engine_cannot_use_is_refused_before_anything_is_loaded(given: dict[str, Any]) -> None:
    for name, entry in ENTRIES.items():
        if entry.takes_models:
            check_config(EngineConfig(name, **given))
        else:
            with pytest.raises(UsageError, match="belong"):
                check_config(EngineConfig(name, **given))
            with pytest.raises(EngineError, match="processor"):
                check_config(EngineConfig(name, device="cuda"))


def test_without_a_portrait_there_is_nothing_to_draw(engine: Engine) -> None:
    with pytest.raises(EngineError, match="no portrait"):
        engine.draw(driven(engine, 0))


@pytest.mark.parametrize("size_px", [None, 96, 200])
def test_frames_have_the_size_that_was_asked_for(engine: Engine, size_px: int | None) -> None:
    shown(engine, size_px=size_px).calibrate(driven(engine, 0))
    rgb = engine.draw(driven(engine, 8))
    side = size_px or SIDE
    assert rgb.shape == (side, side, 3) and rgb.dtype == np.uint8


def test_a_frame_belongs_to_whoever_asked_and_the_portrait_to_its_owner(engine: Engine) -> None:
    source, driving = portrait(), driven(engine, 9)
    source.rgb.setflags(write=False)
    shown(engine, source).calibrate(driven(engine, 0))
    first = engine.draw(driving)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(engine.draw(driving), kept)
    held = engine.draw(Driving())
    held[:] = 0
    assert np.array_equal(engine.draw(driving), kept)


def test_the_first_driver_is_the_reference_until_another_is_kept(engine: Engine) -> None:
    shown(engine)
    first = engine.draw(driven(engine, 0))
    assert np.abs(engine.draw(driven(engine, 12)).astype(int) - first).max() > 3
    engine.calibrate(driven(engine, 12))
    assert np.abs(engine.draw(driven(engine, 12)).astype(int) - first).max() <= 2


def test_without_strength_nothing_moves_and_with_it_again(engine: Engine) -> None:
    shown(engine).calibrate(driven(engine, 0))
    rest, moved = engine.draw(driven(engine, 0)), engine.draw(driven(engine, 12))
    engine.set_motion(MotionSettings(strength_head=0, strength_expression=0))
    assert np.abs(engine.draw(driven(engine, 12)).astype(int) - rest).max() <= 2
    engine.set_motion(MotionSettings())
    assert np.array_equal(engine.draw(driven(engine, 12)), moved)


def test_a_driver_who_is_not_seen_leaves_the_last_frame(engine: Engine) -> None:
    shown(engine).calibrate(driven(engine, 0))
    moved = engine.draw(driven(engine, 10))
    assert np.array_equal(engine.draw(Driving()), moved)


def test_before_any_driver_the_portrait_is_at_rest(engine: Engine) -> None:
    source = portrait()
    drawn = shown(engine, source).draw(Driving())
    assert np.abs(drawn.astype(int) - source.rgb).mean() < 1


def test_another_portrait_keeps_the_reference(engine: Engine) -> None:
    shown(engine, portrait(1)).calibrate(driven(engine, 0))
    rest = engine.draw(driven(engine, 0))
    engine.draw(driven(engine, 14))
    shown(engine, portrait(2))
    other = engine.draw(driven(engine, 0))
    assert np.abs(other.astype(int) - rest).max() > 10
    shown(engine, portrait(1))
    assert np.array_equal(engine.draw(driven(engine, 0)), rest)


def test_a_portrait_is_prepared_on_another_thread_while_frames_are_drawn(engine: Engine) -> None:
    shown(engine).calibrate(driven(engine, 0))
    expected = engine.draw(driven(engine, 7))
    prepared: list[Any] = []
    thread = threading.Thread(target=lambda: prepared.append(engine.prepare(portrait(3), use_second_core=False)))
    thread.start()
    drawn: list[RgbImage] = [engine.draw(driven(engine, 7))]
    while thread.is_alive():
        drawn.append(engine.draw(driven(engine, 7)))
    assert all(np.array_equal(rgb, expected) for rgb in drawn)
    engine.show(prepared[0])
    assert not np.array_equal(engine.draw(driven(engine, 7)), expected)


def test_the_same_frames_come_out_of_a_second_engine(config: EngineConfig, engine: Engine) -> None:
    other = create_engine(config)
    frames = []
    for each in (engine, other):
        shown(each).calibrate(driven(each, 2))
        frames.append([each.draw(driven(each, yaw)) for yaw in (2, 9, -6)])
    other.close()
    assert all(np.array_equal(one, two) for one, two in zip(*frames, strict=True))


@pytest.mark.parametrize("portrait_px", [(64, 200), (200, 64)])
def test_a_portrait_of_any_shape_will_do(engine: Engine, portrait_px: tuple[int, int]) -> None:
    width, height = portrait_px
    face = make_face(scale=14, centre=(width / 2, height / 2))
    shown(engine, Portrait(plain(140, portrait_px), face)).calibrate(driven(engine, 0))
    assert engine.draw(driven(engine, 5)).shape == (height, width, 3)


def test_a_closed_engine_draws_no_more_and_closes_twice(engine: Engine) -> None:
    shown(engine)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="no portrait"):
        engine.draw(driven(engine, 0))


def of_images(engine: Engine) -> ImageEngine:
    if not isinstance(engine, ImageEngine):
        pytest.skip(f"{engine.facts.engine} draws from faces")
    return engine


def test_an_engine_of_images_finds_the_frame_most_like_the_portrait(engine: Engine) -> None:
    images = of_images(engine)
    with pytest.raises(EngineError, match="no portrait"):
        images.distance(portrait().rgb)
    shown(images)
    assert images.distance(portrait().rgb) < images.distance(np.ascontiguousarray(portrait(4).rgb[::-1]))


def test_an_engine_of_images_shows_its_motion(config: EngineConfig, engine: Engine) -> None:
    images = of_images(engine)
    if not find_engine(config.name).has_panels:
        pytest.skip(f"{config.name} shows no motion")
    with pytest.raises(EngineError, match="Nothing was drawn"):
        images.panels(64)
    shown(images).draw(driven(images, 3))
    assert images.panels(64).shape == (64, 64, 3)
