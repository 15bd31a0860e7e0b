"""The First Order Motion Model in the pipeline: reference pictures, idle pictures, and engines that need no face."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import plain
from fomm_samples import sample_model
from live_fakes import FakeSource, Rig
from motion_samples import make_face

from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.fomm.choice import FACES, WHOLE, ModelChoice
from avatar.engines.fomm.engine import FommEngine
from avatar.engines.warp.engine import WarpEngine
from avatar.errors import EngineError, FaceError
from avatar.fomm.random_model import random_image
from avatar.fomm.stream import Stream
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.live import live_engine
from avatar.live.config import LiveConfig
from avatar.live.idle_images import builtin_idle_images
from avatar.live.live_engine import LiveEngine, open_live_engine
from avatar.live.motion_source import CATCH_S, EASE_S, DrivingState
from avatar.live.observation import IMAGE_PX, Observation
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.portrait.source import PortraitSource
from avatar.settings import CanvasSettings, MotionSettings
from avatar.tracking import FaceTracker

CONFIG = LiveConfig(engine="fomm", canvas=CanvasSettings(96, 96))


def picture(seed: int, size: int = 128) -> RgbImage:
    drawn = random_image(1, size, seed=seed)[0].permute(1, 2, 0)
    return np.ascontiguousarray((drawn.numpy() * 255).astype(np.uint8))


def portrait(*, face: bool = True) -> PortraitSource:
    faces = (make_face(scale=40, centre=(64, 64)),) if face else ()
    return PortraitSource(picture(1), None, faces, Box(0, 0, 128, 128), True)


def fomm(kind: str = WHOLE) -> FommEngine:
    choice = ModelChoice("small", Path("small"), kind)
    return FommEngine(stream=Stream(sample_model("at 128 px")), choice=choice)


@pytest.fixture
def live() -> LiveEngine:
    made = LiveEngine(fomm(), CONFIG.motion)
    made.show(made.prepare(portrait(), CONFIG))
    return made


def driven(rgb: RgbImage | None, reference: RgbImage | None, *, following: bool = True) -> DrivingState:
    face = make_face()
    return DrivingState(face, face, following, rgb, reference)


def test_it_draws_what_the_engine_draws_from_reference_and_picture(live: LiveEngine) -> None:
    drawn = live.draw(driven(picture(3), picture(2)), 640, 0.0)
    engine = fomm()
    engine.show(engine.prepare(Portrait(picture(1)), 96))
    engine.calibrate(Driving(image=picture(2)))
    assert np.array_equal(drawn, engine.draw(Driving(image=picture(3))))
    assert drawn.shape == (96, 96, 3)


def test_at_the_reference_the_portrait_is_at_rest_and_without_any_driver_too(live: LiveEngine) -> None:
    calm = live.draw(driven(None, None, following=False), 640, 0.0)
    reference = picture(2)
    same = live.draw(driven(reference, reference), 640, 2.0)
    later = live.draw(driven(reference, reference), 640, 4.0)
    assert np.abs(later.astype(int) - calm).mean() < 1.5 and same.shape == later.shape


def test_another_reference_fades_in(live: LiveEngine) -> None:
    first, second, now = picture(2), picture(5), picture(3)
    before = live.draw(driven(now, first), 640, 10.0)
    begun = live.draw(driven(now, second), 640, 10.01)
    after = live.draw(driven(now, second), 640, 10.01 + CATCH_S + 0.1)
    assert np.abs(begun.astype(int) - before).mean() < 0.2 * np.abs(after.astype(int) - before).mean()


def test_a_frame_without_a_face_shows_the_last_picture_again(live: LiveEngine) -> None:
    shown = live.draw(driven(picture(3), picture(2)), 640, 5.0)
    again = live.draw(driven(None, picture(2)), 640, 5.1)
    assert np.array_equal(shown, again) and again is not shown


def test_motion_can_be_changed_while_it_runs(live: LiveEngine) -> None:
    drive = driven(picture(3), picture(2))
    usual = live.draw(drive, 640, 0.0)
    live.set_motion(MotionSettings(strength_head=0.0))
    still = live.draw(drive, 640, 1.0)
    rest = live.draw(driven(picture(2), drive.reference_image), 640, 1.0)
    live.set_motion(MotionSettings())
    assert np.array_equal(live.draw(drive, 640, 2.0), usual)
    assert np.abs(still.astype(int) - rest).max() <= 1


def test_an_engine_of_faces_refuses_a_portrait_without_one_and_others_take_it() -> None:
    anything = LiveEngine(fomm(), CONFIG.motion)
    anything.show(anything.prepare(portrait(face=False), CONFIG))
    assert not anything.needs_face
    strict = LiveEngine(fomm(FACES), CONFIG.motion)
    assert strict.needs_face
    with pytest.raises(FaceError):
        strict.prepare(portrait(face=False), CONFIG)
    strict.close()
    strict.close()


def test_a_lost_driver_gives_way_to_somebody_who_idles(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(face_model.parent))
    with contextlib.closing(FaceTracker(face_model)) as tracker:
        live = LiveEngine(fomm(), CONFIG.motion, builtin_idle_images(tracker))
    live.show(live.prepare(portrait(face=False), CONFIG))
    live.draw(driven(picture(3), picture(2)), 640, 0.0)
    idle = [live.draw(driven(None, picture(2), following=False), 640, EASE_S + 1 + 0.4 * n) for n in range(6)]
    assert max(np.abs(one.astype(int) - idle[0]).max() for one in idle) > 0


def test_the_idle_images_show_a_head_that_moves_and_blinks(face_model: Path) -> None:
    tracker = FaceTracker(face_model)
    idle = builtin_idle_images(tracker)
    assert idle is not None and idle.reference.shape == (IMAGE_PX, IMAGE_PX, 3)
    faces = [tracker.detect(idle.at(time_s))[0] for time_s in (0.0, 1.4, 2.8)]
    assert abs(faces[2].pose.yaw_deg - faces[0].pose.yaw_deg) > 0.5
    assert faces[1].blendshape("eyeBlinkLeft") > faces[0].blendshape("eyeBlinkLeft") + 0.15
    tracker.close()


def test_a_moment_keeps_a_small_picture_and_can_be_mirrored() -> None:
    camera = plain(10, (640, 480))
    camera[:, :320] = 200
    moment = Observation.of(make_face(yaw=10), camera, Box(80, 0, 480, 480))
    assert moment.image is not None and moment.image.shape == (IMAGE_PX, IMAGE_PX, 3) and moment.image[5, 5, 0] == 200
    mirrored = moment.mirrored(640)
    assert mirrored.image is not None
    assert mirrored.image[5, 5, 0] == 10 and mirrored.face.pose.yaw_deg == pytest.approx(-10, abs=0.1)


def test_without_a_face_an_engine_of_whole_pictures_follows_all_the_same(tmp_path: Path) -> None:
    rig = Rig(tmp_path, sources={"camera": FakeSource(level=0)})  # in which FakeTracker sees no face
    rig.on_open = lambda engine: setattr(engine, "needs_face", False)
    with rig:
        rig.output.wait_for(3)
        drives = [drive for drive in rig.engine.states if drive.image is not None]
        assert drives and all(drive.following and drive.reference_image is not None for drive in drives[1:])


def test_the_config_chooses_the_engine(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(face_model.parent))
    opened: list[EngineConfig] = []

    def create(config: EngineConfig) -> FommEngine:
        opened.append(config)
        return fomm()

    assert isinstance(open_live_engine(LiveConfig()).engine, WarpEngine)
    with monkeypatch.context() as patch:
        patch.setattr(live_engine, "create_engine", create)
        open_live_engine(replace(CONFIG, model="small", device="cpu"))
    assert opened == [EngineConfig("fomm", "small", device="cpu", motion=CONFIG.motion)]
    with pytest.raises(EngineError, match="no engine called"):
        open_live_engine(LiveConfig(engine="deepfake"))
    with pytest.raises(EngineError, match="draws on the processor"):
        open_live_engine(LiveConfig(device="cuda"))


def test_a_pipeline_runs_on_it(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        tools = replace(
            LiveTools(),
            open_engine=lambda config: LiveEngine(fomm(), config.motion),
            open_tracker=rig.pipeline._tools.open_tracker,
        )
        pipeline = Pipeline(LiveConfig(engine="fomm", avatar=str(rig.portrait)), tools=tools)
        box = pipeline.avatar_frames.subscribe()
        pipeline.start()
        try:
            frame = box.take(20)
        finally:
            assert pipeline.stop(10)
    assert frame is not None and frame.rgb.shape[0] == 720
