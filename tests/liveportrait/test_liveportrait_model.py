"""LivePortrait on small random models: structure, folding, motion, and checks of inputs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from liveportrait_samples import STRUCTURES, random_images, random_motion, small_model
from torch import Tensor, nn

from avatar.errors import ShapeError, UsageError
from avatar.liveportrait import MotionParameters, absolute_motion, relative_motion, scale_motion
from avatar.liveportrait.config import AppearanceConfig, LivePortraitConfig
from avatar.liveportrait.motion import EYE_POINTS, LIP_POINTS, REGIONS, rotation_of
from avatar.liveportrait.structure import fold_spectral_norms, structure_of
from avatar.liveportrait.warping import look_up, volume_grid


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_structure_is_read_off_the_weights(structure: str) -> None:
    model = small_model(structure)
    found = structure_of(model.state_dict())
    appearance = found.appearance  # a limit that no layer reaches leaves no trace
    assert replace(found, appearance=replace(appearance, max_features=model.config.appearance.max_features)) == replace(
        model.config, warping=replace(model.config.warping, max_features=found.warping.max_features)
    )


def test_the_defaults_are_the_published_structure() -> None:
    published = LivePortraitConfig()
    assert published.appearance.channels(2) == 256 and published.motion.widths[-1] == 768
    with torch.device("meta"):
        from avatar.liveportrait import LivePortraitModel

        model = LivePortraitModel(published)
    parts = {name: sum(x.numel() for x in part.parameters()) for name, part in model.named_children()}
    millions = {name: round(count / 1e6, 1) for name, count in parts.items()}
    assert millions["appearance_feature_extractor"] == 0.8 and millions["motion_extractor"] == 28.1
    assert millions["warping_module"] == 45.5 and millions["spade_generator"] == 55.4


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_frame_is_drawn(structure: str) -> None:
    model = small_model(structure)
    images = random_images(3)
    source, driving = model.motion(images[:1]), model.motion(images[1:])
    x_s, x_d = source.transformed(), relative_motion(source, driving, driving[:1])
    drawn = model.render(model.appearance(images[:1]), x_s, model.stitch(x_s, x_d))
    side = 64 * 2 ** len(model.config.generator.up_channels) * model.config.generator.upscale
    assert drawn.image.shape == (2, 3, side, side) and drawn.image.min() >= 0 and drawn.image.max() <= 1
    assert drawn.image.std() > 0.01 and torch.isfinite(drawn.deformation).all()
    assert (drawn.occlusion_map is not None) == model.config.warping.estimate_occlusion_map
    one = model.render(model.appearance(images[:1]), x_s, model.stitch(x_s, x_d)[1:])
    assert torch.allclose(one.image, drawn.image[1:], atol=2e-3)  # frames of a batch do not touch each other


def test_a_spectral_norm_is_folded_as_torch_computes_it() -> None:
    torch.manual_seed(1)
    plain = nn.utils.spectral_norm(nn.Conv2d(6, 5, 3))
    plain(torch.randn(1, 6, 8, 8))  # one power iteration, so that the vectors are no noise
    plain.eval()
    image = torch.randn(1, 6, 8, 8)
    wanted = plain(image)
    state = {f"a.{name}": x.detach() for name, x in plain.state_dict().items()}
    folded = fold_spectral_norms(state)
    assert set(folded) == {"a.weight", "a.bias"}
    ours = nn.functional.conv2d(image, folded["a.weight"], folded["a.bias"])
    assert torch.allclose(ours, wanted, atol=1e-6)
    with pytest.raises(ValueError, match=r"a\.weight_v is missing"):
        fold_spectral_norms({name: x for name, x in state.items() if name != "a.weight_v"})


def test_rotations_turn_rows_about_their_own_axis() -> None:
    zero, right = torch.zeros(1, 1), torch.full((1, 1), 90.0)
    x, y, z = torch.eye(3)
    turned = {
        "pitch": (rotation_of(right, zero, zero), y, z),
        "yaw": (rotation_of(zero, right, zero), z, x),
        "roll": (rotation_of(zero, zero, right), x, y),
    }
    for rotation, before, after in turned.values():
        assert torch.allclose(before @ rotation[0], after, atol=1e-6)
    mixed = rotation_of(*(torch.tensor([[angle]]) for angle in (10.0, -20.0, 30.0)))[0]
    assert torch.allclose(mixed @ mixed.T, torch.eye(3), atol=1e-6)
    assert math.isclose(float(mixed.det()), 1, abs_tol=1e-6)


def _of_source(motion: MotionParameters) -> MotionParameters:
    """One face that differs from what drives it."""
    return replace(motion, scale=motion.scale + 0.3, keypoints=motion.keypoints + 0.05)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("option", ["expression", "pose"])
def test_a_driver_at_the_reference_leaves_the_source_as_it_is(region: str, option: str) -> None:
    source, driving = _of_source(random_motion(1, seed=1)), random_motion(3, seed=2)
    moved = relative_motion(source, driving, driving[1:2], option, region)
    assert torch.allclose(moved[1:2], source.transformed(), atol=1e-5)
    assert not torch.allclose(moved[:1], source.transformed(), atol=1e-3)


@pytest.mark.parametrize(("region", "points"), [("lip", LIP_POINTS), ("eyes", EYE_POINTS)])
def test_a_region_moves_its_own_points_only(region: str, points: tuple[int, ...]) -> None:
    source, driving = _of_source(random_motion(1, seed=1)), random_motion(2, seed=2)
    relative = relative_motion(source, driving, driving[:1], region=region)
    for moved in (relative, absolute_motion(source, driving, region)):
        changed = (moved - source.transformed()).abs().amax(dim=(0, 2)) > 1e-5
        assert changed.nonzero().flatten().tolist() == sorted(points)


def test_pose_alone_is_rigid_and_expression_alone_keeps_the_pose() -> None:
    source, driving = random_motion(1, seed=1), random_motion(2, seed=2)
    source = replace(source, expression=torch.zeros(1, 21, 3))  # an expression does not turn with the head
    posed = relative_motion(source, driving, driving[:1], region="pose")
    distances = torch.cdist(posed, posed)
    assert torch.allclose(distances[1], torch.cdist(source.transformed(), source.transformed())[0], atol=1e-5)
    still = replace(driving, expression=driving.expression[:1].expand_as(driving.expression))
    assert torch.allclose(
        relative_motion(source, still, still[:1], region="exp"), source.transformed().expand(2, -1, -1), atol=1e-5
    )


def test_absolute_motion_takes_the_drivers_pose_at_the_sources_scale() -> None:
    source, driving = random_motion(1, seed=1), random_motion(2, seed=2)
    kept = torch.isin(torch.arange(21), torch.tensor([0, 3, 4, 5, 7, 8, 9, 10]))[:, None]
    mixed = replace(
        driving,
        expression=torch.where(kept, source.expression, driving.expression),
        keypoints=source.keypoints.expand_as(driving.keypoints),
        scale=source.scale.expand(2, 1),
    )
    whole = [1, 2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0, 7, 10]
    assert torch.allclose(absolute_motion(source, driving)[:, whole], mixed.transformed()[:, whole], atol=1e-5)


def test_motion_is_weakened_and_exaggerated() -> None:
    source, driving = random_motion(1, seed=1), random_motion(2, seed=2)
    x_s, full = source.transformed(), relative_motion(source, driving, driving[:1])
    for factor in (0.0, 0.6, 1.5):
        assert torch.allclose(scale_motion(x_s, full, factor) - x_s, factor * (full - x_s), atol=1e-5)
        by_argument = relative_motion(source, driving, driving[:1], multiplier=factor)
        assert torch.allclose(by_argument, scale_motion(x_s, full, factor), atol=1e-6)


def test_stitching_shifts_all_points_alike_by_its_last_two_numbers() -> None:
    model = small_model()
    x_s, x_d = random_motion(1, seed=1).transformed(), random_motion(2, seed=2).transformed()
    shifts = model.stitching(torch.cat([x_s.expand(2, -1, -1).flatten(1), x_d.flatten(1)], dim=1))
    moved = model.stitch(x_s, x_d) - x_d
    assert torch.allclose(moved[..., 2], shifts[:, :63].view(2, 21, 3)[..., 2], atol=1e-6)
    across = (moved - shifts[:, :63].view(2, 21, 3))[..., :2]
    assert torch.allclose(across, shifts[:, None, 63:].expand(2, 21, 2), atol=1e-6)


def test_the_grid_counts_between_outer_centres_and_is_read_between_edges() -> None:
    grid = volume_grid(3, 4, 5, like=torch.zeros(1))
    assert grid.shape == (3, 4, 5, 3)
    assert grid[0, 0, 0].tolist() == [-1, -1, -1] and grid[-1, -1, -1].tolist() == [1, 1, 1]
    assert grid[0, 0, 1, 0] == pytest.approx(-0.5) and grid[1, 0, 0, 2] == 0
    volume = torch.arange(5.0).expand(1, 1, 3, 4, 5)
    seen = look_up(volume, grid[None])[0, 0, 1, 1]
    assert seen[2] == pytest.approx(2.0) and seen[1] == pytest.approx(0.75)  # 5 * 0.25 - 0.5


BAD: list[tuple[str, tuple[int, ...]]] = [
    ("motion", (3, 256, 256)), ("motion", (1, 1, 256, 256)), ("motion", (1, 3, 128, 128)),
    ("appearance", (1, 4, 256, 256)),
]  # fmt: skip


@pytest.mark.parametrize(("method", "shape"), BAD)
def test_images_of_another_shape_are_refused(method: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="takes images of"):
        getattr(small_model(), method)(torch.zeros(shape))
    with pytest.raises(ShapeError, match="takes float images"):
        small_model().motion(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))


def test_keypoints_that_do_not_fit_are_refused() -> None:
    model, points = small_model(), random_motion(2).transformed()
    volume = torch.zeros(1, 4, 16, 64, 64)
    calls = [
        lambda: model.stitch(points[:, :20], points),
        lambda: model.stitch(points, points[:1].expand(3, -1, -1)),
        lambda: model.retarget_eyes(points, torch.zeros(2, 2)),
        lambda: model.retarget_lips(points, torch.zeros(1, 2)),
        lambda: model.render(volume[:, :3], points[:1], points),
        lambda: model.render(volume.expand(3, -1, -1, -1, -1), points[:1], points),
        lambda: relative_motion(random_motion(1), random_motion(1, 15), random_motion(1)),
        lambda: replace(random_motion(2), scale=torch.ones(1, 1)),
    ]
    for call in calls:
        with pytest.raises(ShapeError):
            call()


def test_unknown_words_are_refused() -> None:
    motion: Tensor
    one = random_motion(1)
    for call in (
        lambda: relative_motion(one, one, one, "fast"),
        lambda: relative_motion(one, one, one, region="nose"),
        lambda: absolute_motion(one, one, "nose"),
    ):
        with pytest.raises(UsageError, match="Choose one of"):
            motion = call()  # noqa: F841


def test_absurd_structures_are_refused() -> None:
    with pytest.raises(ValueError, match="reshape_depth is 1000000"):
        AppearanceConfig(reshape_depth=10**6)
