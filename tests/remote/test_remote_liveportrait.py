"""A host that draws with LivePortrait: the driver is measured here, and a few hundred bytes of numbers travel."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_fakes import SKIN, FakeOutput, FakeSource
from liveportrait_samples import random_images, small_model, tiny_model, write_files
from motion_samples import make_face
from remote_studio import (
    REFERENCE,
    TOKEN,
    PortraitTracker,
    Studio,
    driven,
    payloads,
    portrait,
    psnr,
    raw_client,
    refusal_of,
    studio,
    until,
)

from avatar.engines.base import Arrival, Driving, EngineConfig
from avatar.engines.liveportrait.engine import LivePortraitEngine
from avatar.engines.liveportrait.measuring import MotionMeter
from avatar.errors import EngineError, WeightsError
from avatar.frames import RgbImage
from avatar.live.config import LiveConfig
from avatar.live.events import EngineReady, Event
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.liveportrait import LivePortraitModel
from avatar.liveportrait.checkpoint import load_extractor
from avatar.liveportrait.motion_extractor import digest_of
from avatar.motion.parameters import MAX_SIZE, Measured
from avatar.remote import engine as remote_engine
from avatar.remote.drivers import (
    Drawing,
    OtherEngineError,
    check_faces,
    check_parameters,
    pack_motion,
    pack_reference,
    unpack_motion,
    unpack_reference,
)
from avatar.remote.engine import RemoteEngine, join, open_remote
from avatar.remote.identity import Address, KnownHost, known_hosts, known_hosts_path, remember
from avatar.remote.link import Link, ask_host
from avatar.remote.protocol import (
    Hello,
    Offer,
    Order,
    Part,
    ProtocolError,
    Reference,
    Refusal,
    Tuning,
    encode,
    read_from_client,
)
from avatar.settings import CanvasSettings, MotionSettings
from avatar.weights.state_files import save_tensors
from tools.slow_link import SlowLink

POINTS = 21
NUMBERS = 10 + 3 * POINTS


def by_liveportrait(model: LivePortraitModel | None = None) -> LivePortraitEngine:
    return LivePortraitEngine(EngineConfig("liveportrait"), model=model or small_model())


IMAGES = (random_images(5, seed=3).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)


def seen(number: int, jawOpen: float = 0.0) -> Driving:  # noqa: N803 - as blendshapes are named
    return Driving(face=make_face(jawOpen=jawOpen), image=IMAGES[number], captured_ns=time.monotonic_ns())


@pytest.fixture
def one() -> Iterator[Studio]:
    with studio(draws=by_liveportrait) as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A host whose networks have the least work, where frames may be old: the machine may be busy."""
    monkeypatch.setattr(remote_engine, "OLDEST_S", 20.0)
    monkeypatch.setattr(remote_engine, "FREEZE_S", 20.0)
    with studio(draws=lambda: by_liveportrait(tiny_model())) as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The weights in one file."""
    return written(small_model(), tmp_path / "small.safetensors")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Those of the networks with the least work."""
    return written(tiny_model(), tmp_path / "tiny.safetensors")


def written(model: LivePortraitModel, path: Path) -> Path:
    save_tensors({name: x.contiguous() for name, x in model.state_dict().items()}, path, {"format": "pt"})
    return path


@contextlib.contextmanager
def engine_of(one: Studio, files: Path) -> Iterator[RemoteEngine]:
    remember(join(one.known(), str(files)))
    engine = open_remote(str(one.host.address), MotionSettings(), str(files), "cpu")
    try:
        yield engine
    finally:
        engine.close()


def arrivals(engine: RemoteEngine, drive: Callable[[], Driving]) -> Iterator[Arrival]:
    """What comes from the host while a driver moves, 30 times a second."""
    end_s = time.monotonic() + 40
    while time.monotonic() < end_s:
        found = engine.draw_newest(drive())
        if found is not None and found.network_ms is not None:
            yield found
        time.sleep(1 / 30)
    raise AssertionError("it never came")


