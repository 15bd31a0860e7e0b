"""Videos as portraits: each frame is its own source, and the driver's change is put on top."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from fakes import NO_FACE, STRAIGHT, FakeTracker, make_clip
from liveportrait_samples import tiny_model, write_files
from motion_samples import make_face

from avatar import cli
from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.liveportrait.engine import LivePortraitEngine
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.liveportrait import fast
from avatar.motion.parameters import save_parameters
from avatar.offline.animate import AnimateResult, animate
from avatar.offline.drive_by_parameters import measure_clip
from avatar.offline.job import AnimateOptions, Tools
from avatar.settings import MotionSettings

SIDE = 512


def scene(level: float, shift: int = 0) -> RgbImage:
    """A picture (512, 512, 3) of this mean level, which says the yaw to FakeTracker; its waves are at `shift`."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    waves = 12 * np.sin(rows / 19) * np.sin((columns + shift) / 23)
    picture = np.stack([waves + level, waves * 0.6 + level, -waves + level], axis=2)
    return np.clip(picture - (picture.mean() - level), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_files(tiny_model(), folder)
    return folder


def clip(path: Path, levels: list[float], *, rate: int = 25, sound: str | None = None) -> Path:
    pictures = [scene(level, 8 * number) for number, level in enumerate(levels)]
    return make_clip(path, pictures, rate=rate, sound=sound, codec_options={"crf": "1"})


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32: where the processor is fast in bfloat16, its rounding moves more than these motions do."""
    monkeypatch.setattr(fast, "faster_precision", lambda device: torch.float32)


@pytest.fixture
def job(tmp_path: Path, weights: Path) -> AnimateOptions:
    """A portrait that looks straight ahead in a moving scene, six frames; a driver who turns."""
    return AnimateOptions(
        source=clip(tmp_path / "portrait.mp4", [STRAIGHT] * 6),
        driving=clip(tmp_path / "driver.mp4", [STRAIGHT + 6 * n for n in range(6)]),
        output=tmp_path / "result",
        engine="liveportrait",
        model=weights,
        reference="first",
    )


def run(job: AnimateOptions) -> AnimateResult:
    return animate(job, tools=Tools(open_tracker=FakeTracker))  # type: ignore[arg-type]


def frames_of(folder: Path) -> list[RgbImage]:
    return [load_image(path) for path in sorted(folder.glob("*.png"))]


def apart(one: RgbImage, other: RgbImage) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_each_frame_is_its_own_source_and_the_driver_moves_it(job: AnimateOptions, tmp_path: Path) -> None:
    assert run(job).frames == 6
    still = replace(job, driving=clip(tmp_path / "still.mp4", [STRAIGHT] * 6), output=tmp_path / "still")
    run(still)
    moved, resting = frames_of(job.output), frames_of(still.output)
    assert len(moved) == len(resting) == 6 and moved[0].shape == (SIDE, SIDE, 3)
    corner = (slice(0, 60), slice(0, 60))  # outside the square
    with av.open(str(job.source)) as video:
        own = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    for frame, source in zip(moved, own, strict=True):
        assert apart(frame[corner], source[corner]) < 2
    assert apart(own[0][corner], own[5][corner]) > 4
    differences = [apart(one, other) for one, other in zip(moved, resting, strict=True)]
    assert differences[0] < 1 and differences[5] > 2 * differences[1] > 0


def test_a_driver_at_rest_changes_nothing_but_what_the_networks_do(job: AnimateOptions, tmp_path: Path) -> None:
    still = replace(job, driving=clip(tmp_path / "still.mp4", [STRAIGHT + 20] * 6))
    run(still)
    nothing = replace(
        job, motion=MotionSettings(strength_head=0.0, strength_expression=0.0), output=tmp_path / "nothing"
    )
    run(nothing)
    for one, other in zip(frames_of(still.output), frames_of(nothing.output), strict=True):
        assert apart(one, other) < 0.7


def test_the_shorter_clip_ends_it_and_the_driver_is_heard(job: AnimateOptions, tmp_path: Path) -> None:
    driver = clip(tmp_path / "long.mp4", [STRAIGHT + n for n in range(20)], sound="aac")
    result = run(replace(job, driving=driver, output=tmp_path / "out.mp4"))
    assert result.frames == 6
    assert any("ends after 0.2 s with portrait.mp4; long.mp4 is longer" in note for note in result.notes)
    assert any("The sound is that of long.mp4" in note for note in result.notes)
    with av.open(str(tmp_path / "out.mp4")) as video:
        sound = video.streams.audio[0]
        assert float(sound.duration * sound.time_base) < 0.3  # 0.8 s in the driver
    short = clip(tmp_path / "short.mp4", [STRAIGHT + n for n in range(4)], rate=50)
    source = clip(tmp_path / "speaks.mp4", [STRAIGHT] * 12, sound="aac")
    result = run(replace(job, source=source, driving=short, output=tmp_path / "cut.mp4"))
    assert result.frames == 2  # 0.08 s at 25 a second
    assert any("The sound is that of speaks.mp4" in note for note in result.notes)
    silent = run(replace(job, output=tmp_path / "silent.mp4"))
    assert not any("sound" in note.lower() for note in silent.notes)


def test_frames_without_a_face_stay_as_they_are(job: AnimateOptions, tmp_path: Path) -> None:
    levels = [float(STRAIGHT)] * 4 + [NO_FACE - 2.0] * 10 + [float(STRAIGHT)] * 4
    source = clip(tmp_path / "leaves.mp4", levels)
    driver = clip(tmp_path / "turned.mp4", [STRAIGHT] + [STRAIGHT + 40.0] * 17)
    result = run(replace(job, source=source, driving=driver))
    assert result.frames == 18 and result.faces == 8
    drawn = frames_of(job.output)
    with av.open(str(source)) as video:
        own = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert all(apart(drawn[n], own[n]) < 2 for n in range(4, 14))
    resting = replace(job, source=source, driving=clip(tmp_path / "rest.mp4", [STRAIGHT] * 18), output=tmp_path / "b")
    run(resting)
    at_rest = frames_of(resting.output)
    moves = [apart(drawn[n], at_rest[n]) for n in range(18)]
    assert moves[3] < 0.5 * moves[1] and moves[14] < 0.5 * moves[17]  # eased out and in


def test_a_template_drives_it_and_the_driver_is_shown_beside(
    job: AnimateOptions, weights: Path, tmp_path: Path
) -> None:
    engine = LivePortraitEngine(EngineConfig("liveportrait", weights))
    track, _ = measure_clip(job.driving, engine, Tools(open_tracker=FakeTracker), lambda *_: None)  # type: ignore[arg-type]
    engine.close()
    save_parameters(track, tmp_path / "turn.masque")
    run(job)
    run(replace(job, driving=tmp_path / "turn.masque", output=tmp_path / "again"))
    for one, other in zip(frames_of(job.output), frames_of(tmp_path / "again"), strict=True):
        assert apart(one, other) < 0.1
    beside = replace(job, side_by_side=True, show="motion", size=128, output=tmp_path / "beside")
    run(beside)
    pictures = frames_of(beside.output)
    assert pictures[0].shape == (128, 3 * 128, 3)
    assert pictures[5][:, :128].mean() - pictures[0][:, :128].mean() > 15  # the driver grows brighter


def test_the_motion_of_a_frame_fades_with_its_weight(weights: Path) -> None:
    engine = LivePortraitEngine(EngineConfig("liveportrait", weights))
    engine.show(engine.prepare(Portrait(scene(128), make_face())))
    engine.calibrate(Driving(face=make_face(), image=scene(128)))

    def drawn(level: float, weight: float) -> RgbImage:
        return engine.draw(Driving(face=make_face(), image=scene(level, 40), weight=weight))

    whole, half, none = (drawn(190, weight) for weight in (1.0, 0.5, 0.0))
    assert np.array_equal(none, drawn(60, 0.0))
    assert 0 < apart(none, half) < 0.9 * apart(none, whole)
    engine.close()


REFUSED = {
    "warp": ([], "the engine warp animates pictures", "add --engine liveportrait"),
    "fomm": (["--engine", "fomm"], "the engine fomm animates pictures", "add --engine liveportrait"),
    "crop": (["--engine", "liveportrait", "--crop", "none"], "whose crop follows its face", "Leave --crop out"),
    "turn": (["--engine", "liveportrait", "--turn", "90"], "turned until its face is upright", "Leave --turn out"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_sentence(
    case: str, job: AnimateOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, what, remedy = REFUSED[case]
    code = cli.main(["animate", str(job.source), str(job.driving), "-o", str(tmp_path / "out.mp4"), *options])
    said = capsys.readouterr().err
    assert code == 2 and what in said and remedy in said and "Traceback" not in said
    assert not (tmp_path / "out.mp4").exists()


def test_a_batch_refuses_it(job: AnimateOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs.csv").write_text(f"source,driving,output\n{job.source},{job.driving},out.mp4\n")
    assert cli.main(["batch", str(tmp_path / "jobs.csv"), "--dry-run"]) == 2
    assert "portrait.mp4 is a video, and a batch animates pictures" in capsys.readouterr().err
