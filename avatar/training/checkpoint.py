"""Checkpoints: the complete training state in parts of at most 16 MB, from which a run resumes exactly."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatar.errors import TrainingError
from avatar.system.foreign_text import first_line
from avatar.system.message import Message
from avatar.system.small_files import read_json
from avatar.training.trainer import Trainer

PART_BYTES = 16_000_000
MANIFEST = "checkpoint.json"


def save_state(trainer: Trainer, folder: Path) -> None:
    """Save all weights, the EMA and the optimiser states; the previous checkpoint is kept until this one is complete.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    from safetensors.torch import save

    content = save({name: x.detach().cpu().contiguous() for name, x in _tensors(trainer)})
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    try:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir(parents=True)
        parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
        names = [f"part-{number:02d}.bin" for number in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            (fresh / name).write_bytes(part)
        manifest = {
            "version": 1,
            "step": trainer.step,
            "parts": [{"name": n, "sha256": hashlib.sha256(p).hexdigest()} for n, p in zip(names, parts, strict=True)],
        }
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise TrainingError(
            Message("The checkpoint {folder} cannot be written: {why}.", folder=folder, why=error.strerror or error),
            remedy="Make room, or name another --output; the checkpoint before is still there.",
        ) from error


def load_state(trainer: Trainer, folder: Path) -> None:
    """Restore the state of an interrupted run.

    Raises:
        TrainingError: there is no checkpoint, a part is missing or damaged, or it is of another recipe.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not (folder / MANIFEST).is_file():
        folder = folder.with_name(folder.name + ".old")  # a run was interrupted between the two renames
    try:
        manifest = read_json(folder / MANIFEST)
        parts = [_part(folder, entry) for entry in manifest["parts"]]
        tensors = load(b"".join(parts))
        step = int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainingError(
            Message("There is no checkpoint to resume from in {folder}: {error}.", folder=folder, error=error),
            remedy="Start without --resume.",
        ) from error
    _fill(trainer, tensors, folder)
    trainer.step = step


def _part(folder: Path, entry: dict[str, Any]) -> bytes:
    content = (folder / Path(entry["name"]).name).read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError(f"{entry['name']} is damaged")
    return content


def _tensors(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of the training state, of any shape, with their names."""
    for owner, net in _nets(trainer).items():
        for name, x in net.state_dict().items():
            yield f"{owner}/{name}", x
    for owner, optimiser in trainer.optimisers.items():
        for index, memory in optimiser.state_dict()["state"].items():
            for name, x in memory.items():
                yield f"{owner}-adam/{index}/{name}", torch.as_tensor(x)


def _fill(trainer: Trainer, tensors: dict[str, Tensor], folder: Path) -> None:
    """Load tensors of any shape, by the names of `_tensors`, into the networks and optimisers."""
    try:
        for owner, net in _nets(trainer).items():
            net.load_state_dict(_under(tensors, f"{owner}/"))
        for owner, optimiser in trainer.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, x in _under(tensors, f"{owner}-adam/").items():
                index, _, name = key.partition("/")
                state.setdefault(int(index), {})[name] = x
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            Message("The checkpoint in {folder} is of another recipe: {why}.", folder=folder, why=first_line(error)),
            remedy="Resume with the recipe it was made with, or start without --resume.",
        ) from error


def _nets(trainer: Trainer) -> dict[str, torch.nn.Module]:
    """Return the networks by their names in checkpoints, which must not change because existing files contain them."""
    nets = {
        "model": trainer.model,
        "average": trainer.ema,
        "reader": trainer.landmark_net,
        "critic": trainer.discriminator,
    }
    return {name: net for name, net in nets.items() if net is not None}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the tensors of any shape whose names begin with `prefix`, and remove it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