def test_the_host_draws_what_this_machine_would(one: Studio, files: Path) -> None:
    """Relative and absolute, with strengths and with eyes and lips retargeted, which needs more than the keypoints."""
    shown = portrait(side=192)
    here = by_liveportrait()
    here.show(here.prepare(replace(shown, separate=True)))
    with engine_of(one, files) as engine:
        engine.show(engine.prepare(shown))
        for each in (engine, here):
            each.calibrate(replace(seen(0), moment=(IMAGES[1],)))
        assert psnr(engine.draw(seen(1)), here.draw(seen(2))) < 28, "the comparison would see another pose"
        drawn: list[RgbImage] = []
        for motion in (
            MotionSettings(),
            MotionSettings(relative=False),
            MotionSettings(retarget_eyes=True, retarget_lips=True),
            MotionSettings(strength_head=0.4, strength_mouth=0.2, region="exp"),
        ):
            for each in (engine, here):
                each.set_motion(motion)
            there, local = (each.draw(seen(2, jawOpen=0.8)) for each in (engine, here))
            found = psnr(there, local)
            assert found > 33, motion
            assert all(psnr(there, before) < found - 1 for before in drawn), "the comparison would see other settings"
            drawn.append(local)
        assert (engine.facts.engine, engine.facts.device) == ("liveportrait", "host")


def test_a_large_portrait_travels_with_the_detail_that_the_networks_look_at(one: Studio, files: Path) -> None:
    shown = replace(portrait(side=900), separate=True)
    here = by_liveportrait()
    here.show(here.prepare(shown, 160))
    with engine_of(one, files) as engine:
        prepared = engine.prepare(shown, 160)
        assert (prepared.parcel.width, prepared.parcel.height) == (160, 160)
        engine.show(prepared)
        for each in (engine, here):
            each.calibrate(seen(1))
        assert psnr(engine.draw(seen(3)), here.draw(seen(3))) > 33


def test_the_extractor_alone_measures_as_the_engine_does(tmp_path: Path, files: Path) -> None:
    write_files(small_model(), tmp_path / "folder")
    (tmp_path / "alone").mkdir()
    for path in (files, tmp_path / "folder", tmp_path / "folder/motion_extractor.pth"):
        meter = MotionMeter(str(path), "cpu")
        found, expected = meter.measure(seen(2, jawOpen=0.5)), by_liveportrait().measure(seen(2, jawOpen=0.5))
        for name in Measured.__annotations__:
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name
        assert (meter.points, meter.digest) == (POINTS, by_liveportrait().extractor_digest)
    with pytest.raises(WeightsError, match="no motion_extractor"):
        load_extractor(tmp_path / "alone")
    with pytest.raises(WeightsError, match="holds the weights of warping_module"):
        (tmp_path / "folder/warping_module.pth").replace(tmp_path / "alone/motion_extractor.pth")
        load_extractor(tmp_path / "alone")
    assert digest_of(tiny_model().motion_extractor) != meter.digest


def test_without_the_extractor_one_sentence_says_how_to_fetch_it(one: Studio) -> None:
    with pytest.raises(WeightsError) as caught:
        join(one.known())
    assert caught.value.remedy.endswith("models pull liveportrait-motion")
    assert known_hosts() == {}


def test_other_weights_than_the_hosts_are_told(one: Studio, tmp_path: Path) -> None:
    with engine_of(one, written(small_model(seed=1), tmp_path / "other.safetensors")) as engine:
        engine.show(engine.prepare(portrait()))
        until(lambda: "other weights of liveportrait" in str(engine.notes))
        until(lambda: engine.draw_newest(seen(1)))
        assert engine.facts.device == "cpu", "it idles"


def test_another_engine_on_the_same_host_is_noticed_and_remembered(quick: Studio, few: Path) -> None:
    with engine_of(quick, few) as engine:
        address, port = str(quick.host.address), quick.host.address.port
        engine.show(engine.prepare(portrait()))
        next(arrivals(engine, lambda: seen(1)))
        quick.host.close()
        with studio(port=port) as other:
            until(lambda: isinstance(engine._link.problem, OtherEngineError))
            with pytest.raises(OtherEngineError, match="draws with warp now"):
                engine.draw_newest(seen(1))
            assert known_hosts()[address].engine == "warp"
            again = open_remote(address, MotionSettings())
            again.show(again.prepare(portrait()))
            next(arrivals(again, driven))
            again.close()
            assert other.host.sessions in (0, 1)
    with pytest.raises(OtherEngineError):
        check_faces(Drawing("liveportrait", POINTS, bytes(32)))
    with pytest.raises(OtherEngineError):
        check_parameters(Drawing(), POINTS, bytes(32))
    with pytest.raises(EngineError, match="other weights"):
        check_parameters(Drawing("liveportrait", POINTS, bytes(32)), POINTS, bytes([1] * 32))


