"""Timelines of packets whose clock restarts or jumps, which are repaired, and of all others, which are kept."""

from __future__ import annotations

import heapq
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes import make_clip, plain
from flashes import make_flashes
from PIL import Image

from avatar.sources.clock import Clock, Stamp
from avatar.sources.video import open_driving

PICTURES, SOUND = 0, 1
FRAME_S, BLOCK_S = 0.04, 0.02


def pictures(start_s: float, seconds: float, step_s: float = FRAME_S) -> list[Stamp]:
    count = round(seconds / step_s)
    return [Stamp(PICTURES, start_s + n * step_s, step_s, n % 25 == 0) for n in range(count)]


def sound(start_s: float, seconds: float) -> list[Stamp]:
    return [Stamp(SOUND, start_s + n * BLOCK_S, BLOCK_S) for n in range(round(seconds / BLOCK_S))]


def interleaved(*streams: Sequence[Stamp]) -> list[Stamp]:
    return list(heapq.merge(*streams, key=lambda stamp: stamp.time_s or 0.0))


def piece(start_s: float, seconds: float) -> list[Stamp]:
    return interleaved(pictures(start_s, seconds), sound(start_s, seconds))


def placed(stamps: Sequence[Stamp], *, may_jump: bool = True, clock: Clock | None = None) -> dict[int, list[float]]:
    """The times on the timeline of each stream's packets."""
    clock = clock or Clock(may_jump=may_jump)
    times: dict[int, list[float]] = {PICTURES: [], SOUND: []}
    for number, stamp in enumerate(stamps):

        def ahead(after: int = number + 1) -> Iterator[Stamp]:
            yield from stamps[after : after + 600]

        offset_s = clock.offset_s(stamp, ahead)
        if stamp.time_s is not None:
            times[stamp.stream].append(stamp.time_s + offset_s)
    return times


def steps(times: Sequence[float]) -> list[float]:
    return [round(after - before, 3) for before, after in itertools.pairwise(times)]


def unchanged(stamps: Sequence[Stamp], **options: bool) -> bool:
    clock = Clock(**options)
    times = placed(stamps, clock=clock)
    return clock.joins(PICTURES) == 0 and all(
        times[stream] == [stamp.time_s for stamp in stamps if stamp.stream == stream] for stream in times
    )


@pytest.mark.parametrize("start_s", [1.4, 3600.0, 0.0, 14.4])
def test_a_second_piece_begins_where_the_first_ends(start_s: float) -> None:
    times = placed(piece(1.4, 2) + piece(start_s, 2))
    assert steps(times[PICTURES]) == [FRAME_S] * 99 and steps(times[SOUND]) == [BLOCK_S] * 199


def test_many_short_pieces() -> None:
    times = placed(piece(5, 0.4) * 20)
    assert steps(times[PICTURES]) == [FRAME_S] * 199
    assert max(abs(a - b) for a, b in zip(times[PICTURES], times[SOUND][::2], strict=True)) < 0.001


def test_sound_of_the_first_piece_that_comes_late_stays_there() -> None:
    """A transport stream carries sound up to a second behind the pictures of the same moment."""
    late = [Stamp(SOUND, (stamp.time_s or 0) - 0.7, BLOCK_S) for stamp in sound(0.7, 2)]
    first = interleaved(pictures(1.4, 2), [Stamp(SOUND, 1.4 + (s.time_s or 0), BLOCK_S) for s in late])
    tail, head = first[-40:], piece(1.4, 2)
    times = placed([*first[:-40], *head[:6], *tail, *head[6:]])
    assert all(step >= -0.001 for step in steps(times[SOUND]))
    assert times[SOUND][-1] == pytest.approx(times[PICTURES][-1] + FRAME_S - BLOCK_S, abs=0.05)


def test_a_piece_without_sound_before_one_with_it() -> None:
    first, second = pictures(1.4, 2), piece(1.4, 2)
    second.sort(key=lambda stamp: (stamp.time_s, -stamp.stream))  # sound comes first
    times = placed(first + second)
    assert times[SOUND][1] == pytest.approx(3.42, abs=0.001) and steps(times[PICTURES]) == [FRAME_S] * 99


