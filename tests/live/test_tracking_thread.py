"""Faces are tracked while the frame before is drawn; what was tracked under other settings is never drawn."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from clusters import until
from fakes import STRAIGHT, FakeTracker
from live_fakes import FakeLiveEngine, FakeSource, Rig, camera_picture

from avatar.errors import EngineError
from avatar.frames import Frame, Latest, LatestFrame, RgbImage
from avatar.live import tracking_thread
from avatar.live.events import AvatarReady, EngineFailed, FaceFound, SourceNote
from avatar.live.tracking_thread import TrackedFrame, TrackingSettings, TrackingThread
from avatar.motion.cuts import CutWatch
from avatar.settings import CropSettings, MotionSettings
from avatar.tracking.face import Face


class CountingTracker(FakeTracker):
    """Counts what it is shown."""

    def __init__(self, smoothing: bool = False) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.levels: list[float] = []

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        self.levels.append(float(rgb.mean()))
        return super().track(rgb, time_s)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are tracked while a frame is drawn."""
    monkeypatch.setattr(tracking_thread, "usable_cores", lambda: 8)


def held_rig(folder: Path) -> tuple[Rig, CountingTracker, threading.Event]:
    """A pipeline whose engine draws only once the event is set, and the tracker of all its threads."""
    rig, tracker, held = Rig(folder), CountingTracker(), threading.Event()
    rig.tracker_of = lambda smoothing: tracker
    rig.on_open = lambda engine: setattr(engine, "draw_gate", held)
    return rig, tracker, held


def test_the_next_face_is_tracked_while_a_frame_is_drawn(tmp_path: Path) -> None:
    rig, tracker, held = held_rig(tmp_path)
    with rig:
        rig.wait_for(AvatarReady)
        assert rig.engine.drawing.wait(10)
        before = len(tracker.levels)
        until(lambda: len(tracker.levels) > before + 2)  # the newest one wins: they replace each other
        rig.sources["camera"].level = STRAIGHT + 20
        until(lambda: max(tracker.levels) > STRAIGHT + 10)
        now = len(tracker.levels)
        until(lambda: len(tracker.levels) > now)
        drawn = len(rig.engine.states)
        held.set()
        until(lambda: len(rig.engine.states) > drawn + 2)
        replaced = rig.pipeline.statistics().replaced
    assert rig.engine.states[drawn + 1].face.pose.yaw_deg > 1, "not one that waited since before"
    assert replaced >= 2


def test_with_few_cores_the_newest_face_is_tracked_when_the_frame_before_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_thread, "usable_cores", lambda: 2)
    rig, tracker, held = held_rig(tmp_path)
    with rig:
        rig.wait_for(AvatarReady)
        assert rig.engine.drawing.wait(10)
        tracked, captured = len(tracker.levels), rig.pipeline.statistics().captured
        rig.sources["camera"].level = STRAIGHT + 20
        until(lambda: rig.pipeline.statistics().captured > captured + 10)
        assert len(tracker.levels) == tracked
        held.set()
        until(lambda: len(rig.engine.states) >= 2)
        assert tracker.levels[tracked] > STRAIGHT + 10, "the newest frame wins"
        assert rig.pipeline.statistics().replaced >= 9


def test_a_slow_engine_costs_no_needless_tracking(tmp_path: Path) -> None:
    """While a frame takes 300 ms, a camera sends 60: only those near its end are looked at."""

    class Slow(FakeLiveEngine):
        def draw(self, *args: object) -> RgbImage:
            time.sleep(0.3)
            return super().draw(*args)  # type: ignore[arg-type]

    tracker = CountingTracker()
    rig = Rig(tmp_path, sources={"camera": FakeSource(rate=200)})
    rig.engine_kind, rig.tracker_of = Slow, lambda smoothing: tracker
    with rig:
        rig.wait_for(AvatarReady)
        until(lambda: len(rig.engine.states) >= 2)
        tracked, drawn = len(tracker.levels), len(rig.engine.states)
        until(lambda: len(rig.engine.states) >= drawn + 4)
        tracked, drawn = len(tracker.levels) - tracked, len(rig.engine.states) - drawn
        captured = rig.pipeline.statistics().captured
    assert captured > 60
    assert tracked / drawn < 0.6 * 60, (tracked, drawn)


