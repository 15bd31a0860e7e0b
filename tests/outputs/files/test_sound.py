"""Sound: choice of the track, synchronisation, and failures that never cost the video."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import FFmpegError, InvalidDataError
from fakes import make_clip, plain
from flashes import beeps_s, flashes_s, make_flashes
from sync_check import check_sync, run

from avatar import cli
from avatar.errors import OutputError, UsageError
from avatar.outputs.files import video_file
from avatar.outputs.files.sound import SampleLine, Sound
from avatar.outputs.files.target import write_errors_explained
from avatar.outputs.files.video_file import VideoFileWriter, open_output
from avatar.sources.facts import DrivingFacts
from avatar.sources.video import open_driving

KINDS = ["out.mp4", "out.webm"]


def tracks(path: Path) -> int:
    with av.open(str(path)) as file:
        return len(file.streams.audio)


@pytest.mark.parametrize("name", KINDS)
def test_the_first_track_that_can_be_heard_is_kept(tmp_path: Path, name: str) -> None:
    result = run(make_flashes(tmp_path / "obs.mkv", silent_tracks=2), tmp_path / name)
    check_sync(tmp_path / name, 2)
    assert tracks(tmp_path / name) == 1
    note = next(note for note in result.notes if "sound tracks" in note)
    assert "number 3" in note and "track 1 is silent" in note and "--sound-track" in note


@pytest.mark.parametrize("name", KINDS)
def test_all_tracks_can_be_kept(tmp_path: Path, name: str) -> None:
    run(make_flashes(tmp_path / "obs.mkv", silent_tracks=1), tmp_path / name, sound_track="all")
    assert tracks(tmp_path / name) == 2
    assert not beeps_s(tmp_path / name, 0) and len(beeps_s(tmp_path / name, 1)) == 2


def test_a_track_can_be_named(tmp_path: Path) -> None:
    clip = make_flashes(tmp_path / "obs.mkv", silent_tracks=1)
    result = run(clip, tmp_path / "out.mp4", sound_track=1)
    assert tracks(tmp_path / "out.mp4") == 1 and not beeps_s(tmp_path / "out.mp4") and not result.notes
    with pytest.raises(UsageError, match=r"no sound track 3: obs\.mkv has 2 sound tracks"):
        run(clip, tmp_path / "out.mp4", sound_track=3)
    with pytest.raises(UsageError, match="no sound track 0"):
        run(clip, tmp_path / "out.mp4", sound_track=0)


@pytest.mark.parametrize("word", ["0", "-1", "both", "²"])
def test_a_wrong_track_is_refused_on_the_command_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["animate", "a.jpg", "b.mp4", "-o", "c.mp4", f"--sound-track={word}"]) == 2
    assert "neither a number from 1 nor all" in capsys.readouterr().err


def test_a_track_that_cannot_be_decoded_is_passed_over(tmp_path: Path) -> None:
    """Phones store a spatial track first that nothing else decodes."""
    clip = make_flashes(tmp_path / "phone.mov", silent_tracks=1)
    data = bytearray(clip.read_bytes())
    at = data.index(b"mp4a", data.index(b"soun"))
    data[at : at + 4] = b"apac"
    data[data.index(b"esds", at) : data.index(b"esds", at) + 4] = b"dapa"
    clip.write_bytes(data)
    result = run(clip, tmp_path / "out.mp4")
    check_sync(tmp_path / "out.mp4", 2)
    assert any("number 2" in note and "track 1 cannot be decoded" in note for note in result.notes)
    result = run(clip, tmp_path / "out.mp4", sound_track="all")
    assert tracks(tmp_path / "out.mp4") == 1 and any("Sound track 1 was left out" in note for note in result.notes)


def test_a_commentary_is_not_the_main_track(tmp_path: Path) -> None:
    """A description for the blind or a commentary may come first and be loud."""
    from av.stream import Disposition

    path = tmp_path / "film.mkv"
    with av.open(str(make_flashes(tmp_path / "in.mkv"))) as source, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        pair = [output.add_stream_from_template(source.streams.audio[0]) for _ in range(2)]
        pair[0].disposition = Disposition.visual_impaired
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                packet.stream = video
                output.mux(packet)
                continue
            for target in pair:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.time_base, copy.stream = packet.time_base, target
                output.mux(copy)
    result = run(path, tmp_path / "out.mp4")
    assert any("number 2 was used because it is marked as the main one" in note for note in result.notes)


def test_a_single_silent_track_is_kept_without_a_word(tmp_path: Path) -> None:
    result = run(make_flashes(tmp_path / "in.mp4", marks_s=()), tmp_path / "out.mp4")
    assert tracks(tmp_path / "out.mp4") == 1 and not result.notes


class Refusing:
    """A container that refuses some packets, as a muxer does that finds fault with one."""

    def __init__(self, container: Any, refused: range, error: Exception) -> None:
        self._container, self._refused, self._error = container, refused, error
        self._count = -1

    def mux(self, packet: Any) -> None:
        self._count += 1
        if self._count in self._refused:
            raise self._error
        self._container.mux(packet)

    def close(self) -> None:
        self._container.close()


def invalid() -> FFmpegError:
    return InvalidDataError(1094995529, "Invalid data found when processing input")


def written(folder: Path, name: str, spoil: Any) -> list[str]:
    """Carry a clip over with something that goes wrong; returns the notes."""
    clip = make_flashes(folder / "in.mkv", sound="libopus")
    with open_driving(clip) as source:
        facts = source.facts
        with open_output(folder / name, facts.width_px, facts.height_px, facts, audio_from=clip) as writer:
            assert isinstance(writer, VideoFileWriter)
            spoil(writer)
            for frame in source:
                writer.write(frame.rgb, frame.captured_ns * 1e-9)
            writer.commit(source.end_s)
            return writer.notes


def sound_of(writer: VideoFileWriter) -> Any:
    assert isinstance(writer._sound, Sound)
    return writer._sound._tracks[0]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("first", [0, 20, 79])
def test_sound_that_cannot_be_written_is_left_out_and_said(tmp_path: Path, name: str, first: int) -> None:
    def spoil(writer: VideoFileWriter) -> None:
        track = sound_of(writer)
        track._output = Refusing(track._output, range(first, 10_000), invalid())

    notes = written(tmp_path, name, spoil)
    assert len(flashes_s(tmp_path / name)) == 2
    assert len(notes) == 1 and "sound was left out" in notes[0] and "Invalid data" in notes[0]


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_of_queued_sound_that_pictures_are_told_of(tmp_path: Path, name: str) -> None:
    def spoil(writer: VideoFileWriter) -> None:
        writer._container = Refusing(writer._container, range(30, 31), invalid())

    notes = written(tmp_path, name, spoil)
    with open_driving(tmp_path / name) as clip:
        assert len(list(clip)) == 39, "the fake refused one of 40"
    assert len(notes) == 1 and "sound was left out" in notes[0]


@pytest.mark.parametrize("name", KINDS)
def test_a_disk_that_is_full_is_not_taken_for_bad_sound(tmp_path: Path, name: str) -> None:
    def spoil(writer: VideoFileWriter) -> None:
        track = sound_of(writer)
        track._output = Refusing(track._output, range(20, 10_000), OSError(errno.ENOSPC, "No space left on device"))

    with pytest.raises(OutputError, match="disk is full"):
        written(tmp_path, name, spoil)


@pytest.mark.parametrize("name", KINDS)
def test_an_encoder_that_refuses_the_sound_costs_the_sound_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(path: Path, output: Any, *_: Any) -> Sound:
        output.add_stream("aac" if name == "out.mp4" else "libopus", rate=7, layout="mono")
        return Sound([], [])

    monkeypatch.setattr(video_file, "open_sound", impossible)
    notes = written(tmp_path, name, lambda writer: None)
    assert len(flashes_s(tmp_path / name)) == 2 and tracks(tmp_path / name) == 0
    assert len(notes) == 1 and "sound was left out" in notes[0]


def test_what_ffmpeg_refuses_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    for error in (invalid(), FFmpegError(errno.EINVAL, "Invalid argument")):
        with pytest.raises(OutputError) as caught, write_errors_explained(tmp_path / "out.mp4"):
            raise error
        assert "folder" not in caught.value.remedy and "encoded" in caught.value.what
    with pytest.raises(OutputError, match="disk is full"), write_errors_explained(tmp_path / "out.mp4"):
        raise FFmpegError(errno.ENOSPC, "No space left on device")


def test_sound_that_is_empty_or_damaged_is_left_out_and_said(tmp_path: Path) -> None:
    """The header promises PCM that cannot go into WebM, and there is not a packet of it."""
    clip = make_clip(tmp_path / "in.mkv", [plain(90 + n) for n in range(10)])
    empty = tmp_path / "empty.wav"
    with av.open(str(empty), "w") as output:
        output.add_stream("pcm_s16le", rate=48_000, layout="mono")
        output.start_encoding()
    with open_driving(clip) as source:
        facts = source.facts
        with open_output(tmp_path / "out.webm", 64, 48, facts, audio_from=empty) as writer:
            for frame in source:
                writer.write(frame.rgb, frame.captured_ns * 1e-9)
            writer.commit(source.end_s)
            assert len(writer.notes) == 1 and "sound was left out" in writer.notes[0]


def test_pieces_of_sound_go_where_they_belong() -> None:
    line = SampleLine(1)

    def put(start: int | None, count: int, value: float) -> list[tuple[int, int, float]]:
        samples = np.full((1, count), value, np.float32)
        return [(at, block.shape[1], float(block.mean())) for at, block in line.put(start, samples)]

    assert put(2400, 1000, 1.0) == [(0, 1024, 0.0), (1024, 1024, 0.0), (2048, 352, 0.0), (2400, 1000, 1.0)]
    assert put(3410, 1000, 1.0) == [(3400, 1000, 1.0)], "rounding is no gap"
    assert put(None, 100, 0.5) == [(4400, 100, 0.5)]
    assert put(2500, 3000, 1.0) == [(4500, 1000, 1.0)], "what overlaps is cut"
    assert put(0, 100, 1.0) == []


def test_facts_of_a_file_without_that_stream_do_no_harm(tmp_path: Path) -> None:
    facts = DrivingFacts(Path("x"), 64, 48, Fraction(25), Fraction(1, 1000), 1.0, 25, has_audio=True, stream_index=7)
    with open_output(tmp_path / "out.mp4", 64, 48, facts, audio_from=make_flashes(tmp_path / "in.mp4")) as writer:
        for number in range(40):
            writer.write(plain(90), number / 25)
        writer.commit(1.6)
    assert len(beeps_s(tmp_path / "out.mp4")) == 2


def test_sound_whose_packets_vary_in_length_is_kept_whole(tmp_path: Path) -> None:
    """Opus and Vorbis change the length of their packets as they like."""
    clip, mixed = make_clip(tmp_path / "in.mkv", [plain(90 + n) for n in range(25)]), tmp_path / "sound.mkv"
    sizes = {"2.5": 120, "60": 2880}
    with av.open(str(mixed), "w") as output:
        start, target = 0, None
        for length_ms, samples in sizes.items():
            path = tmp_path / f"{length_ms}.mkv"
            with av.open(str(path), "w") as part:
                options = {"frame_duration": length_ms}
                stream: Any = part.add_stream("libopus", rate=48_000, layout="mono", options=options)
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 14_400), np.float32), format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
                part.mux(stream.encode(frame) + stream.encode(None))
            with av.open(str(path)) as part:
                target = target or output.add_stream_from_template(part.streams.audio[0])
                for packet in part.demux(audio=0):
                    if packet.size:
                        packet.stream, packet.time_base = target, Fraction(1, 48_000)
                        packet.pts, packet.dts, packet.duration = start, start, samples
                        start += samples
                        output.mux(packet)
    with (
        open_driving(clip) as source,
        open_output(tmp_path / "out.webm", 64, 48, source.facts, audio_from=mixed) as writer,
    ):
        for frame_read in source:
            writer.write(frame_read.rgb, frame_read.captured_ns * 1e-9)
        writer.commit(source.end_s)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as file:
            return [bytes(packet) for packet in file.demux(audio=0) if packet.size]

    assert packets(tmp_path / "out.webm") == packets(mixed)
