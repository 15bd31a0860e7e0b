"""A recording and a replay of one stream: what each file holds, who is spared whose trouble, and the camera's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from fakes import plain

from avatar.errors import OutputError
from avatar.frames import Frame, RgbImage
from avatar.outputs.live import encoder
from avatar.outputs.live.encoder import EncoderPool
from avatar.outputs.live.recorder import Recorder
from avatar.outputs.live.replay import ReplayRing

SIZE = (160, 90)


def frame(number: int, level: int | None = None, *, size: tuple[int, int] = SIZE) -> Frame:
    """Frame `number` as the gate counts; taken then, too."""
    level = 20 + number if level is None else level
    return Frame(plain(level, size), number, round(number * 1e9 / 30), published=number)


def camera(number: int, passage: int = 1) -> Frame:
    return replace(frame(number, 220), passed_through=True, passage=passage)


def pictures(path: Path) -> list[RgbImage]:
    with av.open(str(path)) as file:
        return [each.to_ndarray(format="rgb24") for each in file.decode(video=0)]


def levels(path: Path) -> list[int]:
    return [round(float(each.mean())) for each in pictures(path)]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The place of everything that is encoded."""
    places: list[int] = []
    encode = encoder._Encoder._encode

    def note(self: encoder._Encoder, image: object, place: int, *, shows_camera: bool) -> None:
        places.append(place)
        encode(self, image, place, shows_camera=shows_camera)

    monkeypatch.setattr(encoder._Encoder, "_encode", note)
    return places


@pytest.fixture(autouse=True)
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("recorder", "replay"):
        monkeypatch.setattr(f"avatar.outputs.live.{module}.sign_or_remember", lambda *_, **__: True)


def test_recording_and_replay_are_encoded_once_and_decode_to_the_same_frames(
    tmp_path: Path, encoded: list[int]
) -> None:
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)
    noise = np.random.default_rng(1).integers(0, 256, (60, 90, 160, 3), np.uint8)
    for number in range(1, 60):
        sent = replace(frame(number), rgb=noise[number])
        for output in (ring, recorder) if number % 2 else (recorder, ring):  # whoever comes first
            output.send(sent)
    ring.save(tmp_path / "again.mp4")
    recorder.close()
    ring.close()
    show, again = pictures(tmp_path / "show.mp4"), pictures(tmp_path / "again.mp4")
    assert encoded == list(range(59))
    assert len(show) == 59 - 1 and len(again) == 59 - 1  # it joined one frame late; the newest has no length yet
    assert all(np.array_equal(one, other) for one, other in zip(show, again[1:], strict=False))


def test_a_recording_begins_and_ends_with_its_own_frames(tmp_path: Path) -> None:
    """Whatever the replay has encoded before and after: that it is on must not change what a recording holds."""
    pool = EncoderPool()
    ring = ReplayRing(SIZE, encoders=pool)
    for number in range(1, 40):
        ring.send(camera(number) if number > 30 else frame(number))
    recorder = Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)
    ring.send(camera(40))  # was in its hands when the recording began
    for number in range(45, 60):
        for output in (recorder, ring):
            output.send(frame(number))
    ring.send(camera(60, 2))
    recorder.close()
    assert levels(tmp_path / "show.mp4") == pytest.approx([20 + number for number in range(45, 60)], abs=2)
    with av.open(str(tmp_path / "show.mp4")) as file:
        packets = [each for each in file.demux(video=0) if each.dts is not None]
    assert packets[0].pts == 0 and [each.is_keyframe for each in packets[:3]] == [True, True, False]


