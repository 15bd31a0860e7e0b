"""Data-parallel training with several processes: `torchrun --nproc-per-node N run.py train`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Team:
    """The process group; a single process unless torchrun started several."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def join(device: torch.device) -> Team:
        """Join the process group that torchrun started, if any."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return Team()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return Team(dist.get_rank(), size)

    @property
    def leads(self) -> bool:
        """True in the process that writes the files."""
        return self.rank == 0

    def share_gradients(self, net: nn.Module) -> None:
        """Average the gradients over all processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def share_statistics(self, net: nn.Module) -> None:
        """Average the batch-norm statistics, which each process accumulates separately."""
        if self.size == 1:
            return
        for buffer in net.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer.div_(self.size)

    def agree(self, *wishes: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set in any process.

        Clocks differ, and collective operations must be started by all processes.
        """
        if self.size == 1:
            return wishes
        counted = torch.tensor([float(wish) for wish in wishes], device=_place())
        dist.all_reduce(counted)
        return tuple(bool(count > 0) for count in counted.tolist())

    def follow(self, number: int) -> int:
        """Return the number of the leading process, in every process."""
        if self.size == 1:
            return number
        told = torch.tensor(number, device=_place())
        dist.broadcast(told, 0)
        return int(told)

    def leave(self) -> None:
        """Leave the process group; does nothing in a single process."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def _place() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
