"""Checkpoints of the First Order Motion Model: loading, refusals, and messages to the user."""

from __future__ import annotations

import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fomm_samples import SMALL, STRUCTURES, authors_state, psnr_db, sample_model, save_checkpoint
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from avatar.cli import main
from avatar.errors import AvatarError, EngineError, OutputError, UsageError, WeightsError
from avatar.fomm import PUBLISHED, convert_checkpoint, load_checkpoint
from avatar.fomm.layout import find_config, from_layout, read_layout, to_layout
from avatar.fomm.random_model import random_image
from avatar.fomm.weight_files import GET_ONE
from avatar.weights import manifest

State = dict[str, Any]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "net-cpk.pth.tar", authors_state(sample_model()))


def refused(path: Path, *words: str, config: Any = None, kind: type[AvatarError] = WeightsError) -> Any:
    """Load, expect an error that holds these words, and return it."""
    with pytest.raises(kind) as caught:
        load_checkpoint(path, config)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy, "an error without a remedy helps nobody"
    return caught.value


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_structure_is_read_off_the_weights(name: str, tmp_path: Path) -> None:
    model = sample_model(name)
    loaded = load_checkpoint(save_checkpoint(tmp_path / "net.pth.tar", authors_state(model)))
    found, wanted = to_layout(loaded.config)["model_params"], to_layout(model.config)["model_params"]
    for params in (found["generator_params"], found["generator_params"]["dense_motion_params"]):
        del params["max_features"]  # more than a network reaches leaves no trace
    for params in (wanted["generator_params"], wanted["generator_params"]["dense_motion_params"]):
        del params["max_features"]
    del found["kp_detector_params"]["max_features"], wanted["kp_detector_params"]["max_features"]
    assert found == wanted
    weights = model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in loaded.state_dict().items() if "tracked" not in key)
    assert not loaded.training and not any(x.requires_grad for x in loaded.parameters())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "as torch before 1.6"])
@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
def test_both_kinds_of_file_whole_and_pruned(legacy: bool, pruned: bool, tmp_path: Path) -> None:
    state = authors_state(sample_model(), pruned=pruned)
    loaded = load_checkpoint(str(save_checkpoint(tmp_path / "net.pth.tar", state, legacy=legacy)))
    image = random_image(1, 128)
    assert torch.equal(loaded.detect(image).value, sample_model().detect(image).value)


def test_training_counters_may_be_missing(tmp_path: Path) -> None:
    state = authors_state(sample_model())
    for part in ("generator", "kp_detector"):
        state[part] = {name: x for name, x in state[part].items() if not name.endswith("num_batches_tracked")}
    assert load_checkpoint(save_checkpoint(tmp_path / "net.pth.tar", state)).config == SMALL


def test_a_double_precision_checkpoint_is_computed_in_single(tmp_path: Path) -> None:
    state = authors_state(sample_model())
    state["generator"] = {name: x.double() if x.is_floating_point() else x for name, x in state["generator"].items()}
    loaded = load_checkpoint(save_checkpoint(tmp_path / "net.pth.tar", state))
    assert {x.dtype for x in loaded.parameters()} == {torch.float32}


# Configs


def test_a_yaml_in_the_authors_layout(checkpoint: Path, tmp_path: Path) -> None:
    layout = {"dataset_params": {"root_dir": "data", "frame_shape": [256, 256, 3]}, **to_layout(SMALL)}
    layout["train_params"] = {"lr_generator": 2.0e-4, "epoch_milestones": [60, 90]}
    config = tmp_path / "own.yaml"
    config.write_text("# a comment\n" + yaml.safe_dump(layout))
    assert load_checkpoint(checkpoint, config).config == SMALL
    assert load_checkpoint(checkpoint, str(config)).config == SMALL


def test_what_a_yaml_leaves_out_is_as_in_the_authors_code() -> None:
    bare = {"block_expansion": 32, "max_features": 1024, "num_blocks": 5}
    layout = {
        "model_params": {
            "common_params": {"num_kp": 10, "num_channels": 3},
            "kp_detector_params": {**bare, "temperature": 0.2},
            "generator_params": {
                "block_expansion": 64,
                "max_features": 512,
                "num_down_blocks": 2,
                "num_bottleneck_blocks": 6,
                "dense_motion_params": bare,
            },
        }
    }
    config = from_layout(layout)
    assert not (config.estimate_jacobian or config.estimate_occlusion_map or config.single_jacobian_map)
    assert config.detector.scale_factor == 1 and config.temperature == 0.2 and config.heatmap_padding == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_config_survives_its_layout(name: str) -> None:
    assert from_layout(json.loads(json.dumps(to_layout(find_config(name))))) == PUBLISHED[name]


