"""The networks of the First Order Motion Model: shapes, and properties that hold for any weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fomm_samples import SMALL, STRUCTURES, sample_model
from torch import Tensor

from avatar.errors import ShapeError
from avatar.fomm import PUBLISHED, FirstOrderModel
from avatar.fomm.blocks import AntiAliasedDown, gaussian_kernel
from avatar.fomm.dense_motion import DenseMotion, blend, deformed_sources, heat_difference, sparse_motion
from avatar.fomm.generator import move
from avatar.fomm.grids import identity_grid, look_up, resize_grid
from avatar.fomm.keypoint_detector import centres, heat_maps, mean_jacobians
from avatar.fomm.random_model import random_image, random_model
from avatar.motion import Keypoints


def detected(model: FirstOrderModel, count: int, size: int, seed: int) -> tuple[Tensor, Keypoints]:
    image = random_image(count, size, model.config.num_channels, seed=seed)
    return image, model.detect(image)


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure_makes_pictures(name: str) -> None:
    model, (config, size) = sample_model(name), STRUCTURES[name]
    source, kp_source = detected(model, 1, size, seed=1)
    _, kp_driving = detected(model, 3, size, seed=2)
    assert kp_driving.value.shape == (3, config.num_kp, 2) and kp_driving.value.abs().max() <= 1
    assert (kp_driving.jacobian is None) == (not config.estimate_jacobian)

    motion, small = model.dense_motion(source, kp_source, kp_driving), round(size * config.motion.scale_factor)
    assert motion.deformation.shape == (3, small, small, 2)
    assert motion.mask.shape == (3, config.num_kp + 1, small, small)
    torch.testing.assert_close(motion.mask.sum(dim=1), torch.ones(3, small, small))
    assert (motion.occlusion_map is None) == (not config.estimate_occlusion_map)
    if motion.occlusion_map is not None:
        assert motion.occlusion_map.shape == (3, 1, small, small)
        assert 0 <= motion.occlusion_map.min() <= motion.occlusion_map.max() <= 1

    prediction = model.generate(source, kp_source, kp_driving)
    assert prediction.shape == (3, 3, size, size)
    assert 0 <= prediction.min() <= prediction.max() <= 1
    assert prediction.std() > 0.02, "random weights that draw nothing would prove nothing"
    assert (prediction[0] - prediction[1]).abs().mean() > 0.005, "the driver must make a difference"
    assert torch.equal(prediction, model.generate(source, kp_source, kp_driving))


def test_frames_do_not_depend_on_what_they_are_computed_with() -> None:
    model = sample_model()
    source, kp_source = detected(model, 1, 128, seed=1)
    driving, kp_driving = detected(model, 3, 128, seed=2)
    together = model.generate(source, kp_source, kp_driving)
    alone = [model.generate(source, kp_source, model.detect(frame[None])) for frame in driving]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def part(keypoints: Keypoints, images: slice) -> Keypoints:
    """The keypoints of some images of a batch."""
    assert keypoints.jacobian is not None
    return Keypoints(keypoints.value[images], keypoints.jacobian[images])


def test_each_driving_frame_may_have_a_source_of_its_own() -> None:
    model = sample_model()
    sources, kp_sources = detected(model, 2, 128, seed=1)
    _, kp_driving = detected(model, 2, 128, seed=2)
    together = model.generate(sources, kp_sources, kp_driving)
    for i in range(2):
        one, kp_one = sources[i : i + 1], model.detect(sources[i : i + 1])
        alone = model.generate(one, kp_one, part(kp_driving, slice(i, i + 1)))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=0)


def test_pictures_need_not_be_square() -> None:
    model = sample_model()
    source = random_image(1, 256, seed=1)[:, :, :128]
    kp = model.detect(source)
    assert model.generate(source, kp, kp).shape == (1, 3, 128, 256)


def test_the_published_models_have_their_parameters() -> None:
    assert set(PUBLISHED) == {"vox", "vox-adv", "taichi", "taichi-adv", "nemo", "mgif", "bair", "fashion"}
    with torch.device("meta"):
        models = {name: FirstOrderModel(config) for name, config in PUBLISHED.items()}
    sizes = {name: sum(x.numel() for x in model.kp_detector.parameters()) for name, model in models.items()}
    assert {sizes[name] for name in sizes if name != "mgif"} == {14_215_368}
    assert sizes["mgif"] == 14_215_368 - 36 * (35 * 49 + 1)  # one jacobian map instead of ten
    assert {sum(x.numel() for x in model.generator.parameters()) for model in models.values()} == {45_575_391}
    assert {config.frame_size for config in PUBLISHED.values()} == {256}


def test_looking_straight_ahead_shows_the_picture_as_it_is() -> None:
    image = torch.rand(2, 3, 17, 30)
    grid = identity_grid(17, 30, like=image).expand(2, -1, -1, -1)
    torch.testing.assert_close(look_up(image, grid), image, atol=2e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_large_plane_in_half_precision_is_looked_up_as_in_float32(dtype: torch.dtype) -> None:
    """On a processor, torch 2.13 samples large planes in half precision wrongly."""
    image = torch.rand(1, 3, 200, 200, generator=torch.Generator().manual_seed(1)).to(dtype)
    grid = (0.97 * identity_grid(200, 200, like=torch.zeros(()))[None]).to(dtype)
    found = look_up(image, grid)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), look_up(image.float(), grid.float()), atol=4e-3, rtol=0)


def test_a_driver_as_the_source_moves_nothing() -> None:
    model = sample_model()
    source, kp = detected(model, 1, 256, seed=4)
    motion = model.dense_motion(source, kp, kp)
    torch.testing.assert_close(motion.deformation[0], identity_grid(64, 64, like=source), atol=1e-5, rtol=0)
    grid = identity_grid(64, 64, like=source)
    assert heat_difference(kp, kp, grid).abs().max() == 0
    small = random_image(1, 64, seed=1)
    seen = deformed_sources(small, sparse_motion(kp, kp, grid))
    torch.testing.assert_close(seen, small[:, None].expand(-1, 11, -1, -1, -1), atol=1e-4, rtol=0)


def test_a_local_motion_maps_the_drivers_point_and_frame_onto_the_sources() -> None:
    random = torch.Generator().manual_seed(1)
    points = torch.rand(2, 1, 4, 2, generator=random) - 0.5
    frames = torch.eye(2) + 0.2 * torch.randn(2, 1, 4, 2, 2, generator=random)
    kp_source, kp_driving = Keypoints(points[0], frames[0]), Keypoints(points[1], frames[1])
    step = torch.tensor([0.01, -0.02])
    for k in range(4):
        at = points[1, 0, k] + torch.stack([torch.zeros(2), frames[1, 0, k] @ step])  # two pixels of the prediction
        looks = sparse_motion(kp_source, kp_driving, at[None])[0, k + 1, 0]
        torch.testing.assert_close(looks, points[0, 0, k] + torch.stack([torch.zeros(2), frames[0, 0, k] @ step]))


def test_without_frames_local_motions_only_shift() -> None:
    grid = identity_grid(8, 8, like=torch.zeros(1))
    kp = Keypoints(torch.zeros(1, 3, 2))
    shifted = Keypoints(kp.value + torch.tensor([0.25, -0.5]))
    motions = sparse_motion(kp, shifted, grid)
    torch.testing.assert_close(motions[0, 1:], (grid - torch.tensor([0.25, -0.5])).expand(3, -1, -1, -1))
    assert torch.equal(motions[0, 0], grid), "the background stays"


def test_the_mask_chooses_between_motions() -> None:
    motions = torch.randn(2, 4, 5, 6, 2)
    for chosen in range(4):
        mask = torch.zeros(2, 4, 5, 6)
        mask[:, chosen] = 1
        assert torch.equal(blend(motions, mask), motions[:, chosen])


def test_heat_differences_rise_where_a_point_is_and_fall_where_it_was() -> None:
    grid = identity_grid(41, 41, like=torch.zeros(1))
    was, now = torch.tensor([[[-0.5, 0.0]]]), torch.tensor([[[0.5, 0.5]]])
    background, difference = heat_difference(Keypoints(was), Keypoints(now), grid)[0]
    assert background.abs().max() == 0
    torch.testing.assert_close(grid[difference == difference.max()], now[0])
    torch.testing.assert_close(grid[difference == difference.min()], was[0])
    assert difference.max() == pytest.approx(1) and difference.min() == pytest.approx(-1)
    beside = difference[20, 10 + 2]  # 0.1 from where it was: one standard deviation
    assert beside == pytest.approx(-math.exp(-0.5), abs=1e-3)


def test_keypoints_follow_their_heat_maps() -> None:
    scores = torch.full((1, 2, 9, 9), -10.0)
    scores[0, 0, 2, 6] = scores[0, 1, 4, 4] = 10
    there = centres(heat_maps(scores, 0.1))
    torch.testing.assert_close(there, torch.tensor([[[0.5, -0.5], [0.0, 0.0]]]))
    shifted = centres(heat_maps(scores.roll(1, dims=3), 0.1))
    torch.testing.assert_close(shifted - there, torch.tensor([[[0.25, 0.0], [0.25, 0.0]]]))


def test_one_jacobian_map_reads_as_the_same_map_for_every_keypoint() -> None:
    maps, heat = torch.randn(2, 4, 6, 6), heat_maps(torch.randn(2, 5, 6, 6), 0.1)
    torch.testing.assert_close(mean_jacobians(maps, heat), mean_jacobians(maps.repeat(1, 5, 1, 1), heat))


def test_jacobian_maps_are_read_row_by_row() -> None:
    maps = torch.arange(8.0)[None, :, None, None].expand(1, 8, 3, 3)
    jacobians = mean_jacobians(maps, torch.full((1, 2, 3, 3), 1 / 9))
    torch.testing.assert_close(jacobians, torch.tensor([[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]]))


def test_hidden_features_are_faded_out_and_others_moved() -> None:
    features = torch.rand(1, 4, 16, 16) + 0.1
    grid = identity_grid(8, 8, like=features)[None]
    full = identity_grid(16, 16, like=features)[None]
    mask = torch.ones(1, 1, 8, 8)
    assert move(features, DenseMotion(full, mask, torch.zeros(1, 1, 8, 8))).abs().max() == 0
    torch.testing.assert_close(move(features, DenseMotion(full, mask, None)), features, atol=1e-5, rtol=0)
    resized = resize_grid(grid, 16, 16)
    torch.testing.assert_close(resized[:, 1:-1, 1:-1], grid_between(grid), atol=1e-6, rtol=0)


def grid_between(grid: Tensor) -> Tensor:
    """What lies a quarter and three quarters of the way between the cells of an (1, 8, 8, 2) grid."""
    share = torch.tensor([0.25, 0.75]).repeat(7)
    start = torch.arange(7).repeat_interleave(2)
    line = grid[0, 0, :, 0]
    values = line[start] * (1 - share) + line[start + 1] * share
    return torch.stack([values.expand(14, 14), values[:, None].expand(14, 14)], dim=-1)[None]


@pytest.mark.parametrize("scale", [0.5, 0.25, 0.125])
def test_blurring_before_shrinking_keeps_even_areas_and_hides_stripes(scale: float) -> None:
    down, size = AntiAliasedDown(3, scale), 96
    assert gaussian_kernel(scale).sum() == pytest.approx(1)
    even = down(torch.full((1, 3, size, size), 0.7))
    margin = 4
    torch.testing.assert_close(
        even[..., margin:-margin, margin:-margin],
        torch.full((1, 3, *(2 * [round(size * scale) - 2 * margin])), 0.7),
    )
    stripes = torch.zeros(1, 3, size, size)
    stripes[..., ::2] = 1
    sigma = (1 / scale - 1) / 2
    contrast = 0.5 * math.exp(-((math.pi * sigma) ** 2) / 2)  # what a Gaussian leaves of stripes one pixel wide
    left = (down(stripes)[..., margin:-margin, margin:-margin] - 0.5).abs()
    assert left.max() == pytest.approx(contrast, abs=0.15)


def test_the_same_seed_makes_the_same_model() -> None:
    again, other = random_model(SMALL, seed=3), random_model(SMALL, seed=4)
    weights = sample_model().state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())
    assert not torch.equal(other.generator.final.weight, again.generator.final.weight)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 4, 256, 256), r"images of \(B, 3, H, W\), got \(1, 4, 256, 256\)"),
        (torch.zeros(3, 256, 256), r"got \(3, 256, 256\)"),
        (torch.zeros(1, 3, 256, 256, dtype=torch.uint8), "float images"),
        (torch.zeros(1, 3, 250, 256), "multiples of 128 px"),
        (torch.zeros(1, 3, 0, 0), "multiples of 128 px"),
    ],
)
def test_pictures_that_the_model_cannot_take_are_refused(image: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        sample_model().detect(image)


def test_keypoints_that_do_not_fit_are_refused() -> None:
    model = sample_model()
    source, kp = detected(model, 2, 128, seed=1)
    with pytest.raises(ShapeError, match="2 source images have 1 sets"):
        model.generate(source, part(kp, slice(1)), kp)
    with pytest.raises(ShapeError, match="has 10 keypoints, got 15"):
        model.generate(source, kp, Keypoints(torch.zeros(2, 15, 2)))


def test_a_grey_model_takes_grey_pictures() -> None:
    model = random_model(replace(SMALL, num_channels=1))
    source, kp = detected(model, 1, 128, seed=1)
    assert model.generate(source, kp, kp).shape == (1, 1, 128, 128)
    with pytest.raises(ShapeError, match=r"\(B, 1, H, W\)"):
        model.detect(torch.zeros(1, 3, 128, 128))
