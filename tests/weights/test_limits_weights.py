"""Checkpoints that announce more than they hold, or exceed the budgets, are refused before loading.

The files here are harmless: they ask for little more than they may, or the budget is lowered.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fomm_samples import SMALL, STRUCTURES, authors_state, sample_model, save_checkpoint
from safetensors.torch import save_file

from avatar.errors import WeightsError
from avatar.fomm import FirstOrderModel, load_checkpoint
from avatar.fomm.config import VOX, HourglassConfig, ModelConfig
from avatar.fomm.convert import save_model
from avatar.fomm.cost import check_cost, cost_of
from avatar.system.limits import MAX_CHANNELS
from avatar.weights import outline, state_files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "net.pth.tar", authors_state(sample_model()))


def refused(path: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    for word in words:
        assert word in caught.value.what
    assert caught.value.remedy


def repacked(path: Path, change: Callable[[str, bytes], bytes] = lambda name, data: data, how: int = 0) -> Path:
    """The same zip with its members changed, or stored in another way."""
    with zipfile.ZipFile(path) as old:
        members = {member.filename: old.read(member) for member in old.infolist()}
    with zipfile.ZipFile(path, "w", how) as new:
        for name, data in members.items():
            new.writestr(name, change(name, data))
    return path


def with_state(tmp_path: Path, *, legacy: bool = False, **changes: Any) -> Path:
    return save_checkpoint(tmp_path / "net.pth.tar", {**authors_state(sample_model()), **changes}, legacy=legacy)


def test_a_repacked_zip_is_read(saved: Path) -> None:
    load_checkpoint(repacked(saved))


def test_packed_members(saved: Path) -> None:
    refused(repacked(saved, how=zipfile.ZIP_DEFLATED), "holds compressed parts")


def test_one_byte_fewer_than_claimed(saved: Path) -> None:
    def shorten(name: str, data: bytes) -> bytes:
        return data[:-1] if name.endswith("/data/3") else data

    refused(repacked(saved, shorten), "claims more numbers than it holds")


def test_members_that_overlap(saved: Path) -> None:
    """Two entries of the directory for the same bytes: a file of kilobytes could name as many gigabytes."""
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        number = next(i for i, member in enumerate(archive.infolist()) if member.filename == largest.filename)
        count = len(archive.infolist())
    at = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    assert len(at) == count
    for entry in at:
        if data[entry + 20 : entry + 24] != b"\xff\xff\xff\xff":
            data[entry + 20 : entry + 28] = (largest.file_size).to_bytes(4, "little") * 2
    assert number < count
    saved.write_bytes(data)
    refused(saved, "claims to hold more than its own size")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "as torch before 1.6"])
def test_a_tensor_larger_than_what_is_stored_for_it(legacy: bool, tmp_path: Path) -> None:
    state = authors_state(sample_model())
    state["generator"]["final.bias"] = torch.zeros(1).expand(3)
    refused(save_checkpoint(tmp_path / "net.pth.tar", state, legacy=legacy), "a tensor larger than what is stored")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "as torch before 1.6"])
def test_a_view_of_a_larger_tensor_is_read(legacy: bool, tmp_path: Path) -> None:
    state, model = authors_state(sample_model()), sample_model()
    state["generator"]["final.bias"] = torch.cat([torch.zeros(3), model.state_dict()["generator.final.bias"]])[3:]
    kernel = state["generator"]["final.weight"]
    state["generator"]["final.weight"] = kernel.transpose(0, 1).contiguous().transpose(0, 1)
    loaded = load_checkpoint(save_checkpoint(tmp_path / "net.pth.tar", state, legacy=legacy)).state_dict()
    for name in ("generator.final.bias", "generator.final.weight"):
        assert torch.equal(loaded[name], model.state_dict()[name])


def deep(levels: int) -> object:
    """A tuple that holds its parts twice, `levels` deep: small in the file, 2 ** levels when printed or hashed."""
    value: tuple[Any, ...] = (1,)
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "as torch before 1.6"])
@pytest.mark.parametrize(
    "value",
    [
        bytearray(10),
        {deep(3): 1},
        {1, 2},
        torch.zeros(2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(2, dtype=torch.complex64).conj(),
        torch.zeros(2, dtype=torch.float8_e5m2),
        torch.nested.nested_tensor([torch.zeros(2)]),
    ],
    ids=["bytearray", "deep key", "set", "sparse", "meta", "conjugated", "float8", "nested"],
)
def test_what_no_state_dict_needs(value: object, legacy: bool, tmp_path: Path) -> None:
    if legacy and isinstance(value, torch.Tensor) and value.dtype == torch.float8_e5m2:
        pytest.skip("torch does not write this type in its older kind")
    refused(with_state(tmp_path, legacy=legacy, extra=value), "something other than weights")


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64, torch.int32, torch.uint8, torch.int64])
def test_unusual_numbers_in_a_pickle(dtype: torch.dtype, tmp_path: Path) -> None:
    state = authors_state(sample_model())
    state["generator"]["final.bias"] = torch.zeros(3, dtype=dtype)
    refused(save_checkpoint(tmp_path / "net.pth.tar", state), "something other than weights", "generator.final.bias")


@pytest.mark.parametrize("dtype", [torch.bool, torch.float8_e4m3fn, torch.int32, torch.uint8, torch.complex64])
def test_unusual_numbers_in_a_safetensors(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = {name: x for name, x in sample_model().state_dict().items() if "tracked" not in name}
    weights["generator.final.bias"] = torch.zeros(3, dtype=dtype)
    save_file(weights, tmp_path / "net.safetensors")
    refused(tmp_path / "net.safetensors", "something other than weights", "generator.final.bias")


def written(tmp_path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_model(sample_model(), tmp_path / "net.safetensors")
        return tmp_path / "net.safetensors"
    return with_state(tmp_path, legacy=kind != "zip")


@pytest.mark.parametrize("kind", ["zip", "as torch before 1.6", "safetensors"])
def test_more_weights_than_the_budget(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, kind)
    numbers = sum(x.numel() for name, x in sample_model().state_dict().items() if "tracked" not in name)
    monkeypatch.setattr(state_files, "MAX_WEIGHT_BYTES", 4 * numbers + 1000)  # 1000: the counters of a pickle
    load_checkpoint(path)
    monkeypatch.setattr(state_files, "MAX_WEIGHT_BYTES", 4 * numbers - 1)
    refused(path, "the limit is")


@pytest.mark.parametrize("kind", ["zip", "as torch before 1.6", "safetensors"])
def test_a_list_of_contents_over_the_budget(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, kind)
    for module in (state_files, outline):
        monkeypatch.setattr(module, "MAX_OUTLINE_BYTES", 10_000)
    refused(path, "a list of contents over")


def test_a_directory_over_the_budget(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "MAX_DIRECTORY_BYTES", 1000)
    refused(saved, "a list of parts over")


def test_what_can_only_be_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "MAX_WHOLE_BYTES", 100_000)
    load_checkpoint(with_state(tmp_path))  # a zip is not
    refused(with_state(tmp_path, legacy=True), "can only be read as a whole")


def test_a_storage_longer_than_the_file(tmp_path: Path) -> None:
    """The older kind says how long a storage is before its bytes come, and torch makes room for them."""
    path = with_state(tmp_path, legacy=True)
    outline.check_outline(path)
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "claims more numbers than it holds")


def test_a_name_that_is_none(tmp_path: Path) -> None:
    """What is quoted from a damaged file must not reach the terminal as it is."""
    path = with_state(tmp_path, legacy=True)
    path.write_bytes(path.read_bytes().replace(b"ctorch._utils\n", b"c\x1b[2Jtils\n", 1))
    refused(path, "is damaged or not a checkpoint")


def test_the_cost_of_the_published_models() -> None:
    """Counted by hand: the largest step is 128 channels at 256 x 256; 55 billion multiplications."""
    cost = cost_of(VOX)
    assert cost.largest_bytes == 4 * 128 * 256 * 256
    assert 54e9 < cost.multiplications < 56e9
    for config, _ in STRUCTURES.values():
        check_cost(config)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (replace(VOX, motion=HourglassConfig(64, 1024, 5, 1 / 64)), "MB for a single step"),
        (replace(VOX, block_expansion=MAX_CHANNELS, max_features=MAX_CHANNELS), "MB for a single step"),
        (replace(VOX, num_kp=1000, num_channels=64), "MB for a single step"),
        (replace(VOX, num_bottleneck_blocks=64, num_down_blocks=0, block_expansion=256), "billion multiplications"),
        (replace(VOX, motion=HourglassConfig(64, 1024, 9, 0.25)), "its halvings need a multiple of 2048"),
    ],
)
def test_structures_over_the_budget(config: ModelConfig, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_cost(config)


def test_a_small_file_of_a_huge_structure(tmp_path: Path) -> None:
    """Few weights, and 64 x 64 times the pictures of a published model to draw."""
    config = replace(SMALL, detector=HourglassConfig(4, 16, 5, 1 / 64), motion=HourglassConfig(6, 24, 5, 1 / 64))
    save_model(FirstOrderModel(config), tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size < 10_000_000
    refused(tmp_path / "net.safetensors", "cannot be drawn with", "MB for a single step")


@pytest.mark.parametrize(
    "kernel",
    [torch.zeros(0, 1, 13, 13), torch.ones(3, 1, 13, 1), torch.full((3, 1, 13, 13), torch.inf), torch.ones(3, 1, 3, 3)],
    ids=["empty", "a line", "infinite", "flat"],
)
def test_a_kernel_that_says_no_scale(kernel: torch.Tensor, tmp_path: Path) -> None:
    state = authors_state(sample_model())
    state["generator"]["dense_motion_network.down.weight"] = kernel
    refused(save_checkpoint(tmp_path / "net.pth.tar", state), "an anti-aliasing kernel")


def test_a_jacobian_without_dimensions(tmp_path: Path) -> None:
    state = authors_state(sample_model())
    state["kp_detector"]["jacobian.weight"] = torch.zeros(())
    refused(save_checkpoint(tmp_path / "net.pth.tar", state), "jacobian.weight has 0 dimensions")


def test_noise_in_the_outline_is_one_sentence(tmp_path: Path) -> None:
    state = io.BytesIO()
    torch.save(authors_state(sample_model()), state, _use_new_zipfile_serialization=False)
    path = tmp_path / "net.pth.tar"
    for at in range(140, 1140, 23):
        data = bytearray(state.getvalue())
        data[at] ^= 0x55
        path.write_bytes(data)
        try:
            load_checkpoint(path)
        except WeightsError as error:
            assert error.remedy