def test_the_configs_temperature_is_used(checkpoint: Path) -> None:
    image, warm = random_image(1, 128), replace(SMALL, temperature=1.0)
    spread = [load_checkpoint(checkpoint, config).detect(image).value.std() for config in (SMALL, warm)]
    assert spread[1] < 0.5 * spread[0], "flat heat maps put every point in the middle"


def test_a_config_of_another_model(checkpoint: Path) -> None:
    error = refused(checkpoint, "does not fit the config vox", "instead of", "and ", " more", config="vox")
    assert error.what.count(" instead of ") + error.what.count("missing") + error.what.count("belong") == 5
    assert "Leave the config out" in error.remedy


def test_an_unknown_config(checkpoint: Path) -> None:
    refused(checkpoint, "no config called 'vax'", "vox-adv", config="vax", kind=UsageError)


BOMB = "a: &a [x, x]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1, 2]", "not a set of names"),
        ("model_params: {}", "no common_params"),
        ("model_params: {common_params: {num_kp: ten}}", "no kp_detector_params"),
        ("!!python/object/apply:os.system ['touch MARK']", "could not determine a constructor"),
        (BOMB, "no model_params"),
        ("[" * 5000, "not a config"),
        ("\x00", "not a config"),
        ("a: &a [*a]", "a part of it holds itself"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\n" + "c: [" + "*b, " * 34_000 + "]", "it stands for too many values"),
        ("[" * 60 + "]" * 60, "it nests too deeply"),
        ("!!int ''", "not a config"),
        ("!!timestamp x", "not a config"),
        ("!!bool x", "not a config"),
        ("x" * 2_000_000, "larger than"),
    ],
)
def test_files_that_are_no_config(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text.replace("MARK", str(tmp_path / "mark")))
    with pytest.raises(UsageError, match="not a config of a First Order Motion Model") as caught:
        read_layout(path)
    assert why in caught.value.what
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("section", "name", "value", "why"),
    [
        ("common_params", "num_kp", "ten", '"ten", not a whole number'),
        ("common_params", "num_kp", True, "not a whole number"),
        ("common_params", "num_kp", 0, "num_kp is 0, must be 1"),
        ("common_params", "estimate_jacobian", 1, "not true or false"),
        ("kp_detector_params", "num_blocks", 1000, "num_blocks is 1000"),
        ("kp_detector_params", "scale_factor", 0.3, "one over a whole number"),
        ("kp_detector_params", "scale_factor", float("nan"), "scale_factor is nan"),
        ("generator_params", "block_expansion", 10**9, "block_expansion"),
        ("generator_params", "max_features", 1, "max_features is 1"),
    ],
)
def test_values_that_no_model_has(section: str, name: str, value: object, why: str) -> None:
    layout = to_layout(SMALL)
    layout["model_params"][section][name] = value
    with pytest.raises(ValueError, match=why):
        from_layout(layout)


# Files that are refused


class Malice:
    """Leaves a mark where it is unpickled by somebody who trusts it."""

    def __init__(self, mark: Path) -> None:
        self._command = f"touch {mark}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle 2", "pickle 5"])
def test_code_in_a_checkpoint_is_not_run(kind: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "net.pth.tar"
    state = {**authors_state(sample_model()), "epoch": Malice(mark)}
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps({"epoch": Malice(mark)}, protocol=int(kind[-1])))
    else:
        save_checkpoint(path, state, legacy=kind == "legacy")
    words = ["damaged or not a checkpoint"] if kind == "pickle 5" else ["asks to run code", "system", "was not run"]
    error = refused(path, *words)
    assert "source you trust" in error.remedy
    assert not mark.exists()
    pickle.loads(path.read_bytes()) if kind.startswith("pickle") else torch.load(path, weights_only=False)
    assert mark.exists(), "the file was no danger, so nothing was tested"


def test_a_zip_with_another_name(tmp_path: Path) -> None:
    path = tmp_path / "vox-cpk.pth.tar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    refused(path, str(path), "damaged or not a checkpoint")