def test_a_client_for_faces_is_told_the_same(one: Studio) -> None:
    link = Link(one.known())
    link.start()
    until(lambda: isinstance(link.problem, OtherEngineError))
    link.close()
    assert ask_host(one.known()).engine == "liveportrait"


def measured(**changes: Any) -> Measured:
    numbers = np.random.default_rng(0).normal(0, 1, NUMBERS).astype(np.float32)
    made = Measured(numbers[:3], numbers[3:6], numbers[6:7], numbers[7:-3].reshape(POINTS, 3), numbers[-3:])
    return dataclasses.replace(made, **changes)


def test_parameters_arrive_to_the_bit() -> None:
    unknown = np.full(3, math.nan, np.float32)
    for sent in (measured(), measured(openings=unknown)):
        data = pack_motion(sent, measured())
        assert len(data) == 4 * NUMBERS and data == pack_reference(sent)
        for found in (unpack_motion(data, measured(), POINTS), unpack_reference(data, POINTS)):
            assert isinstance(found, Measured)
            for name in Measured.__annotations__:
                assert np.array_equal(getattr(found, name), getattr(sent, name), equal_nan=True)


@given(st.lists(st.floats(width=32), min_size=NUMBERS, max_size=NUMBERS), st.integers(-9, 9))
@settings(max_examples=300, deadline=None)
def test_parameters_that_cannot_be_are_refused(numbers: list[float], more: int) -> None:
    data = np.array(numbers, "<f4").tobytes()
    data = data + bytes(more) if more > 0 else data[: len(data) + more]
    for unpack in (lambda: unpack_reference(data, POINTS), lambda: unpack_motion(data, measured(), POINTS)):
        try:
            found = unpack()
        except ProtocolError as error:
            assert error.refusal is Refusal.MALFORMED
            continue
        assert more == 0 and isinstance(found, Measured) and found.expression.shape == (POINTS, 3)
        for name in Measured.__annotations__:
            values = getattr(found, name)
            assert (np.isfinite(values).all() and np.abs(values).max() <= MAX_SIZE) or (
                name == "openings" and np.isnan(values).all()
            )  # fmt: skip


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_junk_is_no_parameters(junk: bytes) -> None:
    if len(junk) != 4 * NUMBERS:
        with pytest.raises(ProtocolError):
            unpack_reference(junk, POINTS)


@pytest.mark.parametrize(
    ("at", "value"), [(0, math.nan), (6, math.inf), (30, -math.inf), (30, 2 * MAX_SIZE), (-1, math.nan)]
)
def test_one_bad_number_is_enough(at: int, value: float) -> None:
    numbers = np.frombuffer(pack_reference(measured()), "<f4").copy()
    unpack_reference(numbers.tobytes(), POINTS)
    numbers[at] = value
    with pytest.raises(ProtocolError):
        unpack_reference(numbers.tobytes(), POINTS)


OFFER = encode(Offer(1, 1000, False, bytes(32)))
SOUND = pack_reference(measured())


def order(driver: bytes) -> bytes:
    return encode(Order(1, 1, 0, 1, 1, 1.0, False, False, driver))


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([encode(Reference(1, 0, b"junk"))], id="junk as reference"),
        pytest.param([encode(Reference(1, 0, pack_reference(REFERENCE)))], id="a face"),
        pytest.param([encode(Reference(1, 0, SOUND[:-12]))], id="fewer keypoints"),
        pytest.param([OFFER, encode(Reference(1, 0, SOUND)), order(b"junk")], id="junk as motion"),
        pytest.param([OFFER, encode(Reference(1, 0, SOUND)), order(SOUND + bytes(12))], id="more keypoints"),
        pytest.param([OFFER, encode(Reference(1, 0, SOUND)), order(bytes([255] * len(SOUND)))], id="no numbers"),
    ],
)
def test_who_sends_something_else_is_refused(one: Studio, messages: list[bytes]) -> None:
    with raw_client(one.host) as connection:
        for message in messages:
            connection.send(message)
        assert refusal_of(connection) is Refusal.MALFORMED
    one.wait_for("a message that is none")


def test_a_host_of_faces_refuses_parameters() -> None:
    with studio() as one, raw_client(one.host) as connection:
        connection.send(encode(Reference(1, 0, SOUND)))
        assert refusal_of(connection) is Refusal.MALFORMED


