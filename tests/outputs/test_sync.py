"""Synchronisation of sound and video for any clock of the clip, and video that survives any fault of the sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from flashes import MARKS_S, length_s, make_flashes
from sync_check import FRAME_S, check_sync, run

TS_WRAP_S = 2**33 / 90_000


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def normal_mp4(folder: Path) -> Path:
    return make_flashes(folder / "in.mp4")


def normal_webm(folder: Path) -> Path:
    return make_flashes(folder / "in.webm", sound="libopus", codec="libvpx", bframes=0)


def normal_ts(folder: Path) -> Path:
    return make_flashes(folder / "in.ts")


def late_sound(folder: Path) -> Path:
    return make_flashes(folder / "in.mp4", sound_from_s=0.3)


def late_sound_in_mkv(folder: Path) -> Path:
    return make_flashes(folder / "in.mkv", sound_from_s=0.3, sound="libopus")


def late_pictures(folder: Path) -> Path:
    return make_flashes(folder / "in.mkv", pictures_from_s=0.32)


def late_pictures_in_mp4(folder: Path) -> Path:
    return make_flashes(folder / "in.mp4", pictures_from_s=0.32)


def irregular(folder: Path) -> Path:
    times = [0, 30, 90, 200, 400, 433, 470, 700, 990, 1200, 1233, 1260, 1400, 1550]
    return make_flashes(folder / "in.mkv", times_ms=times)


def wrapping(folder: Path) -> Path:
    return make_flashes(folder / "in.ts", options={"output_ts_offset": str(TS_WRAP_S - 2.2)})


def cut_on_a_phone(folder: Path) -> Path:
    return make_flashes(folder / "in.mp4", cut_s=0.2)


def old_camera(folder: Path) -> Path:
    return make_flashes(folder / "in.avi", codec="mjpeg", bframes=0, sound="libmp3lame", sound_hz=11_025)


def changing(folder: Path) -> Path:
    first = make_flashes(folder / "1.ts", sound_hz=44_100)
    second = make_flashes(folder / "2.ts", layout="stereo", options={"output_ts_offset": "1.7"})
    return joined(folder / "in.ts", first, second)


def changing_and_joined(folder: Path) -> Path:
    first = make_flashes(folder / "1.ts", sound_hz=44_100)
    return joined(folder / "in.ts", first, make_flashes(folder / "2.ts", layout="stereo"))


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
@pytest.mark.parametrize(
    "make",
    [
        normal_mp4, normal_webm, normal_ts, late_sound, late_sound_in_mkv, late_pictures, late_pictures_in_mp4,
        irregular, wrapping, cut_on_a_phone, old_camera,
    ],
)  # fmt: skip
def test_flash_and_beep_come_together(make: Callable[[Path], Path], name: str, tmp_path: Path) -> None:
    run(make(tmp_path), tmp_path / name)
    flashes = check_sync(tmp_path / name, 2)
    assert flashes[1] - flashes[0] == pytest.approx(MARKS_S[1] - MARKS_S[0], abs=0.002)


def again_ts(folder: Path) -> list[Path]:
    part = make_flashes(folder / "1.ts")
    return [part, part]


def again_thrice(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts")] * 3


def leaping(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts"), make_flashes(folder / "2.ts", options={"output_ts_offset": "1000"})]


def leaping_back(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts", options={"output_ts_offset": "1000"}), make_flashes(folder / "2.ts")]


def dvd(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.vob", codec="mpeg2video", bframes=0, sound="mp2", container="vob")] * 2


def matroska(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.mkv")] * 2


def fragments(folder: Path) -> list[Path]:
    movflags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return [make_flashes(folder / "1.mp4", options=movflags, bframes=0)] * 2


def one_with_sound(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts"), make_flashes(folder / "2.ts", sound=None, marks_s=())]


def short_sound(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts", sound_to_s=1.3), make_flashes(folder / "2.ts")]


def other_sound(folder: Path) -> list[Path]:
    return [make_flashes(folder / "1.ts", sound_hz=44_100), make_flashes(folder / "2.ts", layout="stereo")]


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
@pytest.mark.parametrize(
    "make",
    [
        again_ts, again_thrice, leaping, leaping_back, dvd, matroska, fragments, one_with_sound, short_sound,
        other_sound,
    ],
)  # fmt: skip
def test_joined_recordings_are_one_clip(make: Callable[[Path], list[Path]], name: str, tmp_path: Path) -> None:
    parts = make(tmp_path)
    clip = joined(tmp_path / f"in{parts[0].suffix}", *parts)
    result = run(clip, tmp_path / name)
    assert sum("joined recordings" in note for note in result.notes) == 1
    marks = 2 if make is one_with_sound else 2 * len(parts)
    flashes = check_sync(tmp_path / name, marks)
    for number, flash in enumerate(flashes):
        expected = MARKS_S[number % 2] + 1.6 * (number // 2)
        assert flash - flashes[0] + MARKS_S[0] == pytest.approx(expected, abs=0.06 * len(parts))
    assert length_s(tmp_path / name, "video") == pytest.approx(1.6 * len(parts), abs=0.06 * len(parts))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".flv"])
@pytest.mark.parametrize("leap_s", [1000.0, 30.0])
def test_a_leap_inside_a_file_is_cut_out(suffix: str, leap_s: float, tmp_path: Path) -> None:
    """As a recorder leaves it that was suspended, or a tool that put a joined recording into another container."""
    part = make_flashes(tmp_path / "part.mp4")
    clip = tmp_path / f"in{suffix}"
    with av.open(str(part)) as source, av.open(str(clip), "w") as output:
        targets = [output.add_stream_from_template(stream) for stream in source.streams]
        for offset_s in (0.0, leap_s + 1.6):
            source.seek(0)
            for packet in source.demux():
                if not packet.size:
                    continue
                shift = round(offset_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = targets[packet.stream_index]
                output.mux(packet)
    result = run(clip, tmp_path / "out.mp4")
    assert sum("joined recordings" in note for note in result.notes) == 1
    flashes = check_sync(tmp_path / "out.mp4", 4)
    assert flashes[2] - flashes[0] == pytest.approx(1.6, abs=0.12)
    assert length_s(tmp_path / "out.mp4", "video") == pytest.approx(3.2, abs=0.12)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_sound_that_changes_gets_a_new_resampler(name: str, tmp_path: Path) -> None:
    result = run(changing(tmp_path), tmp_path / name)
    check_sync(tmp_path / name, 4)
    assert any("converted" in note for note in result.notes)
    with av.open(str(tmp_path / name)) as file:
        assert file.streams.audio[0].codec_context.layout.nb_channels == 2
    assert length_s(tmp_path / name, "audio") == pytest.approx(3.3, abs=0.1)


def test_joined_recordings_play_on_live_too(tmp_path: Path) -> None:
    from avatar.sources.playback import Clip

    clip = Clip(joined(tmp_path / "in.ts", *again_ts(tmp_path)))
    try:
        times = [clip.read().captured_ns * 1e-9 for _ in range(85)]  # five frames of the second round
        assert times[-1] - times[0] >= 84 * FRAME_S - 0.01
        assert len(clip.facts.notes) == 1 and "joined recordings" in clip.facts.notes[0]
    finally:
        clip.close()