@pytest.mark.parametrize("may_jump", [False, True])
def test_a_leap_of_both_is_cut_out(may_jump: bool) -> None:
    times = placed(piece(0, 2) + piece(1002, 2), may_jump=may_jump)
    assert steps(times[PICTURES]) == [FRAME_S] * 99


@pytest.mark.parametrize("may_jump", [False, True])
def test_a_still_passage_during_which_sound_goes_on_is_kept(may_jump: bool) -> None:
    frames = [*pictures(0, 2), *pictures(62, 2)]
    assert unchanged(interleaved(frames, sound(0, 64)), may_jump=may_jump)
    assert unchanged([*frames[:50], *sound(0, 2), *frames[50:], *sound(2, 62)], may_jump=may_jump), "sound comes later"


def test_pictures_that_go_on_while_sound_pauses_are_kept() -> None:
    assert unchanged(interleaved(pictures(0, 64), [*sound(0, 2), *sound(62, 2)]), may_jump=True)


def test_a_still_passage_without_sound_is_kept_where_the_container_can_say_so() -> None:
    frames = [*pictures(0, 2), *pictures(62, 2)]
    assert unchanged(frames, may_jump=False) and not unchanged(frames, may_jump=True)
    frames[49] = Stamp(PICTURES, 1.96, 60.04, False)
    assert unchanged(frames, may_jump=True)


def test_irregular_times_and_pauses_are_kept() -> None:
    times = [0, 0.033, 0.1, 0.9, 0.901, 2.5, 2.6, 9.9, 19.0]
    assert unchanged([Stamp(PICTURES, time_s, 0.033, time_s == 0) for time_s in times], may_jump=True)


def test_display_times_out_of_order_are_no_joins() -> None:
    """Matroska stores no decoding times, and B-frames come after the frame that they precede."""
    shown = [0, 16, 8, 4, 12, 32, 24, 20, 28, 48, 40, 36, 44]
    assert unchanged([Stamp(PICTURES, frame * FRAME_S, FRAME_S, frame == 0) for frame in shown], may_jump=False)


@pytest.mark.parametrize("wrong_s", [0.0, 50_000.0])
@pytest.mark.parametrize("stream", [PICTURES, SOUND])
def test_a_single_wrong_stamp_moves_nothing_else(stream: int, wrong_s: float) -> None:
    stamps = piece(30, 4)
    number = next(n for n, s in enumerate(stamps) if s.stream == stream and (s.time_s or 0) >= 32)
    right = dict(enumerate(s.time_s for s in stamps))
    stamps[number] = Stamp(stream, wrong_s, 0.02)
    clock = Clock(may_jump=True)
    times = placed(stamps, clock=clock)
    assert clock.joins(PICTURES) == 0
    del times[stream][sum(s.stream == stream for s in stamps[:number])]
    for each in times:
        assert times[each] == [right[n] for n, s in enumerate(stamps) if s.stream == each and n != number]


def test_sound_that_restarts_alone_stays_in_step() -> None:
    stamps = interleaved(pictures(0, 20), sound(0, 20))
    for number, stamp in enumerate(stamps):
        if stamp.stream == SOUND and (stamp.time_s or 0) >= 10:
            stamps[number] = Stamp(SOUND, (stamp.time_s or 0) - 10, BLOCK_S)
    clock = Clock(may_jump=True)
    times = placed(stamps, clock=clock)
    assert clock.joins(PICTURES) == 0 and times[PICTURES] == [s.time_s for s in stamps if s.stream == PICTURES]
    assert times[SOUND][-1] == pytest.approx(20 - BLOCK_S, abs=0.03)


def test_packets_without_stamps_follow_their_piece() -> None:
    clock = Clock(may_jump=True)
    placed(piece(1, 2) + piece(1, 2), clock=clock)
    assert clock.offset_s(Stamp(PICTURES, None)) == pytest.approx(2.0)