def test_what_was_tracked_before_a_change_is_not_used_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are not mirrored yet, by a reference frame that is, would turn the avatar's head for a moment."""

    class Lopsided(FakeSource):
        def read(self) -> Frame:
            frame = super().read()
            rgb = frame.rgb.copy()
            rgb[:, : rgb.shape[1] // 2] = 0
            return Frame(rgb, frame.sequence, frame.captured_ns)

    rig = Rig(tmp_path, sources={"camera": Lopsided()}, mirror_driving=False)
    used: list[bool] = []  # whether a frame is dark on its left
    monkeypatch.setattr(
        rig.pipeline.camera_frames, "put", lambda preview: used.append(preview.frame.rgb[:, 0].max() == 0)
    )
    with rig:
        rig.wait_for(FaceFound)
        for turn in range(20):
            before = list[int]()
            rig.change(mirror_driving=turn % 2 == 0)
            rig.pipeline._engine.do(lambda: before.append(len(used)))  # noqa: B023
            until(lambda: before and len(used) > before[0] + 2)  # noqa: B023
            assert set(used[before[0] :]) == {turn % 2 == 1}


def test_smoothing_opens_another_tracker_and_a_crop_by_hand_is_all_it_sees(tmp_path: Path) -> None:
    opened: list[CountingTracker] = []

    def open_tracker(smoothing: bool) -> CountingTracker:
        opened.append(CountingTracker(smoothing))
        return opened[-1]

    rig = Rig(tmp_path, motion=MotionSettings(smoothing=True))
    rig.tracker_of = open_tracker
    with rig:
        rig.wait_for(FaceFound)
        following = next(tracker for tracker in opened if tracker.smoothing and tracker.levels)
        rig.change(motion=MotionSettings(smoothing=False))
        until(lambda: following.closed)
        until(lambda: not opened[-1].smoothing and len(opened[-1].levels) > 2)
        whole = camera_picture().mean()
        assert opened[-1].levels[-1] == pytest.approx(whole)
        rig.change(crop=CropSettings(auto=False, zoom=2.0))  # without the strip at the top
        until(lambda: opened[-1].levels[-1] != pytest.approx(whole))


def test_a_cut_in_a_frame_that_is_replaced_is_noticed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = threading.Event()
    monkeypatch.setattr(CutWatch, "is_cut", lambda self, face, time_s: cut.is_set() and not cut.clear())
    rig, held = Rig(tmp_path), threading.Event()
    held.set()
    rig.on_open = lambda engine: setattr(engine, "draw_gate", held)
    with rig:
        rig.wait_for(FaceFound)
        until(lambda: len(rig.engine.states) > 2)
        held.clear()
        rig.engine.drawing.clear()
        assert rig.engine.drawing.wait(10)
        captured = rig.pipeline.statistics().captured
        cut.set()
        until(lambda: not cut.is_set() and rig.pipeline.statistics().captured > captured + 10)
        held.set()
        assert "another view" in rig.wait_for(SourceNote).text


def test_a_tracker_that_fails_covers_the_camera_and_is_told(tmp_path: Path) -> None:
    class Failing(FakeTracker):
        def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
            raise EngineError("The tracker was told to fail.", remedy="Tell it not to.")

    rig = Rig(tmp_path, motion=MotionSettings(smoothing=True))
    rig.tracker_of = lambda smoothing: Failing() if smoothing else FakeTracker()
    with rig:
        assert rig.wait_for(EngineFailed).error.what == "The tracker was told to fail."
    assert rig.pipeline.stop(5)


def test_a_frame_of_a_source_that_was_left_is_not_tracked() -> None:
    tracker, found, inbox = CountingTracker(), Latest[TrackedFrame](), LatestFrame()
    rig_tools = _Tools(tracker)
    settings = TrackingSettings(0, mirror=False, crop=CropSettings(), smoothing=False)
    thread = TrackingThread(settings, rig_tools, inbox, found, lambda event: None, lambda error: None)  # type: ignore[arg-type]
    thread.start()
    inbox.put(Frame(camera_picture(), 0, 10))
    first = found.take(5)
    assert first is not None and first.face is not None and first.settings is settings
    thread.settings = TrackingSettings(100, mirror=False, crop=CropSettings(), smoothing=False)
    inbox.put(Frame(camera_picture(), 1, 90))
    assert found.take(0.2) is None and len(tracker.levels) == 1
    inbox.put(Frame(camera_picture(), 0, 110))
    second = found.take(5)
    assert second is not None and second.cuts == 0
    thread.ask_to_stop()
    assert thread.join(5) and tracker.closed


class _Tools:
    def __init__(self, tracker: FakeTracker) -> None:
        self._tracker = tracker

    def open_tracker(self, smoothing: bool) -> FakeTracker:
        return self._tracker
