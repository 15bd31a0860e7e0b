"""The fomm engine: portraits, crops, drivers, and animation."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import FakeTracker, make_clip
from fomm_samples import SMALL, STRUCTURES, authors_state, sample_model, save_checkpoint
from motion_samples import make_face
from PIL import Image

from avatar import cli
from avatar.engines.base import Driving, DrivingInput, EngineConfig, Portrait
from avatar.engines.fomm import choice
from avatar.engines.fomm.choice import FACES, UNKNOWN, WHOLE, ModelChoice, choose_model, kind_of
from avatar.engines.fomm.engine import FommEngine
from avatar.errors import AvatarError, EngineError, UsageError, VideoError, WeightsError
from avatar.fomm.random_model import random_model
from avatar.fomm.stream import Stream, StreamOptions
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.images.load import load_image, save_png
from avatar.offline.animate import AnimateResult, animate
from avatar.offline.job import AnimateOptions, Tools
from avatar.settings import MotionSettings
from avatar.sources.video import open_driving
from avatar.tracking import Face
from avatar.weights import manifest

SIDE = STRUCTURES["other blocks"][0].frame_size  # of the small model's pictures
EXACT = StreamOptions(precision=torch.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small-cpk.pth.tar"
    return save_checkpoint(path, authors_state(sample_model("other blocks"), pruned=True))


@pytest.fixture(scope="module")
def portrait() -> RgbImage:
    from skimage.data import astronaut

    return np.asarray(astronaut())


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> RgbImage:
    """A picture to drive with; size is (width, height)."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(40, 220, (6, 6, 3), np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


class LookingTracker(FakeTracker):
    """Finds one face where it is told to; counts how often it is asked."""

    def __init__(self, face: Face | None = None) -> None:
        super().__init__()
        self.face, self.asked = face, 0

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        self.asked += 1
        return self.face


def engine_of(checkpoint: Path, kind: str | None = None, *, follow_faces: bool = True) -> FommEngine:
    from avatar.fomm import load_checkpoint

    choice = ModelChoice(checkpoint.name, checkpoint, UNKNOWN if kind is None else kind)
    config = EngineConfig("fomm", checkpoint, follow_faces=follow_faces)
    return FommEngine(config, stream=Stream(load_checkpoint(checkpoint)), choice=choice)


def shown(engine: FommEngine, portrait: Portrait, size_px: int | None = None) -> FommEngine:
    engine.show(engine.prepare(portrait, size_px))
    return engine


# Which checkpoint


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vox-adv", FACES), ("vox-adv-pruned", FACES), ("vox-cpk.pth.tar", FACES), ("masque-face", FACES),
     ("masque-face.safetensors", FACES), ("taichi-adv", WHOLE), ("mgif", WHOLE), ("fashion.pth.tar", WHOLE),
     ("net.pth.tar", UNKNOWN), ("surface.pth", UNKNOWN)],
)  # fmt: skip
def test_names_tell_what_a_checkpoint_was_trained_on(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_the_manifest_says_what_its_checkpoints_were_trained_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = manifest.read_manifest()
    assert {name: kind_of(name) for name in choice._checkpoints()} == {
        name: weight.shows for name, weight in known.items() if weight.kind == manifest.FOMM
    }
    odd = replace(known["mgif"], name="vox-bodies", shows=manifest.WHOLE)
    monkeypatch.setattr(manifest, "read_manifest", lambda: {odd.name: odd})
    monkeypatch.setattr(choice, "_checked", lambda name: tmp_path / name)
    assert choose_model("vox-bodies").kind == WHOLE, "the manifest's word, not the name's"


def test_without_any_checkpoint_the_commands_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choice, "own_model", lambda: tmp_path / "masque-face.safetensors")
    with pytest.raises(WeightsError, match="No checkpoint was named") as raised:
        choose_model(None)
    remedy = raised.value.remedy
    for part in ("models pull vox-adv (751 MB, MIT", "pull taichi-adv", "models import NAME FILE", "nemo", "--model"):
        assert part in remedy