def read_s(path: Path) -> tuple[list[float], list[str]]:
    with open_driving(path) as clip:
        return [frame.captured_ns * 1e-9 for frame in clip], list(clip.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_screen_recording_that_stands_still_for_a_minute(suffix: str, tmp_path: Path) -> None:
    times_ms = [0, 40, 80, 120, 60_000, 60_040, 60_080]
    path = make_flashes(tmp_path / f"in{suffix}", times_ms=times_ms, seconds=60.12, marks_s=(), bframes=0)
    times, notes = read_s(path)
    assert [round((time_s - times[0]) * 1000) for time_s in times] == times_ms and not notes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_one_without_sound_too(suffix: str, tmp_path: Path) -> None:
    path = make_clip(tmp_path / f"in{suffix}", [plain(n) for n in (90, 91, 92)], ticks=[0, 40, 60_000])
    times, notes = read_s(path)
    assert times[2] - times[0] == pytest.approx(60, abs=0.01) and not notes


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_a_leap_of_a_thousand_seconds(suffix: str, tmp_path: Path) -> None:
    ticks = [n * 40 + (1_000_000 if n >= 50 else 0) for n in range(100)]
    options = {"bf": "0"}
    path = make_clip(tmp_path / f"in{suffix}", [plain(90)] * 100, ticks=ticks, codec_options=options)
    times, notes = read_s(path)
    assert times[-1] - times[0] == pytest.approx(99 * 0.04, abs=0.05) and len(notes) == 1


def test_pictures_from_before_zero(tmp_path: Path) -> None:
    """A stream that was cut near the wrap of its 33-bit clock is read with negative times."""
    options = {"output_ts_offset": str(2**33 / 90_000 - 5)}
    times, notes = read_s(make_flashes(tmp_path / "in.ts", options=options))
    assert 0 <= times[0] < 0.2 and not notes
    assert max(abs(step - FRAME_S) for step in steps(times)) < 0.002


def test_a_clip_that_wraps_and_goes_on(tmp_path: Path) -> None:
    options = {"output_ts_offset": str(2**33 / 90_000 - 2.2)}
    times, notes = read_s(make_flashes(tmp_path / "in.ts", options=options))
    assert max(abs(step - FRAME_S) for step in steps(times)) < 0.002 and not notes


def laced(path: Path, frames: int = 24, lace: int = 4, step_ms: int = 40) -> Path:
    """A Matroska file with several frames in a block, of which only the first has a time (RFC 9559, 10.3)."""

    def element(name: str, data: bytes) -> bytes:
        return bytes.fromhex(name) + (len(data) | 1 << 56).to_bytes(8) + data

    def number(name: str, value: int) -> bytes:
        return element(name, value.to_bytes(4))

    def picture(level: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(plain(level)).save(file, "JPEG")
        return file.getvalue()

    head = element("1A45DFA3", element("4282", b"matroska") + number("4287", 4) + number("4285", 2))
    info = element("1549A966", number("2AD7B1", 1_000_000))
    size = element("E0", number("B0", 64) + number("BA", 48))
    entry = number("D7", 1) + number("73C5", 1) + number("83", 1) + number("9C", 1) + element("86", b"V_MJPEG") + size
    blocks = b""
    for first in range(0, frames, lace):
        pictures = [picture(100 + first + each) for each in range(lace)]
        sizes = b"".join(b"\xff" * (len(each) // 255) + bytes([len(each) % 255]) for each in pictures[:-1])
        time = (first * step_ms).to_bytes(2)
        blocks += element("A3", b"\x81" + time + b"\x82" + bytes([lace - 1]) + sizes + b"".join(pictures))
    cluster = element("1F43B675", number("E7", 0) + blocks)
    path.write_bytes(head + element("18538067", info + element("1654AE6B", element("AE", entry)) + cluster))
    return path


@pytest.mark.parametrize("step_ms", [40, 20])
def test_frames_without_stamps_lie_between_those_with(tmp_path: Path, step_ms: int) -> None:
    with open_driving(laced(tmp_path / "in.mkv", step_ms=step_ms)) as clip:
        frames = list(clip)
        assert [round(frame.captured_ns / 1e6) for frame in frames] == [step_ms * n for n in range(24)]
        assert clip.end_s == pytest.approx(24 * step_ms / 1000, abs=0.002)
        levels = [frame.rgb.mean() for frame in frames]
        assert levels == sorted(levels)
