from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeWriter, make_clip, plain
from PIL import Image

from avatar.errors import OutputError, UsageError
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.outputs.files.encoding_thread import DEPTH, EncodingThread
from avatar.outputs.files.target import OutputKind, check_target, kind_of
from avatar.outputs.files.video_file import open_output
from avatar.sources.facts import DrivingFacts
from avatar.sources.video import open_driving

STEADY = DrivingFacts(Path("clip.mp4"), 64, 48, Fraction(25), Fraction(1, 12_800), 0.4, 10, has_audio=False)
KINDS = ["out.mp4", "out.webm", "out.gif", "frames"]


def write(path: Path, pictures: list[RgbImage], *, rate: int = 25, audio_from: Path | None = None) -> list[str]:
    height, width = pictures[0].shape[:2]
    with open_output(path, width, height, STEADY, audio_from=audio_from) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number / rate)
        writer.commit(len(pictures) / rate)
        return writer.notes


def carry_over(source: Path, target: Path) -> list[str]:
    """Write every frame of a clip to a new file, with its times and its sound."""
    with open_driving(source) as clip:
        sound = source if clip.facts.has_audio else None
        with open_output(target, clip.facts.width_px, clip.facts.height_px, clip.facts, audio_from=sound) as writer:
            for frame in clip:
                writer.write(frame.rgb, frame.captured_ns * 1e-9)
            writer.commit(clip.end_s)
            return writer.notes


def times_ms(path: Path) -> list[float]:
    with open_driving(path) as clip:
        return [frame.captured_ns / 1e6 for frame in clip]


def sound_packets(path: Path) -> list[tuple[float, str]]:
    """(time in ms, hash) of every packet of sound."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(file.streams.audio[0]) if packet.size]
        return [
            (round(float(packet.pts * packet.time_base) * 1000, 1), hashlib.sha256(bytes(packet)).hexdigest())
            for packet in packets
        ]


def stream_of(path: Path) -> Any:
    with av.open(str(path)) as file:
        return file.streams.video[0].codec_context


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_a_variable_frame_rate_and_the_length_are_kept(tmp_path: Path, name: str) -> None:
    ticks = [0, 40, 50, 60, 200, 230, 700]
    source = make_clip(tmp_path / "in.mkv", [plain(100 + n) for n in range(7)], ticks=ticks)
    carry_over(source, tmp_path / name)
    assert times_ms(tmp_path / name) == ticks
    with open_driving(source) as before, open_driving(tmp_path / name) as after:
        assert after.facts.duration_s == pytest.approx(before.facts.duration_s, abs=0.002)


def test_frame_times_are_exact_at_an_odd_rate(tmp_path: Path) -> None:
    base = Fraction(1001, 30_000)
    source = make_clip(tmp_path / "in.mp4", ticks=list(range(12)), time_base=base)
    carry_over(source, tmp_path / "out.mp4")
    with open_driving(source) as before, open_driving(tmp_path / "out.mp4") as after:
        assert [frame.captured_ns for frame in before] == [frame.captured_ns for frame in after]


@pytest.mark.parametrize(
    ("sound", "name"),
    [("aac", "out.mp4"), ("libopus", "out.webm"), ("libopus", "out.mp4"), ("flac", "out.mp4"), ("alac", "out.mp4")],
)
def test_sound_is_kept_bit_for_bit(tmp_path: Path, sound: str, name: str) -> None:
    source = make_clip(tmp_path / "in.mkv", sound=sound)
    notes = carry_over(source, tmp_path / name)
    before, after = sound_packets(source), sound_packets(tmp_path / name)
    assert notes == [] and [digest for _, digest in before] == [digest for _, digest in after]
    assert np.allclose([time for time, _ in before], [time for time, _ in after], atol=1.0)


def test_sound_of_a_broadcast_stays_in_step(tmp_path: Path) -> None:
    """A transport stream's clock starts anywhere; its pictures and sound move by the same amount."""
    options = {"output_ts_offset": "3600"}
    source = make_clip(tmp_path / "in.ts", sound="aac", container_options=options)
    carry_over(source, tmp_path / "out.mp4")

    def lag_ms(path: Path) -> float:
        with av.open(str(path)) as file:
            picture = next(file.decode(video=0))
            return sound_packets(path)[0][0] - float(picture.pts * picture.time_base) * 1000

    assert lag_ms(source) == pytest.approx(lag_ms(tmp_path / "out.mp4"), abs=1.0)
    assert times_ms(tmp_path / "out.mp4")[0] < 100