def test_our_own_checkpoint_is_taken_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "masque-face.safetensors"
    own.write_bytes(b"x")
    monkeypatch.setattr(choice, "own_model", lambda: own)
    assert choose_model(None) == choose_model("masque-face") and choose_model(None).path == own
    assert choose_model(None).kind == FACES


def test_a_name_that_is_not_here_and_one_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match="taichi-adv is missing") as raised:
        choose_model("taichi-adv")
    assert "models pull taichi-adv" in raised.value.remedy and "MIT" in raised.value.remedy
    with pytest.raises(WeightsError, match="no checkpoint called 'vax'") as raised:
        choose_model("vax")
    assert "vox-adv" in raised.value.remedy
    assert set(choice._checkpoints()) <= set(manifest.read_manifest())
    assert "fan" not in choice._checkpoints() and "mgif" in choice._checkpoints()


# The engine


def test_the_part_around_the_face_is_moved_and_the_rest_stays(checkpoint: Path, portrait: RgbImage) -> None:
    face = make_face(centre=(220, 110), scale=40)
    engine = shown(engine_of(checkpoint), Portrait(portrait, face))
    engine.calibrate(Driving(image=noise(1, (240, 240))))
    drawn = engine.draw(Driving(image=noise(2, (240, 240))))
    assert drawn.shape == portrait.shape
    changed = (drawn != portrait).any(axis=2)
    rows, columns = np.nonzero(changed)
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    assert columns.min() < low[0] and columns.max() > high[0] and rows.max() > high[1]
    assert not changed[300:].any() and not changed[:, 350:].any()
    engine.close()


@pytest.mark.parametrize(
    ("kind", "follow_faces", "wanted"),
    [(FACES, True, DrivingInput.FACE_CROP), (UNKNOWN, True, DrivingInput.CROP), (WHOLE, True, DrivingInput.FRAME),
     (FACES, False, DrivingInput.FRAME)],
)  # fmt: skip
def test_what_it_is_shown_depends_on_what_the_checkpoint_was_trained_on(
    checkpoint: Path, portrait: RgbImage, kind: str, follow_faces: bool, wanted: DrivingInput
) -> None:
    engine = engine_of(checkpoint, kind, follow_faces=follow_faces)
    assert engine.wants is wanted
    whole = engine.prepare(Portrait(portrait, make_face(centre=(220, 110), scale=40))).part.width == portrait.shape[1]
    assert whole == (wanted is DrivingInput.FRAME)
    engine.close()


def test_without_a_face_all_of_the_portrait_is_moved(checkpoint: Path, portrait: RgbImage) -> None:
    engine = shown(engine_of(checkpoint), Portrait(portrait))
    engine.calibrate(Driving(image=noise(1)))
    assert (engine.draw(Driving(image=noise(2))) != portrait).any(axis=2).mean() > 0.9
    engine.close()


