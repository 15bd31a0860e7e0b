"""Relative motion: invariants, and equivariance to changes of the driver's camera or of the source."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avatar.errors import ShapeError
from avatar.motion import Keypoints, relative_keypoints
from avatar.motion.keypoints import hull_areas, inverse, movement_scale

RANDOM = torch.Generator().manual_seed(7)


def some_keypoints(batch: int = 1, count: int = 10) -> Keypoints:
    value = torch.rand(batch, count, 2, generator=RANDOM) * 1.4 - 0.7
    frames = torch.eye(2) + 0.2 * torch.randn(batch, count, 2, 2, generator=RANDOM)
    return Keypoints(value, frames)


def seen_through(kp: Keypoints, matrix: Tensor, shift: Tensor | float = 0.0) -> Keypoints:
    """The same points in a picture that was mapped by x -> matrix x + shift."""
    assert kp.jacobian is not None
    return Keypoints(kp.value @ matrix.T + shift, matrix @ kp.jacobian)


def assert_same(a: Keypoints, b: Keypoints) -> None:
    torch.testing.assert_close(a.value, b.value, atol=1e-5, rtol=1e-4)
    assert (a.jacobian is None) == (b.jacobian is None)
    if a.jacobian is not None:
        torch.testing.assert_close(a.jacobian, b.jacobian, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("adapt_scale", [True, False])
def test_a_driver_who_has_not_moved_leaves_the_source_as_it_is(adapt_scale: bool) -> None:
    kp_source, kp_reference = some_keypoints(), some_keypoints()
    assert_same(relative_keypoints(kp_source, kp_reference, kp_reference, adapt_scale=adapt_scale), kp_source)


def test_a_source_that_looks_like_the_reference_takes_the_drivers_keypoints() -> None:
    kp_reference, kp_driving = some_keypoints(), some_keypoints(batch=4)
    assert_same(relative_keypoints(kp_reference, kp_driving, kp_reference), kp_driving)


def test_a_source_half_the_size_moves_half_as_far() -> None:
    kp_reference, kp_driving = some_keypoints(), some_keypoints(batch=3)
    kp_source = seen_through(kp_reference, 0.5 * torch.eye(2), torch.tensor([0.1, -0.2]))
    moved = relative_keypoints(kp_source, kp_driving, kp_reference).value - kp_source.value
    torch.testing.assert_close(moved, 0.5 * (kp_driving.value - kp_reference.value))
    unscaled = relative_keypoints(kp_source, kp_driving, kp_reference, adapt_scale=False).value - kp_source.value
    torch.testing.assert_close(unscaled, kp_driving.value - kp_reference.value)


def test_where_the_driver_sits_in_the_picture_does_not_matter() -> None:
    kp_source, kp_driving, kp_reference = some_keypoints(), some_keypoints(batch=2), some_keypoints()
    there = torch.tensor([0.2, -0.1])
    moved = relative_keypoints(
        kp_source, seen_through(kp_driving, torch.eye(2), there), seen_through(kp_reference, torch.eye(2), there)
    )
    assert_same(moved, relative_keypoints(kp_source, kp_driving, kp_reference))


def test_a_driver_nearer_to_the_camera_makes_the_same_motion_when_scale_is_adapted() -> None:
    kp_source, kp_driving, kp_reference = some_keypoints(), some_keypoints(batch=2), some_keypoints()
    nearer = 1.7 * torch.eye(2)
    moved = relative_keypoints(kp_source, seen_through(kp_driving, nearer), seen_through(kp_reference, nearer))
    assert_same(moved, relative_keypoints(kp_source, kp_driving, kp_reference))


def test_a_driver_who_turns_turns_the_sources_frames() -> None:
    kp_source, kp_reference = some_keypoints(), some_keypoints()
    turn = torch.tensor([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])
    moved = relative_keypoints(kp_source, seen_through(kp_reference, turn), kp_reference)
    assert moved.jacobian is not None and kp_source.jacobian is not None
    torch.testing.assert_close(moved.jacobian, turn @ kp_source.jacobian, atol=1e-5, rtol=1e-4)


def test_the_zeroth_order_model_has_points_only() -> None:
    source, driving, reference = (Keypoints(some_keypoints().value) for _ in range(3))
    assert relative_keypoints(source, driving, reference).jacobian is None


def part(keypoints: Keypoints, index: int) -> Keypoints:
    """The keypoints of one image of a batch."""
    assert keypoints.jacobian is not None
    return Keypoints(keypoints.value[index : index + 1], keypoints.jacobian[index : index + 1])


def test_each_driver_may_have_an_own_reference_frame_and_source() -> None:
    kp_source, kp_driving, kp_reference = some_keypoints(3), some_keypoints(3), some_keypoints(3)
    together = relative_keypoints(kp_source, kp_driving, kp_reference)
    for i in range(3):
        assert kp_source.jacobian is not None and kp_driving.jacobian is not None
        assert kp_reference.jacobian is not None and together.jacobian is not None
        alone = relative_keypoints(part(kp_source, i), part(kp_driving, i), part(kp_reference, i))
        assert_same(alone, Keypoints(together.value[i : i + 1], together.jacobian[i : i + 1]))


def test_the_area_is_that_of_the_convex_hull() -> None:
    square = torch.tensor([[[-0.5, -0.5], [0.5, 0.5], [0.1, 0.2], [0.5, -0.5], [-0.5, 0.5], [0, 0]]])
    triangle = torch.tensor([[[0.0, 0.0], [0.8, 0.0], [0.0, 0.5], [0.1, 0.1], [0.2, 0.1], [0.1, 0.2]]])
    assert hull_areas(torch.cat([square, triangle])) == pytest.approx([1.0, 0.2], abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_points_on_a_line_say_nothing_about_size(count: int) -> None:
    line = Keypoints(torch.linspace(-0.5, 0.5, count)[None, :, None].expand(1, count, 2).contiguous())
    assert movement_scale(line, some_keypoints(count=count)).item() == 1


def test_inverses_are_exact_and_a_collapsed_frame_stays_finite() -> None:
    frames = torch.randn(5, 7, 2, 2, generator=RANDOM, dtype=torch.float64)
    torch.testing.assert_close(inverse(frames), torch.linalg.inv(frames))
    flat = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    assert torch.isfinite(inverse(torch.stack([flat, torch.zeros(2, 2)]))).all()


@pytest.mark.parametrize(
    ("driving", "message"),
    [
        (some_keypoints(count=9), "10 and 9 points"),
        (Keypoints(some_keypoints(batch=2).value), "have jacobians"),
        (some_keypoints(batch=3), "2 sets of keypoints cannot go with 3"),
    ],
)
def test_keypoints_that_do_not_belong_together_are_refused(driving: Keypoints, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        relative_keypoints(some_keypoints(batch=2), driving, some_keypoints())


def test_keypoints_know_their_shape() -> None:
    with pytest.raises(ShapeError, match=r"\(B, K, 2\)"):
        Keypoints(torch.zeros(10, 2))
    with pytest.raises(ShapeError, match="jacobians"):
        Keypoints(torch.zeros(1, 10, 2), torch.zeros(1, 9, 2, 2))
