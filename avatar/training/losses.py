"""The losses. Each is a mean, so that weights mean the same at every size and batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.grids import identity_grid, look_up, resize_grid, resize_map
from avatar.motion.keypoints import Keypoints, inverse
from avatar.training.thin_plate import ThinPlate

SEPARATION = 0.15  # of keypoints, in halves of the picture's side
MOST = 8.0  # times as much as on the average that a place may count as moving
SCALES = 4  # of the multi-scale reconstruction, each half as large as the one before
_LUMA, _CONTRAST = 0.01**2, 0.03**2  # Wang et al. 2004, SSIM


def pixels(prediction: Tensor, driving: Tensor, attention: Tensor) -> Tensor:
    """Siarohin et al. 2019, Sec. 3.3, Eq. 9, with the pixels themselves as features: L1 at several scales.

    Args:
        prediction, driving: (B, 3, H, W).
        attention: (B, 1, H, W) weights with a mean near 1.
    """
    total = prediction.new_zeros(())
    for _ in range(SCALES):
        total = total + ((prediction - driving).abs() * attention).mean()
        prediction, driving, attention = (F.avg_pool2d(x, 2) for x in (prediction, driving, attention))
    return total / SCALES


def edges(prediction: Tensor, driving: Tensor, attention: Tensor) -> Tensor:
    """L1 of the differences between neighbours, at full and half size: what is blurred has none."""
    total = prediction.new_zeros(())
    for _ in range(2):
        for dim in (2, 3):
            wrong = (prediction.diff(dim=dim) - driving.diff(dim=dim)).abs()
            total = total + (wrong * attention.narrow(dim, 1, wrong.shape[dim])).mean()
        prediction, driving, attention = (F.avg_pool2d(x, 2) for x in (prediction, driving, attention))
    return total / 4


def structure(prediction: Tensor, driving: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004) over windows of 7 x 7."""
    mean_a, mean_b = (F.avg_pool2d(x, 7, 1) for x in (prediction, driving))
    var_a = F.avg_pool2d(prediction.square(), 7, 1) - mean_a.square()
    var_b = F.avg_pool2d(driving.square(), 7, 1) - mean_b.square()
    both = F.avg_pool2d(prediction * driving, 7, 1) - mean_a * mean_b
    light = (2 * mean_a * mean_b + _LUMA) / (mean_a.square() + mean_b.square() + _LUMA)
    return 1 - (light * (2 * both + _CONTRAST) / (var_a + var_b + _CONTRAST)).mean()


def deformed(
    source: Tensor, driving: Tensor, deformation: Tensor, occlusion: Tensor | None, attention: Tensor
) -> Tensor:
    """L1 between the driving frame and the source, merely deformed, at the deformation's own size.

    Hidden parts count little; their share is not rewarded, since the occlusion map is only read here.
    """
    height, width = deformation.shape[1:3]
    small = [F.interpolate(x, size=(height, width), mode="area") for x in (source, driving, attention)]
    wrong = (look_up(small[0], deformation) - small[1]).abs() * small[2]
    return wrong.mean() if occlusion is None else (wrong * (0.2 + 0.8 * occlusion.detach())).mean()


def equivariance(kp: Keypoints, kp_warped: Keypoints, plate: ThinPlate) -> tuple[Tensor, Tensor]:
    """Sec. 3.1, Eq. 7 and 8: keypoints and frames of a warped image must be those of the image, warped back.

    Args:
        kp: of an image.
        kp_warped: of `plate.warp(image)`.
    Returns:
        L1 of the values, and of the frames' product against the identity; 0 where there are no frames.
    """
    value = (kp.value - plate(kp_warped.value)).abs().mean()
    if kp.jacobian is None or kp_warped.jacobian is None:
        return value, value.new_zeros(())
    back = plate.jacobian(kp_warped.value) @ kp_warped.jacobian
    product = inverse(kp.jacobian) @ back
    return value, (torch.eye(2, device=product.device) - product).abs().mean()


def separation(kp: Keypoints) -> Tensor:
    """How much keypoints sit on one another: mean over pairs of exp(-d^2 / 2 s^2), s = SEPARATION. In [0, 1].

    Zhang et al. 2018 (Unsupervised Discovery of Object Landmarks as Structural Representations), separation constraint.
    """
    square = (kp.value[:, :, None] - kp.value[:, None]).square().sum(dim=3)  # (B, K, K)
    count = square.shape[1]
    near = torch.exp(-square / (2 * SEPARATION**2)) * (1 - torch.eye(count, device=square.device))
    return near.sum() / (len(square) * max(1, count * (count - 1)))


def feature_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """L1 between features, each layer against the mean size of what it should be."""
    total = ours[0].new_zeros((), dtype=torch.float32)
    for a, b in zip(ours, theirs, strict=True):
        total = total + (a - b).abs().float().mean() / b.abs().float().mean().clamp_min(1e-4)
    return total / len(ours)


def attention_map(anchors: Tensor, known: Tensor, size: int, strength: float) -> Tensor:
    """Weights that rise around given points.

    Args:
        anchors: (B, A, 2) in [-1, 1].
        known: (B,) 1 where they are known.
        size: sides of the map.
        strength: how much more the points themselves count.
    Returns:
        (B, 1, size, size), at least 1.
    """
    grid = identity_grid(32, 32, like=anchors)
    near = torch.exp(-(grid - anchors[:, :, None, None]).square().sum(dim=4) / (2 * 0.07**2)).amax(dim=1)
    return 1 + strength * known[:, None, None, None] * resize_map(near[:, None], size, size)


def motion_map(source: Tensor, driving: Tensor) -> Tensor:
    """How much each place differs between two frames (B, 3, H, W), beside the whole frame; (B, 1, H, W), 0 to MOST.

    A waving hand is a hundredth of a picture: in a plain mean nobody learns to follow it.
    """
    change = F.avg_pool2d((source - driving).abs().mean(dim=1, keepdim=True), 5, stride=1, padding=2)
    return (change / change.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-3)).clamp(max=MOST)


def warped_alone(source: Tensor, deformation: Tensor) -> Tensor:
    """The source (B, 3, H, W), deformed and nothing else: what the motion says, for people to look at."""
    return look_up(source, resize_grid(deformation, source.shape[2], source.shape[3]))
