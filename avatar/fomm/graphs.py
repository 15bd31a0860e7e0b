"""CUDA graphs: all kernels of a frame, recorded once and started together instead of one by one from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Outputs = TypeVar("Outputs")


class Graph(Generic[Outputs]):
    """What `record` recorded."""

    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Outputs) -> None:
        self._graph, self._outputs = graph, outputs

    def replay(self) -> Outputs:
        """Start it; the same tensors as ever, which hold the new values when the device has come so far."""
        self._graph.replay()
        return self._outputs


def record(step: Callable[[], Outputs], device: torch.device, warm_up: int) -> Graph[Outputs]:
    """Record what a function without arguments does on the device.

    Args:
        step: reads tensors that stay where they are, returns tensors, and never waits for the device.
        warm_up: how often it runs before, so that libraries choose their algorithms and make their workspaces.
    Raises:
        RuntimeError: something in it cannot be recorded.
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
