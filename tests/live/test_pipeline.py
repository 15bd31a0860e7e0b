"""The live pipeline on fakes: frames at the outputs, events, and the stop."""

from __future__ import annotations

import functools
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import NO_FACE, STRAIGHT, plain
from live_fakes import PAINT, FakeLiveEngine, FakeOutput, FakePacedOutput, FakeSource, Rig, engine_error, holds_camera
from places import ROOT

from avatar.engines.warp.graphics.choice import ChosenRenderer, OpenChip
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.renderer import ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.errors import CameraError, OutputError
from avatar.frames import Frame, RgbImage
from avatar.live.config import LiveConfig
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
from avatar.live.motion_source import DrivingState
from avatar.outputs.base import ChangeRefusedError
from avatar.outputs.canvas import CanvasPainter
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
    assert rig.output.closed and rig.engine.closed and rig.sources["camera"].closed


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
            rig.engine.draw_gate = gate
            rig.engine.drawing.clear()
            assert rig.engine.drawing.wait(5)
        elif hanging == "output":
            rig.output.gate = gate
        else:
            rig.engine.prepare_gate = gate
            rig.change(avatar=str(rig.other))
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
        drives = list(rig.engine.states)
        assert not any(drive.following for drive in drives)
        assert len({float(drive.face.landmarks.sum()) for drive in drives}) > 1


