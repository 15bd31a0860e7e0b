"""LivePortrait in the pipeline: its framing, the moment of a guided calibration, and what is told of a slow engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import plain
from live_fakes import FakeLiveEngine, Rig
from liveportrait_samples import small_model
from motion_samples import make_face

from avatar.engines.base import Driving, EngineConfig
from avatar.engines.liveportrait.engine import LivePortraitEngine
from avatar.engines.liveportrait.framing import DRIVER
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.live.calibration import LOOK_S, Calibration
from avatar.live.config import LiveConfig
from avatar.live.events import EngineReady, EngineSlow
from avatar.live.live_engine import LiveEngine
from avatar.live.motion_source import DrivingState, MotionSource
from avatar.live.observation import Observation
from avatar.live.terminal import as_text
from avatar.motion.idle import load_idle
from avatar.portrait.source import PortraitSource
from avatar.settings import CanvasSettings

CONFIG = LiveConfig(engine="liveportrait", canvas=CanvasSettings(160, 120))
FACE = make_face(scale=60, centre=(128, 110))


def waves(seed: float) -> RgbImage:
    rows, columns = np.mgrid[0:256, 0:256].astype(np.float32)
    return np.stack(
        [128 + 90 * np.sin((rows * (1 + channel) + columns * (2 + seed)) / 23) for channel in range(3)], axis=2
    ).astype(np.uint8)


@pytest.fixture
def live() -> Iterator[LiveEngine]:
    made = LiveEngine(LivePortraitEngine(EngineConfig("liveportrait"), model=small_model()), CONFIG.motion)
    source = PortraitSource(waves(0), None, (FACE,), Box(0, 0, 256, 256), True)
    made.show(made.prepare(source, CONFIG))
    yield made
    made.close()


def state(image: RgbImage | None, reference: RgbImage, **changes: Any) -> DrivingState:
    return DrivingState(FACE, FACE, True, image, reference, **changes)


def test_it_asks_for_its_own_square(live: LiveEngine) -> None:
    assert live.framing is DRIVER and live.needs_face


def test_at_the_reference_it_rests_moves_from_there_and_holds_without_an_image(live: LiveEngine) -> None:
    reference = waves(1)
    rest = live.draw(state(reference, reference), 160, 0.0)
    moved = live.draw(state(waves(3), reference), 160, 0.1)
    assert rest.shape == (120, 120, 3) and np.abs(moved.astype(int) - rest).max() > 3
    assert np.array_equal(live.draw(state(None, reference), 160, 0.2), moved)
    assert np.array_equal(live.draw(state(reference, reference), 160, 0.3), rest)


def test_the_reference_is_the_mean_over_the_moment(live: LiveEngine) -> None:
    engine = live.engine
    assert isinstance(engine, LivePortraitEngine)
    images = tuple(waves(seed) for seed in (1, 1.5, 2))
    live.draw(state(images[0], images[0], reference_moment=images[1:]), 160, 0.0)
    assert engine._reference is not None
    model = small_model()
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    expected = model.motion(stacked)
    assert torch.allclose(engine._reference.motion.expression[0], expected.expression.mean(dim=0), atol=1e-5)
    engine.calibrate(Driving(face=FACE, image=images[0]))
    assert torch.allclose(engine._reference.motion.expression[0], expected.expression[0], atol=1e-5)


def test_a_guided_calibration_hands_on_the_images_of_its_moment() -> None:
    calibration = Calibration(lambda event: None)
    source = MotionSource(calibration, load_idle())
    calm, now_s = make_face(yaw=2), 10.0
    calibration.observe(Observation(calm, plain(1, (8, 8))), now_s)
    assert source.drive(None, now_s).reference_moment == ()
    calibration.start_guided(now_s)
    for number in range(round((3 + LOOK_S + 0.3) * 30)):
        now_s += 1 / 30
        face = make_face(yaw=30) if number % 10 == 0 else calm  # a glance aside is no part of it
        calibration.observe(Observation(face, plain(100 if face is calm else 200, (8, 8))), now_s)
    drive = source.drive(None, now_s)
    assert 4 <= len(drive.reference_moment) <= 7
    assert all((image == 100).all() for image in drive.reference_moment)
    calibration.mirror(64)
    assert len(calibration.moment) == len(drive.reference_moment)
    calibration.observe(Observation(calm, plain(7, (8, 8))), now_s + 0.01)
    calibration.calibrate(now_s + 0.01)
    assert calibration.moment == ()  # one frame, taken at once


class SlowEngine(FakeLiveEngine):
    """Takes its time, on a processor."""

    def draw(self, *arguments: Any) -> RgbImage:
        time.sleep(0.45)
        return super().draw(*arguments)


def test_a_slow_engine_is_told_before_and_once_it_was_measured(tmp_path: Path) -> None:
    rig = Rig(tmp_path, engine="liveportrait")
    rig.engine_kind = SlowEngine
    with rig:
        rig.wait_for(EngineReady)
        assert rig.wait_for(EngineSlow) == EngineSlow("liveportrait", None)
        measured = rig.wait_for(EngineSlow, 2)
        assert measured.frame_s is not None and 0.4 < measured.frame_s < 5
        rig.output.wait_for(2)
    assert len(rig.of(EngineSlow)) == 2
    assert "warp draws in real time" in as_text(measured)
    assert as_text(EngineSlow("warp", 0.5)).endswith("Other programs keep the processor busy."), "no faster one"


def test_an_engine_that_keeps_up_is_not_told(tmp_path: Path) -> None:
    with Rig(tmp_path, engine="fomm") as rig:
        rig.output.wait_for(5)
    assert not rig.of(EngineSlow)