@pytest.mark.parametrize(("sound", "name", "expected"), [("aac", "out.webm", "opus"), ("pcm_s16le", "out.mp4", "aac")])
def test_sound_that_does_not_fit_is_converted_and_said(tmp_path: Path, sound: str, name: str, expected: str) -> None:
    notes = carry_over(make_clip(tmp_path / "in.mkv", sound=sound), tmp_path / name)
    assert len(notes) == 1 and sound in notes[0] and expected in notes[0]
    with av.open(str(tmp_path / name)) as file:
        stream = file.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == expected
        samples = sum(frame.samples for frame in file.decode(stream))
    assert samples / 48_000 == pytest.approx(12 / 25, abs=0.05)


def test_a_clip_without_sound_gives_a_file_without(tmp_path: Path) -> None:
    carry_over(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert not file.streams.audio


def test_damaged_sound_does_not_stop_the_pictures(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", sound="libopus", sound_s=3.0)
    source.write_bytes(source.read_bytes()[:-4000])
    write(tmp_path / "out.mp4", [plain(90)] * 10, audio_from=source)
    assert len(times_ms(tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_colours_are_kept_and_named(tmp_path: Path, name: str) -> None:
    colours = [(200, 40, 60), (30, 160, 70), (40, 60, 190), (250, 250, 250), (5, 5, 5), (128, 128, 128)]
    write(tmp_path / name, [plain(colour) for colour in colours])
    context = stream_of(tmp_path / name)
    assert context.pix_fmt == "yuv420p"
    assert [context.color_range, context.colorspace, context.color_primaries, context.color_trc] == [1, 1, 1, 1]
    with open_driving(tmp_path / name) as clip:
        for frame, colour in zip(clip, colours, strict=True):
            assert np.abs(frame.rgb.mean(axis=(0, 1)) - colour).max() < 5, colour


def test_mp4_begins_with_its_index(tmp_path: Path) -> None:
    """Players in a browser start a file whose index comes first before all of it is there."""
    write(tmp_path / "out.mp4", [plain(n) for n in range(10)])
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
@pytest.mark.parametrize("size", [(63, 48), (64, 47), (63, 47)])
def test_odd_sizes_are_padded_by_a_repeated_edge(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    write(tmp_path / name, [plain((200, 40, 60), size)] * 3)
    with open_driving(tmp_path / name) as clip:
        rgb = next(iter(clip)).rgb
    assert rgb.shape == (48, 64, 3) and np.abs(rgb.astype(int) - (200, 40, 60)).max() < 8


@pytest.mark.parametrize("size", [(63, 47), (300, 200)])
def test_a_gif_keeps_size_times_and_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.linspace(20, 230, size[0])[None, :, None], (size[1], size[0], 3)).astype(np.uint8)
    pictures = [np.roll(ramp, 3 * n, axis=1) for n in range(9)]
    write(tmp_path / "out.gif", pictures, rate=30)
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.size == size and gif.info["loop"] == 0
        lengths = []
        for number, picture in enumerate(pictures):
            gif.seek(number)
            lengths.append(gif.info["duration"])
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - picture).mean() < 4
        assert sum(lengths) == 300 and set(lengths) <= {30, 40}


def test_a_gif_leaves_out_what_it_cannot_show(tmp_path: Path) -> None:
    write(tmp_path / "out.gif", [plain(2 * n) for n in range(60)], rate=120)
    with Image.open(tmp_path / "out.gif") as gif:
        assert 20 <= getattr(gif, "n_frames", 0) <= 26
        assert gif.info["duration"] >= 20


def test_a_folder_of_frames(tmp_path: Path) -> None:
    noise = [np.random.default_rng(n).integers(0, 256, (21, 33, 3), np.uint8) for n in range(3)]
    write(tmp_path / "frames", noise)
    assert names(tmp_path / "frames") == ["000000.png", "000001.png", "000002.png"]
    assert all(np.array_equal(load_image(tmp_path / "frames" / f"{n:06d}.png"), noise[n]) for n in range(3))
    write(tmp_path / "frames", noise[:1])
    assert names(tmp_path / "frames") == ["000000.png"], "frames of the older result stayed"
    assert names(tmp_path) == ["frames"]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "000000.png").write_bytes(b"ours, perhaps")
    (folder / "me.png").write_bytes(b"not ours")
    with pytest.raises(OutputError, match=r"me\.png") as caught:
        open_output(folder, 64, 48, STEADY)
    assert caught.value.remedy and names(folder) == ["000000.png", "me.png"]


def test_a_folder_that_fills_up_meanwhile_is_left_alone(tmp_path: Path) -> None:
    writer = open_output(tmp_path / "frames", 64, 48, STEADY)
    with writer, pytest.raises(OutputError, match=r"me\.png"):
        writer.write(plain(1), 0.0)
        (tmp_path / "frames").mkdir()
        (tmp_path / "frames" / "me.png").write_bytes(b"not ours")
        writer.commit()
    assert names(tmp_path) == ["frames"] and names(tmp_path / "frames") == ["me.png"]


@pytest.fixture(params=KINDS)
def older_result(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A result of an earlier job, which must still be there, alone and unchanged, after the test."""
    path = tmp_path / request.param
    write(path, [plain(50)] * 2)

    def content() -> list[bytes]:
        return [file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]

    before = content()
    yield path
    assert content() == before and names(tmp_path) == [path.name]


def test_a_job_that_is_left_early_changes_nothing(older_result: Path) -> None:
    with open_output(older_result, 64, 48, STEADY) as writer:
        for number in range(5):
            writer.write(plain(number), number / 25)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_job_that_is_stopped_changes_nothing(older_result: Path, stop: type[BaseException]) -> None:
    with pytest.raises(stop), open_output(older_result, 64, 48, STEADY) as writer:
        writer.write(plain(1), 0.0)
        raise stop


def test_a_job_that_is_never_begun_changes_nothing(older_result: Path) -> None:
    open_output(older_result, 64, 48, STEADY).abort()


@pytest.mark.skipif(os.name != "posix", reason="the limit on file sizes is a POSIX one")
def test_a_disk_that_fills_up_changes_nothing(older_result: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (40, 240, 320, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="grew larger") as caught:
            write(older_result, list(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.remedy


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif"])
def test_a_full_disk_is_called_by_its_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden file is put on the device that is always full."""
    monkeypatch.setattr("avatar.outputs.files.video_file.part_path", lambda target: Path("/dev/full"))
    monkeypatch.setattr("avatar.outputs.files.gif.part_path", lambda target: Path("/dev/full"))
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    noise = np.random.default_rng(0).integers(0, 256, (40, 240, 320, 3), np.uint8)
    with pytest.raises(OutputError, match="disk is full"):
        write(tmp_path / name, list(noise))
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", KINDS)
def test_what_a_killed_job_left_is_cleared_later(tmp_path: Path, name: str) -> None:
    old, fresh = tmp_path / f".{name}.0123abcd.part", tmp_path / f".{name}.4567abcd.part"
    for part in (old, fresh):
        if name == "frames":
            part.mkdir()
        else:
            part.write_bytes(b"half")
    os.utime(old, (0, 0))
    write(tmp_path / name, [plain(5)] * 2)
    assert names(tmp_path) == sorted([fresh.name, name])


def test_times_finer_than_mp4_can_count(tmp_path: Path) -> None:
    facts = replace(STEADY, time_base=Fraction(1, 10_000_000_000))
    with open_output(tmp_path / "out.mp4", 64, 48, facts) as writer:
        for number in range(5):
            writer.write(plain(number), number / 25)
        writer.commit(0.2)
    assert times_ms(tmp_path / "out.mp4") == [0, 40, 80, 120, 160]


def test_kinds_of_result(tmp_path: Path) -> None:
    assert kind_of(Path("A.MP4")) is OutputKind.MP4 and kind_of(Path("a.webm")) is OutputKind.WEBM
    assert kind_of(Path("a.gif")) is OutputKind.GIF and kind_of(Path("frames")) is OutputKind.PNG_FOLDER
    (tmp_path / "v1.2").mkdir()
    assert kind_of(tmp_path / "v1.2") is OutputKind.PNG_FOLDER


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.png", "a.mp4.txt"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"not a kind of result") as caught:
        kind_of(Path(name))
    assert ".mp4" in caught.value.remedy


def make_link(path: Path, target: Path, kind: str) -> Path:
    try:
        path.symlink_to(target) if kind == "soft" else path.hardlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")
    return path


@pytest.mark.parametrize(
    "other_name",
    [
        lambda path: path,
        lambda path: path.parent / ".." / path.parent.name / path.name,
        lambda path: make_link(path.with_name("soft.mp4"), path, "soft"),
        lambda path: make_link(path.with_name("hard.mp4"), path, "hard"),
    ],
)
def test_an_input_is_never_overwritten(tmp_path: Path, other_name: Callable[[Path], Path]) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    with pytest.raises(UsageError, match="itself an input"):
        check_target(other_name(clip), [tmp_path / "portrait.jpg", clip])


def test_an_input_is_known_by_a_way_through_nowhere_too(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    with pytest.raises(UsageError, match="itself an input"):
        check_target(tmp_path / "nowhere" / ".." / "in.mp4", [clip])


def test_a_folder_that_is_an_input_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "frames", [plain(1)] * 2)
    with pytest.raises(UsageError, match="itself an input"):
        check_target(tmp_path / "frames", [tmp_path / "frames"])


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("x")
    for path, expected in [
        (tmp_path / "nowhere" / "a.mp4", "no folder"),
        (tmp_path / "folder.mp4", "is a folder"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "a.mp4", "is a file"),
    ]:
        with pytest.raises(OutputError, match=expected) as caught:
            check_target(path, [])
        assert caught.value.remedy
    assert names(tmp_path) == ["file", "folder.mp4"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder here that nobody may write to")
@pytest.mark.parametrize("name", KINDS)
def test_a_folder_that_nobody_may_write_to(name: str) -> None:
    with pytest.raises(OutputError):
        check_target(Path("/proc") / name, [])
    with pytest.raises(OutputError):
        open_output(Path("/proc") / name, 64, 48, STEADY)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="may not be written"):
        check_target(tmp_path / "mine" / "a.mp4", [])


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_target(tmp_path / "a.mp4", []) is OutputKind.MP4
    assert names(tmp_path) == []


def test_the_encoder_thread_keeps_the_order() -> None:
    writer = FakeWriter()
    with EncodingThread(writer) as encoder:
        for number in range(50):
            encoder.put(plain(number), number / 25)
        encoder.finish()
    assert [time for _, time in writer.written] == [number / 25 for number in range(50)]


@pytest.mark.parametrize(("frame_bytes", "depth"), [(0, DEPTH), (25_000_000, 2), (200_000_000, 1)])
def test_only_a_few_frames_wait_for_a_slow_encoder(frame_bytes: int, depth: int) -> None:
    gate = threading.Event()
    writer = FakeWriter(gate=gate)
    passed = []

    def draw(encoder: EncodingThread) -> None:
        for number in range(3 * DEPTH):
            encoder.put(plain(number), number / 25)
            passed.append(number)
        encoder.finish()

    with EncodingThread(writer, frame_bytes=frame_bytes) as encoder:
        drawing = threading.Thread(target=draw, args=(encoder,))
        drawing.start()
        assert writer.entered.wait(5)
        drawing.join(timeout=0.5)
        assert drawing.is_alive() and len(passed) == depth + 1
        gate.set()
        drawing.join(timeout=5)
    assert len(writer.written) == 3 * DEPTH


@pytest.mark.parametrize("fail_at", [0, 3, 9])
def test_an_error_of_the_encoder_reaches_the_one_who_draws(fail_at: int) -> None:
    full = OutputError("The disk is full.", remedy="Make room.")
    writer = FakeWriter(error=full, fail_at=fail_at)
    with pytest.raises(OutputError) as caught, EncodingThread(writer) as encoder:
        for number in range(10):
            encoder.put(plain(number), number / 25)
        encoder.finish()
    assert caught.value is full


def test_leaving_early_stops_the_encoder() -> None:
    writer = FakeWriter()
    with pytest.raises(KeyboardInterrupt), EncodingThread(writer) as encoder:
        encoder.put(plain(1), 0.0)
        raise KeyboardInterrupt


def test_errors_of_the_system_are_put_into_words(tmp_path: Path) -> None:
    from avatar.outputs.files.target import write_errors_explained

    for number, expected in [
        (errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EFBIG, "larger"),
        (errno.EROFS, "may not be written"), (errno.EACCES, "may not be written"), (errno.EIO, "cannot be written"),
    ]:  # fmt: skip
        with pytest.raises(OutputError, match=expected) as caught, write_errors_explained(tmp_path / "a.mp4"):
            raise OSError(number, os.strerror(number))
        assert "a.mp4" in caught.value.what and caught.value.remedy
