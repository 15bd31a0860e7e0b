"""Opening an engine by name, with a tracker of its own: frames in, avatar frames out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import NO_FACE, STRAIGHT, FakeEngine, FakeTracker, plain
from motion_samples import make_face

from avatar.engine import ENGINES, AvatarEngine, open_engine
from avatar.engines import crop
from avatar.engines.base import Driving, DrivingInput
from avatar.errors import EngineError, FaceError, WeightsError
from avatar.frames import Frame, RgbImage
from avatar.images.box import Box
from avatar.tracking.face import Face


@pytest.fixture
def models(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(face_model.parent))


class LookingTracker(FakeTracker):
    """Finds one face where it is told to."""

    def __init__(self, face: Face | None) -> None:
        super().__init__()
        self.face = face

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        return self.face


class ImageEngine(FakeEngine):
    """Draws from images: paints the mean of what it is shown."""

    def __init__(self, wants: DrivingInput) -> None:
        super().__init__()
        self.wants = wants
        self.images: list[RgbImage] = []
        self.references: list[RgbImage] = []

    def calibrate(self, driving: Driving) -> None:
        assert driving.image is not None
        self.references.append(driving.image)

    def draw(self, driving: Driving) -> RgbImage:
        if driving.image is not None:
            self.images.append(driving.image)
        return np.full((4, 4, 3), round(float(self.images[-1].mean())), np.uint8)


def image_engine(wants: DrivingInput, face: Face | None) -> tuple[AvatarEngine, ImageEngine, LookingTracker]:
    engine, tracker = ImageEngine(wants), LookingTracker(face)
    opened = AvatarEngine(engine, tracker)  # type: ignore[arg-type]
    opened.set_source(frame(STRAIGHT))
    return opened, engine, tracker


def frame(level: int, number: int = 0, size: tuple[int, int] = (640, 480)) -> Frame:
    return Frame(plain(level, size), number, number * 40_000_000)


SMALL = make_face(centre=(200, 200), scale=30)


def test_an_unknown_engine_is_refused_with_the_choice() -> None:
    with pytest.raises(EngineError, match="no engine called 'deepfake'") as raised:
        open_engine("deepfake")
    assert all(name in raised.value.remedy for name in ENGINES)


def test_without_its_models_an_engine_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    with pytest.raises(WeightsError) as raised:
        open_engine()
    assert "models pull" in raised.value.remedy


@pytest.fixture(scope="module")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models with random weights, by engine."""
    from fomm_samples import authors_state, sample_model, save_checkpoint
    from liveportrait_samples import small_model, write_files

    folder = tmp_path_factory.mktemp("liveportrait")
    write_files(small_model(), folder)
    path = tmp_path_factory.mktemp("fomm") / "small-cpk.pth.tar"
    save_checkpoint(path, authors_state(sample_model("at 128 px"), pruned=True))
    return {"fomm": path, "liveportrait": folder}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_opens_does_its_work_and_closes_twice(name: str, models: None, small_models: dict[str, Path]) -> None:
    portrait = Frame(_astronaut(), 0, 0)
    engine = open_engine(name, model=small_models.get(name))
    engine.set_source(portrait)
    engine.calibrate(Frame(_astronaut(), 4, 40))
    drawn = engine.animate(Frame(_astronaut(), 5, 50))
    assert drawn.rgb.shape == portrait.rgb.shape and (drawn.sequence, drawn.captured_ns) == (5, 50)
    if name == "warp":  # random weights draw nobody
        assert np.abs(drawn.rgb.astype(int) - portrait.rgb).mean() < 3
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="no portrait"):
        engine.animate(Frame(_astronaut(), 6, 60))


def test_options_reach_the_engine(models: None) -> None:
    engine = open_engine("warp", size=100, strength=0.0)
    engine.set_source(Frame(_astronaut(), 0, 0))
    still = engine.animate(Frame(_astronaut(), 0, 0)).rgb
    turned = np.ascontiguousarray(np.roll(_astronaut(), 30, axis=1))
    assert still.shape == (100, 100, 3)
    assert np.array_equal(engine.animate(Frame(turned, 1, 40_000_000)).rgb, still)
    engine.close()