def test_two_clients_are_drawn_by_the_same_networks(quick: Studio, few: Path) -> None:
    with engine_of(quick, few) as first, engine_of(quick, few) as second:
        for engine, seed in ((first, 0), (second, 3)):
            engine.show(engine.prepare(portrait(seed)))
            engine.calibrate(seen(0))
        drawn = [engine.draw(seen(2)) for engine in (first, second, first, second)]
        assert psnr(drawn[0], drawn[2]) > 40 and psnr(drawn[1], drawn[3]) > 40 and psnr(drawn[0], drawn[1]) < 30


def test_a_known_host_keeps_its_engine(one: Studio) -> None:
    remember(KnownHost(one.host.address, TOKEN, engine="liveportrait"))
    assert known_hosts()[str(one.host.address)].engine == "liveportrait"
    path = known_hosts_path()
    path.write_text(path.read_text().replace("liveportrait", "another"))
    assert known_hosts()[str(one.host.address)].engine == "warp"


@pytest.fixture
def between(quick: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowLink]:
    """What a client sends, as it passes on the way."""
    monkeypatch.setattr("avatar.remote.link.PAUSES_S", (0.05,))
    link = SlowLink(quick.host.address.port)
    yield link
    link.close()


@pytest.mark.parametrize("background", ["own", "green"])
def test_nothing_of_the_camera_leaves_and_little_else_does(between: SlowLink, few: Path, background: str) -> None:
    """A camera with a forbidden colour drives a host's LivePortrait: up go portraits and numbers of known sizes."""
    known = KnownHost(Address("127.0.0.1", between.port), TOKEN)
    remember(join(known, str(few)))
    camera = FakeSource(rate=30)
    tools = LiveTools(
        open_source=lambda *_: camera,
        open_tracker=lambda _: PortraitTracker(),  # type: ignore[arg-type, return-value]
    )
    canvas = CanvasSettings(320, 320, label=False, background=background)
    config = LiveConfig(source="camera", remote=str(known.address), model=str(few), device="cpu", canvas=canvas)
    events: list[Event] = []
    pipeline, output = Pipeline(config, on_event=events.append, tools=tools), FakeOutput()
    pipeline.add_output("fake", lambda: output)
    pipeline.start()
    try:
        until(lambda: pipeline.statistics().stages.get("network") and pipeline.statistics().face, 90)
        assert [each for each in events if isinstance(each, EngineReady)][-1].engine == "liveportrait"
        before, began_s = len(between.upwards), time.monotonic()
        camera.level = 160
        output.wait_for(len(output.frames) + 20)
        rate = (len(between.upwards) - before) / (time.monotonic() - began_s)
    finally:
        assert pipeline.stop(20)
    assert rate < 60_000
    sent = [read_from_client(payload) for payload in payloads(bytes(between.upwards))]
    orders = [each for each in sent if isinstance(each, Order)]
    references = [each for each in sent if isinstance(each, Reference)]
    assert len(orders) > 20 and references
    assert {len(each.driver) for each in orders} == {len(each.driver) for each in references} == {4 * NUMBERS}
    assert {type(each) for each in sent} == {Hello, Offer, Part, Tuning, Reference, Order}
    assert len({each.driver for each in orders}) > 1, "the driver moved"
    assert all(each.wants_matte == (background == "green") for each in orders)
    assert not any(frame.passed_through for frame in output.frames)
    assert bytes(SKIN) * 2 not in b"".join(encode(each) for each in sent)


def test_a_lost_host_is_idled_for_and_found_again(
    between: SlowLink, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(join(KnownHost(Address("127.0.0.1", between.port), TOKEN), str(few)))
    engine = open_remote(f"127.0.0.1:{between.port}", MotionSettings(), str(few), "cpu")
    engine.show(engine.prepare(portrait()))
    there = next(arrivals(engine, lambda: seen(1)))
    monkeypatch.setattr(remote_engine, "FREEZE_S", 0.3)
    between.cut()
    here = until(lambda: (found := engine.draw_newest(seen(1))) and found.network_ms is None and found, 40)
    assert here.rgb.shape == there.rgb.shape and engine.facts.device == "cpu"
    between.restore()
    monkeypatch.setattr(remote_engine, "FREEZE_S", 20.0)
    assert next(arrivals(engine, lambda: seen(1))).rgb.shape == there.rgb.shape
    assert engine.facts.device == "host"
    engine.close()
