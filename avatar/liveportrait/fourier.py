"""A 3-D convolution with a large kernel, computed as products of spectra: float32 on CPUs.

The 7 x 7 x 7 convolution of the masks multiplies each value 343 times for each output channel. The spectrum of a tile
takes about 5, forward and backward transform included. Tiles overlap by the kernel's width less one (overlap-save);
along the depth, one circular transform suffices, because the zeros beyond one end serve the other end too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.fast_layers import Kernel

_TILE = 16  # side of the outputs of a tile; smaller ones overlap more, larger ones have larger kernel spectra


class FourierConvolution:
    """A convolution of volumes with an odd kernel k x k x k and zeros around, in float32."""

    def __init__(self, kernel: Kernel, depth: int) -> None:
        """Transform a kernel (out, in, k, k, k) for volumes of `depth` slices."""
        self._side = side = kernel.weight.shape[-1]
        self._depth = _even(depth + side // 2)
        self._tile = _TILE + side - 1
        self._bias = kernel.bias
        size = (self._depth, self._tile, self._tile)
        spectrum = torch.fft.rfftn(kernel.weight, s=size, dim=(2, 3, 4)).conj()
        self._spectrum = spectrum.flatten(2).permute(2, 1, 0).contiguous()  # (frequencies, in, out)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (D, in, h, w) to (D, out, h, w); D is the depth that it was made for."""
        depth, channels, height, width = x.shape
        half, tile = self._side // 2, self._tile
        down, across = -(-height // _TILE), -(-width // _TILE)
        edges = (half, _TILE * across - width + half, half, _TILE * down - height + half)
        volume = F.pad(x.transpose(0, 1).contiguous(), (*edges, half, self._depth - depth - half))
        steps = (volume.stride(0), _TILE * volume.stride(2), _TILE, volume.stride(1), volume.stride(2), 1)
        tiles = volume.as_strided((channels, down, across, self._depth, tile, tile), steps)
        spectra = torch.fft.rfftn(tiles, dim=(3, 4, 5))
        shape = spectra.shape[3:]
        spectra = spectra.flatten(3).flatten(1, 2).permute(2, 1, 0).contiguous()  # (frequencies, tiles, in)
        products = torch.bmm(spectra, self._spectrum).permute(2, 1, 0)
        products = products.reshape(-1, down, across, *shape)  # (out, down, across, frequencies along each axis)
        outputs = torch.fft.irfftn(products, s=(self._depth, tile, tile), dim=(3, 4, 5))
        outputs = outputs[:, :, :, :depth, :_TILE, :_TILE].permute(3, 0, 1, 4, 2, 5)
        whole: Tensor = outputs.reshape(depth, -1, _TILE * down, _TILE * across)[:, :, :height, :width]
        return whole + self._bias[:, None, None]


def _even(count: int) -> int:
    """Round up to an even number, which transforms faster."""
    return count + count % 2
