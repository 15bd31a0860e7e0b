"""Choice of the H.264 encoder: stand-ins that do not open, fail on their first frame, delay it or encode another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from avatar.frames import Frame
from avatar.outputs.live import h264
from avatar.outputs.live.encoder import EncoderPool
from avatar.outputs.live.h264 import ON_CHIPS, X264, H264Encoder, choose_encoder, refuse, trial
from avatar.remote import pictures

SIZE, RATE = (128, 96), 30
GOOD = dataclasses.replace(X264, name="h264_fake", chip="a chip")


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what was chosen, before and after."""
    monkeypatch.setattr(h264, "_refused", set())
    choose_encoder.cache_clear()
    yield
    choose_encoder.cache_clear()


class StandIn:
    """x264 under another name, with a fault."""

    def __init__(self, fault: str) -> None:
        self._context: Any = _create("libx264", "w")
        self._fault, self._held = fault, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_context", "_fault", "_held"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._context, name, value)

    @property
    def extradata(self) -> bytes | None:
        return None if self._fault == "no headers" else self._context.extradata

    def encode(self, frame: Any) -> list[Any]:
        if self._fault == "first frame":
            raise OSError("no session is left")
        if self._fault == "another image":
            pts, kind = frame.pts, frame.pict_type
            dark = np.zeros((frame.height * 3 // 2, frame.width), np.uint8)
            frame = av.VideoFrame.from_ndarray(dark, format="yuv420p")
            frame.pts, frame.time_base, frame.pict_type = pts, Fraction(1, RATE), kind
        if self._fault == "no key frames" and frame.pts > 0:
            frame.pict_type = 0
        packets = self._context.encode(frame)
        if self._fault == "delay":
            self._held += packets
            packets = self._held[:-1]
            self._held = self._held[-1:]
        return list(packets)


_create = av.CodecContext.create


def with_fault(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Let `h264_fake` be x264 with a fault; "" is none, "open" cannot be opened."""

    class Contexts:
        @staticmethod
        def create(name: str, mode: str) -> Any:
            if name != GOOD.name:
                return _create(name, mode)
            if fault == "open":
                raise PermissionError("Operation not permitted")
            return StandIn(fault)

    monkeypatch.setattr(av, "CodecContext", Contexts)


@pytest.mark.parametrize("size", [SIZE, (129, 77)])
@pytest.mark.parametrize("pixels", ["yuv420p", "nv12"])
def test_x264_passes_its_trial(size: tuple[int, int], pixels: str) -> None:
    assert trial(dataclasses.replace(X264, pixels=pixels), size, RATE) is None


def test_a_good_encoder_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_fault(monkeypatch, "")
    monkeypatch.setattr(h264, "ON_CHIPS", (GOOD,))
    assert trial(GOOD, SIZE, RATE) is None
    assert choose_encoder(SIZE, RATE) is GOOD and GOOD.facts == "h264_fake (a chip)"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("open", "not permitted"),
        ("first frame", "no session"),
        ("delay", "gave 0 packets"),
        ("another image", "another image"),
        ("no key frames", "no key frame"),
        ("no headers", "no headers"),
    ],
)
def test_an_encoder_with_a_fault_is_passed_over(fault: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_fault(monkeypatch, fault)
    monkeypatch.setattr(h264, "ON_CHIPS", (GOOD,))
    found = trial(GOOD, SIZE, RATE)
    assert found is not None and why in found
    assert choose_encoder(SIZE, RATE) is X264


def test_the_next_chip_is_tried_and_the_choice_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def note(encoder: H264Encoder, size: tuple[int, int], rate: int) -> str | None:
        tried.append(encoder.name)
        return None if encoder.name == "h264_qsv" else "no driver"

    monkeypatch.setattr(h264, "trial", note)
    assert [choose_encoder(SIZE, RATE).name for _ in range(2)] == ["h264_qsv", "h264_qsv"]
    assert tried == ["h264_nvenc", "h264_qsv"]
    refuse(ON_CHIPS[1], OSError("reset"))
    assert choose_encoder(SIZE, RATE) is X264
    assert tried[2:] == ["h264_nvenc", "h264_amf", "h264_videotoolbox"]


def test_a_chip_that_passes_and_then_does_not_open_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """`h264_fake` is no encoder of FFmpeg's, so its stream cannot be opened."""
    monkeypatch.setattr(h264, "ON_CHIPS", (GOOD,))
    monkeypatch.setattr(h264, "trial", lambda encoder, size, rate: None)
    feed = EncoderPool().join(SIZE, RATE)
    packets = [
        packet
        for number in range(3)
        for packet in feed.add(Frame(np.full((96, 128, 3), 90, np.uint8), number, 1 + number * 33_333_334))
    ]
    assert len(packets) == 3 and packets[0].is_key
    assert feed.template.codec_context.name == "libx264"
    assert choose_encoder(SIZE, RATE) is X264
    feed.close()


def test_a_stream_on_another_layout_holds_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "ON_CHIPS", (dataclasses.replace(X264, pixels="nv12"),))
    feed = EncoderPool().join(SIZE, RATE)
    rgb = np.zeros((96, 128, 3), np.uint8)
    rgb[:, 64:] = (200, 90, 30)
    packets = feed.add(Frame(rgb, 0, 1))
    reader = _create("h264", "r")
    reader.extradata = feed.template.codec_context.extradata
    (shown,) = [frame for data in (packets[0].data, None) for frame in reader.decode(data and av.Packet(data))]
    assert np.abs(shown.to_ndarray(format="rgb24").astype(int) - rgb)[8:-8, 8:56].mean() < 8
    assert np.abs(shown.to_ndarray(format="rgb24").astype(int) - rgb)[8:-8, 72:-8].mean() < 8
    feed.close()


@pytest.mark.parametrize("fault", ["", "first frame"])
def test_a_host_s_pictures_are_whole_whatever_its_chip_does(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip may pass its trial and have no session left afterwards: the same frame comes from x264."""
    with_fault(monkeypatch, fault)
    monkeypatch.setattr(h264, "ON_CHIPS", (GOOD,))
    monkeypatch.setattr(h264, "trial", lambda *_: None)
    encoder, decoder = pictures.PictureEncoder(SIZE), pictures.PictureDecoder()
    for level in (60, 160):
        shown = decoder.decode(encoder.encode(np.full((96, 128, 3), level, np.uint8), key=level == 60), SIZE)
        assert shown is not None and abs(float(shown.mean()) - level) < 4
    assert choose_encoder(SIZE, pictures.RATE) is (X264 if fault else GOOD)
