"""Smaller parts of the pipeline: broadcast, gate, sample windows, retries of the capture, texts of events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fakes import plain
from live_fakes import FakeOutput, FakePacedOutput, FakeSource

from avatar.errors import CameraError, EngineError, ImageError, OutputError, UsageError
from avatar.frames import Frame, LatestFrame
from avatar.live import events
from avatar.live.broadcast import Broadcast
from avatar.live.capture import CaptureThread
from avatar.live.composer import Composer
from avatar.live.config import LiveConfig
from avatar.live.events import Event, SourceBack, SourceLost, SourceNote
from avatar.live.gate import OutputGate
from avatar.live.output_thread import OutputThread
from avatar.live.portrait_cache import ROOM, PortraitCache
from avatar.live.statistics import LiveStatistics, Timing, Window
from avatar.live.terminal import Terminal, as_text, status_line
from avatar.outputs.canvas import compose, size_on_canvas
from avatar.settings import CanvasSettings
from avatar.sources.base import SourceFacts

TINY = CanvasSettings(16, 16, label=False)


def frame(level: int = 100) -> Frame:
    return Frame(plain(level, (8, 6)), level, level)


def test_every_subscriber_gets_every_newest_frame() -> None:
    tap: Broadcast[Frame] = Broadcast()
    one, other = tap.subscribe(), tap.subscribe()
    tap.put(frame(1))
    assert one.take(0).sequence == 1  # type: ignore[union-attr]
    tap.put(frame(2))
    assert [box.take(0).sequence for box in (one, other)] == [2, 2]  # type: ignore[union-attr]
    assert (one.replaced, other.replaced) == (0, 1)
    tap.unsubscribe(one)
    tap.unsubscribe(one)
    tap.put(frame(3))
    assert one.take(0) is None and other.take(0) is not None


def test_closing_a_subscription_wakes_who_waits() -> None:
    tap: Broadcast[Frame] = Broadcast()
    box, got = tap.subscribe(), []
    waiting = threading.Thread(target=lambda: got.append(box.take()))
    waiting.start()
    tap.unsubscribe(box)
    waiting.join(5)
    assert got == [None]


def camera_frame(number: int = 0) -> Frame:
    """A camera frame taken now."""
    return Frame(plain(200, (8, 6)), number, time.monotonic_ns(), passed_through=True)


class Hall:
    """A gate, and what came through it."""

    def __init__(self) -> None:
        tap: Broadcast[Frame] = Broadcast()
        self.box, self.gate = tap.subscribe(), OutputGate(tap, (20, 10))

    def out(self) -> Frame | None:
        return self.box.take(0)


def test_the_gate_lets_avatar_frames_through_and_camera_frames_only_when_asked() -> None:
    hall = Hall()
    before = camera_frame()
    hall.gate.publish(before)
    assert hall.out() is None and not hall.gate.may_send(before)
    avatar = frame(5)
    hall.gate.publish(avatar)
    let_out = hall.out()
    assert let_out is not None and let_out.rgb is avatar.rgb and hall.gate.may_send(let_out)
    hall.gate.pass_through(True)
    hall.gate.publish(before)
    assert hall.out() is None  # taken before anybody asked for it
    hall.gate.publish(taken := camera_frame())
    passed = hall.out()
    assert passed is not None and passed.rgb is taken.rgb and hall.gate.may_send(passed)
    ended_ns = time.monotonic_ns()
    hall.gate.pass_through(False)
    cover = hall.out()
    assert cover is not None and cover.rgb is avatar.rgb and not hall.gate.may_send(passed)
    assert ended_ns <= cover.captured_ns <= time.monotonic_ns() and hall.gate.in_place_of(passed) is cover
    hall.gate.pass_through(False)
    assert hall.out() is None


def test_a_frame_of_one_pass_through_is_not_sent_in_the_next() -> None:
    hall = Hall()
    hall.gate.pass_through(True)
    hall.gate.publish(camera_frame(1))
    first = hall.out()
    hall.gate.pass_through(True)  # on already: a key that repeats
    hall.gate.publish(camera_frame(2))
    second = hall.out()
    assert first is not None and second is not None and first.passage == second.passage
    hall.gate.pass_through(False)
    hall.gate.pass_through(True)
    assert not hall.gate.may_send(first) and not hall.gate.may_send(second)


def test_a_paced_output_never_repeats_a_camera_frame_that_may_no_longer_be_seen() -> None:
    """Pass-through goes off and on and off while the output is at rest: both covers can be lost in its mailbox."""
    inbox: LatestFrame = LatestFrame()
    gate, output = OutputGate(Broadcast(), (8, 6)), FakePacedOutput()
    thread = OutputThread("paced", lambda: output, inbox, lambda event: None, gate, Composer(TINY))
    published: list[Frame] = []
    gate._tap.put = published.append  # type: ignore[method-assign, assignment]
    gate.publish(frame(5))
    gate.pass_through(True)
    gate.publish(camera_frame())
    thread.start()
    try:
        with output.arrived:
            inbox.put(published[-1])
            assert output.arrived.wait_for(lambda: output.frames, 10)
        gate.pass_through(False)  # and nothing comes by the mailbox
        with output.arrived:
            assert output.arrived.wait_for(lambda: len(output.frames) > 1, 10)
    finally:
        thread.ask_to_stop()
        assert thread.join(5)
    first, after = output.frames[0], output.frames[-1]
    assert first.passed_through and not after.passed_through
    assert np.array_equal(after.rgb, compose(published[0].rgb, TINY))


def test_without_an_avatar_frame_the_camera_is_covered_by_grey() -> None:
    hall = Hall()
    hall.gate.pass_through(True)
    hall.gate.publish(camera_frame())
    hall.out()
    hall.gate.freeze(True)
    covered = hall.out()
    assert covered is not None and covered.rgb.shape == (10, 20, 3) and np.ptp(covered.rgb) == 0
    assert hall.gate.may_send(covered) and not hall.gate.passing_through


def test_a_frozen_gate_holds_everything_but_what_is_shown() -> None:
    hall = Hall()
    shown, later = frame(1), replace(frame(2), sequence=7, captured_ns=70)
    hall.gate.publish(shown)
    hall.gate.freeze(True)
    first = hall.out()
    assert first is not None and first.rgb is shown.rgb
    for newer in (later, camera_frame(8)):
        hall.gate.pass_through(True)
        hall.gate.publish(newer)
        again = hall.out()  # a recording goes on
        assert again is not None and again.rgb is shown.rgb and not again.passed_through
        assert (again.sequence, again.captured_ns) == (newer.sequence, newer.captured_ns)
        assert hall.gate.may_send(again) and hall.gate.may_send(shown) and not hall.gate.may_send(newer)
    hall.gate.freeze(False)
    hall.gate.publish(later)
    newest = hall.out()
    assert newest is not None and newest.rgb is later.rgb and not hall.gate.passing_through


def test_a_cover_carries_the_present_time_and_is_no_news_to_the_statistics() -> None:
    tap: Broadcast[Frame] = Broadcast()
    gate, output = OutputGate(tap, (8, 6)), FakeOutput()
    thread = OutputThread("covered", lambda: output, tap.subscribe(), lambda event: None, gate, Composer(TINY))
    thread.start()
    try:
        while not thread._opened_ns:
            time.sleep(0.001)

        def sent_after(action: Callable[[], None]) -> Frame:
            with output.arrived:
                before = len(output.frames)
                action()
                assert output.arrived.wait_for(lambda: len(output.frames) > before, 10)
                return output.frames[-1]

        sent_after(lambda: gate.publish(replace(frame(5), sequence=0, captured_ns=time.monotonic_ns())))
        gate.pass_through(True)
        camera = sent_after(lambda: gate.publish(camera_frame(1)))
        cover = sent_after(lambda: gate.freeze(True))
    finally:
        thread.ask_to_stop()
        assert thread.join(5)
    assert camera.passed_through and not cover.passed_through and cover.captured_ns > camera.captured_ns
    assert cover.sequence <= camera.sequence and len(thread.latency.values()) == 2 and thread.sent == 3


@pytest.mark.parametrize("paced", [True, False])
def test_a_frame_that_grew_old_while_an_output_opened_is_no_news(paced: bool) -> None:
    output = FakePacedOutput() if paced else FakeOutput()
    inbox: LatestFrame = LatestFrame()
    inbox.put(replace(frame(1), captured_ns=time.monotonic_ns() - 2_000_000_000))
    gate = OutputGate(Broadcast(), (8, 6))
    thread = OutputThread("late", lambda: output, inbox, lambda event: None, gate, Composer(TINY))
    thread.start()
    time.sleep(0.2)
    inbox.put(replace(frame(2), captured_ns=time.monotonic_ns()))
    deadline_s = time.monotonic() + 5
    while len(output.frames) < 1 + paced and time.monotonic() < deadline_s:
        time.sleep(0.01)
    thread.ask_to_stop()
    assert thread.join(5)
    assert [sent.sequence for sent in output.frames] == ([1, 2] if paced else [2])
    assert thread.oldest_ms < 1000


def test_a_shelf_forgets_what_was_not_asked_for_the_longest() -> None:
    shelf, names = PortraitCache(), "abcdefghijkl"[:ROOM]
    for name in names:
        shelf.keep(name, name.upper())
    assert shelf.find("a") == "A"
    shelf.keep("z", "Z")
    assert [shelf.find(name) for name in "abcz"] == ["A", None, "C", "Z"]
    shelf.clear()
    assert shelf.find("a") is None


def test_a_window_sums_up_what_is_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    window = Window()
    assert window.rate() == 0 and window.timing() is None
    for number in range(31):
        window.add(float(number), 95 + number * 0.1)
    now_s = 98.0
    assert window.rate() == pytest.approx(10) and window.timing() == Timing(15.0, 28.5, 30.0)
    now_s = 107.5
    assert window.values() == [float(number) for number in range(25, 31)]
    assert window.rate() < 1.0  # it has stopped
    now_s = 120.0
    assert window.rate() == 0 and window.values() == []


class Capture:
    """A capture thread over sources that are opened one after the other."""

    def __init__(self, *opens: FakeSource | Exception) -> None:
        self.opens, self.inbox = list(opens), LatestFrame()
        self.told: list[Event] = []
        self.more = threading.Event()
        self.thread = CaptureThread(self._open, self.inbox, self._note)

    def _open(self) -> FakeSource:
        item = self.opens.pop(0) if len(self.opens) > 1 else self.opens[0]
        if isinstance(item, Exception):
            raise item
        return item

    def _note(self, event: Event) -> None:
        self.told.append(event)

    def until(self, count: int) -> None:
        deadline_s = time.monotonic() + 10
        while len(self.told) < count and time.monotonic() < deadline_s:
            time.sleep(0.005)

    def __enter__(self) -> Capture:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.ask_to_stop()
        assert self.thread.join(5)


def test_a_source_that_will_not_open_is_told_once_and_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.live.capture.PAUSES_S", (0.01,))
    errors = [CameraError("Busy.", remedy="Close it."), CameraError("Busy.", remedy="Close it."), ImageError("No.")]
    with Capture(*errors, FakeSource("at last")) as capture:
        capture.until(2)
        frame = capture.inbox.take(5)
    assert capture.told == [SourceLost("Busy.", "Close it."), SourceBack("at last", SourceFacts(64, 48, 100.0))]
    assert frame is not None and capture.thread.captured > 0


def test_a_note_about_a_source_is_told_once() -> None:
    source = FakeSource("clip")
    with Capture(source) as capture:
        capture.until(1)
        source.facts = SourceFacts(64, 48, 100.0, notes=("It is joined.",))
        capture.until(2)
        capture.inbox.take(5)
        capture.inbox.take(5)
    assert capture.told[1:] == [SourceNote("It is joined.")] and as_text(capture.told[1]) == "It is joined."


def test_the_pauses_grow_and_end_at_a_stop() -> None:
    with Capture(CameraError("Gone.", remedy="")) as capture:
        capture.until(1)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 1


def test_an_error_of_our_own_is_told_in_words() -> None:
    with Capture(KeyError("width")) as capture:
        capture.until(1)
    assert isinstance(capture.told[0], SourceLost) and "width" in capture.told[0].what and capture.told[0].remedy


def test_the_next_capture_waits_for_the_device_of_the_one_before() -> None:
    first = FakeSource("first")
    with Capture(first) as before:
        before.until(1)
        second = FakeSource("second")
        told: list[bool] = []
        after = CaptureThread(lambda: told.append(first.closed) or second, LatestFrame(), lambda _: None, before.thread)
        before.thread.ask_to_stop()
        after.start()
        assert before.thread.join(5)
    deadline_s = time.monotonic() + 5
    while not told and time.monotonic() < deadline_s:
        time.sleep(0.005)
    after.ask_to_stop()
    assert after.join(5) and told == [True]


@pytest.mark.parametrize("size", [31, 9000, -1])
def test_an_odd_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        LiveConfig(size=size)


@pytest.mark.parametrize(
    ("picture", "canvas", "side"),
    [
        ((512, 512), CanvasSettings(), 720),
        ((600, 800), CanvasSettings(), 720),
        ((1600, 900), CanvasSettings(), 1280),
        ((512, 512), CanvasSettings(fit="fill"), 1280),
        ((4, 4000), CanvasSettings(64, 36), 36),
        ((4000, 4), CanvasSettings(16, 16), 32),
    ],
)
def test_a_portrait_is_drawn_as_large_as_it_is_shown(
    picture: tuple[int, int], canvas: CanvasSettings, side: int
) -> None:
    assert size_on_canvas(*picture, canvas) == side


def test_every_event_that_asks_for_attention_has_words() -> None:
    error = OutputError("The disk is full.", remedy="Make room.")
    facts = SourceFacts(640, 480, 30.0)
    assert as_text(events.SourceLost("Gone.", "Plug it in.")) == "Gone. Plug it in."
    assert "640 x 480" in as_text(events.SourceBack("Webcam", facts))
    assert as_text(events.AvatarRefused("Mona", EngineError("No face."))) == "Mona: No face."
    assert "warp" in as_text(events.EngineFailed(EngineError("Out of memory."), "warp"))
    assert as_text(events.OutputFailed("recording", error)) == "The disk is full. Make room."
    assert as_text(events.OutputStarted("recording", "a.mp4")) == "Recording: a.mp4."
    assert as_text(events.CalibrationRefused("Your eyes were closed.")) and as_text(events.DriftHint())
    assert as_text(events.FaceLost()) == as_text(events.OutputStarted("x", "")) == ""


def test_the_status_line_tells_what_matters() -> None:
    preparing = LiveStatistics(avatar="astronaut")
    assert status_line(preparing) == "preparing astronaut"
    running = LiveStatistics(
        source="clip.mp4", avatar="astronaut", engine="warp", drawn=9, engine_rate=29.7, camera_rate=30.1, face=False,
        latency=Timing(41.2, 55.9, 80.0), replaced=3,
    )  # fmt: skip
    line = status_line(running)
    for part in ("astronaut by warp", "30 frames/s", "41 ms behind (95 %: 56)", "camera 30/s", "no face", "3 replaced"):
        assert part in line
    assert "skipped" not in line


def test_without_a_terminal_only_news_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.show(LiveStatistics(drawn=1))
    terminal.tell(events.DriftHint())
    terminal.tell(events.FaceFound())
    terminal.end()
    assert capsys.readouterr().err.count("\n") == 1