def test_a_lost_face_goes_over_to_the_idle_motion_and_comes_back(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.sources["camera"].level = NO_FACE
        rig.wait_for(FaceLost)
        rig.output.wait_for(3)
        assert not rig.engine.states[-1].following
        rig.sources["camera"].level = STRAIGHT
        rig.wait_for(FaceFound, 2)


def test_cuts_are_told_once_for_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.live.tracking_thread.CutWatch.is_cut", lambda self, face, time_s: True)
    with Rig(tmp_path, sources={"camera": FakeSource(), "other": FakeSource("other")}) as rig:
        rig.output.wait_for(10)
        assert "another view" in rig.wait_for(SourceNote).text and len(rig.of(SourceNote)) == 1
        rig.change(source="other")
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
        rig.change(source="other")
        assert rig.wait_for(SourceBack, 2).name == "two"
        rig.wait_for(FaceFound, 2)  # though there was no gap in which the face was lost
        assert not rig.of(FaceLost)
        assert [done.how for done in (rig.wait_for(CalibrationDone, 2),)] == ["first"]
        assert rig.sources["camera"].closed
        rig.change(source="idle")
        rig.wait_for(FaceLost)
        rig.output.wait_for(2)


def test_the_source_that_is_wanted_last_wins(tmp_path: Path) -> None:
    names = [f"camera {number}" for number in range(6)]
    with Rig(tmp_path, source="camera 0", sources={name: FakeSource(name) for name in names}) as rig:
        for name in names:
            rig.change(source=name)
        with rig._told:
            assert rig._told.wait_for(lambda: any(back.name == names[-1] for back in rig.of(SourceBack)), 10)
        rig.output.wait_for(2)
        assert rig.pipeline.statistics().source == names[-1]
    assert all(source.closed or name not in rig.opened_sources for name, source in rig.sources.items())


def test_an_avatar_is_prepared_beside_the_running_one(rig: Rig) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        gate = rig.engine.prepare_gate = threading.Event()
        rig.change(avatar=str(rig.other))
        rig.output.wait_for(5)  # the old one goes on
        assert rig.engine.portrait == str(rig.portrait)
        gate.set()
        assert rig.wait_for(AvatarReady, 2).name == str(rig.other)
        assert rig.engine.portrait == str(rig.other) and len(rig.engines) == 1


def test_of_many_avatars_in_a_row_the_last_is_shown(rig: Rig) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        gate = rig.engine.prepare_gate = threading.Event()
        for _ in range(3):
            rig.change(avatar=str(rig.other))
            rig.change(avatar=str(rig.portrait))
        rig.change(avatar=str(rig.other))
        gate.set()
        assert rig.wait_for(AvatarReady, 2).name == str(rig.other)


def test_going_back_to_an_avatar_needs_no_preparation_unless_its_picture_changed(rig: Rig) -> None:
    one, other = str(rig.portrait), str(rig.other)
    with rig:
        for number, name in enumerate((other, one, other), start=2):
            rig.wait_for(AvatarReady, number - 1)
            rig.change(avatar=name)
        rig.wait_for(AvatarReady, 4)
        assert rig.engine.prepared == [one, other] and rig.engine.portrait == other
        os.utime(rig.portrait, ns=(1, 1))
        rig.change(avatar=one)
        rig.wait_for(AvatarReady, 5)
        assert rig.engine.prepared == [one, other, one]


def test_an_engine_that_comes_back_finds_its_portrait_prepared(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        rig.engine.error = engine_error()
        rig.wait_for(AvatarReady, 2)
        assert len(rig.engines) == 2 and rig.engine.prepared == []


@pytest.mark.parametrize("what", ["faceless", "missing"])
def test_a_refused_avatar_leaves_the_one_before(rig: Rig, what: str) -> None:
    with rig:
        rig.wait_for(AvatarReady)
        rig.change(avatar=str(rig.faceless) if what == "faceless" else "nobody.png")
        refused = rig.wait_for(AvatarRefused)
        assert refused.error.what
        rig.output.wait_for(3)
        assert rig.pipeline.statistics().avatar == str(rig.portrait)
        rig.change(avatar=str(rig.other))
        rig.wait_for(AvatarReady, 2)


def test_the_reference_frame_survives_a_change_of_avatar(rig: Rig) -> None:
    with rig:
        rig.wait_for(FaceFound)
        rig.output.wait_for(200 // 4)
        reference = rig.engine.states[-1].reference
        rig.change(avatar=str(rig.other))
        rig.wait_for(AvatarReady, 2)
        rig.output.wait_for(3)
        assert rig.engine.states[-1].reference is reference
        assert len(rig.of(CalibrationDone)) == 1


def test_a_failing_engine_is_opened_once_more(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(2)
        rig.engine.error = engine_error()
        assert rig.wait_for(EngineFailed).fallback == "warp"
        rig.wait_for(EngineReady, 2)
        frames = rig.output.wait_for(3)
        assert not any(holds_camera(frame.rgb) for frame in frames)
        assert rig.engines[0].closed and len(rig.engines) == 2


def test_an_engine_that_fails_twice_gives_way_to_warp(tmp_path: Path) -> None:
    rig = Rig(tmp_path, engine="fomm")

    def spoil(engine: FakeLiveEngine) -> None:
        if engine.ready.engine == "fomm":
            engine.error = RuntimeError("no memory")

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
        rig.change(engine="fomm")
        assert rig.wait_for(EngineFailed).fallback == "warp"
        rig.output.wait_for(3)
        assert len(rig.engines) == 1 and not rig.engine.closed


def test_another_engine_takes_over_between_two_frames(rig: Rig) -> None:
    with rig:
        rig.output.wait_for(1)
        rig.change(motion=MotionSettings(strength_head=0.5))
        rig.change(engine="fomm", model="vox")
        assert [rig.wait_for(EngineReady, count).engine for count in (1, 2)] == ["warp", "fomm"]
        rig.output.wait_for(2)
        assert rig.engines[0].closed and rig.engine.motion == MotionSettings(strength_head=0.5)


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
    third.read = lambda: opened.set() or read()  # type: ignore[method-assign]
    with Rig(tmp_path, sources={"camera": first, "second": FakeSource("second"), "third": third}) as rig:
        rig.wait_for(SourceBack)
        rig.change(source="second")
        rig.change(source="third")
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


class FakeSizedOutput(FakePacedOutput):
    """Takes any size but one that is 96 wide."""

    def __init__(self) -> None:
        super().__init__()
        self.size = (64, 36)

    @property
    def facts(self) -> str:  # type: ignore[override]
        return f"{self.size[0]} wide"

    def resize(self, size: tuple[int, int]) -> None:
        if size[0] == 96:
            raise ChangeRefusedError("It is held.", remedy="Close it there.")
        self.size = size


def test_the_canvas_of_open_outputs_changes_and_a_refusal_ends_nothing(rig: Rig) -> None:
    output, later = FakeSizedOutput(), FakeSizedOutput()
    with rig:
        rig.pipeline.add_output("canvas", lambda: output)
        output.wait_for(1)
        rig.change(canvas=CanvasSettings(80, 36))
        rig.wait_for(OutputStarted, 3)
        assert rig.of(OutputStarted)[-1].facts == "80 wide"
        rig.change(canvas=CanvasSettings(96, 36, mirror=True))
        refused = rig.wait_for(OutputRefused)
        assert (refused.error.what, refused.wanted.width_px, refused.kept.width_px) == ("It is held.", 96, 80)
        assert output.wait_for(2)[-1].width_px == 80  # composed for it alone
        assert rig.output.wait_for(2)[-1].width_px == 96  # takes what comes
        rig.change(canvas=CanvasSettings(48, 36))
        rig.pipeline.add_output("later", lambda: later)  # which opens at 64, as it was asked to
        assert later.wait_for(1)[0].width_px == later.size[0] == 48
        assert rig.of(OutputFailed) == [] and not output.closed


def test_a_frame_is_composed_once_for_three_outputs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[int] = []

    def count(_: CanvasPainter, frame: Frame, canvas: CanvasSettings) -> Frame:
        composed.append(frame.sequence)
        return compose(CanvasPainter(), frame, canvas)

    compose = CanvasPainter.compose
    monkeypatch.setattr(CanvasPainter, "compose", count)
    others = FakePacedOutput(), FakeOutput()
    with rig:
        for number, output in enumerate(others):
            rig.pipeline.add_output(str(number), functools.partial(lambda each: each, output))
        frames = [output.wait_for(10) for output in (rig.output, *others)]
    assert len(composed) == len(set(composed))
    pictures: list[dict[int, RgbImage]] = [{each.sequence: each.rgb for each in sent} for sent in frames]
    common = set.intersection(*(set(sent) for sent in pictures))
    assert common and all(sent[number] is pictures[0][number] for number in common for sent in pictures)
    assert all(each.rgb.shape == (36, 64, 3) for sent in frames for each in sent)


def test_nothing_is_composed_for_windows_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CanvasPainter, "compose", lambda *_: pytest.fail("nobody takes it"))
    window = rig.pipeline.avatar_frames.subscribe()
    rig.pipeline.start()
    try:
        frame = window.take(10)
    finally:
        rig.pipeline.stop(5)
    assert frame is not None and frame.rgb.shape == (32, 32, 3), "as the engine drew it"


def test_another_canvas_shows_at_once_while_frozen(rig: Rig) -> None:
    """Also where the engine sends nothing more: a paced output repeats its last frame on the new canvas."""
    paced = FakePacedOutput()
    with rig:
        rig.pipeline.add_output("paced", lambda: paced)
        paced.wait_for(1)
        rig.pipeline.freeze(True)
        rig.engine.error = engine_error()
        rig.broken_engines = {"warp": engine_error()}
        rig.wait_for(EngineFailed)
        rig.change(canvas=CanvasSettings(80, 36))
        with paced.arrived:
            assert paced.arrived.wait_for(lambda: paced.frames[-1].width_px == 80, 10)


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
        rig.change(crop=CropSettings(auto=False, zoom=1.2, pan_x=1.0, pan_y=-1.0))
        deadline_s = time.monotonic() + 5
        while time.monotonic() < deadline_s and ((preview := box.take(5)) is None or preview.crop.width != 40):
            pass
        assert preview is not None and (preview.crop.left, preview.crop.top, preview.crop.width) == (24, 0, 40)


def test_mirroring_the_driver_mirrors_picture_and_reference(rig: Rig) -> None:
    rig.sources["camera"].level = STRAIGHT + 40
    box = rig.pipeline.camera_frames.subscribe()
    with rig:
        rig.wait_for(FaceFound)
        rig.change(mirror_driving=True)
        rig.output.wait_for(5)
        assert rig.engine.states[-1].reference.pose.yaw_deg == pytest.approx(-10, abs=1)
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
    code = "import sys, avatar.live.pipeline; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "PyQt5", "av", "pyvirtualcam"} & set(done.stdout.split())


# A graphics chip that is lost


def test_a_renderer_that_is_lost_costs_no_frame_and_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessorRenderer, "draw", lambda renderer, layers, scene: plain(PAINT, (32, 32)))
    chip = LostChip()

    class Drawing(FakeLiveEngine):
        """Draws by a chosen renderer, as the warp engine does."""

        def __init__(self, config: LiveConfig) -> None:
            self.renderer = ChosenRenderer(insists=True, open_chip=lambda: OpenChip("Chip 9000", chip))
            self.renderer.require_chip()
            super().__init__(config)

        def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
            super().draw(state, frame_width_px, time_s)
            drawn = self.renderer.draw(cast(Any, None), cast(Any, None))
            place = self.renderer.place
            self.ready = EngineReady("warp", place.device, "fake", place.why)
            return drawn

    rig = Rig(tmp_path)
    rig.engine_kind = Drawing
    with rig:
        rig.wait_for(EngineReady, 2)  # as opened, and on the chip
        rig.output.wait_for(5)
        chip.error = RuntimeError("Parent device is lost")
        lost = rig.wait_for(EngineReady, 3)
        rig.output.wait_for(10)
        assert lost.device == "cpu" and "failed and is tried again" in lost.why
        assert rig.pipeline.statistics().device == "cpu" and rig.pipeline.statistics().why == lost.why
    assert len(rig.of(EngineReady)) == 3 and not rig.of(EngineFailed) and len(rig.engines) == 1
    assert not any(frame.passed_through or holds_camera(frame.rgb) for frame in rig.output.frames)


class LostChip:
    """Draws until it is told to fail."""

    error: Exception | None = None

    def takes(self, layers: Layers) -> bool:
        return True

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        if self.error is not None:
            raise self.error
        return plain(PAINT, (32, 32))

    def close(self) -> None:
        pass
