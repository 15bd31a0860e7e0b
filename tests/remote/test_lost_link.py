"""A link that is slow, stalls or breaks: the avatar freezes, idles here and comes back, and is never the camera."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest
from live_fakes import SKIN, FakeOutput, FakeSource, holds_camera
from remote_studio import TOKEN, PortraitTracker, Studio, driven, portrait, psnr, studio, unmasked, until

from avatar.engines.base import Arrival, Driving
from avatar.live.config import LiveConfig
from avatar.live.events import EngineReady, Event
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.remote import engine as remote_engine
from avatar.remote.engine import RemoteEngine
from avatar.remote.identity import Address, KnownHost, remember
from avatar.remote.link import Link
from avatar.remote.protocol import Refusal
from avatar.remote.session import Session
from avatar.settings import CanvasSettings
from tools.slow_link import Quality, SlowLink


@pytest.fixture
def one() -> Iterator[Studio]:
    with studio() as opened:
        yield opened


@pytest.fixture
def slow(one: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowLink]:
    monkeypatch.setattr("avatar.remote.link.PAUSES_S", (0.05,))
    monkeypatch.setattr("avatar.remote.link.REFUSED_S", 0.05)
    between = SlowLink(one.host.address.port)
    yield between
    between.close()


@pytest.fixture
def engine(slow: SlowLink) -> Iterator[RemoteEngine]:
    opened = RemoteEngine(Link(known(slow)))
    opened.show(opened.prepare(portrait()))
    yield opened
    opened.close()


def known(slow: SlowLink) -> KnownHost:
    return KnownHost(Address("127.0.0.1", slow.port), TOKEN)


def arrivals(engine: RemoteEngine, yaw: float = 10.0) -> Iterator[Arrival | None]:
    """What comes while a driver moves, 50 times a second."""
    while True:
        yield engine.draw_newest(driven(yaw))
        time.sleep(0.02)


def first(found: Iterator[Arrival | None], *, here: bool) -> Arrival:
    """The first frame that was drawn here, or on the host."""
    end_s = time.monotonic() + 30
    for each in found:
        if each is not None and (each.network_ms is None) == here:
            return each
        assert time.monotonic() < end_s, "it never came"
    raise AssertionError


def test_a_link_that_breaks_is_there_again_by_itself(
    engine: RemoteEngine, slow: SlowLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "FREEZE_S", 0.5)
    found = arrivals(engine)
    there = first(found, here=False)
    assert there.host_ms is not None and engine.facts.device == "host"
    slow.cut()
    kept = until(lambda: [each for each in [next(found)] if each is None])
    assert kept == [None], "the last frame stays at first"
    here = first(found, here=True)
    assert here.rgb.shape == there.rgb.shape and engine.facts.device == "cpu"
    assert "127.0.0.1" in engine.facts.why and engine.notes
    slow.restore()
    back = first(found, here=False)
    assert back.rgb.shape == there.rgb.shape
    assert until(lambda: engine.facts.device == "host") and engine.notes == ()


def test_it_idles_here_where_no_host_ever_was(slow: SlowLink) -> None:
    slow.cut()
    opened = RemoteEngine(Link(known(slow)))
    opened.show(opened.prepare(portrait()))
    one, other = (first(arrivals(opened), here=True) for _ in range(2))
    assert psnr(one.rgb, portrait().rgb) > 15
    time.sleep(0.3)
    other = first(arrivals(opened), here=True)
    assert not np.array_equal(one.rgb, other.rgb), "it moves"
    opened.close()


def test_what_waited_on_the_way_is_not_shown(
    engine: RemoteEngine, slow: SlowLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network stops for a while without a word, and then delivers everything."""
    found = arrivals(engine)
    first(found, here=False)
    slow.stall(True)
    end_s = time.monotonic() + remote_engine.OLDEST_S + 0.4
    while time.monotonic() < end_s:
        next(found)
    released_s = time.monotonic()
    slow.stall(False)
    for _ in range(40):
        if (each := next(found)) is not None and each.network_ms is not None:
            assert each.captured_ns * 1e-9 >= released_s - remote_engine.OLDEST_S
    first(found, here=False)


def test_a_slow_link_is_not_filled(engine: RemoteEngine, slow: SlowLink, one: Studio) -> None:
    """Pictures that the client has not got yet are not followed by more and more of them."""
    found = arrivals(engine)
    first(found, here=False)
    slow.quality = Quality(delay_s=0.4)
    for _ in range(60):
        next(found)
    session = next(iter(one.host._sessions.values()))
    assert isinstance(session, Session) and session.held > 0
    slow.quality = Quality(delay_s=0.02, jitter_s=0.01, loss=0.02)
    first(found, here=False)


