"""Drawing on a graphics chip: the same images as the processor's, and what happens when the chip is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain
from motion_samples import close_eyes, make_face, open_mouth
from places import SHARED

from avatar.cv import cv2
from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.registry import create_engine
from avatar.engines.warp.engine import WarpEngine
from avatar.engines.warp.graphics import choice, trial
from avatar.engines.warp.graphics.chip import NoChipError
from avatar.engines.warp.graphics.choice import ChosenRenderer, OpenChip, open_this_chip
from avatar.engines.warp.graphics.packing import pack
from avatar.engines.warp.graphics.renderer import GraphicsRenderer
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.look_up import Box
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import Place, ProcessorRenderer
from avatar.engines.warp.scene import Scene
from avatar.errors import EngineError, UsageError
from avatar.frames import RgbImage
from avatar.motion.head import HeadMotion
from avatar.sources.video import open_driving
from avatar.system.installation import IMPORT_ROOT
from avatar.tracking import FaceTracker, open_tracker
from avatar.tracking.face import Face
from avatar.tracking.pose import rotation_from_angles

LEAST_PSNR_DB, LARGEST_DIFFERENCE = 45.0, 12
POSES = (
    make_face(), make_face(yaw=25, pitch=-8), make_face(yaw=-30, roll=12), close_eyes(make_face(pitch=15)),
    open_mouth(make_face(yaw=8), 0.25), close_eyes(open_mouth(make_face(roll=-10), 0.1), 0.6),
    make_face(scale=170, centre=(330, 170)), make_face(scale=70, centre=(150, 330)),
)  # fmt: skip


@pytest.fixture(scope="module")
def chip() -> Iterator[GraphicsRenderer]:
    pytest.importorskip("wgpu", reason="wgpu is not installed")
    try:
        opened = open_this_chip(accept_software=True)
    except NoChipError as error:
        pytest.skip(f"{error.what} On Debian: apt install mesa-vulkan-drivers")
    assert isinstance(opened.renderer, GraphicsRenderer)
    yield opened.renderer
    opened.renderer.close()


@pytest.fixture(scope="module")
def tracker(face_model: Path) -> Iterator[FaceTracker]:
    tracker = open_tracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def astronaut(tracker: FaceTracker) -> tuple[RgbImage, Face]:
    from skimage.data import astronaut

    rgb = np.asarray(astronaut())
    return rgb, tracker.detect(rgb)[0]


@pytest.fixture(scope="module")
def small() -> WarpPortrait:
    """A portrait that is quick to prepare and to draw."""
    picture = plain((40, 60, 200), (128, 96))
    picture[20:80, 30:90] = (200, 60, 60)
    alpha = np.zeros((96, 128), np.uint8)
    alpha[20:80, 30:90] = 255
    return WarpPortrait.of(picture, make_face(scale=28, centre=(60, 45)), alpha)


def scenes(engine: WarpEngine, faces: list[Face], width_px: int = 512) -> Iterator[tuple[Layers, Scene]]:
    """What an engine draws for faces, the first of which is the reference."""
    engine.calibrate(Driving(face=faces[0], frame_width_px=width_px))
    for face in faces:
        engine._driver, engine._carried = face, engine._carried_over(face)
        assert engine._portrait is not None
        yield engine._portrait.layers, engine._portrait.scene(*engine._shown())


def assert_agree(chip: GraphicsRenderer, layers: Layers, scene: Scene) -> None:
    one, other = ProcessorRenderer().draw(layers, scene), chip.draw(layers, scene)
    assert other.shape == one.shape and other.dtype == np.uint8 and other.flags.writeable
    psnr_db, largest = choice.compare(one, other)
    assert psnr_db >= LEAST_PSNR_DB and largest <= LARGEST_DIFFERENCE, (psnr_db, largest)


def engine_for(rgb: RgbImage, face: Face, size_px: int | None) -> WarpEngine:
    engine = WarpEngine()
    engine.show(engine.prepare(Portrait(rgb, face), size_px))
    return engine


# The same image


def test_images_are_compared_by_their_worst_pixel_too() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    assert choice.compare(image, image)[1] == 0 and choice.compare(image, image)[0] > 100
    other = image.copy()
    other[5, 5, 1] = 60
    for psnr_db, largest in (choice.compare(image, other), choice.compare(other, image)):
        assert psnr_db == pytest.approx(63.4, abs=0.1) and largest == 30


@pytest.mark.parametrize("size_px", [512, 1920, 333])
def test_the_chip_draws_what_the_processor_draws(
    size_px: int, chip: GraphicsRenderer, astronaut: tuple[RgbImage, Face]
) -> None:
    rgb = astronaut[0] if size_px != 1920 else np.asarray(cv2.copyMakeBorder(astronaut[0], 0, 0, 200, 198, 1))
    face = astronaut[1] if size_px != 1920 else moved(astronaut[1], 200)
    for layers, scene in scenes(engine_for(rgb, face, size_px), list(POSES)):
        assert_agree(chip, layers, scene)


def moved(face: Face, right_px: float) -> Face:
    step = np.array([right_px, 0, 0], np.float32)
    pose = replace(face.pose, centre_px=face.pose.centre_px + step)
    return replace(face, landmarks=face.landmarks + step, pose=pose)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared clips and portraits are not here")
def test_the_chip_draws_other_people_as_the_processor_does(chip: GraphicsRenderer, tracker: FaceTracker) -> None:
    clips = [driving_faces(path) for path in sorted((SHARED / "data/faces/driving").glob("*.mp4"))]
    assert len(clips) == 6
    for number, path in enumerate(sorted((SHARED / "data/portraits").glob("*.jpg"))[::3]):
        bgr = cv2.imread(str(path))
        assert bgr is not None
        rgb = np.ascontiguousarray(bgr[..., ::-1])
        faces, width_px = clips[number % 6]
        for layers, scene in scenes(engine_for(rgb, tracker.detect(rgb)[0], 512), faces, width_px):
            assert_agree(chip, layers, scene)


def driving_faces(path: Path, count: int = 4) -> tuple[list[Face], int]:
    """Some faces of a clip, a third of a second apart, and its frames' width."""
    found: list[Face] = []
    with open_driving(path) as clip, contextlib.closing(open_tracker()) as tracker:
        for number, frame in enumerate(clip):
            if number % 10 == 0 and (face := tracker.track(frame.rgb, number / 30)) is not None:
                found.append(face)
            if len(found) == count:
                break
    return found, frame.width_px


