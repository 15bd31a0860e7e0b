"""Files of LivePortrait: the authors' and ours load to the same model; others are refused with a message."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from fomm_samples import authors_state, sample_model, save_checkpoint
from liveportrait_samples import STRUCTURES, small_model, write_files
from safetensors.torch import save_file

from avatar.errors import UsageError, WeightsError
from avatar.liveportrait import LivePortraitModel, load_liveportrait
from avatar.liveportrait.checkpoint import FILES, HEADS_FILE, MARKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(small_model(), tmp_path / "weights")
    return tmp_path / "weights"


def same(ours: LivePortraitModel, theirs: LivePortraitModel) -> bool:
    wanted = theirs.state_dict()
    return all(torch.allclose(x, wanted[name], rtol=1e-4, atol=1e-6) for name, x in ours.state_dict().items())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_authors_files_load(structure: str, tmp_path: Path) -> None:
    model = small_model(structure)
    write_files(model, tmp_path)
    loaded = load_liveportrait(tmp_path)
    assert same(loaded, model) and not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_files_are_found_by_name_in_any_of_their_arrangements(folder: Path, tmp_path: Path) -> None:
    files = sorted(folder.iterdir())
    assert same(load_liveportrait(files), small_model()) and same(load_liveportrait(str(folder)), small_model())
    theirs = tmp_path / "pretrained" / "liveportrait"
    (theirs / "base_models").mkdir(parents=True)
    (theirs / "retargeting_models").mkdir()
    for file in files:
        where = "retargeting_models" if file.stem.startswith("stitching") else "base_models"
        shutil.copy(file, theirs / where)
    assert same(load_liveportrait(theirs), small_model()) and same(load_liveportrait(theirs.parent), small_model())


def test_one_file_holds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "liveportrait.safetensors"
    save_file({name: x.half() if x.is_floating_point() else x for name, x in small_model().state_dict().items()}, path)
    loaded = load_liveportrait(path)
    assert loaded.spade_generator.fc.weight.dtype == torch.float32
    difference = loaded.spade_generator.fc.weight - small_model().spade_generator.fc.weight
    assert difference.abs().max() < 1e-3


def test_safetensors_of_the_same_tensors_load(folder: Path) -> None:
    for part in MARKS:
        state = torch.load(folder / f"{part}.pth", weights_only=True)
        save_file({name: x.contiguous() for name, x in state.items()}, folder / f"{part}.safetensors")
        (folder / f"{part}.pth").unlink()
    assert same(load_liveportrait(folder), small_model())


class Runs:
    """A function that a malicious pickle calls."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.getenv, ("HOME",)


