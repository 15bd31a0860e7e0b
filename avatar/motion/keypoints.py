"""Keypoints with jacobians, and their transfer from the driver to the source image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar.errors import ShapeError
from avatar.system.message import Message

if TYPE_CHECKING:  # torch is imported where tensors are made
    from torch import Tensor

SMALLEST_DETERMINANT = 1e-6  # lower bound when inverting a jacobian; trained detectors stay far above
SMALLEST_AREA = 1e-8  # area of a hull, in the units of `value`, below which the points lie on a line


@dataclass(frozen=True, eq=False)
class Keypoints:
    """K learned points of B images, each with the jacobian of the local affine motion.

    `jacobian` is d T_{X<-R} / dp at the point (Siarohin et al. 2019, Eq. 1); None in the zeroth-order model, which
    only shifts.
    """

    value: Tensor  # (B, K, 2), (x, y) in [-1, 1]; -1 and 1 are the centres of the outermost pixels
    jacobian: Tensor | None = None  # (B, K, 2, 2)

    def __post_init__(self) -> None:
        if self.value.ndim != 3 or self.value.shape[2] != 2:
            raise ShapeError(Message("Keypoints are (B, K, 2), got {shape}.", shape=tuple(self.value.shape)))
        if self.jacobian is not None and self.jacobian.shape != (*self.value.shape, 2):
            wanted, got = (*self.value.shape, 2), tuple(self.jacobian.shape)
            raise ShapeError(
                Message("The jacobians of these keypoints are {wanted}, got {got}.", wanted=wanted, got=got)
            )

    def __len__(self) -> int:
        return int(self.value.shape[0])


def relative_keypoints(
    kp_source: Keypoints, kp_driving: Keypoints, kp_reference: Keypoints, adapt_scale: bool = True
) -> Keypoints:
    """Apply the driver's motion since the reference frame to the source's keypoints.

    Siarohin et al. 2019 (First Order Motion Model), Sec. 3.4, relative motion transfer:
    value = source + s (driving - reference), jacobian = J_driving J_reference^-1 J_source.

    Args:
        kp_source: keypoints of the source image, B = 1 or as in `kp_driving`.
        kp_driving: keypoints of the driving frames.
        kp_reference: keypoints of the frame in which the driver looks like the source, B = 1 or as in `kp_driving`.
        adapt_scale: s = `movement_scale`, so that a small face moves by less than a large one; else s = 1.
    Returns:
        kp_norm, B as in `kp_driving`; without jacobians if the three have none.
    Raises:
        ShapeError: the sets differ in K, in B, or only some have jacobians.
    """
    check_fit(kp_source, kp_driving)
    check_fit(kp_reference, kp_driving)
    return transfer_between(kp_source, kp_reference, adapt_scale=adapt_scale).apply(kp_driving)


@dataclass(frozen=True, eq=False)
class Transfer:
    """Precomputed motion transfer: everything that does not depend on the driving frame."""

    offset: Tensor  # (B, K, 2)
    scale: Tensor  # (B, 1, 1)
    turn: Tensor | None  # (B, K, 2, 2), factor of the driving jacobians; None: there are no jacobians
    rest: Tensor | None  # (B, K, 2, 2), added to the product; None: nothing is added

    def apply(self, kp_driving: Keypoints) -> Keypoints:
        """Compute kp_norm for driving frames: value (B, K, 2), jacobian (B, K, 2, 2)."""
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
    """Precompute `relative_keypoints` for a source and a reference frame.

    Args:
        kp_source: keypoints of the source image: value (B, K, 2), jacobian (B, K, 2, 2).
        kp_reference: keypoints of the reference frame; None for absolute motion, the driver's keypoints unchanged.
        adapt_scale: as in `relative_keypoints`.
        strength: 1 moves as far as the driver, 0 not at all; scales shifts and changes of the jacobians linearly.
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
    """Compute the size of the source relative to the driver: the root of the ratio of their convex hull areas.

    Returns:
        (B, 1, 1), where B is the larger of the two batch sizes; 1 where either hull has no area (fewer than three
        points, or all on a line).
    """
    import torch

    source, reference = (hull_areas(kp.value) for kp in (kp_source, kp_reference))
    pairs = [(source[i % len(source)], reference[i % len(reference)]) for i in range(max(len(source), len(reference)))]
    scales = [(s / r) ** 0.5 if min(s, r) > SMALLEST_AREA else 1.0 for s, r in pairs]
    return torch.tensor(scales, dtype=kp_source.value.dtype, device=kp_source.value.device)[:, None, None]


def hull_areas(value: Tensor) -> list[float]:
    """Compute the areas of the convex hulls of B point sets. `value` is (B, K, 2)."""
    from avatar.cv import cv2

    clouds = value.detach().float().cpu().numpy()
    return [float(cv2.contourArea(cv2.convexHull(points))) for points in clouds]


def inverse(jacobian: Tensor) -> Tensor:
    """Invert (..., 2, 2) matrices in closed form, which is exact to rounding and exports to every runtime.

    Determinants are bounded away from 0, so that one degenerate jacobian does not spread NaN over the image.
    """
    import torch

    a, b, c, d = jacobian[..., 0, 0], jacobian[..., 0, 1], jacobian[..., 1, 0], jacobian[..., 1, 1]
    determinant = a * d - b * c
    sign = torch.where(determinant < 0, -1.0, 1.0).to(determinant.dtype)
    safe = sign * determinant.abs().clamp(min=SMALLEST_DETERMINANT)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).reshape(jacobian.shape)
    return adjugate / safe[..., None, None]


def check_fit(kp: Keypoints, kp_driving: Keypoints) -> None:
    """Raise ShapeError unless `kp` fits `kp_driving`: the same K, B = 1 or the same, jacobians in both or neither."""
    if kp.value.shape[1] != kp_driving.value.shape[1]:
        raise ShapeError(
            Message(
                "Keypoints of different models: {count} and {other} points.",
                count=kp.value.shape[1],
                other=kp_driving.value.shape[1],
            )
        )
    if len(kp) not in (1, len(kp_driving)):
        raise ShapeError(
            Message(
                "{count} sets of keypoints cannot go with {other} driving frames.",
                count=len(kp),
                other=len(kp_driving),
            )
        )
    if (kp.jacobian is None) != (kp_driving.jacobian is None):
        raise ShapeError("Keypoints of different models: some have jacobians, others none.")
