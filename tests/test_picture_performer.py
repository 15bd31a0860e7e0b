"""The First Order Motion Model in the pipeline: reference pictures, idle pictures, and engines that need no face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import plain
from fomm_samples import sample_model
from live_fakes import FakeSource, Rig
from motion_samples import make_face

from avatar.engine.fomm.choice import FACES, ModelChoice
from avatar.engine.fomm.engine import FommEngine, FommOptions
from avatar.errors import EngineError, FaceError
from avatar.fomm.random_model import random_picture
from avatar.fomm.stream import Stream
from avatar.frames import Frame, RgbImage
from avatar.live.driver import CATCH_S, EASE_S, Drive
from avatar.live.idle_pictures import builtin_idle_pictures
from avatar.live.moment import PICTURE_PX, Moment
from avatar.live.options import LiveOptions
from avatar.live.performer import FacePerformer, open_performer
from avatar.live.picture_performer import PicturePerformer
from avatar.live.tools import LiveTools
from avatar.pipeline import Pipeline
from avatar.portrait_crop import Box
from avatar.portrait_source import PortraitSource
from avatar.settings import CanvasSettings, MotionSettings
from avatar.tracking import FaceTracker

OPTIONS = LiveOptions(engine="fomm", canvas=CanvasSettings(96, 96))


def picture(seed: int, size: int = 128) -> RgbImage:
    drawn = random_picture(1, size, seed=seed)[0].permute(1, 2, 0)
    return np.ascontiguousarray((drawn.numpy() * 255).astype(np.uint8))


def portrait(*, face: bool = True) -> PortraitSource:
    faces = (make_face(scale=40, centre=(64, 64)),) if face else ()
    return PortraitSource(picture(1), None, faces, Box(0, 0, 128, 128), True)


def engine() -> FommEngine:
    return FommEngine(FommOptions(crop="none"), stream=Stream(sample_model("at 128 px")))


@pytest.fixture
def performer() -> PicturePerformer:
    made = PicturePerformer(OPTIONS, engine())
    made.show(made.prepare(portrait(), OPTIONS))
    return made


def driven(rgb: RgbImage | None, reference: RgbImage | None, *, following: bool = True) -> Drive:
    face = make_face()
    return Drive(face, face, following, rgb, reference)


def test_it_draws_what_the_engine_draws_from_reference_and_picture(performer: PicturePerformer) -> None:
    drawn = performer.draw(driven(picture(3), picture(2)), 640, 0.0)
    plain_engine = engine()
    plain_engine.set_source(Frame(picture(1), 0, 0), size=96)
    plain_engine.calibrate_in(Frame(picture(2), 0, 0), Box(0, 0, 128, 128))
    assert np.array_equal(drawn, plain_engine.animate(Frame(picture(3), 0, 0)).rgb)
    assert drawn.shape == (96, 96, 3)


def test_at_the_reference_the_portrait_is_at_rest_and_without_any_driver_too(performer: PicturePerformer) -> None:
    calm = performer.draw(driven(None, None, following=False), 640, 0.0)
    reference = picture(2)
    same = performer.draw(driven(reference, reference), 640, 2.0)
    later = performer.draw(driven(reference, reference), 640, 4.0)
    assert np.abs(later.astype(int) - calm).mean() < 1.5 and same.shape == later.shape


def test_another_reference_fades_in(performer: PicturePerformer) -> None:
    first, second, now = picture(2), picture(5), picture(3)
    before = performer.draw(driven(now, first), 640, 10.0)
    begun = performer.draw(driven(now, second), 640, 10.01)
    after = performer.draw(driven(now, second), 640, 10.01 + CATCH_S + 0.1)
    assert np.abs(begun.astype(int) - before).mean() < 0.2 * np.abs(after.astype(int) - before).mean()


def test_a_frame_without_a_face_shows_the_last_picture_again(performer: PicturePerformer) -> None:
    shown = performer.draw(driven(picture(3), picture(2)), 640, 5.0)
    again = performer.draw(driven(None, picture(2)), 640, 5.1)
    assert np.array_equal(shown, again) and again is not shown


def test_motion_can_be_changed_while_it_runs(performer: PicturePerformer) -> None:
    drive = driven(picture(3), picture(2))
    usual = performer.draw(drive, 640, 0.0)
    performer.set_motion(MotionSettings(strength_head=0.0))
    still = performer.draw(drive, 640, 1.0)
    rest = performer.draw(driven(picture(2), drive.reference_picture), 640, 1.0)
    performer.set_motion(MotionSettings())
    assert np.array_equal(performer.draw(drive, 640, 2.0), usual)
    assert np.abs(still.astype(int) - rest).max() <= 1


def test_an_engine_of_faces_refuses_a_portrait_without_one_and_others_take_it() -> None:
    anything = PicturePerformer(OPTIONS, engine())
    assert not anything.needs_face and anything.prepare(portrait(face=False), OPTIONS).face is None
    faces = engine()
    faces.choice = ModelChoice("vox", Path("vox"), FACES)
    strict = PicturePerformer(OPTIONS, faces)
    assert strict.needs_face
    with pytest.raises(FaceError):
        strict.prepare(portrait(face=False), OPTIONS)
    strict.close()
    strict.close()


def test_a_lost_driver_gives_way_to_somebody_who_idles(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(face_model.parent))
    faces = engine()
    faces.choice = ModelChoice("vox", Path("vox"), FACES)
    performer = PicturePerformer(OPTIONS, faces)
    performer.needs_face = False  # of portraits: a picture of noise will do here
    performer.show(performer.prepare(portrait(face=False), OPTIONS))
    performer.draw(driven(picture(3), picture(2)), 640, 0.0)
    idle = [performer.draw(driven(None, picture(2), following=False), 640, EASE_S + 1 + 0.4 * n) for n in range(6)]
    assert max(np.abs(one.astype(int) - idle[0]).max() for one in idle) > 0


def test_the_idle_pictures_show_a_head_that_moves_and_blinks(face_model: Path) -> None:
    tracker = FaceTracker(face_model)
    idle = builtin_idle_pictures(tracker)
    assert idle is not None and idle.reference.shape == (PICTURE_PX, PICTURE_PX, 3)
    faces = [tracker.detect(idle.at(time_s))[0] for time_s in (0.0, 1.4, 2.8)]
    assert abs(faces[2].pose.yaw_deg - faces[0].pose.yaw_deg) > 0.5
    assert faces[1].blendshape("eyeBlinkLeft") > faces[0].blendshape("eyeBlinkLeft") + 0.15
    tracker.close()


def test_a_moment_keeps_a_small_picture_and_can_be_mirrored() -> None:
    camera = plain(10, (640, 480))
    camera[:, :320] = 200
    moment = Moment.of(make_face(yaw=10), camera, Box(80, 0, 480, 480))
    assert moment.picture.shape == (PICTURE_PX, PICTURE_PX, 3) and moment.picture[5, 5, 0] == 200
    mirrored = moment.mirrored(640)
    assert mirrored.picture[5, 5, 0] == 10 and mirrored.face.pose.yaw_deg == pytest.approx(-10, abs=0.1)


def test_without_a_face_an_engine_of_whole_pictures_follows_all_the_same(tmp_path: Path) -> None:
    rig = Rig(tmp_path, sources={"camera": FakeSource(level=0)})  # in which FakeTracker sees no face
    rig.on_open = lambda performer: setattr(performer, "needs_face", False)
    with rig:
        rig.output.wait_for(3)
        drives = [drive for drive in rig.performer.drives if drive.picture is not None]
        assert drives and all(drive.following and drive.reference_picture is not None for drive in drives[1:])


def test_the_options_choose_the_performer(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[LiveOptions] = []
    monkeypatch.setattr(PicturePerformer, "__init__", lambda self, options: opened.append(options))
    assert isinstance(open_performer(LiveOptions()), FacePerformer)
    assert isinstance(open_performer(OPTIONS), PicturePerformer) and opened == [OPTIONS]
    with pytest.raises(EngineError, match="no engine called"):
        open_performer(LiveOptions(engine="deepfake"))
    with pytest.raises(EngineError, match="draws on the processor"):
        open_performer(LiveOptions(device="cuda"))


def test_a_pipeline_runs_on_it(tmp_path: Path) -> None:
    made: list[PicturePerformer] = []

    def opened(options: LiveOptions) -> PicturePerformer:
        made.append(PicturePerformer(options, engine()))
        return made[-1]

    with Rig(tmp_path) as rig:
        tools = replace(LiveTools(), open_performer=opened, open_tracker=rig.pipeline._tools.open_tracker)
        pipeline = Pipeline(LiveOptions(engine="fomm", avatar=str(rig.portrait)), tools=tools)
        box = pipeline.avatar_frames.subscribe()
        pipeline.start()
        try:
            frame = box.take(20)
        finally:
            assert pipeline.stop(10)
    assert frame is not None and frame.rgb.shape[0] == 720