NOISE = random.Random(3).randbytes(3000)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"<!DOCTYPE html>", b"\x93NUMPY" + bytes(100), NOISE, NOISE[:8] + b"{" + NOISE],
    ids=["empty", "one byte", "page", "numpy", "noise", "noise with a brace"],
)
def test_files_of_other_kinds(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pth.tar"
    path.write_bytes(content)
    refused(path, "damaged or not a checkpoint")


@pytest.mark.parametrize("legacy", [False, True])
def test_half_a_file(legacy: bool, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "net.pth.tar", authors_state(sample_model()), legacy=legacy)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "damaged")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.pth.tar", "is missing")
    assert "models pull vox-adv" in error.remedy and "models import" in error.remedy
    refused(tmp_path, "cannot be read")


def test_the_remedy_tells_size_and_licence_as_the_manifest_does() -> None:
    weight = manifest.read_manifest()["vox-adv"]
    assert weight.bytes is not None
    assert f"models pull {weight.name} ({weight.bytes / 1e6:.0f} MB, {weight.licence})" in GET_ONE


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"state_dict": {"w": torch.zeros(2)}}, 'it holds "state_dict", no generator'),
        ({"generator": {}}, "no kp_detector"),
        ({"generator": {}, "kp_detector": {}}, "kp_detector.kp.weight is missing"),
        ({"generator": {"w": "text"}, "kp_detector": {}}, "something other than weights"),
        ({"generator": {"w": torch.zeros(2).to_sparse()}, "kp_detector": {}}, "something other than weights"),
        ([torch.zeros(2)], "it holds a list"),
        (torch.zeros(2), "it holds a Tensor"),
        ({}, "it holds nothing"),
    ],
)
def test_checkpoints_of_other_models(content: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pth.tar"
    torch.save(content, path)
    refused(path, why)


def changed(tmp_path: Path, change: Callable[[State, State], object]) -> Path:
    state = authors_state(sample_model())
    change(state["generator"], state["kp_detector"])
    return save_checkpoint(tmp_path / "net.pth.tar", state)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda g, d: g.pop("final.bias"), "generator.final.bias is missing"),
        (lambda g, d: d.pop("kp.weight"), "kp_detector.kp.weight is missing"),
        (lambda g, d: d.pop("down.weight"), "kp_detector.down.weight is missing"),
        (lambda g, d: g.pop("down_blocks.0.conv.weight"), "generator.down_blocks.0.conv.weight is missing"),
        (lambda g, d: g.update(extra=torch.zeros(1)), '"generator.extra" does not belong there'),
        (lambda g, d: g.update({"final.bias": torch.zeros(4)}), "generator.final.bias is (4,) instead of (3,)"),
        (lambda g, d: d.update({"kp.weight": torch.zeros(3)}), "has 1 dimensions instead of 4"),
        (lambda g, d: d.update({"down.weight": torch.zeros(3, 1, 13, 13)}), "no Gaussian"),
        (lambda g, d: d.update({"predictor.decoder.up_blocks.4.conv.weight": torch.tensor(0.0)}), "no decoder"),
        (lambda g, d: g.update({"bottleneck.r99999.conv1.weight": torch.zeros(1)}), "num_bottleneck_blocks is 100000"),
    ],
)
def test_weights_that_are_missing_extra_or_misshapen(
    change: Callable[[State, State], object], why: str, tmp_path: Path
) -> None:
    refused(changed(tmp_path, change), why)


def test_of_many_wrong_weights_five_are_named(tmp_path: Path) -> None:
    def drop(generator: State, detector: State) -> None:
        for name in [name for name in generator if name.startswith("up_blocks")]:
            del generator[name]

    error = refused(changed(tmp_path, drop), "generator.up_blocks.0.conv.weight is missing")
    assert error.what.count("is missing") == 5 and "and 7 more" in error.what


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    def spoil(generator: State, detector: State) -> None:
        for number in range(6):
            name = ["final.bias", "first.conv.bias", "first.norm.weight", "first.norm.bias"][number % 4]
            generator[name] = torch.full_like(generator[name], value)
        detector["kp.bias"] = torch.full_like(detector["kp.bias"], value)
        detector["jacobian.bias"] = torch.full_like(detector["jacobian.bias"], value)

    refused(changed(tmp_path, spoil), "NaN or infinite", "generator.final.bias", "and 1 more")


