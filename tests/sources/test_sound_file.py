"""Files of sound, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from voices import VOWELS, vowel, write_wav

from avatar.errors import VideoError
from avatar.frames import FloatArray
from avatar.sources.sound_file import SoundFile, is_sound

TONE = vowel(VOWELS["a"], 1.0)


def encoded(path: Path, codec: str, *, cover: bool = False, video: bool = False) -> Path:
    with av.open(str(path), "w") as file:
        sound = file.add_stream(codec, rate=48_000, layout="mono")
        picture = None
        if cover or video:
            picture = file.add_stream("mjpeg" if cover else "libx264", rate=25)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p" if cover else "yuv420p"
            if cover:
                picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(TONE[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=sound.format.name, layout="mono", rate=48_000, frame_size=1024)
        if picture is not None:
            for _ in range(1 if cover else 3):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                file.mux(picture.encode(image.reformat(format=picture.pix_fmt)))
            file.mux(picture.encode(None))
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(sound.encode(part))
        file.mux(sound.encode(None))
    return path


def heard(path: Path) -> FloatArray:
    return np.concatenate(list(SoundFile(path).blocks(16_000)))


@pytest.mark.parametrize(("name", "codec"), [("v.mp3", "libmp3lame"), ("v.m4a", "aac"), ("v.ogg", "libopus"),
                                             ("v.flac", "flac"), ("v.mp4", "aac")])  # fmt: skip
def test_usual_kinds_are_heard(name: str, codec: str, tmp_path: Path) -> None:
    path = encoded(tmp_path / name, codec)
    assert is_sound(path)
    samples = heard(path)
    assert abs(len(samples) - 16_000) < 2500 and np.abs(samples).max() == pytest.approx(0.3, abs=0.08)


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    path = encoded(tmp_path / "song.mp3", "libmp3lame", cover=True)
    with av.open(str(path)) as file:
        assert file.streams.video  # it is there
    assert is_sound(path)


def test_a_film_with_sound_is_no_sound(tmp_path: Path) -> None:
    assert not is_sound(encoded(tmp_path / "film.mp4", "aac", video=True))


def test_what_is_no_sound(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("la la la")
    assert not is_sound(tmp_path / "notes.txt") and not is_sound(tmp_path / "none.wav") and not is_sound(tmp_path)


@pytest.mark.parametrize("content", [b"", b"la la la", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_what_is_called_sound_and_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(content)
    assert is_sound(path)
    with pytest.raises(VideoError) as caught:
        heard(path)
    assert "voice.wav" in caught.value.what and caught.value.remedy


def test_half_a_file_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "voice.wav", TONE).read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    assert 7000 < len(heard(tmp_path / "half.wav")) < 8100