def test_another_portrait_after_a_cut_is_sent_anew(engine: RemoteEngine, slow: SlowLink) -> None:
    first(arrivals(engine), here=False)
    slow.cut()
    until(lambda: not engine._link.is_up)
    engine.show(engine.prepare(portrait(3)))
    slow.restore()
    until(lambda: engine._link.is_up)
    assert psnr(engine.draw(driven(0)), portrait(3).rgb) > psnr(engine.draw(driven(0)), portrait().rgb)


def test_a_refusal_in_between_is_told_and_tried_again(
    engine: RemoteEngine, slow: SlowLink, one: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = arrivals(engine)
    first(found, here=False)
    one.host._most = 0
    session = next(iter(one.host._sessions.values()))
    assert isinstance(session, Session)
    session.end(Refusal.ENDING)
    until(lambda: next(found) is None and "full" in str(engine.notes))
    one.host._most = 8
    first(found, here=False)


@contextlib.contextmanager
def session(slow: SlowLink) -> Iterator[tuple[Pipeline, FakeOutput, list[Event]]]:
    """A live session with the forbidden camera, drawn over the link."""
    host = known(slow)
    remember(host)
    camera = FakeSource(rate=30)
    tools = LiveTools(
        open_source=lambda *_: camera,
        open_tracker=lambda _: PortraitTracker(),  # type: ignore[arg-type, return-value]
    )
    canvas = CanvasSettings(320, 320, label=False)
    config = LiveConfig(source="camera", remote=str(host.address), canvas=canvas)
    events: list[Event] = []
    pipeline, output = Pipeline(config, on_event=events.append, tools=tools), FakeOutput()
    pipeline.add_output("fake", lambda: output)
    pipeline.start()
    try:
        yield pipeline, output, events
    finally:
        assert pipeline.stop(20)


def test_no_camera_pixel_leaves_whatever_the_link_does(
    slow: SlowLink, one: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "FREEZE_S", 0.3)
    with session(slow) as (pipeline, output, events):

        def device() -> str:
            return next((each.device for each in reversed(events) if isinstance(each, EngineReady)), "")

        until(lambda: device() == "host" and output.frames, 60)
        until(lambda: pipeline.statistics().stages.get("network") and pipeline.statistics().face)
        output.wait_for(10)
        for _ in range(2):
            slow.cut()
            until(lambda: device() == "cpu")
            output.wait_for(5)
            slow.restore()
            until(lambda: device() == "host")
            output.wait_for(5)
        slow.stall(True)
        until(lambda: device() == "cpu")
        output.wait_for(5)
        slow.stall(False)
        until(lambda: device() == "host")
        statistics = pipeline.statistics()
        assert statistics.stages["host"].p50_ms > 0
    assert len(output.frames) > 40 and not any(frame.passed_through for frame in output.frames)
    assert not any(holds_camera(frame.rgb) for frame in output.frames)
    assert any(np.ptp(frame.rgb) > 100 for frame in output.frames), "they show the portrait"
    sent = unmasked(bytes(slow.upwards))
    assert len(sent) > 50_000 and bytes(SKIN) * 2 not in sent, "nor did any go to the host"


def test_the_check_of_what_went_up_would_see_a_picture() -> None:
    assert bytes(SKIN) * 2 in unmasked(_masked(np.full((8, 8, 3), SKIN, np.uint8).tobytes()))


def test_an_avatar_frame_says_when_its_motion_was_seen(slow: SlowLink, one: Studio) -> None:
    with session(slow) as (pipeline, output, _):
        until(lambda: pipeline.statistics().stages.get("network"), 60)
        slow.quality = Quality(delay_s=0.06)
        until(lambda: pipeline.statistics().stages["network"].max_ms > 110)
        output.wait_for(20)
        until(lambda: (pipeline.statistics().latency or None) and pipeline.statistics().latency.max_ms > 110)  # type: ignore[union-attr]


def test_a_driving_image_is_not_even_looked_at(engine: RemoteEngine, slow: SlowLink) -> None:
    image = np.full((480, 640, 3), SKIN, np.uint8)
    shown = engine.draw(Driving(face=driven(5).face, image=image, captured_ns=time.monotonic_ns()))
    assert psnr(shown, engine.draw(driven(5))) > 40
    assert bytes(SKIN) * 2 not in unmasked(bytes(slow.upwards))


def _masked(payload: bytes) -> bytes:
    """One WebSocket frame of a client, as RFC 6455 has it."""
    mask = b"\x12\x34\x56\x78"
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + mask + body


def test_a_portrait_that_the_host_cannot_draw_idles_and_says_so(engine: RemoteEngine, one: Studio) -> None:
    found = arrivals(engine)
    first(found, here=False)
    session = next(iter(one.host._sessions.values()))
    assert isinstance(session, Session)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    session._engine.prepare = fail  # type: ignore[method-assign]
    engine.show(engine.prepare(portrait(4)))
    first(found, here=True)
    assert "cannot draw this portrait" in engine.facts.why
    assert one.host.sessions == 1, "the session goes on"
