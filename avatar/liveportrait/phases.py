"""Exact convolution of a condition that was enlarged by nearest neighbour, computed on the small grid.

SPADE enlarges its condition by a whole factor S, convolves it (3 x 3, ReLU: the hidden map) and convolves that again
(3 x 3: gamma and beta). Along one axis, a cell of the condition becomes S equal pixels. The hidden map therefore
takes at most three different values a cell: at its first pixel, at its last, and at all pixels between. These are the
kinds of hidden pixels; of them alone the compact hidden map consists. Every pixel of gamma and beta is a convolution of
the compact map, with a kernel in which the weights of equal neighbours are added up, and at most five kinds differ.

Work compared with the enlarged convolutions: S = 2: 4/9, then 1; S = 4: 25/144, then 100/144.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.fast_layers import Kernel, Layer, Target, convolution


@dataclass(frozen=True)
class Taps:
    """The cells on which the three weights of an axis fall: fewer than three, where several share one."""

    first: int  # the cell of the first weight, relative to the output's own
    shares: tuple[tuple[int, ...], ...]  # of each cell from `first` on: the indices of the weights added up there


def hidden_taps(scale: int) -> list[Taps]:
    """Return the taps on the condition's cells of each kind of hidden pixel: first, between (if any), last."""
    return [_taps([(pixel + away) // scale for away in (-1, 0, 1)]) for pixel in _hidden_pixels(scale)]


def output_taps(scale: int) -> list[Taps]:
    """Return the taps on the compact hidden map of each pixel of a cell, relative to the cell's first hidden pixel."""
    kinds = len(_hidden_pixels(scale))

    def compact(pixel: int) -> int:
        """Map a pixel, counted from the start of the cell, to its place in the compact map."""
        cell, within = divmod(pixel, scale)
        return kinds * cell + (0 if within == 0 else kinds - 1 if within == scale - 1 else 1)

    return [_taps([compact(pixel + away) for away in (-1, 0, 1)]) for pixel in range(scale)]


def _hidden_pixels(scale: int) -> list[int]:
    return [0, *([1] if scale > 2 else []), scale - 1]


def _taps(cells: list[int]) -> Taps:
    places = range(min(cells), max(cells) + 1)
    return Taps(places[0], tuple(tuple(i for i, cell in enumerate(cells) if cell == place) for place in places))


def merged(weight: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Add up the weights (out, in, 3, 3) that fall on the same cell: (out, in, cells down, cells across)."""
    down, across = _share(weight, rows), _share(weight, columns)
    return torch.einsum("oiyx,ay,bx->oiab", weight, down, across)


def _share(weight: Tensor, taps: Taps) -> Tensor:
    """Return the (cells, 3) matrix that adds up weights."""
    share = weight.new_zeros(len(taps.shares), 3)
    for cell, indices in enumerate(taps.shares):
        share[cell, list(indices)] = 1
    return share


class CompactHidden:
    """The hidden map of a condition enlarged by S, without the repetitions; a 3 x 3 convolution with ReLU."""

    def __init__(self, kernel: Kernel, target: Target, side: int, scale: int) -> None:
        self._target = target
        self.kinds = len(hidden_taps(scale))
        self._layers: list[tuple[int, int, Taps, Taps, Layer]] = [
            (row, column, rows, columns, self._layer(kernel, target, side, rows, columns))
            for row, rows in enumerate(hidden_taps(scale))
            for column, columns in enumerate(hidden_taps(scale))
        ]

    @staticmethod
    def _layer(kernel: Kernel, target: Target, side: int, rows: Taps, columns: Taps) -> Layer:
        return convolution(Kernel(merged(kernel.weight, rows, columns), kernel.bias), target, side + 1, padding=0)

    def __call__(self, condition: Tensor) -> Tensor:
        """Map a condition (1, c, h, w) to (1, hidden, kinds h, kinds w)."""
        height, width = condition.shape[2:]
        around = self._target.take(F.pad(condition, (1, 1, 1, 1)))

        def kind(rows: Taps, columns: Taps, layer: Layer) -> Tensor:
            """Compute the hidden pixels of one kind, (1, hidden, h, w)."""
            top, left = 1 + rows.first, 1 + columns.first
            bottom, right = top + height + len(rows.shares) - 1, left + width + len(columns.shares) - 1
            return layer(self._target.take(around[:, :, top:bottom, left:right]))

        parts = ((row, column, kind(rows, columns, layer)) for row, column, rows, columns, layer in self._layers)
        return interleave(parts, self.kinds, self.kinds)


class PhaseConvolution:
    """A 3 x 3 convolution of the hidden map at full resolution, one phase (the same pixel of every cell) at a time."""

    def __init__(self, kernel: Kernel, target: Target, side: int, scale: int) -> None:
        self._target, self._taps = target, output_taps(scale)
        self._stride = len(hidden_taps(scale))
        layers: dict[tuple[Taps, Taps], Layer] = {}
        for rows in self._taps:
            for columns in self._taps:
                if (rows, columns) not in layers:
                    phase = Kernel(merged(kernel.weight, rows, columns), kernel.bias)
                    layers[rows, columns] = convolution(
                        phase, target, self._stride * side, padding=0, relu=False, stride=self._stride
                    )
        self._layers = layers

    def phases(self, hidden: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Yield (row, column, (1, out, h, w)) for each pixel of a cell, from the compact map (1, in, kinds h, kinds w).

        Whoever takes a phase must not change it: equal phases are computed once.
        """
        stride, (height, width) = self._stride, hidden.shape[2:]
        around = F.pad(hidden, (1, 1, 1, 1))
        # Rows of a channels_last map can be skipped without a copy, columns cannot: one copy for each first column.
        shifted = {
            first: self._target.take(around[:, :, :, 1 + first : 1 + first + width - stride + 3])
            for first in {columns.first for columns in self._taps}
        }
        done: dict[tuple[Taps, Taps], Tensor] = {}
        for row, rows in enumerate(self._taps):
            top = 1 + rows.first
            bottom = top + height - stride + len(rows.shares)
            for column, columns in enumerate(self._taps):
                key = rows, columns
                if key not in done:
                    done[key] = self._layers[key](shifted[columns.first][:, :, top:bottom])
                yield row, column, done[key]


def interleave(parts: Iterator[tuple[int, int, Tensor]], down: int, across: int) -> Tensor:
    """Put (row, column, (1, C, h, w)) phases side by side: (1, C, down h, across w), channels_last."""
    if torch.onnx.is_in_onnx_export():  # as reshaping, because assignment to slices becomes slow operators
        stacked = torch.stack([part for *_, part in parts], dim=1)
        _, _, channels, height, width = stacked.shape
        cells = stacked.view(1, down, across, channels, height, width).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(1, channels, down * height, across * width)
    whole: Tensor | None = None
    for row, column, part in parts:
        if whole is None:
            _, channels, height, width = part.shape
            whole = torch.empty(
                (1, channels, down * height, across * width),
                dtype=part.dtype,
                device=part.device,
                memory_format=torch.channels_last,
            )
        whole[:, :, row::down, column::across] = part
    assert whole is not None
    return whole
