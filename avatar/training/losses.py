"""The training losses. Each is a mean, so that their weights do not depend on image or batch size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.grids import identity_grid, look_up, resize_grid, resize_map
from avatar.motion.keypoints import Keypoints, inverse
from avatar.training.thin_plate import ThinPlate

SEPARATION = 0.15  # distance of keypoints below which they repel each other, in half image sides
MOST = 8.0  # maximum of `motion_map`, relative to its mean
SCALES = 4  # levels of the multi-scale reconstruction, each half the size of the one before
_C1, _C2 = 0.01**2, 0.03**2  # Wang et al. 2004, SSIM: stabilisers for a dynamic range of 1


def pixels(prediction: Tensor, driving: Tensor, attention: Tensor) -> Tensor:
    """Compute the multi-scale reconstruction loss: Siarohin et al. 2019, Sec. 3.3, Eq. 9, on pixels, not features.

    Args:
        prediction, driving: (B, 3, H, W) in [0, 1].
        attention: (B, 1, H, W) weights with a mean near 1.
    """
    total = prediction.new_zeros(())
    for _ in range(SCALES):
        total = total + ((prediction - driving).abs() * attention).mean()
        prediction, driving, attention = (F.avg_pool2d(x, 2) for x in (prediction, driving, attention))
    return total / SCALES


def edges(prediction: Tensor, driving: Tensor, attention: Tensor) -> Tensor:
    """Compute the L1 of image gradients at full and half size, which penalises blur.

    Args:
        prediction, driving: (B, 3, H, W) in [0, 1].
        attention: (B, 1, H, W) weights.
    """
    total = prediction.new_zeros(())
    for _ in range(2):
        for dim in (2, 3):
            wrong = (prediction.diff(dim=dim) - driving.diff(dim=dim)).abs()
            total = total + (wrong * attention.narrow(dim, 1, wrong.shape[dim])).mean()
        prediction, driving, attention = (F.avg_pool2d(x, 2) for x in (prediction, driving, attention))
    return total / 4


def ssim(prediction: Tensor, driving: Tensor) -> Tensor:
    """Compute 1 - SSIM (Wang et al. 2004, Eq. 13) of (B, 3, H, W) images in [0, 1], over uniform 7 x 7 windows."""
    mean_a, mean_b = (F.avg_pool2d(x, 7, 1) for x in (prediction, driving))
    var_a = F.avg_pool2d(prediction.square(), 7, 1) - mean_a.square()
    var_b = F.avg_pool2d(driving.square(), 7, 1) - mean_b.square()
    both = F.avg_pool2d(prediction * driving, 7, 1) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    return 1 - (luminance * (2 * both + _C2) / (var_a + var_b + _C2)).mean()


def warp(source: Tensor, driving: Tensor, deformation: Tensor, occlusion: Tensor | None, attention: Tensor) -> Tensor:
    """Compute the L1 between the driving frame and the warped source, at the resolution of the deformation.

    Occluded parts have a low weight. No gradient reaches the occlusion map, so hiding more is not rewarded.

    Args:
        source, driving: (B, 3, H, W) in [0, 1].
        deformation: (B, h, w, 2).
        occlusion: (B, 1, h, w) in [0, 1], 0 = occluded.
        attention: (B, 1, H, W) weights.
    """
    height, width = deformation.shape[1:3]
    small = [F.interpolate(x, size=(height, width), mode="area") for x in (source, driving, attention)]
    wrong = (look_up(small[0], deformation) - small[1]).abs() * small[2]
    return wrong.mean() if occlusion is None else (wrong * (0.2 + 0.8 * occlusion.detach())).mean()


def equivariance(kp: Keypoints, kp_warped: Keypoints, plate: ThinPlate) -> tuple[Tensor, Tensor]:
    """Compute the equivariance losses: Siarohin et al. 2019, Sec. 3.3, for values and for jacobians.

    Args:
        kp: keypoints of an image: value (B, K, 2), jacobian (B, K, 2, 2) or None.
        kp_warped: keypoints of `plate.warp(image)`.
        plate: the random transform.
    Returns:
        The L1 of the values, and of the product of the jacobians to the identity; 0 if there are no jacobians.
    """
    value = (kp.value - plate(kp_warped.value)).abs().mean()
    if kp.jacobian is None or kp_warped.jacobian is None:
        return value, value.new_zeros(())
    back = plate.jacobian(kp_warped.value) @ kp_warped.jacobian
    product = inverse(kp.jacobian) @ back
    return value, (torch.eye(2, device=product.device) - product).abs().mean()


def separation(kp: Keypoints) -> Tensor:
    """Penalise keypoints that lie close together: the mean over pairs of exp(-d^2 / 2 s^2), s = SEPARATION, in [0, 1].

    Zhang et al. 2018 (Unsupervised Discovery of Object Landmarks as Structural Representations), separation constraint.

    Args:
        kp: value (B, K, 2) in [-1, 1].
    """
    square = (kp.value[:, :, None] - kp.value[:, None]).square().sum(dim=3)  # (B, K, K)
    count = square.shape[1]
    near = torch.exp(-square / (2 * SEPARATION**2)) * (1 - torch.eye(count, device=square.device))
    return near.sum() / (len(square) * max(1, count * (count - 1)))


def feature_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Compute the L1 between feature maps, (B, C, H, W) per layer, normalised by the mean magnitude of `theirs`."""
    total = ours[0].new_zeros((), dtype=torch.float32)
    for a, b in zip(ours, theirs, strict=True):
        total = total + (a - b).abs().float().mean() / b.abs().float().mean().clamp_min(1e-4)
    return total / len(ours)


def attention_map(anchors: Tensor, known: Tensor, size: int, strength: float) -> Tensor:
    """Compute pixel weights that rise around given points.

    Args:
        anchors: (B, A, 2) in [-1, 1].
        known: (B,) 1 where they are known, else 0.
        size: side of the map.
        strength: additional weight at the points.
    Returns:
        (B, 1, size, size), at least 1.
    """
    grid = identity_grid(32, 32, like=anchors)
    near = torch.exp(-(grid - anchors[:, :, None, None]).square().sum(dim=4) / (2 * 0.07**2)).amax(dim=1)
    return 1 + strength * known[:, None, None, None] * resize_map(near[:, None], size, size)


def motion_map(source: Tensor, driving: Tensor) -> Tensor:
    """Compute the difference of two (B, 3, H, W) frames per pixel, relative to its mean; (B, 1, H, W), 0 to MOST.

    A waving hand covers one per cent of an image: without this weight its loss is too small to be learnt.
    """
    change = F.avg_pool2d((source - driving).abs().mean(dim=1, keepdim=True), 5, stride=1, padding=2)
    return (change / change.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-3)).clamp(max=MOST)


def warped_source(source: Tensor, deformation: Tensor) -> Tensor:
    """Warp (B, 3, H, W) sources by a deformation (B, h, w, 2), without the generator; for contact sheets."""
    return look_up(source, resize_grid(deformation, source.shape[2], source.shape[3]))