@pytest.mark.parametrize("device", ["cuda:97", "abacus", "meta:"])
def test_a_device_that_is_not_there(device: str, checkpoint: Path) -> None:
    with pytest.raises(EngineError, match="cannot be used here") as caught:
        load_checkpoint(checkpoint, device=device)
    assert "cpu" in caught.value.remedy


# Our own small files


@pytest.mark.parametrize("name", ["as published", "no jacobian", "single jacobian map", "no occlusion map"])
def test_a_converted_checkpoint_is_smaller_and_draws_the_same(name: str, tmp_path: Path) -> None:
    model = sample_model(name)
    path = save_checkpoint(tmp_path / "net.pth.tar", authors_state(model))
    size = convert_checkpoint(path, tmp_path / "new" / "net.safetensors")
    small = tmp_path / "new" / "net.safetensors"
    assert size == small.stat().st_size < 0.6 * path.stat().st_size
    loaded = load_checkpoint(small)
    assert loaded.config == model.config and {x.dtype for x in loaded.parameters()} == {torch.float32}
    source, driving = random_image(1, 128, seed=1), random_image(1, 128, seed=2)
    predictions = [m.generate(source, m.detect(source), m.detect(driving)) for m in (model, loaded)]
    assert psnr_db(*predictions) > 45


def test_the_config_travels_in_the_file(tmp_path: Path) -> None:
    unusual = replace(SMALL, temperature=0.3, heatmap_padding=3)  # what leaves no trace in the weights
    path = save_checkpoint(tmp_path / "net.pth.tar", authors_state(sample_model()))
    convert_checkpoint(path, tmp_path / "net.safetensors", unusual)
    assert load_checkpoint(tmp_path / "net.safetensors").config == unusual
    with safe_open(tmp_path / "net.safetensors", framework="pt") as stream:
        assert json.loads(stream.metadata()["config"])["model_params"]["kp_detector_params"]["temperature"] == 0.3


def test_only_kernels_are_rounded_and_none_overflows(tmp_path: Path) -> None:
    def stretch(generator: State, detector: State) -> None:
        generator["first.norm.running_var"] = torch.full_like(generator["first.norm.running_var"], 1e9)
        generator["final.weight"] = generator["final.weight"] * 1e7

    convert_checkpoint(changed(tmp_path, stretch), tmp_path / "net.safetensors")
    weights = load_file(tmp_path / "net.safetensors")
    assert weights["generator.first.conv.weight"].dtype == torch.float16
    assert weights["generator.final.weight"].dtype == torch.float32
    assert weights["generator.first.norm.running_var"].eq(1e9).all()
    assert weights["kp_detector.down.weight"].dtype == torch.float32
    load_checkpoint(tmp_path / "net.safetensors")


def test_a_safetensors_without_a_config_is_read_off_its_weights(tmp_path: Path) -> None:
    weights = {name: x.contiguous() for name, x in sample_model().state_dict().items()}
    save_file(weights, tmp_path / "net.safetensors")
    assert load_checkpoint(tmp_path / "net.safetensors").config == SMALL


def test_a_safetensors_of_another_model_a_damaged_one_and_one_with_nonsense(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    refused(path, "not a checkpoint of a First Order Motion Model")
    save_file({"generator.w": torch.zeros(2)}, path, {"config": '{"model_params": 3}'})
    refused(path, "invalid structure")
    convert_checkpoint(checkpoint, path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "damaged")


def test_a_result_that_cannot_be_written(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.safetensors"):
        convert_checkpoint(checkpoint, tmp_path / "net.pth.tar")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        convert_checkpoint(checkpoint, tmp_path / "file" / "net.safetensors")


def test_the_command_converts(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "net.safetensors"
    assert main(["models", "convert", str(checkpoint), "-o", str(target)]) == 0
    assert "MB, from" in capsys.readouterr().out
    assert load_checkpoint(target).config == SMALL


def test_the_command_explains(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    target = str(tmp_path / "net.safetensors")
    assert main(["models", "convert", "vox-adv", "-o", target]) == 1
    assert "models pull vox-adv" in capsys.readouterr().err
    assert main(["models", "convert", str(tmp_path / "none"), "-o", target]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["models", "convert", str(checkpoint), "-o", target, "--config", "vax"]) == 2
    assert "no config called" in capsys.readouterr().err
    assert not Path(target).exists() and list(tmp_path.glob(".*part")) == []