def test_a_machine_that_is_too_slow_repeats_less_and_is_never_busy_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each gap would take longer to fill than it lasts, and stopping would have to wait for it."""
    clock_s, places = [0.0], []
    encode = encoder._Encoder._encode

    def slowly(self: encoder._Encoder, image: Any, place: int, *, shows_camera: bool) -> None:
        clock_s[0] += 0.1  # three times as long as a frame lasts
        places.append(place)
        encode(self, image, place, shows_camera=shows_camera)

    monkeypatch.setattr(encoder._Encoder, "_encode", slowly)
    monkeypatch.setattr(encoder, "time", SimpleNamespace(monotonic=lambda: clock_s[0]))
    recorder = Recorder(tmp_path / "show.mp4", SIZE)
    for number in (1, 2, 100, 110, 111):
        begun_s = clock_s[0]
        recorder.send(frame(number))
        assert clock_s[0] - begun_s < 0.8
    recorder.close()
    assert places[:3] == [0, 1, 2] and places[-1] == 110 and places == sorted(set(places))
    with av.open(str(tmp_path / "show.mp4")) as file:
        times = [round(each.time * 30) for each in file.decode(video=0)]
    assert times == places, "each picture stays at its time"
    shown = dict(zip(places, levels(tmp_path / "show.mp4"), strict=True))
    assert shown[places[places.index(99) - 1]] == pytest.approx(22, abs=2) and shown[99] == pytest.approx(120, abs=2)


def test_a_late_older_frame_does_not_come_after_what_took_its_place(tmp_path: Path) -> None:
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)
    for output in (recorder, ring):
        output.send(frame(1, 50))
    recorder.send(frame(3, 100))  # covers the camera
    ring.send(camera(2))  # was in its hands meanwhile
    for output in (recorder, ring):
        output.send(frame(4, 100))
    recorder.close()
    assert levels(tmp_path / "show.mp4") == pytest.approx([50, 50, 100, 100], abs=2)


def test_a_full_disk_ends_the_recording_and_not_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for number in range(1, 40):
        if number == 20:
            monkeypatch.setattr("avatar.outputs.live.live_file.LiveFile.add", fail)
        if number < 20:
            recorder.send(frame(number))
        elif number == 20:
            with pytest.raises(OutputError, match="disk is full"):
                recorder.send(frame(number))
        ring.send(frame(number))
    ring.save(tmp_path / "again.mp4")
    assert levels(tmp_path / "again.mp4") == pytest.approx([20 + number for number in range(2, 39)], abs=2)
    assert levels(tmp_path / "show.mp4")[:10] == pytest.approx([20 + number for number in range(1, 11)], abs=2)


def test_the_recording_goes_on_when_the_replay_ends_or_takes_another_size(tmp_path: Path, encoded: list[int]) -> None:
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)
    for number in range(1, 31):
        if number == 11:
            ring.resize((96, 54))
        recorder.send(frame(number))
        if number < 21:
            ring.send(frame(number, size=ring.size))
        elif number == 21:
            ring.close()
    recorder.close()
    assert levels(tmp_path / "show.mp4") == pytest.approx([20 + number for number in range(1, 31)], abs=2)
    assert len(encoded) == 30 + 10, "two codecs only while there are two sizes"


def test_a_recording_whose_disk_hangs_goes_on_by_itself(tmp_path: Path) -> None:
    """Its packets would fill the memory; and while it hung, the camera was on and off again."""
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.mp4", SIZE, encoders=pool)
    for output in (recorder, ring):
        output.send(frame(1, 50))
        output.send(frame(2, 50))
    for number in range(3, 150):
        ring.send(frame(number, 100) if number < 90 else camera(number))
        assert len(recorder._feed.waiting) <= encoder._MOST_WAITING + 1
    ring.send(frame(150, 100))
    for number in range(190, 200):
        for output in (recorder, ring):
            output.send(frame(number, 150))
    recorder.close()
    found = levels(tmp_path / "show.mp4")
    assert found[:2] + found[2:80] == pytest.approx([50] * 2 + [100] * 78, abs=2) and len(found) == 199
    assert found[-10:] == pytest.approx([150] * 10, abs=2)
    assert found[94:-10] == pytest.approx([100] * (199 - 94 - 10), abs=2), "what it skipped shows no camera"
    ring.save(tmp_path / "again.mp4")
    assert levels(tmp_path / "again.mp4").count(220) == 60


def test_a_recording_of_a_replay_is_a_composite_from_the_first_camera_frame_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[bool] = []
    monkeypatch.setattr(
        "avatar.outputs.live.recorder.sign_or_remember", lambda _, composite: marked.append(composite) or True
    )
    pool = EncoderPool()
    ring = ReplayRing(SIZE, encoders=pool)
    for shows_camera in (False, True):
        start = 100 if shows_camera else 1
        ring.send(camera(start))
        recorder = Recorder(tmp_path / f"{start}.mp4", SIZE, encoders=pool)
        for number in range(start + 1, start + 10):
            ring.send(camera(number) if shows_camera and number == start + 5 else frame(number))
            recorder.send(frame(number))  # not it brought the camera's
        recorder.close()
    assert marked == [False, True]
