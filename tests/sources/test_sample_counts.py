"""MP4 headers that announce more samples than the file can hold cause a message, not memory use."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.errors import VideoError
from avatar.sources import probe, sample_counts
from avatar.sources.sample_counts import check_sample_counts
from avatar.sources.video import open_driving


def box(kind: bytes, *inside: bytes) -> bytes:
    content = b"".join(inside)
    return struct.pack(">I", 8 + len(content)) + kind + content


def clip(path: Path, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as film:
        pictures = film.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height = 64, 48
        sound = film.add_stream("pcm_s16le" if path.suffix == ".mov" else "aac", rate=48_000)
        for number in range(5):
            film.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), "rgb24")))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
        tone.sample_rate = 48_000
        for packet in (*sound.encode(tone), *sound.encode(None), *pictures.encode(None)):
            film.mux(packet)
    return path


@pytest.mark.parametrize("name", ["show.mp4", "show.mov", "show.mkv"])
@pytest.mark.parametrize("movflags", ["", "faststart", "frag_every_frame+empty_moov+default_base_moof"])
def test_sound_clips_pass(tmp_path: Path, name: str, movflags: str) -> None:
    path = clip(tmp_path / name, **({"movflags": movflags} if movflags and name != "show.mkv" else {}))
    check_sample_counts(path)
    with open_driving(path) as driving:
        assert sum(1 for _ in driving) == 5


def test_a_count_that_cannot_be_is_refused_before_ffmpeg_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(tmp_path / "show.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 30_000)  # more than the file has bytes, and harmless
    path.write_bytes(data)
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("FFmpeg saw it"))
    monkeypatch.setattr(probe, "_try", lambda _: pytest.fail("the trial saw it"))
    with pytest.raises(VideoError, match="more samples than it has bytes"):
        open_driving(path)


LIES = {
    "a fragment": box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, 30_000)))),
    "two fragments": box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, 90)))) * 2,
    "behind a large box": struct.pack(">I4sQ", 1, b"free", 20) + b"abcd"
    + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stz2", bytes(8), b"\0\1\0\0")))))),
    "compressed": box(
        b"moov", box(b"cmov", box(b"cmvd", bytes(4), zlib.compress(box(b"moov", box(b"stsz", bytes(8), b"\0\1\0\0")))))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_wherever_it_stands(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lie.mp4"
    path.write_bytes(box(b"ftyp", b"isom\0\0\0\0") + LIES[name])
    with pytest.raises(VideoError, match="more samples"):
        check_sample_counts(path)
    path.write_bytes(path.read_bytes() + bytes(100_000))
    check_sample_counts(path)


def test_headers_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_counts, "MAX_CLIP_HEADER_BYTES", 1000)
    monkeypatch.setattr(sample_counts, "MAX_CLIP_BOXES", 50)
    path = tmp_path / "lie.mp4"
    for content in (box(b"moov", box(b"cmov", box(b"cmvd", bytes(4), zlib.compress(bytes(2000))))), box(b"free") * 60):
        path.write_bytes(content)
        with pytest.raises(VideoError, match="too large a header"):
            check_sample_counts(path)


def test_any_bytes_are_looked_through(tmp_path: Path) -> None:
    """Boxes in boxes, lengths that lead nowhere, no MP4 at all."""
    deep = b""
    for _ in range(1000):
        deep = box(b"moov", deep)
    path = tmp_path / "odd.mp4"
    odd = [deep, b"", b"abc", bytes(64), b"\xff" * 64, b"\0\0\0\1moov" + b"\xff" * 8, box(b"stsz"), b"RIFF1234"]
    for content in odd:
        path.write_bytes(content)
        check_sample_counts(path)
