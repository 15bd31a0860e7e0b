"""The optimised model gives the results of the plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from fomm_samples import STRUCTURES, psnr_db, sample_model
from torch import Tensor, nn

from avatar.errors import EngineError, ShapeError
from avatar.fomm import FirstOrderModel, fast_layers, precision
from avatar.fomm.blocks import ConvBlock, UpBlock
from avatar.fomm.fast import FastModel, KernelOptions, RowWise
from avatar.fomm.fast_layers import (
    Kernel,
    Target,
    can_pack,
    convolution,
    doubling_convolution,
    folded,
    transposed_weight,
)
from avatar.fomm.random_model import random_image
from avatar.motion import Keypoints, relative_keypoints

CPU = torch.device("cpu")
PLAIN = Target(torch.float32, CPU, packed=False)


def packed_or_not(dtype: torch.dtype) -> list[Any]:
    lacking = pytest.mark.skipif(not can_pack(dtype, CPU), reason=f"oneDNN packs no {dtype} on this processor")
    return [False, pytest.param(True, marks=lacking)]


PACKED = packed_or_not(torch.float32)


def test_in_bfloat16_positions_and_sampled_features_stay_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor, half-precision sampling of large planes is wrong: see `look_up`."""
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    sample = F.grid_sample

    def note(image: Tensor, grid: Tensor, **options: Any) -> Tensor:
        seen.append((image.dtype, grid.dtype))
        return sample(image, grid, **options)

    monkeypatch.setattr(F, "grid_sample", note)
    model, size = sample_model(), STRUCTURES["as published"][1]
    for rows in (False, True):
        seen.clear()
        fast = FastModel(model, precision=torch.bfloat16, kernels=KernelOptions(packed=False, rows=rows))
        moved(model, fast, size)
        assert seen and set(seen) == {(torch.float32, torch.float32)}


def moved(model: FirstOrderModel, fast: FastModel, size: int) -> tuple[Tensor, Tensor, Keypoints, Keypoints]:
    """What both predict for three driving frames, and the keypoints they found in them."""
    source, driving = random_image(1, size, seed=1), random_image(3, size, seed=2)
    found = model.detect(source), model.detect(driving), model.detect(driving[:1])
    fast_found = fast.set_source(source), fast.detect(driving), fast.detect(driving[:1])
    predictions = model.generate(source, found[0], relative_keypoints(*found))
    return predictions, fast.generate(relative_keypoints(*fast_found)), found[1], fast_found[1]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", STRUCTURES)
def test_in_float32_nothing_changes(name: str, packed: bool) -> None:
    model, size = sample_model(name), STRUCTURES[name][1]
    fast = FastModel(model, precision=torch.float32, kernels=KernelOptions(packed=packed))
    wanted, got, kp_wanted, kp_got = moved(model, fast, size)
    torch.testing.assert_close(kp_got.value, kp_wanted.value, atol=1e-4, rtol=0)
    assert (kp_got.jacobian is None) == (kp_wanted.jacobian is None)
    assert psnr_db(wanted, got) > 75
    assert got.dtype == torch.float32 and got.shape == wanted.shape


@pytest.mark.parametrize("packed", packed_or_not(torch.bfloat16))
def test_in_bfloat16_keypoints_stay_exact_and_pictures_close(packed: bool) -> None:
    model = sample_model()
    fast = FastModel(model, precision=torch.bfloat16, kernels=KernelOptions(packed=packed))
    wanted, got, kp_wanted, kp_got = moved(model, fast, 256)
    torch.testing.assert_close(kp_got.value, kp_wanted.value, atol=1e-4, rtol=0)
    assert psnr_db(wanted, got) > 40
    assert got.dtype == torch.float32


def test_motion_is_the_plain_models() -> None:
    model, source, driving = sample_model(), random_image(1, 128, seed=1), random_image(2, 128, seed=2)
    fast = FastModel(model, precision=torch.float32)
    kp_source, kp_driving = fast.set_source(source), model.detect(driving)
    wanted, got = model.dense_motion(source, kp_source, kp_driving), fast.dense_motion(kp_driving)
    torch.testing.assert_close(got.deformation, wanted.deformation, atol=1e-4, rtol=0)
    torch.testing.assert_close(got.mask, wanted.mask, atol=1e-4, rtol=0)
    torch.testing.assert_close(got.occlusion_map, wanted.occlusion_map, atol=1e-4, rtol=0)


def test_the_avatar_can_be_swapped() -> None:
    model, sources, driving = sample_model(), random_image(2, 128, seed=1), random_image(1, 128, seed=2)
    fast = FastModel(model, precision=torch.float32)
    kp_driving = fast.detect(driving)
    for source in (sources[:1], sources[1:], sources[:1]):
        fast.set_source(source)
        wanted = model.generate(source, model.detect(source), kp_driving)
        assert psnr_db(wanted, fast.generate(kp_driving)) > 75


