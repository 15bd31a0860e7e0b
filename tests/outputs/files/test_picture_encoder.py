"""Packets in segments: what is encoded apart is what one encoder writes, and players see one film."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from places import ROOT

from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.outputs.files import picture_encoder
from avatar.outputs.files.picture_encoder import PictureEncoder
from avatar.outputs.files.target import OutputKind
from avatar.outputs.files.video_file import VideoFileWriter
from avatar.sources.facts import DrivingFacts

SEGMENT, COUNT = 8, 27
TEST_FOLDERS = ("support", "outputs/files")  # as pytest finds them
FACTS = DrivingFacts(Path("clip.mp4"), 96, 64, Fraction(25), Fraction(1, 12800), 1.0, COUNT, has_audio=False)
TIMES_NS = [number * 40_000_000 + number % 3 * 1_000_000 for number in range(COUNT)]  # no steady clock
END_S = COUNT * 0.04 + 0.5


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_encoder, "SEGMENT", SEGMENT)


def frame(number: int) -> RgbImage:
    """Noise over a moving edge: rate control and motion search have something to decide."""
    rng = np.random.default_rng(number)
    image = rng.integers(90, 130, (64, 96, 3), np.uint8)
    image[:, number * 3 % 96 :] += np.uint8(80)
    return image


def told(packets: list[Any]) -> list[tuple[int, int, bool, bytes]]:
    return [(packet.pts, packet.duration, packet.is_keyframe, bytes(packet)) for packet in packets]


def encoded(kind: OutputKind) -> list[tuple[int, int, bool, bytes]]:
    encoder = PictureEncoder(kind, 96, 64, FACTS)
    packets = [packet for number in range(COUNT) for packet in encoder.write(frame(number), TIMES_NS[number] * 1e-9)]
    return told([*packets, *encoder.finish(END_S)])


def encoded_apart(kind: OutputKind, start: int, end: int) -> list[Any]:
    encoder = PictureEncoder(kind, 96, 64, FACTS)
    ticks = [*encoder.timing.ticks(TIMES_NS)]
    ticks.append(encoder.timing.end(END_S, ticks[-1]))
    packets = [packet for number in range(start, end) for packet in encoder.write_at(frame(number), ticks[number])]
    return [*packets, *encoder.finish_at(ticks[end])]


KINDS = pytest.mark.parametrize("kind", [OutputKind.MP4, OutputKind.WEBM])


@KINDS
def test_segments_that_are_encoded_apart_are_those_of_one_encoder(kind: OutputKind) -> None:
    whole = encoded(kind)
    bounds = [0, SEGMENT, 3 * SEGMENT, COUNT]
    apart = [encoded_apart(kind, start, end) for start, end in itertools.pairwise(bounds)]
    assert told([packet for part in apart for packet in part]) == whole
    assert [number for number, (_, _, key, _) in enumerate(whole) if key] == list(range(0, COUNT, SEGMENT))


@KINDS
def test_a_start_within_a_segment_would_give_others(kind: OutputKind) -> None:
    """The comparison above can fail."""
    shifted = told(encoded_apart(kind, SEGMENT - 1, COUNT))
    assert shifted != encoded(kind)[SEGMENT - 1 :]


@KINDS
def test_a_file_of_joined_segments_is_the_file_of_one_writer(kind: OutputKind, tmp_path: Path) -> None:
    whole, joined = tmp_path / f"whole{kind.value}", tmp_path / f"joined{kind.value}"
    with VideoFileWriter(whole, 96, 64, FACTS) as writer:
        for number in range(COUNT):
            writer.write(frame(number), TIMES_NS[number] * 1e-9)
        writer.commit(END_S)
    with VideoFileWriter(joined, 96, 64, FACTS) as writer:
        for start in (0, 2 * SEGMENT):
            writer.write_packets(encoded_apart(kind, start, min(start + 2 * SEGMENT, COUNT)))
        writer.commit()
    assert decoded(joined) == decoded(whole) and len(decoded(whole)) == COUNT
    if kind is OutputKind.MP4:  # WebM has a random number in it
        assert joined.read_bytes() == whole.read_bytes()
    for (_, time_s), time_ns in zip(decoded(whole), TIMES_NS, strict=True):
        assert time_s == pytest.approx(time_ns * 1e-9, abs=0.001)


def decoded(path: Path) -> list[tuple[bytes, float]]:
    with av.open(str(path)) as file:
        return [(each.to_ndarray().tobytes(), float(each.time or 0)) for each in file.decode(video=0)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc fills fresh memory on demand")
@KINDS
def test_packets_do_not_depend_on_what_lay_in_memory(kind: OutputKind) -> None:
    """A width of 100 is no multiple of anything that a processor handles at once."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import hashlib, test_picture_encoder as tests\n"
        "from avatar.outputs.files.target import OutputKind\n"
        "print(hashlib.sha256(repr(tests.encoded_wide(OutputKind(sys.argv[1]))).encode()).hexdigest())"
    )
    words = [
        sys.executable,
        "-c",
        script,
        kind.value,
        str(ROOT),
        *(str(ROOT / "tests" / each) for each in TEST_FOLDERS),
    ]
    said = {
        subprocess.run(
            words, env={**os.environ, "MALLOC_PERTURB_": fill}, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for fill in ("1", "170")  # fresh memory is filled with 254, and with 85
    }
    assert len(said) == 1


def encoded_wide(kind: OutputKind) -> list[tuple[int, int, bool, bytes]]:
    """Encode three frames of blobs that move, 400x232: with noise alone there is nothing to look ahead for."""
    encoder = PictureEncoder(kind, 400, 232, replace(FACTS, width_px=400, height_px=232))
    coarse = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    scene = np.asarray(cv2.resize(coarse, (600, 400), interpolation=cv2.INTER_CUBIC))
    frames = (np.ascontiguousarray(scene[2 * number :, 3 * number :][:232, :400]) for number in range(3))
    packets = [packet for number, each in enumerate(frames) for packet in encoder.write(each, number * 0.04)]
    return told([*packets, *encoder.finish(0.12)])