def test_an_unknown_option_is_not_swallowed(models: None) -> None:
    with pytest.raises(TypeError, match="strengh"):
        open_engine("warp", strengh=1.0)  # type: ignore[call-arg]


def test_closing_closes_engine_and_tracker() -> None:
    engine, tracker = FakeEngine(), FakeTracker()
    AvatarEngine(engine, tracker).close()  # type: ignore[arg-type]
    assert engine.closed and tracker.closed


@pytest.mark.parametrize("wants", [DrivingInput.FACE, DrivingInput.FACE_CROP])
def test_a_reference_frame_without_a_face_is_refused(wants: DrivingInput) -> None:
    engine = AvatarEngine(ImageEngine(wants), FakeTracker())  # type: ignore[arg-type]
    with pytest.raises(FaceError, match="No face is in the reference frame"):
        engine.calibrate(frame(NO_FACE))


def test_a_lost_face_is_told_to_the_engine_and_its_weight_falls() -> None:
    told: list[Driving] = []
    engine = FakeEngine()
    engine.draw = lambda driving: (told.append(driving), plain(1))[1]  # type: ignore[method-assign]
    opened = AvatarEngine(engine, FakeTracker())  # type: ignore[arg-type]
    opened.set_source(frame(STRAIGHT))
    for number in range(60):
        opened.animate(frame(STRAIGHT if number < 3 else NO_FACE, number))
    assert [each.face is None for each in told] == [False] * 3 + [True] * 57
    assert told[4].weight == 1 and told[-1].weight == 0 and told[0].frame_width_px == 640


def test_the_square_of_an_engine_of_images_is_fixed_at_calibration() -> None:
    opened, engine, tracker = image_engine(DrivingInput.FACE_CROP, SMALL)
    opened.calibrate(frame(10))
    square = engine.references[0].shape
    assert square[0] == square[1] < 300
    tracker.face = make_face(centre=(400, 200), scale=60)
    opened.animate(frame(20, 1))
    assert engine.images[0].shape == square
    opened.calibrate(frame(10, 2))
    assert engine.references[1].shape != square
    opened.animate(frame(20, 3, (320, 240)))  # a camera that goes on in another size
    assert engine.images[1].shape == (240, 320, 3)


def test_while_the_face_is_away_the_avatar_stays_as_it_was() -> None:
    opened, engine, tracker = image_engine(DrivingInput.FACE_CROP, SMALL)
    first = opened.animate(frame(20)).rgb
    tracker.face = None
    away = [opened.animate(frame(30 + number, number)).rgb for number in range(1, 4)]
    assert all(np.array_equal(rgb, first) for rgb in away) and len(engine.images) == 1
    tracker.face = SMALL
    assert not np.array_equal(opened.animate(frame(90, 5)).rgb, first)


@pytest.mark.parametrize(("wants", "face"), [(DrivingInput.FRAME, SMALL), (DrivingInput.CROP, None)])
def test_whole_frames_drive_bodies_and_where_no_face_is_found(wants: DrivingInput, face: Face | None) -> None:
    opened, engine, _ = image_engine(wants, face)
    opened.animate(frame(20))
    opened.animate(frame(40, 1))
    assert [image.shape for image in engine.images] == [(480, 640, 3)] * 2 and len(engine.references) == 1


def test_without_a_tracker_whole_images_are_used() -> None:
    engine = ImageEngine(DrivingInput.FACE_CROP)
    opened = AvatarEngine(engine, None, part=Box(0, 0, 4, 4))
    opened.set_source(frame(STRAIGHT))
    opened.animate(frame(20))
    assert engine.images[0].shape == crop.whole(frame(20).rgb).of(frame(20).rgb).shape


def _astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:256, 96:352])