@pytest.mark.parametrize("size", [200, 700])
def test_the_result_has_the_size_that_was_asked_for(checkpoint: Path, portrait: RgbImage, size: int) -> None:
    engine = shown(engine_of(checkpoint, follow_faces=False), Portrait(portrait[:, :384]), size)
    assert engine.draw(Driving(image=noise(1))).shape == (size, size * 384 // 512, 3)
    engine.close()


def test_a_part_may_be_named(checkpoint: Path, portrait: RgbImage) -> None:
    part = Box(100, 100, 200, 150)
    engine = shown(engine_of(checkpoint, follow_faces=False), Portrait(portrait, part=part))
    changed = (engine.draw(Driving(image=noise(1))) != portrait).any(axis=2)
    assert changed[100:250, 100:300].mean() > 0.8 and changed.sum() == changed[100:250, 100:300].sum()
    with pytest.raises(UsageError, match="outside the portrait"):
        engine.prepare(Portrait(portrait[:200], part=part))
    engine.close()


def test_panels_after_the_first_frame(checkpoint: Path, portrait: RgbImage) -> None:
    engine = engine_of(checkpoint, follow_faces=False)
    with pytest.raises(EngineError, match="Nothing was drawn"):
        engine.panels(256)
    shown(engine, Portrait(portrait)).draw(Driving(image=noise(1)))
    assert engine.panels(300).shape == (300, 300, 3)
    engine.close()


def test_portraits_have_three_channels() -> None:
    grey = random_model(replace(SMALL, num_channels=1))
    with pytest.raises(UsageError, match="1 channels"):
        FommEngine(stream=Stream(grey, EXACT))


def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(EngineError, match="CUDA was asked for"):
        FommEngine(EngineConfig("fomm", "no such file", device="cuda"))


def test_an_onnx_folder_draws_the_same(checkpoint: Path, portrait: RgbImage, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from avatar.fomm import load_checkpoint, onnx_export

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "has_newer_exporter", lambda: False)
        onnx_export.export_onnx(load_checkpoint(checkpoint), tmp_path)
    drawn = []
    for model in (checkpoint, tmp_path):
        engine = FommEngine(EngineConfig("fomm", model, device="cpu", follow_faces=False))
        shown(engine, Portrait(portrait)).calibrate(Driving(image=noise(1)))
        drawn.append(engine.draw(Driving(image=noise(2))).astype(int))
        engine.close()
    assert engine._place.about == "CPUExecutionProvider"
    assert np.abs(drawn[0] - drawn[1]).mean() < 2


# Animating


class Job:
    """A folder with a portrait and a clip, drawn with the small model."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.portrait, self.clip = folder / "portrait.png", folder / "clip"
        save_png(self.portrait, noise(9, (SIDE, SIDE)))
        self.clip.mkdir()
        for number in range(4):
            save_png(self.clip / f"{number}.png", noise(number, (SIDE, SIDE)))
        self.tracker = LookingTracker(None)
        self.stages: list[str] = []

    def run(self, **changes: Any) -> AnimateResult:
        given: dict[str, Any] = {
            "source": self.portrait, "driving": self.clip, "output": self.folder / "out", "engine": "fomm",
            "model": self.checkpoint, "crop": "none",
        }  # fmt: skip
        tools = Tools(open_tracker=lambda: self.tracker)  # type: ignore[arg-type, return-value]
        return animate(AnimateOptions(**{**given, **changes}), lambda stage, *_: self.stages.append(stage), tools=tools)

    def frames(self, name: str = "out") -> list[RgbImage]:
        with open_driving(self.folder / name) as clip:
            return [each.rgb for each in clip]


@pytest.fixture
def job(tmp_path: Path, checkpoint: Path) -> Job:
    return Job(tmp_path, checkpoint)


@pytest.mark.parametrize("relative", [True, False])
def test_folders_in_and_out_are_what_the_plain_model_computes(job: Job, relative: bool) -> None:
    result = job.run(motion=MotionSettings(relative, False), reference=1)
    assert (result.engine, result.device, result.frames, result.faces, result.reference) == ("fomm", "cpu", 4, 4, 1)
    stream = Stream(
        sample_model("other blocks"), StreamOptions(MotionSettings(relative, False), precision=torch.float32)
    )
    stream.set_source(load_image(job.portrait))
    stream.calibrate(noise(1, (SIDE, SIDE)))
    for number, drawn in enumerate(job.frames()):
        wanted = stream.animate(noise(number, (SIDE, SIDE)))
        close = 1 if result.precision == "float32" else 30
        assert np.abs(drawn.astype(int) - wanted).max() <= close
    assert any(note.startswith("Drawn on cpu (processor") for note in result.notes)


def test_the_reference_is_chosen_by_keypoints_where_there_is_no_face(job: Job) -> None:
    save_png(job.portrait, noise(2, (SIDE, SIDE)))
    assert job.run(reference="auto").reference == 2
    assert {"reading", "comparing", "drawing"} <= set(job.stages)
    assert job.run(reference="first").reference == 0


def test_a_square_around_the_face_track(job: Job) -> None:
    job.tracker.face = make_face(centre=(256, 200), scale=30)
    Image.fromarray(noise(9, (512, 512))).save(job.portrait)
    make_clip(job.folder / "clip.mp4", [noise(number, (512, 400)) for number in range(6)])
    result = job.run(crop="auto", driving=job.folder / "clip.mp4", output=job.folder / "out.mp4")
    assert (result.width_px, result.height_px, result.faces) == (512, 512, 6)
    assert "tracking" in job.stages and "comparing" not in job.stages


def test_motion_is_shown_beside_the_portrait(job: Job) -> None:
    result = job.run(show="motion", side_by_side=True)
    assert (result.width_px, result.height_px) == (3 * SIDE, SIDE)


def test_a_clip_without_a_face_drives_with_whole_frames(job: Job) -> None:
    result = job.run(crop="auto")
    assert any("Whole frames are used" in note for note in result.notes)


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"driving": Path("idle.masque")}, UsageError, "holds none"),
        ({"device": "cuda"}, EngineError, "CUDA was asked for"),
        ({"config": "mgif"}, WeightsError, "does not fit the config mgif"),
        ({"config": "vax"}, UsageError, "no config called"),
        ({"model": "nothing"}, WeightsError, "no checkpoint called"),
        ({"reference": 4}, UsageError, "There is no frame 4"),
    ],
)
def test_jobs_that_cannot_be_done(
    job: Job, changes: dict[str, Any], kind: type[AvatarError], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(kind, match=expected) as raised:
        job.run(**changes)
    assert raised.value.remedy and not (job.folder / "out").exists()


def test_a_folder_of_mixed_sizes(job: Job) -> None:
    save_png(job.clip / "3.png", noise(3, (SIDE, SIDE - 8)))
    with pytest.raises(VideoError, match="the frames of a clip have one size"):
        job.run()
    assert not (job.folder / "out").exists()


def damaged(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    state = authors_state(sample_model("other blocks"), pruned=True)
    state = {part: dict(weights) for part, weights in state.items()}
    change(state)
    return save_checkpoint(folder / "damaged.pth.tar", state)


def test_checkpoints_that_cannot_be_used(job: Job) -> None:
    renamed = job.folder / "zip.pth.tar"
    with zipfile.ZipFile(renamed, "w") as archive:
        archive.writestr("readme.txt", "nothing")

    def no_numbers(state: dict[str, Any]) -> None:
        state["generator"]["final.weight"] = torch.full_like(state["generator"]["final.weight"], float("nan"))

    cases = (
        (renamed, "damaged or not a checkpoint"),
        (damaged(job.folder, no_numbers), "NaN or infinite"),
        (save_checkpoint(job.folder / "other.pth.tar", {"state_dict": {"w": torch.zeros(2)}}), "not a checkpoint of"),
    )
    for path, expected in cases:
        with pytest.raises(WeightsError, match=expected):
            job.run(model=path)


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "CMYK"])
def test_portraits_with_other_channels_are_made_rgb(job: Job, mode: str) -> None:
    path = job.folder / ("portrait.tif" if mode == "CMYK" else "other.png")
    Image.fromarray(noise(9, (SIDE, SIDE))).convert(mode).save(path)
    assert job.run(source=path).width_px == SIDE


def test_the_command(job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    tools = Tools(open_tracker=lambda: job.tracker)  # type: ignore[arg-type, return-value]
    monkeypatch.setattr("avatar.offline.animate.Tools", lambda: tools)
    words = ["animate", str(job.portrait), str(job.clip), "-o", str(job.folder / "out"), "--engine", "fomm"]
    words += ["--model", str(job.checkpoint), "--crop", "none", "--absolute", "--strength", "0.5"]
    assert cli.main([*words, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("fomm on cpu in ")
    assert cli.main([*words, "--device", "cuda:7"]) == 1
    assert "CUDA was asked for" in capsys.readouterr().err or torch.cuda.is_available()
