"""The live pipeline on fakes: what reaches the outputs, what is told, and how it ends."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT
from fakes import NO_FACE, STRAIGHT
from live_fakes import FakeOutput, FakePacedOutput, FakePerformer, FakeSource, Rig, engine_error, holds_camera

from avatar.errors import CameraError, OutputError
from avatar.live.events import (
    AvatarReady,
    AvatarRefused,
    CalibrationDone,
    EngineFailed,
    EngineReady,
    FaceFound,
    FaceLost,
    OutputFailed,
    OutputRefused,
    OutputStarted,
    SourceBack,
    SourceLost,
    SourceNote,
)
from avatar.outputs.base import ChangeRefusedError
from avatar.settings import CanvasSettings, CropSettings, MotionSettings


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_camera_frames_become_avatar_frames(rig: Rig) -> None:
    with rig:
        frames = rig.output.wait_for(5)
        assert not any(holds_camera(frame.rgb) for frame in frames)
        assert [frame.sequence for frame in frames] == sorted({frame.sequence for frame in frames})
        assert all(0 <= time.monotonic_ns() - frame.captured_ns < 5e9 for frame in frames)
        assert rig.wait_for(SourceBack).name == "fake"
        assert rig.wait_for(EngineReady).precision == "fake"
        assert rig.wait_for(AvatarReady).took_ms > 0
        assert rig.wait_for(OutputStarted).facts == "fake output"
        assert rig.wait_for(CalibrationDone).how == "first"
        rig.wait_for(FaceFound)
    assert rig.output.closed and rig.performer.closed and rig.sources["camera"].closed


def test_each_device_is_used_on_one_thread(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(3)
        rig.pipeline.remove_output("fake")
    assert rig.output.threads == {"masque-output-fake"} and rig.output.closed


def test_it_stops_in_time_and_says_so(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        began_s = time.monotonic()
        assert rig.pipeline.stop()
        assert time.monotonic() - began_s < 2
        assert rig.pipeline.stop()


def test_it_stops_though_it_never_started(rig: Rig) -> None:
    assert rig.pipeline.stop()


@pytest.mark.parametrize("hanging", ["camera", "engine", "output", "preparation"])
def test_a_device_that_hangs_does_not_keep_it(rig: Rig, hanging: str) -> None:
    gate = threading.Event()
    with rig:
        rig.output.wait_for(1)
        if hanging == "camera":
            rig.sources["camera"].hang.set()
        elif hanging == "engine":
            rig.performer.draw_gate = gate
            rig.performer.drawing.clear()
            assert rig.performer.drawing.wait(5)
        elif hanging == "output":
            rig.output.gate = gate
        else:
            rig.performer.prepare_gate = gate
            rig.pipeline.set_avatar(str(rig.other))
        time.sleep(0.1)
        began_s = time.monotonic()
        assert not rig.pipeline.stop(timeout_s=0.5)
        assert time.monotonic() - began_s < 1.0
        rig.sources["camera"].gate.set()
        gate.set()
        assert rig.pipeline.stop()


def test_the_idle_motion_needs_no_camera(tmp_path: Path) -> None:
    with Rig(tmp_path, source="idle") as rig:
        rig.output.wait_for(5)
        assert rig.opened_sources == [] and not rig.of(FaceFound)
        drives = list(rig.performer.drives)
        assert not any(drive.following for drive in drives)
        assert len({float(drive.face.landmarks.sum()) for drive in drives}) > 1


def test_a_lost_face_goes_over_to_the_idle_motion_and_comes_back(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.sources["camera"].level = NO_FACE
        rig.wait_for(FaceLost)
        rig.output.wait_for(3)
        assert not rig.performer.drives[-1].following
        rig.sources["camera"].level = STRAIGHT
        rig.wait_for(FaceFound, 2)


def test_cuts_are_told_once_for_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.live.animation.CutWatch.is_cut", lambda self, face, time_s: True)
    with Rig(tmp_path, sources={"camera": FakeSource(), "other": FakeSource("other")}) as rig:
        rig.output.wait_for(10)
        assert "another view" in rig.wait_for(SourceNote).text and len(rig.of(SourceNote)) == 1
        rig.pipeline.set_source("other")
        rig.wait_for(SourceNote, 2)
        rig.output.wait_for(10)
        assert len(rig.of(SourceNote)) == 2


def test_a_lost_camera_is_told_once_and_taken_up_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.live.capture.PAUSES_S", (0.05,))
    with rig:
        rig.wait_for(FaceFound)
        camera = rig.sources["camera"]
        camera.error = CameraError("It was unplugged.", remedy="Plug it in.")
        assert rig.wait_for(SourceLost) == SourceLost("It was unplugged.", "Plug it in.")
        rig.wait_for(FaceLost)
        rig.output.wait_for(3)
        camera.error = None
        rig.wait_for(SourceBack, 2)
        rig.wait_for(FaceFound, 2)
        assert len(rig.of(SourceLost)) == 1


def test_a_camera_that_falls_silent_leaves_an_idling_avatar(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.sources["camera"].hang.set()
        rig.wait_for(FaceLost)
        rig.output.wait_for(3)


def test_another_source_drives_from_its_first_frame_on(tmp_path: Path) -> None:
    with Rig(tmp_path, sources={"camera": FakeSource("one"), "other": FakeSource("two", level=STRAIGHT + 40)}) as rig:
        rig.wait_for(FaceFound)
        rig.pipeline.set_source("other")
        assert rig.wait_for(SourceBack, 2).name == "two"
        assert [done.how for done in (rig.wait_for(CalibrationDone, 2),)] == ["first"]
        assert rig.sources["camera"].closed
        rig.pipeline.set_source("idle")
        rig.wait_for(FaceLost)
        rig.output.wait_for(2)


def test_the_source_that_is_wanted_last_wins(tmp_path: Path) -> None:
    names = [f"camera {number}" for number in range(6)]
    with Rig(tmp_path, source="camera 0", sources={name: FakeSource(name) for name in names}) as rig:
        for name in names:
            rig.pipeline.set_source(name)
        with rig._told:
            assert rig._told.wait_for(lambda: any(back.name == names[-1] for back in rig.of(SourceBack)), 10)
        rig.output.wait_for(2)
        assert rig.pipeline.statistics().source == names[-1]
    assert all(source.closed or name not in rig.opened_sources for name, source in rig.sources.items())


def test_an_avatar_is_prepared_beside_the_running_one(rig: Rig) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        gate = rig.performer.prepare_gate = threading.Event()
        rig.pipeline.set_avatar(str(rig.other))
        rig.output.wait_for(5)  # the old one goes on
        assert rig.performer.portrait == str(rig.portrait)
        gate.set()
        assert rig.wait_for(AvatarReady, 2).name == str(rig.other)
        assert rig.performer.portrait == str(rig.other) and len(rig.performers) == 1


def test_of_many_avatars_in_a_row_the_last_is_shown(rig: Rig) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        gate = rig.performer.prepare_gate = threading.Event()
        for _ in range(3):
            rig.pipeline.set_avatar(str(rig.other))
            rig.pipeline.set_avatar(str(rig.portrait))
        rig.pipeline.set_avatar(str(rig.other))
        gate.set()
        assert rig.wait_for(AvatarReady, 2).name == str(rig.other)


def test_going_back_to_an_avatar_needs_no_preparation_unless_its_picture_changed(rig: Rig) -> None:
    one, other = str(rig.portrait), str(rig.other)
    with rig:
        for number, name in enumerate((other, one, other), start=2):
            rig.wait_for(AvatarReady, number - 1)
            rig.pipeline.set_avatar(name)
        rig.wait_for(AvatarReady, 4)
        assert rig.performer.prepared == [one, other] and rig.performer.portrait == other
        os.utime(rig.portrait, ns=(1, 1))
        rig.pipeline.set_avatar(one)
        rig.wait_for(AvatarReady, 5)
        assert rig.performer.prepared == [one, other, one]


def test_an_engine_that_comes_back_finds_its_portrait_prepared(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        rig.performer.error = engine_error()
        rig.wait_for(AvatarReady, 2)
        assert len(rig.performers) == 2 and rig.performer.prepared == []


@pytest.mark.parametrize("what", ["faceless", "missing"])
def test_a_refused_avatar_leaves_the_one_before(rig: Rig, what: str) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        rig.pipeline.set_avatar(str(rig.faceless) if what == "faceless" else "nobody.png")
        refused = rig.wait_for(AvatarRefused)
        assert refused.error.what
        rig.output.wait_for(3)
        assert rig.pipeline.statistics().avatar == str(rig.portrait)
        rig.pipeline.set_avatar(str(rig.other))
        rig.wait_for(AvatarReady, 2)


def test_the_reference_frame_survives_a_change_of_avatar(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.output.wait_for(200 // 4)
        reference = rig.performer.drives[-1].reference
        rig.pipeline.set_avatar(str(rig.other))
        rig.wait_for(AvatarReady, 2)
        rig.output.wait_for(3)
        assert rig.performer.drives[-1].reference is reference
        assert len(rig.of(CalibrationDone)) == 1


def test_a_failing_engine_is_opened_once_more(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(2)
        rig.performer.error = engine_error()
        assert rig.wait_for(EngineFailed).fallback == "warp"
        rig.wait_for(EngineReady, 2)
        frames = rig.output.wait_for(3)
        assert not any(holds_camera(frame.rgb) for frame in frames)
        assert rig.performers[0].closed and len(rig.performers) == 2


def test_an_engine_that_fails_twice_gives_way_to_warp(tmp_path: Path) -> None:
    rig = Rig(tmp_path, engine="fomm")

    def spoil(performer: FakePerformer) -> None:
        if performer.facts.engine == "fomm":
            performer.error = RuntimeError("no memory")

    rig.on_open = spoil
    with rig:
        assert [rig.wait_for(EngineFailed, count).fallback for count in (1, 2)] == ["fomm", "warp"]
        assert "no memory" in rig.of(EngineFailed)[0].error.what and rig.of(EngineFailed)[0].error.remedy
        rig.output.wait_for(3)
        assert rig.pipeline.statistics().engine == "warp"


def test_an_engine_that_does_not_open_at_the_start_gives_way_to_warp(tmp_path: Path) -> None:
    rig = Rig(tmp_path, engine="fomm")
    rig.broken_engines["fomm"] = engine_error()
    with rig:
        rig.output.wait_for(3)
        assert [failed.fallback for failed in rig.of(EngineFailed)] == ["warp"]


def test_an_engine_that_does_not_open_leaves_the_running_one(rig: Rig) -> None:
    rig.broken_engines["fomm"] = engine_error()
    with rig:
        rig.output.wait_for(1)
        rig.pipeline.set_engine("fomm")
        assert rig.wait_for(EngineFailed).fallback == "warp"
        rig.output.wait_for(3)
        assert len(rig.performers) == 1 and not rig.performer.closed


def test_another_engine_takes_over_between_two_frames(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        rig.pipeline.set_motion(MotionSettings(strength_head=0.5))
        rig.pipeline.set_engine("fomm", model="vox")
        assert [rig.wait_for(EngineReady, count).engine for count in (1, 2)] == ["warp", "fomm"]
        rig.output.wait_for(2)
        assert rig.performers[0].closed and rig.performer.motion == MotionSettings(strength_head=0.5)


def test_an_output_that_breaks_ends_alone(rig: Rig) -> None:
    other = FakeOutput()
    with rig:
        rig.pipeline.add_output("other", lambda: other)
        other.wait_for(1)
        other.error = OutputError("The disk is full.", remedy="Make room.")
        failed = rig.wait_for(OutputFailed)
        assert (failed.name, failed.error.what) == ("other", "The disk is full.")
        rig.output.wait_for(3)
        assert other.closed
        statistics = rig.pipeline.statistics()
        rig.output.wait_for(3)
        later = rig.pipeline.statistics()
        assert later.outputs["other"].skipped == statistics.outputs["other"].skipped
        assert later.outputs["other"].rate < later.output_rate


def test_an_output_that_does_not_open_is_told(rig: Rig) -> None:
    with rig:
        rig.pipeline.add_output("other", lambda: FakeOutput(opens=False))
        assert rig.wait_for(OutputFailed).error.remedy == "Tell it to."
        rig.output.wait_for(1)


class OneDevice:
    """Makes outputs that share a device; closing waits for `gate`."""

    def __init__(self) -> None:
        self.gate, self.held, self.opened = threading.Event(), threading.Lock(), queue.Queue[str]()

    def open(self, name: str) -> FakeOutput:
        self.opened.put(name)
        if not self.held.acquire(blocking=False):
            raise OutputError("The device is in use.", remedy="Close it.")
        output = FakeOutput()

        def close() -> None:
            if not output.closed:
                self.gate.wait(20)
                output.closed = True
                self.held.release()

        output.close = close  # type: ignore[method-assign]
        return output


def test_an_output_that_replaces_another_waits_until_that_one_has_closed(rig: Rig) -> None:
    device = OneDevice()
    with rig:
        rig.pipeline.add_output("device", lambda: device.open("first"))
        assert device.opened.get(timeout=5) == "first"
        rig.wait_for(OutputStarted, 2)
        rig.pipeline.add_output("device", lambda: device.open("second"))
        rig.pipeline.remove_output("device")  # the second never comes to open it
        rig.pipeline.add_output("device", lambda: device.open("third"))
        rig.pipeline.add_output("beside", FakeOutput)
        rig.wait_for(OutputStarted, 3)
        assert device.opened.empty(), "the first still holds it"
        device.gate.set()
        assert device.opened.get(timeout=5) == "third"
        rig.wait_for(OutputStarted, 4)
        assert rig.of(OutputFailed) == []


def test_the_third_source_waits_for_the_first_even_if_the_second_never_came_to_open(tmp_path: Path) -> None:
    first, third = FakeSource("first"), FakeSource("third")
    gate, opened = threading.Event(), threading.Event()
    first.close = lambda: gate.wait(20)  # type: ignore[assignment]
    read = third.read
    third.read = lambda: opened.set() or read()  # type: ignore[func-returns-value, method-assign]
    with Rig(tmp_path, sources={"camera": first, "second": FakeSource("second"), "third": third}) as rig:
        rig.wait_for(SourceBack)
        rig.pipeline.set_source("second")
        rig.pipeline.set_source("third")
        assert not opened.wait(0.3) and rig.opened_sources == ["camera"], "the first still holds the device"
        gate.set()
        assert opened.wait(10)


def test_an_output_with_no_device_to_share_opens_at_once(rig: Rig) -> None:
    first, second = OneDevice(), OneDevice()
    second.gate.set()
    with rig:
        rig.pipeline.add_output("recording", lambda: first.open("first"))
        rig.wait_for(OutputStarted, 2)
        rig.pipeline.add_output("recording", lambda: second.open("second"), at_once=True)
        assert second.opened.get(timeout=5) == "second" and first.held.locked()
        first.gate.set()


def test_an_output_that_is_wanted_no_more_does_not_complain_that_it_cannot_open(rig: Rig) -> None:
    asked, gate = threading.Event(), threading.Event()

    def fail() -> FakeOutput:
        asked.set()
        gate.wait(20)
        raise OutputError("It is busy.", remedy="Wait.")

    with rig:
        rig.pipeline.add_output("device", fail)
        assert asked.wait(5)
        other = FakeOutput()
        rig.pipeline.add_output("device", lambda: other)
        gate.set()
        other.wait_for(1)
        assert rig.of(OutputFailed) == []


class FakeCanvasOutput(FakePacedOutput):
    """Takes any canvas but one that is 96 wide."""

    def __init__(self) -> None:
        super().__init__()
        self.canvas = CanvasSettings(64, 36)

    @property
    def facts(self) -> str:  # type: ignore[override]
        return f"{self.canvas.width_px} wide"

    def use_canvas(self, canvas: CanvasSettings) -> None:
        if canvas.width_px == 96:
            raise ChangeRefusedError("It is held.", remedy="Close it there.")
        self.canvas = canvas


def test_the_canvas_of_an_open_output_changes_and_a_refusal_ends_nothing(rig: Rig) -> None:
    output = FakeCanvasOutput()
    with rig:
        rig.pipeline.add_output("canvas", lambda: output)
        output.wait_for(1)
        rig.pipeline.set_canvas("canvas", CanvasSettings(80, 36))
        rig.wait_for(OutputStarted, 3)
        assert rig.of(OutputStarted)[-1].facts == "80 wide"
        rig.pipeline.set_canvas("canvas", CanvasSettings(96, 36))
        refused = rig.wait_for(OutputRefused)
        assert (refused.error.what, refused.wanted.width_px, refused.kept.width_px) == ("It is held.", 96, 80)
        output.wait_for(2)
        rig.pipeline.set_canvas("fake", CanvasSettings(80, 36))  # takes none
        rig.pipeline.set_canvas("nobody", CanvasSettings(80, 36))
        rig.output.wait_for(2)
        assert rig.of(OutputFailed) == [] and not output.closed


def test_a_slow_output_skips_and_holds_nobody_up(rig: Rig) -> None:
    slow = FakeOutput()
    slow.gate = threading.Event()
    with rig:
        rig.pipeline.add_output("slow", lambda: slow)
        rig.output.wait_for(10)
        statistics = rig.pipeline.statistics()
        assert statistics.outputs["slow"].skipped > 0 and statistics.outputs["slow"].sent == 0
        slow.gate.set()
        assert slow.wait_for(1)[-1].sequence > 5


def test_a_paced_output_is_called_once_per_period(rig: Rig) -> None:
    paced = FakePacedOutput(rate=50)
    rig.sources["camera"].rate = 12  # slower than the output
    with rig:
        rig.pipeline.add_output("paced", lambda: paced)
        paced.wait_for(6)
        calls = list(paced.calls)
    repeated = [new for _, new in calls].count(False)
    assert repeated > len(calls) / 2
    assert rig.pipeline.statistics().outputs["paced"].repeated >= repeated - 1
    per_period = (len(calls) - 1) / ((calls[-1][0] - calls[0][0]) * 50)
    assert 0.6 < per_period < 1.15  # never more often; less often only where the machine is busy


def test_freezing_stops_the_output_at_once(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(2)
        rig.pipeline.freeze(True)
        time.sleep(0.05)  # one frame may be on its way
        still = rig.output.frames[-1]
        repeated = rig.output.wait_for(5)[-5:]
        assert all(frame.rgb is still.rgb for frame in repeated) and rig.pipeline.statistics().frozen
        assert repeated[-1].captured_ns > still.captured_ns  # a recording is as long as the show
        rig.pipeline.freeze(False)
        rig.output.wait_for(2)


def test_pass_through_shows_the_camera_in_a_red_frame(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        rig.pipeline.pass_through(True)
        while not (frame := rig.output.wait_for(1)[-1]).passed_through:
            pass
        assert holds_camera(frame.rgb) and frame.rgb.shape == (36, 64, 3)
        edges = (frame.rgb[0], frame.rgb[-1], frame.rgb[:, 0], frame.rgb[:, -1])
        assert all((edge == (230, 20, 20)).all() for edge in edges)
        rig.pipeline.pass_through(False)
        off = len(rig.output.frames) + 1  # one may be on its way
        rig.output.wait_for(4)
        assert not any(holds_camera(frame.rgb) for frame in rig.output.frames[off:])


def test_calibration_by_hand_undo_and_recentre(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.sources["camera"].level = STRAIGHT + 24
        rig.output.wait_for(40)
        for number, action in enumerate(
            (rig.pipeline.calibrate, rig.pipeline.recentre, rig.pipeline.undo_calibration), start=2
        ):
            action()
            rig.wait_for(CalibrationDone, number)
        assert [done.how for done in rig.of(CalibrationDone)] == ["first", "instant", "recentre", "undo"]


def test_the_preview_shows_what_the_engine_sees(rig: Rig) -> None:
    box = rig.pipeline.camera_frames.subscribe()
    with rig:
        preview = box.take(10)
        assert preview is not None and preview.landmarks is not None and holds_camera(preview.frame.rgb)
        rig.pipeline.set_crop(CropSettings(auto=False, zoom=1.2, pan_x=1.0, pan_y=-1.0))
        deadline_s = time.monotonic() + 5
        while time.monotonic() < deadline_s and ((preview := box.take(5)) is None or preview.crop.width != 40):
            pass
        assert preview is not None and (preview.crop.left, preview.crop.top, preview.crop.width) == (24, 0, 40)


def test_mirroring_the_driver_mirrors_picture_and_reference(rig: Rig) -> None:
    rig.sources["camera"].level = STRAIGHT + 40
    box = rig.pipeline.camera_frames.subscribe()
    with rig:
        rig.wait_for(FaceFound)
        rig.pipeline.set_mirror_driving(True)
        rig.output.wait_for(5)
        assert rig.performer.drives[-1].reference.pose.yaw_deg == pytest.approx(-10, abs=1)
        assert box.take(5) is not None


def test_statistics_count_and_can_be_written_down(rig: Rig) -> None:
    import json

    with rig:
        rig.output.wait_for(20)
        statistics = rig.pipeline.statistics()
    assert statistics.drawn >= 20 and statistics.captured >= statistics.drawn - 5
    assert statistics.latency is not None and 0 < statistics.latency.p50_ms <= statistics.latency.max_ms
    assert {"wait", "track", "draw", "send"} <= set(statistics.stages)
    assert statistics.face and statistics.camera_rate > 0 and statistics.engine_rate > 0
    assert statistics.first_frame_s is not None and 0 < statistics.first_frame_s < statistics.running_s
    assert json.loads(json.dumps(statistics.as_json()))["outputs"]["fake"]["sent"] >= 20


def test_a_listener_that_fails_takes_nothing_down(rig: Rig) -> None:
    def fail(event: object) -> None:
        raise ValueError("a bug of the window")

    rig.listener = fail
    with rig:
        rig.output.wait_for(5)
        rig.wait_for(FaceFound)


def test_two_pipelines_live_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Rig(tmp_path / "a") as one, Rig(tmp_path / "b", source="idle") as other:
        one.output.wait_for(2)
        other.output.wait_for(2)
        assert one.pipeline.stop()
        other.output.wait_for(2)


def test_the_pipeline_loads_without_torch_or_qt() -> None:
    code = "import sys, avatar.pipeline; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "PyQt5", "av", "pyvirtualcam"} & set(done.stdout.split())