def test_one_portrait_is_needed_and_no_more() -> None:
    fast = FastModel(sample_model(), precision=torch.float32)
    kp = fast.detect(random_image(1, 128))
    with pytest.raises(EngineError, match="No portrait"):
        fast.generate(kp)
    with pytest.raises(ShapeError, match="One avatar at a time"):
        fast.set_source(random_image(2, 128))
    with pytest.raises(ShapeError, match="multiples of 128"):
        fast.detect(torch.zeros(1, 3, 100, 100))


# Layers


def busy(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A batch-norm that does something."""
    random = torch.Generator().manual_seed(5)
    ranges = ((norm.weight, 0.5, 2), (norm.bias, -1, 1), (norm.running_mean, -1, 1), (norm.running_var, 0.3, 3))
    for x, low, high in ranges:
        assert x is not None
        x.data.uniform_(low, high, generator=random)
    return norm.eval()


@torch.no_grad()
def test_a_folded_batch_norm_is_the_same_function() -> None:
    block = ConvBlock(5, 7).eval()
    busy(block.norm)
    kernel, x = folded(block.conv, block.norm), torch.randn(2, 5, 9, 8)
    torch.testing.assert_close(F.conv2d(x, kernel.weight, kernel.bias, padding=1).relu(), block(x))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (5, 16)])
def test_repeating_and_convolving_is_one_transposed_convolution(size: tuple[int, int]) -> None:
    weight, x = torch.randn(6, 4, 3, 3), torch.randn(2, 4, *size)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    got = F.conv_transpose2d(x, transposed_weight(weight), stride=2, padding=1)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("side", [4, 32])
@torch.no_grad()
def test_an_up_block_either_way(side: int, packed: bool) -> None:
    block = UpBlock(16, 8).eval()
    busy(block.norm)
    layer = doubling_convolution(folded(block.conv, block.norm), Target(torch.float32, CPU, packed), side)
    x = PLAIN.take(torch.randn(2, 16, side, side))
    torch.testing.assert_close(layer(x), block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", PACKED)
def test_layers_take_other_sizes_than_they_were_made_for(packed: bool) -> None:
    kernel = Kernel(torch.randn(16, 16, 3, 3), torch.randn(16))
    for make in (fast_layers._small_convolution, fast_layers._self_adding_convolution, doubling_convolution):
        layer = make(kernel, Target(torch.float32, CPU, packed), 32)
        wanted = make(kernel, PLAIN, 32)
        x = PLAIN.take(torch.randn(1, 16, 20, 48))
        torch.testing.assert_close(layer(x), wanted(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("packed", PACKED)
def test_without_relu_negative_values_stay(packed: bool) -> None:
    kernel = Kernel(torch.randn(8, 16, 3, 3), torch.randn(8))
    layer = convolution(kernel, Target(torch.float32, CPU, packed), 16, padding=1, relu=False)
    x = PLAIN.take(torch.randn(1, 16, 16, 16))
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel.weight, kernel.bias, padding=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("height", [1, 2, 5, 20])
@torch.no_grad()
def test_rows_add_up_to_the_whole_kernel(height: int) -> None:
    conv = nn.Conv2d(9, 3, 7, padding=3)
    x = torch.randn(2, 9, height, 11)
    torch.testing.assert_close(RowWise(conv, PLAIN)(PLAIN.take(x)), conv(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_these_operators_does_without(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    original = fast_layers.convolution

    def lacking(kernel: Kernel, target: Target, side: int, **options: Any) -> fast_layers.Layer:
        if target.packed:
            raise error("no such operator")
        return original(kernel, target, side, **options)

    monkeypatch.setattr(fast_layers, "convolution", lacking)
    assert not can_pack(torch.float32, CPU)


def test_operators_that_compute_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fast_layers.convolution

    def wrong(kernel: Kernel, target: Target, side: int, **options: Any) -> fast_layers.Layer:
        layer = original(kernel, PLAIN, side, **options)
        return (lambda x: layer(x) + 0.5) if target.packed else layer

    monkeypatch.setattr(fast_layers, "convolution", wrong)
    assert not can_pack(torch.float32, CPU)


# Choices


@pytest.mark.parametrize(("ratio", "chosen"), [(0.2, torch.bfloat16), (0.9, torch.float32), (9.0, torch.float32)])
def test_bfloat16_is_chosen_where_it_pays(ratio: float, chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_fastest_s", lambda precisions: [1.0, ratio])
    precision.faster_precision.cache_clear()
    assert precision.faster_precision(CPU) == chosen
    assert precision.faster_precision(torch.device("mps")) == torch.float32
    precision.faster_precision.cache_clear()


def test_the_machine_is_really_measured() -> None:
    precision.faster_precision.cache_clear()
    assert precision.faster_precision(CPU) in (torch.float32, torch.bfloat16)
    assert FastModel(sample_model()).precision == precision.faster_precision(CPU)
