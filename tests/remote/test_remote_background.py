"""Another background behind an avatar that a host draws: the person's matte comes with the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from live_fakes import FakeOutput, FakeSource
from remote_studio import PortraitTracker, Studio, driven, portrait, psnr, studio, until

from avatar.engines.base import Arrival, Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.frames import AlphaImage, Frame, PortraitLayers, RgbImage
from avatar.images.load import save_png
from avatar.live.config import LiveConfig
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.outputs.canvas import CanvasPainter
from avatar.remote import engine as remote_engine
from avatar.remote.engine import RemoteEngine
from avatar.remote.identity import remember
from avatar.remote.link import Link
from avatar.remote.pictures import PictureDecoder, PictureEncoder, stacked, stacked_height, unstacked
from avatar.settings import CanvasSettings


@pytest.fixture
def one() -> Iterator[Studio]:
    with studio() as opened:
        yield opened


@pytest.fixture
def engine(one: Studio) -> Iterator[RemoteEngine]:
    opened = RemoteEngine(Link(one.known()))
    opened.show(opened.prepare(person()))
    yield opened
    opened.close()


def person() -> Portrait:
    """Somebody whose alpha channel says where they are."""
    made = portrait(side=163)
    alpha = np.zeros((163, 163), np.uint8)
    alpha[30:, 40:125] = 255
    return replace(made, alpha=alpha)


def wanting(yaw: float) -> Driving:
    return replace(driven(yaw), wants_matte=True)


@pytest.mark.parametrize("size", [(64, 48), (51, 37), (96, 160)])
def test_a_matte_survives_the_coding(size: tuple[int, int]) -> None:
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    matte = np.clip(255 - 25 * (np.hypot(rows - height / 2, columns - width / 2) - height / 3), 0, 255).astype(np.uint8)
    rgb = np.dstack([matte, 255 - matte, np.full_like(matte, 90)])
    image = stacked(rgb, matte)
    assert image.shape == (stacked_height(height), width, 3) and stacked_height(height) % 32 == 0
    coded = PictureDecoder().decode(PictureEncoder(image.shape[1::-1]).encode(image, key=True), image.shape[1::-1])
    assert coded is not None
    found, found_matte = unstacked(coded, height)
    assert psnr(found, rgb) > 30 and np.abs(found_matte.astype(int) - matte).mean() < 4
    assert (found_matte[matte == 0] == 0).mean() > 0.95 and (found_matte[matte == 255] == 255).mean() > 0.95


@pytest.mark.parametrize("background", ["green", "blur", "transparent", "#204060", "image"])
def test_the_person_stands_before_the_background_as_here(engine: RemoteEngine, background: str, tmp_path: Path) -> None:
    here = WarpEngine()
    here.show(here.prepare(person()))
    for each in (engine, here):
        each.calibrate(driven(0))
    canvas = canvas_with(background, tmp_path)
    there, local = (
        composed(each.draw(wanting(12)), each.matte(), each.background(), canvas) for each in (engine, here)
    )
    own = composed(here.draw(driven(12)), None, here.background(), canvas)
    alike = psnr(there.rgb, local.rgb)
    assert alike > 32 and psnr(own.rgb, local.rgb) < alike - 3, "the comparison would see the portrait's own background"
    if background == "transparent":
        assert there.alpha is not None and local.alpha is not None
        assert np.abs(there.alpha.astype(int) - local.alpha).mean() < 2 and there.alpha.min() == 0
    assert there.alpha is None or background == "transparent"


def canvas_with(background: str, folder: Path) -> CanvasSettings:
    if background == "image":
        save_png(folder / "beach.png", plain((240, 200, 40), (320, 320)))
        return CanvasSettings(320, 320, background="image", background_image=str(folder / "beach.png"), label=False)
    if background.startswith("#"):
        return CanvasSettings(320, 320, background="colour", background_colour=background, label=False)
    return CanvasSettings(320, 320, background=background, label=False)


def composed(rgb: RgbImage, matte: AlphaImage | None, background: RgbImage, canvas: CanvasSettings) -> Frame:
    frame = Frame(rgb, 0, 0, layers=PortraitLayers("x", (0.5, 0.5), background, matte))
    return CanvasPainter().compose(frame, canvas)


def test_without_being_asked_for_no_matte_comes(engine: RemoteEngine, one: Studio) -> None:
    engine.draw(driven(5))
    assert engine.matte() is None
    before = engine._link.received_bytes
    engine.draw(driven(6))
    alone = engine._link.received_bytes - before
    engine.draw(wanting(7))
    assert engine.matte() is not None
    engine.draw(driven(8))
    assert engine.matte() is None and alone < 20_000


def test_frames_without_the_matte_that_is_wanted_are_not_shown(engine: RemoteEngine) -> None:
    """Otherwise the portrait's own background would flash up."""
    engine.draw(driven(5))
    arrivals: list[Arrival] = []
    for _ in range(40):
        arrival = engine.draw_newest(wanting(5))
        if arrival is not None:
            arrivals.append(arrival)
            assert engine.matte() is not None
    assert arrivals


def test_idling_here_has_a_matte_too(engine: RemoteEngine, one: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_engine, "FREEZE_S", 0.0)
    engine.draw(wanting(5))
    one.host.close()
    arrival = until(lambda: (found := engine.draw_newest(wanting(5))) and found.network_ms is None and found)
    assert isinstance(arrival, Arrival)
    matte = engine.matte()
    assert matte is not None and matte.shape == arrival.rgb.shape[:2] and np.ptp(matte) == 255


def test_a_live_session_shows_it_from_the_next_frame_on(one: Studio) -> None:
    remember(one.known())
    tools = LiveTools(
        open_source=lambda *_: FakeSource(rate=30),
        open_tracker=lambda _: PortraitTracker(),  # type: ignore[arg-type, return-value]
    )
    canvas = CanvasSettings(320, 320, label=False)
    config = LiveConfig(source="camera", remote=str(one.host.address), canvas=canvas)
    pipeline, output = Pipeline(config, on_event=lambda _: None, tools=tools), FakeOutput()
    pipeline.add_output("fake", lambda: output)
    pipeline.start()
    try:
        until(lambda: pipeline.statistics().stages.get("network") and output.frames, 60)
        assert not is_green(output.frames[-1])
        pipeline.apply(replace(config, canvas=replace(canvas, background="green")))
        until(lambda: is_green(output.frames[-1]))
        seen = len(output.frames)
        output.wait_for(20)
        assert all(is_green(frame) for frame in output.frames[seen:])
        pipeline.apply(config)
        until(lambda: not is_green(output.frames[-1]))
    finally:
        assert pipeline.stop(20)


def is_green(frame: Any) -> bool:
    corner = frame.rgb[:20, :20].reshape(-1, 3).astype(int)
    return bool((corner[:, 1] - corner[:, [0, 2]].max(axis=1)).min() > 60)
