"""CUDA graphs: all kernels of a frame are recorded once and launched together instead of one by one from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Outputs = TypeVar("Outputs")


class Graph(Generic[Outputs]):
    """A recorded CUDA graph and its output tensors."""

    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Outputs) -> None:
        self._graph, self._outputs = graph, outputs

    def replay(self) -> Outputs:
        """Launch the graph; returns the same tensors each time, which hold the new values once the device is done."""
        self._graph.replay()
        return self._outputs


def record(step: Callable[[], Outputs], device: torch.device, warm_up: int) -> Graph[Outputs]:
    """Record the kernels that a function launches.

    Args:
        step: reads tensors at fixed addresses, returns tensors, and never synchronises with the device.
        device: a CUDA device.
        warm_up: number of runs before recording, so that libraries choose algorithms and allocate workspaces.
    Raises:
        RuntimeError: an operation cannot be recorded.
    """
    with torch.cuda.device(device):
        apart = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # recording is not allowed on the default stream, and so is its warm-up
        apart.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(apart):
            for _ in range(warm_up):
                step()
        torch.cuda.current_stream(device).wait_stream(apart)
        torch.cuda.synchronize(device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on
            outputs = step()
        return Graph(graph, outputs)