def test_a_face_that_left_the_frame_is_drawn_too(chip: GraphicsRenderer, small: WarpPortrait) -> None:
    still = np.zeros((478, 3), np.float32)
    for shift in ((90, 0), (-90, 20), (0, -70), (0, 0)):
        motion = HeadMotion(rotation_from_angles(0, 0, 0), np.array([*shift, 0], np.float32), 1.0)
        scene = small.scene(still, motion)
        assert_agree(chip, small.layers, scene)
    gone = replace(scene, look_up=replace(scene.look_up, face=None))
    packed = pack(gone.look_up, 2, [Box(0, 0, 128, 50)], Box(0, 0, 128, 128))
    assert [len(each) for each in packed.passes] == [1, 0, 0] and packed.boxes.tolist() == [[0, 0, 128, 50]]
    assert_agree(chip, small.layers, gone)


def test_portraits_take_turns_on_one_chip(
    chip: GraphicsRenderer, small: WarpPortrait, astronaut: tuple[RgbImage, Face]
) -> None:
    other = engine_for(*astronaut, 200)
    for layers, scene in scenes(other, list(POSES[:3])):
        assert_agree(chip, layers, scene)
        assert_agree(chip, small.layers, turned(small))


def turned(portrait: WarpPortrait, yaw: float = 10) -> Scene:
    motion = HeadMotion(rotation_from_angles(yaw, 0, 0), np.zeros(3, np.float32), 1.0)
    return portrait.scene(np.zeros((478, 3), np.float32), motion)


