"""Jobs with LivePortrait: a clip and a portrait through small random weights, and what is announced on a processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeTracker, plain
from liveportrait_samples import small_model, write_files
from PIL import Image
from safetensors.numpy import load_file, save_file

from avatar import cli
from avatar.engines.base import EngineConfig
from avatar.errors import AvatarError, TemplateError
from avatar.images.load import load_image
from avatar.motion.idle import idle_path
from avatar.motion.parameters import load_parameters, save_parameters
from avatar.motion.template import load_template
from avatar.offline.animate import animate
from avatar.offline.drive_by_parameters import measure_clip
from avatar.offline.job import AnimateOptions, Tools
from avatar.settings import MotionSettings


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_files(small_model(), folder)
    return folder


@pytest.fixture
def job(tmp_path: Path, weights: Path) -> AnimateOptions:
    """A portrait, and a clip of three frames in which a face turns."""
    Image.fromarray(plain(128, (200, 160))).save(tmp_path / "portrait.png")
    (tmp_path / "clip").mkdir()
    for number, level in enumerate((128, 140, 152)):
        Image.fromarray(plain(level, (160, 120))).save(tmp_path / "clip" / f"{number}.png")
    return AnimateOptions(
        source=tmp_path / "portrait.png",
        driving=tmp_path / "clip",
        output=tmp_path / "result",
        engine="liveportrait",
        model=weights,
    )


def tools() -> Tools:
    return Tools(open_tracker=FakeTracker)  # type: ignore[arg-type]


def test_a_clip_moves_a_portrait_and_says_before_it_starts_what_to_expect(job: AnimateOptions) -> None:
    said: list[tuple[str, bool]] = []
    stages: list[str] = []
    result = animate(
        job,
        lambda stage, *_: stages.append(stage),
        tools=tools(),
        announce=lambda text: said.append((text, "drawing" in stages)),
    )
    frames = [load_image(path) for path in sorted(job.output.glob("*.png"))]
    assert len(frames) == result.frames == 3 and frames[0].shape == (160, 200, 3)
    assert np.abs(frames[2].astype(int) - frames[0]).max() > 3
    assert [drawing for _, drawing in said] == [False, False]
    assert "seconds for each of the 3 frames" in said[0][0] and "--engine warp" in said[0][0]
    assert "first frame took" in said[1][0] and "min" in said[1][0]


def test_without_strength_it_stands_still(job: AnimateOptions) -> None:
    still = MotionSettings(strength_head=0.0, strength_expression=0.0)
    animate(replace(job, motion=still), tools=tools())
    frames = [load_image(path) for path in sorted(job.output.glob("*.png"))]
    assert np.abs(frames[2].astype(int) - frames[0]).max() <= 2


BROKEN = {
    "half a download": "damaged",
    "swapped files": "it holds the weights of",
    "a part is missing": "There is no",
    "FOMM's checkpoint": "not a .safetensors with all of LivePortrait",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_bad_weights_cost_one_sentence(
    fault: str, job: AnimateOptions, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    contents = {path.name: path.read_bytes() for path in weights.iterdir()}
    model = folder
    if fault == "half a download":
        contents["warping_module.pth"] = contents["warping_module.pth"][: len(contents["warping_module.pth"]) // 2]
    elif fault == "swapped files":
        one, other = contents["warping_module.pth"], contents["spade_generator.pth"]
        contents |= {"warping_module.pth": other, "spade_generator.pth": one}
    elif fault == "a part is missing":
        del contents["motion_extractor.pth"]
    else:
        from fomm_samples import authors_state, sample_model, save_checkpoint

        model = save_checkpoint(folder / "vox-cpk.pth.tar", authors_state(sample_model("other blocks"), pruned=True))
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    code = cli.main([
        "animate", str(job.source), str(job.driving), "-o", str(tmp_path / "out"), "--engine", "liveportrait",
        "--model", str(model),
    ])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 1 and BROKEN[fault] in said and "Traceback" not in said
    assert "models pull liveportrait (522 MB, MIT)" in said and not (tmp_path / "out").exists()


def test_options_for_parts_are_refused_where_nothing_heeds_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["animate", "a.png", "b.mp4", "-o", "c.mp4", "--region", "lip"]) == 2
    assert "--region belongs to --engine liveportrait" in capsys.readouterr().err


@pytest.fixture
def template(job: AnimateOptions, weights: Path, tmp_path: Path) -> Path:
    from avatar.engines.liveportrait.engine import LivePortraitEngine

    engine = LivePortraitEngine(EngineConfig("liveportrait", weights))
    track, _ = measure_clip(job.driving, engine, tools(), lambda *_: None)
    engine.close()
    save_parameters(track, tmp_path / "motion.masque")
    return tmp_path / "motion.masque"


def test_a_template_moves_a_portrait_as_its_clip_does(job: AnimateOptions, template: Path, tmp_path: Path) -> None:
    animate(replace(job, reference="first"), tools=tools())
    by_template = replace(job, driving=template, output=tmp_path / "again", reference="first")
    assert animate(by_template, tools=tools()).frames == 3
    for one, other in zip(sorted(job.output.glob("*.png")), sorted((tmp_path / "again").glob("*.png")), strict=True):
        assert np.abs(load_image(one).astype(int) - load_image(other)).max() <= 1
    animate(replace(by_template, output=tmp_path / "nearest", reference="auto"), tools=tools())


def test_a_template_holds_numbers_and_nothing_else(template: Path, tmp_path: Path) -> None:
    track = load_parameters(template)
    assert len(track) == 3 and (track.presence > 0).all() and track.expression.shape == (3, 21, 3)
    stored = load_file(template)
    facts = {"format": "masque-liveportrait", "version": "1", "frames": "3", "points": "21"}

    def refused(match: str, **changes: Any) -> None:
        tensors = {name: value for name, value in (stored | changes).items() if value is not None}
        save_file(tensors, tmp_path / "odd.masque", facts)
        with pytest.raises(TemplateError, match=match):
            load_parameters(tmp_path / "odd.masque")

    refused("cannot be", scale=np.full((3, 1), np.nan, np.float32))
    refused("cannot be", translation=np.full((3, 3), 1e9, np.float32))
    refused("plain numbers", scale=np.ones((3, 1), np.float64))
    refused("plain numbers", angles_deg=np.zeros((2, 3), np.float32))
    refused("lacks or adds", image=np.zeros((4, 4), np.uint8))
    refused("lacks or adds", presence=None)
    refused("no face", presence=np.zeros(3, np.float32))
    (tmp_path / "code.masque").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(TemplateError, match="pickle"):
        load_parameters(tmp_path / "code.masque")


def test_each_engine_refuses_the_others_templates(job: AnimateOptions, template: Path) -> None:
    with pytest.raises(TemplateError, match="holds motion for liveportrait"):
        load_template(template)
    with pytest.raises(TemplateError, match="no motion for liveportrait"):
        animate(replace(job, driving=idle_path()), tools=tools())


def test_half_the_size_draws_the_same(job: AnimateOptions, weights: Path, tmp_path: Path) -> None:
    from avatar.liveportrait import load_liveportrait
    from avatar.liveportrait.convert import convert_liveportrait

    whole = tmp_path / "whole.safetensors"
    size = convert_liveportrait(weights, whole)
    assert size == whole.stat().st_size < 0.62 * sum(path.stat().st_size for path in weights.iterdir())
    one, other = load_liveportrait(weights), load_liveportrait(whole)
    for name, x in one.state_dict().items():
        assert np.allclose(x.numpy(), other.state_dict()[name].numpy(), rtol=2e-3, atol=1e-4), name
    with pytest.raises(AvatarError, match="not a name for the result"):
        convert_liveportrait(weights, tmp_path / "whole.pth")
