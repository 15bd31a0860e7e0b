"""The motion extractor M: pose, expression and canonical keypoints of a face, by a ConvNeXt V2 (Woo et al. 2023)."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.liveportrait.config import MotionConfig
from avatar.liveportrait.motion import MotionParameters

_EPSILON = 1e-6
_DEGREES_A_BIN, _FIRST_BIN_DEG = 3.0, -97.5


class MotionExtractor(nn.Module):
    """Guo et al. 2024: the motion extractor M."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.detector = _Detector(config)

    def forward(self, image: Tensor) -> MotionParameters:
        """Extract the parameters of (B, 3, H, W) images in [0, 1]; H and W are multiples of 32."""
        motion: MotionParameters = self.detector(image)
        return motion


def digest_of(extractor: MotionExtractor) -> bytes:
    """Return the SHA-256 of the weights, by which two machines know that they measure alike."""
    digest = hashlib.sha256()
    for name, x in sorted(extractor.state_dict().items()):
        digest.update(f"{name} {tuple(x.shape)}\n".encode())
        digest.update(x.detach().cpu().float().contiguous().numpy().data)
    return digest.digest()


class _Detector(nn.Module):
    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.num_kp = config.num_kp
        widths, last = config.widths, config.widths[-1]
        self.downsample_layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), _ChannelNorm(widths[0]))])
        for stage in range(len(widths) - 1):
            down = nn.Conv2d(widths[stage], widths[stage + 1], 2, 2)
            self.downsample_layers.append(nn.Sequential(_ChannelNorm(widths[stage]), down))
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth)))
            for width, depth in zip(widths, config.depths, strict=True)
        )
        self.norm = nn.LayerNorm(last, eps=_EPSILON)
        self.fc_kp, self.fc_exp = nn.Linear(last, 3 * self.num_kp), nn.Linear(last, 3 * self.num_kp)
        self.fc_scale, self.fc_t = nn.Linear(last, 1), nn.Linear(last, 3)
        self.fc_pitch, self.fc_yaw, self.fc_roll = (nn.Linear(last, config.num_bins) for _ in range(3))

    def forward(self, x: Tensor) -> MotionParameters:
        """Extract the parameters of (B, 3, H, W) images in [0, 1]."""
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        x = self.norm(x.mean(dim=(2, 3)))
        return MotionParameters(
            pitch=_degrees(self.fc_pitch(x)),
            yaw=_degrees(self.fc_yaw(x)),
            roll=_degrees(self.fc_roll(x)),
            translation=self.fc_t(x),
            expression=self.fc_exp(x).view(-1, self.num_kp, 3),
            scale=self.fc_scale(x),
            keypoints=self.fc_kp(x).view(-1, self.num_kp, 3),
        )


def _degrees(logits: Tensor) -> Tensor:
    """Compute the expected angle (B, 1) in degrees from (B, N) logits of N bins."""
    bins = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    mean = (logits.softmax(dim=1) * bins).sum(dim=1, keepdim=True)
    return mean * _DEGREES_A_BIN + _FIRST_BIN_DEG


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """A block of ConvNeXt V2: a depthwise 7 x 7 convolution, then a two-layer network at every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = _ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, C, H, W) to the same shape."""
        inner = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        inner = self.pwconv2(self.grn(F.gelu(self.pwconv1(inner))))
        refined: Tensor = x + inner.permute(0, 3, 1, 2)
        return refined


class _ResponseNorm(nn.Module):
    """Global response normalisation, section 3 of the ConvNeXt V2 paper."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, H, W, C)."""
        energy: Tensor = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = energy / (energy.mean(dim=-1, keepdim=True) + _EPSILON)
        normalised: Tensor = self.gamma * (x * share) + self.beta + x
        return normalised
