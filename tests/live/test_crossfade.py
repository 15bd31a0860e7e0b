"""One avatar fades to the next: both are avatars, what is frozen is no mixture, and nothing is delayed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from live_fakes import FakeLiveEngine, Rig, holds_camera

from avatar.frames import Frame, PortraitLayers, RgbImage
from avatar.live.crossfade import Crossfade
from avatar.live.events import AvatarReady
from avatar.live.motion_source import DrivingState
from avatar.outputs.canvas import compose_frame
from avatar.settings import CanvasSettings

RED, GREEN = (200, 20, 20), (20, 200, 20)
CANVAS = CanvasSettings(64, 36, label=False, fit="fill")


class Dyer(FakeLiveEngine):
    """Paints the first portrait red and the second one green."""

    def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
        super().draw(state, frame_width_px, time_s)
        return plain(RED if str(self.portrait).endswith("one.png") else GREEN, (32, 32))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, canvas=CANVAS, crossfade_ms=500)
    rig.engine_kind = Dyer
    with rig:
        rig.wait_for(AvatarReady)
        rig.output.wait_for(2)
        yield rig


def colour(frame: Frame) -> tuple[int, ...]:
    return tuple(int(value) for value in frame.rgb.mean(axis=(0, 1)).round())


def until(rig: Rig, true: Any) -> Frame:
    """Wait for a frame of which something holds."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        if true(frame := rig.output.wait_for(1)[-1]):
            return frame
    raise AssertionError("no such frame came")


def is_mixed(frame: Frame) -> bool:
    return colour(frame) not in (RED, GREEN)


def test_red_becomes_green_by_mixtures_of_the_two(rig: Rig) -> None:
    began = len(rig.output.frames)
    rig.change(avatar=str(rig.other))
    until(rig, lambda frame: colour(frame) == GREEN)
    seen = [colour(frame) for frame in rig.output.frames[began:]]
    mixed = [each for each in seen if each not in (RED, GREEN)]
    assert len(mixed) > 3 and [each[1] for each in mixed] == sorted(each[1] for each in mixed)
    assert all(abs(each[0] + each[1] - 220) <= 2 for each in mixed), "of nothing but the two"
    assert not any(holds_camera(frame.rgb) for frame in rig.output.frames)
    assert all(frame.before is None for frame in rig.output.frames)


def test_what_is_frozen_is_one_avatar(rig: Rig) -> None:
    rig.change(avatar=str(rig.other))
    until(rig, is_mixed)
    rig.pipeline.freeze(True)
    rig.output.wait_for(3)
    time.sleep(0.1)
    assert colour(rig.output.wait_for(1)[-1]) == GREEN
    rig.change(avatar=str(rig.portrait))
    rig.wait_for(AvatarReady, 3)
    rig.output.wait_for(3)
    began = len(rig.output.frames)
    rig.pipeline.freeze(False)
    until(rig, lambda frame: colour(frame) == RED)
    assert not any(is_mixed(frame) for frame in rig.output.frames[began:]), "a change while frozen fades nothing in"


def test_the_real_face_is_never_mixed_with_an_avatar(rig: Rig) -> None:
    rig.change(avatar=str(rig.other))
    until(rig, is_mixed)
    rig.pipeline.pass_through(True)
    passed = until(rig, lambda frame: frame.passed_through)
    assert holds_camera(passed.rgb)
    rig.change(avatar=str(rig.portrait))
    rig.wait_for(AvatarReady, 3)
    began = len(rig.output.frames)
    rig.pipeline.pass_through(False)
    until(rig, lambda frame: colour(frame) == RED)
    after = [frame for frame in rig.output.frames[began:] if not frame.passed_through]
    assert not any(holds_camera(frame.rgb) for frame in after)
    assert {colour(frame) for frame in after} <= {RED, GREEN}


def test_without_it_there_is_no_mixture(rig: Rig) -> None:
    rig.change(crossfade_ms=0)
    began = len(rig.output.frames)
    rig.change(avatar=str(rig.other))
    until(rig, lambda frame: colour(frame) == GREEN)
    assert not any(is_mixed(frame) for frame in rig.output.frames[began:])


def drawn(avatar: str, level: int = 0) -> Frame:
    return Frame(plain(level, (8, 8)), 0, 0, layers=PortraitLayers(avatar))


def test_the_first_frame_already_shows_the_new_avatar_and_the_last_one_nothing_else() -> None:
    fade = Crossfade(200)
    assert fade.add(drawn("one"), 1.0, 0.03).before is None
    first = fade.add(drawn("two"), 2.0, 0.03)
    assert first.before is not None and first.share > 0
    assert fade.add(drawn("two"), 2.1, 0.03).share > first.share
    assert fade.add(drawn("two"), 2.18, 0.03).before is None
    fade.forget()
    assert fade.add(drawn("three"), 3.0, 0.03).before is None


def test_transparency_fades_with_the_colours() -> None:
    layers = PortraitLayers("two", background=plain(0, (8, 8)), matte=np.full((8, 8), 200, np.uint8))
    under = Frame(plain(RED, (8, 8)), 0, 0, layers=PortraitLayers("one"))
    frame = Frame(plain(0, (8, 8)), 0, 0, layers=layers, before=under, share=0.25)
    canvas = CanvasSettings(16, 16, label=False, fit="fill", background="transparent")
    mixed, alone = compose_frame(frame, canvas), compose_frame(under, canvas)
    assert alone.alpha is None and mixed.alpha is not None
    assert abs(int(mixed.alpha.mean()) - round(0.25 * 200 + 0.75 * 255)) <= 1
    assert abs(int(mixed.rgb[..., 0].mean()) - 150) <= 1