def _edit(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    state = torch.load(folder / f"{part}.pth", weights_only=True)
    change(state)
    torch.save(state, folder / f"{part}.pth")


def _half_a_download(folder: Path) -> None:
    file = folder / "warping_module.pth"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _swapped(folder: Path) -> None:
    first, second = folder / "motion_extractor.pth", folder / "spade_generator.pth"
    first.rename(folder / "other")
    second.rename(first)
    (folder / "other").rename(second)


def _of_another_width(folder: Path) -> None:
    write_files(small_model("other depths"), folder / "other")
    shutil.copy(folder / "other" / "spade_generator.pth", folder)


Spoil = Callable[[Path], object]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "a missing file": (lambda f: (f / "motion_extractor.pth").unlink(), "There is no motion_extractor.pth"),
    "half a download": (_half_a_download, "damaged"),
    "an empty file": (lambda f: (f / "spade_generator.pth").write_bytes(b""), "damaged or not a checkpoint"),
    "text": (lambda f: (f / "spade_generator.pth").write_text("<html>not found</html>"), "damaged or not a checkpoint"),
    "code": (lambda f: torch.save({"fc.weight": Runs()}, f / "spade_generator.pth"), "asks to run code"),
    "swapped files": (_swapped, "is not the motion_extractor: it holds the weights of spade_generator"),
    "a list": (lambda f: torch.save([1], f / "motion_extractor.pth"), "holds no weights"),
    "another model": (lambda f: torch.save({"a": torch.ones(1)}, f / "motion_extractor.pth"), "it lacks detector"),
    "NaN": (lambda f: _edit(f, "motion_extractor", lambda s: s["detector.fc_kp.bias"].fill_(torch.nan)), "NaN"),
    "a hole": (lambda f: _edit(f, "warping_module", lambda s: s.pop("third.conv.bias")), "third.conv.bias is missing"),
    "too much": (lambda f: _edit(f, "warping_module", lambda s: s.update(x=torch.ones(1))), 'x" does not belong there'),
    "no vector of a norm": (
        lambda f: _edit(f, "spade_generator", lambda s: s.pop("G_middle_0.conv_0.weight_v")), "weight_v is missing",
    ),
    "no lips": (lambda f: _edit(f, HEADS_FILE, lambda s: s.pop("retarget_mouth")), "it lacks retarget_mouth"),
    "other widths": (_of_another_width, "do not fit each other"),
    "no norm": (
        lambda f: _edit(f, "spade_generator", lambda s: s["G_middle_0.conv_0.weight_u"].zero_()), "weight_orig no norm",
    ),
    "a number": (lambda f: _edit(f, "motion_extractor", lambda s: s.update(cast(Any, {3: torch.ones(1)}))), '"3"'),
    "the heads": (
        lambda f: shutil.copy(f / f"{HEADS_FILE}.pth", f / "spade_generator.pth"), f"holds the weights of {HEADS_FILE}",
    ),
    "a checkpoint of the other engine": (
        lambda f: torch.save({"generator": {"a": torch.ones(1)}, "kp_detector": {}}, f / "warping_module.pth"),
        "not the warping_module: it is a checkpoint for the engine fomm",
    ),
    "words": (lambda f: _edit(f, "motion_extractor", lambda s: s.update(name="x")), "something other than weights"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_bad_files_get_one_sentence(folder: Path, kind: str) -> None:
    spoil, reason = SPOILT[kind]
    spoil(folder)
    with pytest.raises(WeightsError, match=reason) as caught:
        load_liveportrait(folder)
    assert caught.value.remedy


def test_a_checkpoint_of_the_first_order_motion_model_is_refused(folder: Path) -> None:
    path = save_checkpoint(folder / "vox.pth.tar", authors_state(sample_model()))
    with pytest.raises(WeightsError, match=r"not a \.safetensors with all of LivePortrait"):
        load_liveportrait(path)
    with pytest.raises(WeightsError, match="There is no appearance_feature_extractor"):
        load_liveportrait([path])
    with pytest.raises(WeightsError, match="There is no appearance_feature_extractor"):
        load_liveportrait(folder / "nowhere")


LAYOUT = {
    "appearance_feature_extractor_params": {
        "block_expansion": 8, "num_down_blocks": 2, "num_resblocks": 2, "reshape_channel": 4, "reshape_depth": 16,
    },
    "motion_extractor_params": {"num_kp": 21, "backbone": "convnextv2_tiny"},
    "warping_module_params": {
        "estimate_occlusion_map": True, "dense_motion_params": {"block_expansion": 8, "num_blocks": 3, "compress": 2},
    },
    "spade_generator_params": {"upscale": 2},
    "stitching_retargeting_module_params": {
        "stitching": {"hidden_sizes": [128, 128, 64]}, "eye": {"hidden_sizes": [256, 256, 128, 128, 64]},
        "lip": {"hidden_sizes": [128, 128, 64]},
    },
}  # fmt: skip


def test_a_config_has_to_fit_the_weights(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"model_params": LAYOUT}))
    assert same(load_liveportrait(folder, path), small_model())
    wrong = {**LAYOUT, "motion_extractor_params": {"num_kp": 15}}
    path.write_text(yaml.safe_dump({"model_params": wrong}))
    with pytest.raises(UsageError, match="num_kp is 15 there and 21 in the weights"):
        load_liveportrait(folder, path)
    for text in ("", "model_params: 1", "a: [", yaml.safe_dump({"model_params": {}})):
        path.write_text(text)
        with pytest.raises(UsageError, match="not a config of a LivePortrait model"):
            load_liveportrait(folder, path)


def test_all_five_files_are_asked_for() -> None:
    assert len(FILES) == 5
