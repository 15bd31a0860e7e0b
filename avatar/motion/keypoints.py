"""Keypoints with local affine frames, and how a driver's carry over to another's picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar.errors import ShapeError

if TYPE_CHECKING:  # torch is loaded by whoever makes the tensors
    from torch import Tensor

SMALLEST_DETERMINANT = 1e-6  # of a frame that is inverted; trained detectors stay far above
SMALLEST_AREA = 1e-8  # of a hull, in the units of `value`; below, points lie on a line


@dataclass(frozen=True, eq=False)
class Keypoints:
    """K learned points of B images, each with the affine frame around it.

    `jacobian` is d T_{X<-R} / dp at the point (Siarohin et al. 2019, Eq. 1); None in the zeroth-order model, which
    only shifts.
    """

    value: Tensor  # (B, K, 2), (x, y) in [-1, 1]; -1 and 1 are the centres of the outermost pixels
    jacobian: Tensor | None = None  # (B, K, 2, 2)

    def __post_init__(self) -> None:
        if self.value.ndim != 3 or self.value.shape[2] != 2:
            raise ShapeError(f"Keypoints are (B, K, 2), got {tuple(self.value.shape)}.")
        if self.jacobian is not None and self.jacobian.shape != (*self.value.shape, 2):
            wanted, got = (*self.value.shape, 2), tuple(self.jacobian.shape)
            raise ShapeError(f"The jacobians of these keypoints are {wanted}, got {got}.")

    def __len__(self) -> int:
        return int(self.value.shape[0])


def relative_keypoints(
    kp_source: Keypoints, kp_driving: Keypoints, kp_reference: Keypoints, adapt_scale: bool = True
) -> Keypoints:
    """Move the source's keypoints as the driver's have moved since the reference frame.

    Siarohin et al. 2019 (First Order Motion Model), Sec. 3.4, relative motion transfer:
    value = source + s (driving - reference), jacobian = J_driving J_reference^-1 J_source.

    Args:
        kp_source: of the source image, B = 1 or as many as `kp_driving`.
        kp_driving: of the driving frames.
        kp_reference: of the frame in which the driver looks as the source does, B = 1 or as many.
        adapt_scale: s = `movement_scale`, so that a small face moves by less than a large one; else s = 1.
    Returns:
        kp_norm, B as in `kp_driving`. Without jacobians where the three have none.
    Raises:
        ShapeError: the sets differ in K, in B, or only some have jacobians.
    """
    check_fit(kp_source, kp_driving)
    check_fit(kp_reference, kp_driving)
    return transfer_between(kp_source, kp_reference, adapt_scale=adapt_scale).apply(kp_driving)


@dataclass(frozen=True, eq=False)
class Transfer:
    """What is known of the carrying over before the driving frames come, so that each of them costs two steps."""

    offset: Tensor  # (B, K, 2)
    scale: Tensor  # (B, 1, 1)
    turn: Tensor | None  # (B, K, 2, 2); None: no frames
    rest: Tensor | None  # (B, K, 2, 2), of the source's own frames; None: nothing

    def apply(self, kp_driving: Keypoints) -> Keypoints:
        """kp_norm of driving frames."""
        value = self.offset + kp_driving.value * self.scale
        if self.turn is None or kp_driving.jacobian is None:
            return Keypoints(value)
        turned = kp_driving.jacobian @ self.turn
        return Keypoints(value, turned if self.rest is None else turned + self.rest)


def transfer_between(
    kp_source: Keypoints,
    kp_reference: Keypoints | None,
    *,
    adapt_scale: bool = True,
    strength: float = 1.0,
) -> Transfer:
    """`relative_keypoints`, prepared.

    Args:
        kp_source: of the source image.
        kp_reference: of the reference frame; None: absolute motion, the driver's keypoints themselves.
        adapt_scale: as in `relative_keypoints`.
        strength: 1 moves as far as the driver, 0 not at all; between, shift and change of frame are shares of it.
    """
    import torch

    reference = kp_source if kp_reference is None else kp_reference
    adapts = adapt_scale and kp_reference is not None
    scale = movement_scale(kp_source, reference) if adapts else torch.ones_like(kp_source.value[:, :1, :1])
    scale = scale * strength
    offset = kp_source.value - reference.value * scale
    if kp_source.jacobian is None or reference.jacobian is None:
        return Transfer(offset, scale, None, None)
    turn = strength * (inverse(reference.jacobian) @ kp_source.jacobian)
    return Transfer(offset, scale, turn, None if strength == 1 else (1 - strength) * kp_source.jacobian)


def movement_scale(kp_source: Keypoints, kp_reference: Keypoints) -> Tensor:
    """How large the source is beside the driver: the square roots of the areas of their convex hulls, divided.

    Returns:
        (B, 1, 1), where B is the larger of the two batches. 1 where either hull has no area (fewer than three
        points, or all on a line): nothing can be said about size there.
    """
    import torch

    source, reference = (hull_areas(kp.value) for kp in (kp_source, kp_reference))
    pairs = [(source[i % len(source)], reference[i % len(reference)]) for i in range(max(len(source), len(reference)))]
    scales = [(s / r) ** 0.5 if min(s, r) > SMALLEST_AREA else 1.0 for s, r in pairs]
    return torch.tensor(scales, dtype=kp_source.value.dtype, device=kp_source.value.device)[:, None, None]


def hull_areas(value: Tensor) -> list[float]:
    """Areas of the convex hulls of B sets of points. `value` is (B, K, 2)."""
    from avatar.cv import cv2

    clouds = value.detach().float().cpu().numpy()
    return [float(cv2.contourArea(cv2.convexHull(points))) for points in clouds]


def inverse(jacobian: Tensor) -> Tensor:
    """Inverses of (..., 2, 2) matrices, in closed form: exact to rounding, and every runtime knows its steps.

    A frame that has collapsed to a line has no inverse; its determinant is held away from 0, so that one bad point
    does not spread NaN over the picture.
    """
    import torch

    a, b, c, d = jacobian[..., 0, 0], jacobian[..., 0, 1], jacobian[..., 1, 0], jacobian[..., 1, 1]
    determinant = a * d - b * c
    sign = torch.where(determinant < 0, -1.0, 1.0).to(determinant.dtype)
    safe = sign * determinant.abs().clamp(min=SMALLEST_DETERMINANT)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).reshape(jacobian.shape)
    return adjugate / safe[..., None, None]


def check_fit(kp: Keypoints, kp_driving: Keypoints) -> None:
    """Raise ShapeError unless `kp` (B = 1 or the same) can be used with every one of `kp_driving`."""
    if kp.value.shape[1] != kp_driving.value.shape[1]:
        raise ShapeError(f"Keypoints of different models: {kp.value.shape[1]} and {kp_driving.value.shape[1]} points.")
    if len(kp) not in (1, len(kp_driving)):
        raise ShapeError(f"{len(kp)} sets of keypoints cannot go with {len(kp_driving)} driving frames.")
    if (kp.jacobian is None) != (kp_driving.jacobian is None):
        raise ShapeError("Keypoints of different models: some have jacobians, others none.")