# A lost chip


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_chip_that_is_lost_is_replaced_within_the_frame_and_tried_again(
    chip: GraphicsRenderer, small: WarpPortrait
) -> None:
    clock = Clock()
    chosen = ChosenRenderer(insists=True, clock=clock)
    chosen.require_chip()
    assert chosen.place.device == "gpu" and "was asked for" in chosen.place.why
    wanted = ProcessorRenderer().draw(small.layers, turned(small))
    for attempt in range(2):
        drawn = chosen.draw(small.layers, turned(small))
        assert chosen.place.device == "gpu" and np.abs(drawn.astype(int) - wanted).max() <= LARGEST_DIFFERENCE
        chosen._chip._device.destroy()  # type: ignore[union-attr]
        np.testing.assert_array_equal(chosen.draw(small.layers, turned(small)), wanted)
        assert chosen.place.device == "cpu" and "tried again" in chosen.place.why
        assert len(chosen.notes) == 1 and "failed" in chosen.notes[0]
        clock.now_s += 2 * choice.RETRY_S + 1
        until(lambda: chosen.draw(small.layers, turned(small)) is not None and chosen.place.device == "gpu")
        assert attempt or "works again" in chosen.place.why
    chosen.close()
    chosen.close()


def until(done: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class FakeChip:
    """Draws as the processor does, as fast or slowly, as well or badly as told."""

    def __init__(self, *, takes_s: float = 0.0, level: int = 0, error: Exception | None = None) -> None:
        self.takes_s, self.level, self.error = takes_s, level, error
        self.drawn = self.closed = 0
        self.room = True

    def takes(self, layers: Layers) -> bool:
        return self.room

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        if self.error is not None:
            raise self.error
        self.drawn += 1
        time.sleep(self.takes_s)
        return np.minimum(ProcessorRenderer().draw(layers, scene), 255 - self.level) + np.uint8(self.level)

    def close(self) -> None:
        self.closed += 1


class SlowProcessor(ProcessorRenderer):
    """Beside it, a chip that draws by the same code is fast."""

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        time.sleep(0.03)
        return super().draw(layers, scene)


def chosen_with(fake: FakeChip, *, insists: bool = False, **given: Any) -> ChosenRenderer:
    chosen = ChosenRenderer(insists=insists, open_chip=lambda: OpenChip("Fake 9000", fake), **given)
    chosen._processor = SlowProcessor()
    return chosen


def test_a_chip_that_agrees_and_is_faster_is_taken(small: WarpPortrait) -> None:
    fake = FakeChip()
    engine = WarpEngine(renderer=chosen_with(fake))
    engine.prepare(Portrait(plain(90, (96, 96)), make_face(scale=28, centre=(48, 40))))
    assert engine.facts.device == "gpu"
    assert "Fake 9000" in engine.facts.why and "ms" in engine.facts.why
    engine.close()
    assert fake.closed == 1


def test_a_portrait_prepared_by_another_engine_waits_for_no_chip(small: WarpPortrait) -> None:
    gate, fake = threading.Event(), FakeChip()

    def late() -> OpenChip:
        assert gate.wait(20)
        return OpenChip("Fake 9000", fake)

    chosen = ChosenRenderer(insists=False, open_chip=late)
    chosen._processor = SlowProcessor()
    began_s = time.monotonic()
    chosen.draw(small.layers, turned(small))
    assert time.monotonic() - began_s < choice._PATIENCE_S / 2 and chosen.place == Place("cpu")
    gate.set()
    until(lambda: chosen.draw(small.layers, turned(small)) is not None and chosen.place.device == "gpu")
    tried = fake.drawn
    chosen.settle(small)
    assert fake.drawn == tried
    chosen.close()


@pytest.mark.parametrize(
    ("fake", "why"),
    [
        (FakeChip(takes_s=0.06), "a frame takes Fake 9000"),
        (FakeChip(level=13), "draws something else"),
        (FakeChip(error=RuntimeError("device\nlost")), "Fake 9000 failed: device"),
    ],
)
def test_a_chip_that_is_no_better_is_not(fake: FakeChip, why: str, small: WarpPortrait) -> None:
    chosen = chosen_with(fake)
    chosen.settle(small)
    assert chosen.place.device == "cpu" and why in chosen.place.why
    tried = fake.drawn
    chosen.settle(small)
    chosen.draw(small.layers, turned(small))
    assert fake.drawn == tried and fake.closed == 1


def test_a_portrait_that_is_too_large_is_drawn_by_the_processor(small: WarpPortrait) -> None:
    fake = FakeChip()
    chosen = chosen_with(fake, insists=True)
    chosen.require_chip()
    fake.room = False
    chosen.draw(small.layers, turned(small))
    assert fake.drawn == 0
    fake.room = True
    chosen.draw(small.layers, turned(small))
    assert fake.drawn == 1
    other = chosen_with(FakeChip())
    other._opening.result(5).renderer.room = False  # type: ignore[union-attr]
    other.settle(small)
    assert "larger" in other.place.why


def missing() -> OpenChip:
    raise NoChipError("There is none.", remedy="Plug one in.")


def broken() -> OpenChip:
    raise ZeroDivisionError("a driver's fault")


@pytest.mark.parametrize(("opens", "why"), [(missing, "There is none."), (broken, "a driver's fault")])
def test_without_a_chip_the_processor_draws_and_says_why(
    opens: Callable[[], OpenChip], why: str, small: WarpPortrait
) -> None:
    chosen = ChosenRenderer(insists=False, open_chip=opens)
    chosen.settle(small)
    assert chosen.place.device == "cpu" and why in chosen.place.why
    assert chosen.draw(small.layers, turned(small)).shape == (96, 128, 3)
    with pytest.raises(NoChipError, match=why):
        ChosenRenderer(insists=True, open_chip=opens).require_chip()


def test_a_driver_that_hangs_is_not_waited_for(small: WarpPortrait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_PATIENCE_S", 0.05)
    gate, fake = threading.Event(), FakeChip()

    def late() -> OpenChip:
        assert gate.wait(20)
        return OpenChip("Fake 9000", fake)

    chosen = ChosenRenderer(insists=False, open_chip=late)
    chosen.settle(small)
    assert "did not answer" in chosen.place.why
    gate.set()
    until(lambda: fake.closed == 1)


def test_a_chip_that_fails_again_and_again_is_tried_less_often(small: WarpPortrait) -> None:
    clock, fake = Clock(), FakeChip()
    opened: list[float] = []

    def opens() -> OpenChip:
        opened.append(clock.now_s)
        return OpenChip("Fake 9000", fake)

    chosen = ChosenRenderer(insists=True, open_chip=opens, clock=clock)
    chosen.require_chip()
    fake.error = RuntimeError("lost")
    for _ in range(150):
        chosen.draw(small.layers, turned(small))
        if chosen._opening is not None:
            chosen._opening.result(5)
        clock.now_s += 3
    assert [round(b - a) for a, b in itertools.pairwise(opened)] == pytest.approx([30, 60, 120], abs=10)
    assert len(chosen.notes) == 1
    chosen.close()


def test_a_new_portrait_changes_no_choice_and_a_closed_engine_opens_no_chip(small: WarpPortrait) -> None:
    clock, fake = Clock(), FakeChip(error=RuntimeError("lost"))
    chosen = chosen_with(fake, insists=True, clock=clock)
    chosen.require_chip()
    chosen.draw(small.layers, turned(small))
    clock.now_s += choice.RETRY_S + 1
    chosen.draw(small.layers, turned(small))  # opens it again
    chosen.settle(small)
    assert chosen.place.device == "cpu" and chosen._opening is not None
    chosen.close()
    chosen.draw(small.layers, turned(small))
    assert chosen._opening is None


def test_an_engine_closed_during_the_trial_leaves_no_chip_open(small: WarpPortrait) -> None:
    fake = FakeChip()
    chosen = chosen_with(fake)
    draw = fake.draw

    def close_meanwhile(layers: Layers, scene: Scene) -> RgbImage:
        chosen.close()
        return draw(layers, scene)

    fake.draw = close_meanwhile  # type: ignore[method-assign]
    chosen.settle(small)
    assert fake.closed == 1 and chosen._chip is None


# What was asked for


def test_without_the_package_auto_draws_on_the_processor(monkeypatch: pytest.MonkeyPatch, small: WarpPortrait) -> None:
    monkeypatch.setattr("avatar.engines.warp.graphics.chip.find_spec", lambda name: None)
    choice._found.cache_clear()
    engine = create_engine(EngineConfig())
    engine.prepare(Portrait(plain(90, (96, 96)), make_face(scale=28, centre=(48, 40))))
    assert engine.facts.device == "cpu" and "wgpu" in engine.facts.why
    engine.close()
    with pytest.raises(EngineError, match="wgpu") as caught:
        create_engine(EngineConfig(render="graphics"))
    assert caught.value.remedy


def test_software_is_taken_only_where_it_is_insisted_on(chip: GraphicsRenderer) -> None:
    if not choice._found().is_software:
        pytest.skip("there is a real graphics chip here")
    with pytest.raises(NoChipError, match="only the program"):
        open_this_chip(accept_software=False)


@pytest.mark.parametrize(
    "config", [EngineConfig(render="crayon"), EngineConfig(name="fomm", render="graphics")], ids=["unknown", "fomm"]
)
def test_a_way_to_draw_that_makes_no_sense_is_refused(config: EngineConfig) -> None:
    with pytest.raises(UsageError):
        create_engine(config)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A record of drivers that passed, of its own; wgpu is there."""
    monkeypatch.setattr(trial, "record_file", lambda: tmp_path / "cache" / "driver.txt")
    monkeypatch.setattr(trial, "_wgpu_version", lambda: "1.0")
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    return trial.record_file()


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_driver_that_crashes_does_so_in_a_child(monkeypatch: pytest.MonkeyPatch, record: Path, name: str) -> None:
    crash = "import os, signal; from avatar.system.trial import become_child; become_child(60); "
    crash += f"os.kill(os.getpid(), signal.{name})"
    monkeypatch.setattr(trial, "child_command", lambda: [sys.executable, "-c", crash])
    monkeypatch.setattr(choice, "_found", lambda: pytest.fail("the driver was opened"))
    renderer = ChosenRenderer(insists=True)
    with pytest.raises(NoChipError, match=f"a trial crashed .{name}") as caught:
        renderer.require_chip()
    assert "Update the driver" in caught.value.remedy
    assert not record.exists()


def test_a_driver_that_passed_is_tried_again_only_after_a_crash(monkeypatch: pytest.MonkeyPatch, record: Path) -> None:
    tried: list[None] = []
    monkeypatch.setattr(trial, "check_driver", lambda: tried.append(None))
    for _ in range(2):
        with trial.survived():
            assert not record.exists()  # a process that dies here leaves none
        assert record.exists() and len(tried) == 1
    record.unlink()
    with pytest.raises(NoChipError), trial.survived():
        raise NoChipError("There is none.", remedy="Plug one in.")
    assert record.exists() and len(tried) == 2


def test_a_hanging_driver_is_given_up_in_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "child_command", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.3)
    with pytest.raises(NoChipError, match=r"longer than 0\.3 s"):
        trial.check_driver()


def test_a_hanging_trial_ends_without_its_program() -> None:
    hanging = "import time; from avatar.system.trial import become_child; become_child(0.2); time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", hanging], cwd=IMPORT_ROOT, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == 1


def test_a_driver_that_works_passes_its_trial(chip: GraphicsRenderer) -> None:
    done = subprocess.run(trial.child_command(), cwd=IMPORT_ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
