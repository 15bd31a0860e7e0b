"""The optimised networks give the results of the plain ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from liveportrait_samples import STRUCTURES, small_model
from torch import Tensor, nn

from avatar.errors import EngineError, ShapeError
from avatar.fomm.fast_layers import Kernel, Target, can_pack, kernel_of
from avatar.fomm.random_model import random_image
from avatar.liveportrait import LivePortraitModel, MotionParameters
from avatar.liveportrait.fast import FastOptions, FastRuntime
from avatar.liveportrait.fast_warping import FastWarping, sample_cells
from avatar.liveportrait.fourier import FourierConvolution
from avatar.liveportrait.generator import SpadeNorm
from avatar.liveportrait.model import Rendering
from avatar.liveportrait.phases import CompactHidden, PhaseConvolution, interleave
from avatar.liveportrait.warping import look_up

QUICK = "other depths"  # the structure with the least work
CPU = torch.device("cpu")
PLAIN = Target(torch.float32, CPU, packed=False)


def packed_or_not(dtype: torch.dtype) -> list[object]:
    lacking = pytest.mark.skipif(not can_pack(dtype, CPU), reason=f"oneDNN packs no {dtype} on this processor")
    return [False, pytest.param(True, marks=lacking)]


def psnr_db(wanted: Tensor, got: Tensor) -> float:
    """Of images in [0, 1]."""
    return float(-10 * (wanted - got).square().mean().log10())


def volume_of(model: LivePortraitModel, source: Tensor) -> Tensor:
    """The feature volume at a quarter of its height and width, for a sixteenth of the work."""
    return F.avg_pool3d(model.appearance(source), (1, 4, 4))


def both(model: LivePortraitModel, options: FastOptions) -> tuple[Rendering, Rendering, FastRuntime]:
    """What the plain and the optimised model draw of one portrait."""
    source, driving = random_image(2, 256, seed=3).split(1)
    x_s, x_d = model.motion(source).transformed(), model.motion(driving).transformed()
    appearance = volume_of(model, source)
    runtime = FastRuntime(model, options)
    runtime.prepare(appearance, x_s)
    return model.render(appearance, x_s, x_d), runtime.render(x_d), runtime


@pytest.mark.parametrize("packed", packed_or_not(torch.float32))
@pytest.mark.parametrize("structure", STRUCTURES)
def test_in_float32_nothing_changes(structure: str, packed: bool) -> None:
    wanted, got, runtime = both(small_model(structure), FastOptions(precision=torch.float32, packed=packed))
    assert runtime.precision == "float32" and not runtime.notes
    torch.testing.assert_close(got.image, wanted.image, atol=1e-4, rtol=0)
    torch.testing.assert_close(got.deformation, wanted.deformation, atol=1e-4, rtol=0)
    assert (got.occlusion_map is None) == (wanted.occlusion_map is None)
    if got.occlusion_map is not None and wanted.occlusion_map is not None:
        torch.testing.assert_close(got.occlusion_map, wanted.occlusion_map, atol=1e-4, rtol=0)
    assert wanted.image.std() > 0.1  # otherwise everything would be close to it


@pytest.mark.parametrize("packed", packed_or_not(torch.bfloat16))
@pytest.mark.parametrize("structure", STRUCTURES)
def test_in_bfloat16_pictures_stay_close(structure: str, packed: bool) -> None:
    wanted, got, runtime = both(small_model(structure), FastOptions(precision=torch.bfloat16, packed=packed))
    assert runtime.precision == "bfloat16" and not runtime.notes
    assert psnr_db(wanted.image, got.image) > 40
    assert got.image.dtype == got.deformation.dtype == torch.float32
    torch.testing.assert_close(got.deformation, wanted.deformation, atol=5e-3, rtol=0)


def test_the_hourglass_sees_no_denormal_numbers() -> None:
    """They take a hundred times as long to multiply; far from a keypoint the heat is that small."""
    model = small_model(QUICK)
    source, driving = random_image(2, 256, seed=3).split(1)
    x_s, x_d = model.motion(source).transformed(), model.motion(driving).transformed()
    volume = volume_of(model, source)
    warping = FastWarping(model.warping_module, PLAIN, (volume.shape[2], volume.shape[3], volume.shape[4]))
    seen = warping._seen(warping.prepare(volume, x_s), x_d, x_s - x_d)
    assert seen[seen != 0].abs().min() >= torch.finfo(torch.float32).tiny


@torch.no_grad()
def test_in_bfloat16_the_last_features_of_w_are_exact() -> None:
    """Their rounding would change from frame to frame, and flicker."""
    model = small_model(QUICK)
    source, driving = random_image(2, 256, seed=3).split(1)
    x_d, volume = model.motion(driving).transformed(), volume_of(model, source)
    runtime = FastRuntime(model, FastOptions(precision=torch.bfloat16))
    runtime.prepare(volume, model.motion(source).transformed())
    warped, plain = runtime.networks.warp(x_d), model.warping_module
    wanted = plain.fourth(plain.third(look_up(volume, warped.deformation).flatten(1, 2)))
    assert warped.occlusion_map is not None
    torch.testing.assert_close(warped.features, wanted * warped.occlusion_map, atol=1e-4, rtol=1e-4)


def overflowing() -> LivePortraitModel:
    """A model that overflows in float16: a norm brings its large numbers back into range in float32."""
    model = copy.deepcopy(small_model(QUICK))
    model.spade_generator.fc.weight.mul_(1e6)
    return model


def test_nan_in_half_precision_falls_back_for_good() -> None:
    model = overflowing()
    wanted, got, runtime = both(model, FastOptions(precision=torch.float16))
    torch.testing.assert_close(got.image, wanted.image, atol=1e-4, rtol=0)
    assert runtime.precision == "float32"
    assert runtime.notes == ["In float16 this model computes NaN, so float32 is used."]
    other = random_image(1, 256, seed=9)
    x_s = model.motion(other).transformed()
    volume = volume_of(model, other)
    runtime.prepare(volume, x_s)
    torch.testing.assert_close(runtime.render(x_s).image, model.render(volume, x_s, x_s).image, atol=1e-4, rtol=0)
    assert len(runtime.notes) == 1


def test_motion_of_one_image_outlives_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Buffers:
        """A recorded graph, which writes to the same tensors each time."""

        def __init__(self, step: Callable[[], MotionParameters]) -> None:
            self.step, self.outputs = step, step()

        def replay(self) -> MotionParameters:
            for field in fields(self.outputs):
                getattr(self.outputs, field.name).copy_(getattr(self.step(), field.name))
            return self.outputs

    monkeypatch.setattr("avatar.liveportrait.fast.record", lambda step, *_: Buffers(step))
    runtime = FastRuntime(small_model(QUICK))
    runtime._may_record = True
    images = random_image(2, 256, seed=5).split(1)
    one, other = (runtime.motion(image) for image in images)
    for motion, image in zip((one, other), images, strict=True):
        assert torch.allclose(motion.transformed(), small_model(QUICK).motion(image).transformed(), atol=1e-5)


def test_half_precision_stays_where_it_suffices() -> None:
    _, got, runtime = both(small_model(QUICK), FastOptions(precision=torch.float16))
    assert runtime.precision == "float16" and not runtime.notes and torch.isfinite(got.image).all()


def test_nan_in_float32_is_an_error() -> None:
    model = copy.deepcopy(small_model(QUICK))
    model.spade_generator.fc.weight.mul_(torch.inf)
    with pytest.raises(EngineError, match="only NaN"):
        both(model, FastOptions(precision=torch.float32))


def test_keypoints_of_another_shape_are_refused() -> None:
    _, _, runtime = both(small_model(QUICK), FastOptions(precision=torch.float32))
    for shape in ((2, 15, 3), (1, 21, 3), (15, 3)):
        with pytest.raises(ShapeError, match="keypoints of"):
            runtime.render(torch.zeros(shape))


# Parts


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8)])
@pytest.mark.parametrize("scale", [2, 4, 8, 16])
@torch.no_grad()
def test_phases_are_the_convolutions_of_the_enlarged_condition(scale: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    norm, condition = SpadeNorm(6, 5, 7), torch.randn(1, 5, *size)
    wanted_hidden = norm.mlp_shared(F.interpolate(condition, scale_factor=scale, mode="nearest"))
    shared = norm.mlp_shared[0]
    assert isinstance(shared, nn.Conv2d)
    hidden = CompactHidden(kernel_of(shared), PLAIN, size[0], scale)(condition)
    kinds = min(scale, 3)
    assert hidden.shape[2:] == (kinds * size[0], kinds * size[1])
    places = [0, 1, scale - 1][:kinds] if scale > 2 else [0, 1]
    for kind, pixel in enumerate(places):
        torch.testing.assert_close(hidden[:, :, kind::kinds, 0::kinds], wanted_hidden[:, :, pixel::scale, 0::scale])
    convolution = PhaseConvolution(kernel_of(norm.mlp_gamma), PLAIN, size[0], scale)
    got = interleave(convolution.phases(hidden), scale, scale)
    torch.testing.assert_close(got, norm.mlp_gamma(wanted_hidden), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("size", [(16, 64, 64), (5, 20, 33), (1, 4, 4)])
def test_products_of_spectra_are_the_convolution(size: tuple[int, int, int], side: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, *size), torch.randn(4, 3, side, side, side), torch.randn(4)
    wanted = F.conv3d(x[None], weight, bias, padding=side // 2)[0]
    got = FourierConvolution(Kernel(weight, bias), size[0])(x.transpose(0, 1))
    torch.testing.assert_close(got.transpose(0, 1), wanted, atol=1e-4, rtol=1e-4)


def test_sampling_of_cells_is_the_5d_lookup() -> None:
    torch.manual_seed(0)
    volume = torch.randn(1, 5, 4, 6, 8)
    positions = 2.6 * torch.rand(3, 7, 9, 3) - 1.3  # also outside
    positions[0, 0, 0] = 1e9
    cells = volume[0].flatten(1).T.contiguous()
    wanted = look_up(volume, positions[None])[0].permute(1, 2, 3, 0)
    torch.testing.assert_close(sample_cells(cells, positions, (4, 6, 8)), wanted, atol=1e-5, rtol=1e-5)
