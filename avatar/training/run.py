"""The training loop: fill the dataset, train until the steps or the time are used up, then save the model,
checkpoint and metrics.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avatar.errors import TrainingError
from avatar.fomm.convert import save_model
from avatar.system.message import Message
from avatar.tracking import canonical_face
from avatar.tracking.regions import EYES, FACE_OVAL, LOWER_LIP, MOUTH_CORNERS, NOSE_TIP, UPPER_LIP
from avatar.training.checkpoint import load_state, save_state
from avatar.training.config import TrainConfig
from avatar.training.dataset import FrameDataset
from avatar.training.pack import Pack, load_pack
from avatar.training.parallel import Team
from avatar.training.showcase import Showcase
from avatar.training.synthetic import SyntheticClip, SyntheticGenerator
from avatar.training.trainer import Trainer

MODEL, CHECKPOINT, METRICS, SHEETS, BOARD = "model.safetensors", "checkpoint", "metrics.jsonl", "sheets", "tensorboard"
SPARE = 0.015  # fraction of the minutes kept in reserve, so that the last step ends in time
LOG_EVERY = 50  # steps between two readings of the losses, each of which synchronises with the device
Say = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are not part of its recipe."""

    output: Path
    device: torch.device
    bf16: bool = False  # mixed precision with bfloat16
    minutes: float | None = None  # time limit; the run then saves a checkpoint and stops
    fit: bool = False  # choose the number of steps so that the learning-rate schedule ends at the time limit
    resume: bool = False
    synthetic_first: bool = False  # generate all synthetic data first: required for exact resumption
    sheet_every_s: float = 180.0
    save_every_s: float = 300.0
    compiled: bool = False  # use torch.compile for encoder and decoder


@dataclass(frozen=True)
class RunResult:
    """Result of a run."""

    steps: int
    seconds: float
    losses: dict[str, float]  # as last read
    held_out: dict[str, float]  # metrics on the held-out set


def train(config: TrainConfig, path: Path, options: RunOptions, say: Say = print) -> RunResult:
    """Train on the pack in `path`, and write model, checkpoint, metrics and contact sheets to `options.output`.

    Raises:
        TrainingError: there is no training data, a loss is not finite, a checkpoint does not fit, or the disk is full.
    """
    pack = load_pack(path)
    points, mirror = known_points(config, pack)
    with contextlib.ExitStack() as opened:
        synthetic = None
        if config.teacher.frames and pack.is_tracked and config.shares[2] > 0:
            synthetic = SyntheticGenerator(path, pack, config.teacher, config.seed)
            opened.callback(synthetic.close)
        _prefer_speed(options.device)
        team = Team.join(options.device)
        opened.callback(team.leave)
        dataset = FrameDataset(config.size, points, mirror, options.device)
        held_out = FrameDataset(config.size, points, mirror, options.device)
        dataset.add_pack(pack)
        held_out.add_pack(pack, held_out=True)
        trainer = Trainer(config, options.device, len(points), team, bf16=options.bf16)
        if options.resume:
            load_state(trainer, options.output / CHECKPOINT)
        if options.compiled:
            trainer.encode, trainer.decode = torch.compile(trainer.encode), torch.compile(trainer.decode)
        run = _Run(options, trainer, dataset, Showcase(pack, held_out, options.device), synthetic, say)
        try:
            return run.go()
        except OSError as error:
            raise TrainingError(
                Message("The training stopped: {error}.", error=error),
                remedy=Message(
                    "Free space for {output}, or name another --output; --resume continues from a checkpoint.",
                    output=options.output,
                ),
            ) from error


class _Run:
    """State of the training loop; one per call of `train`."""

    def __init__(
        self,
        options: RunOptions,
        trainer: Trainer,
        dataset: FrameDataset,
        showcase: Showcase,
        synthetic: SyntheticGenerator | None,
        say: Say,
    ) -> None:
        self._options, self._trainer, self._dataset = options, trainer, dataset
        self._showcase, self._synthetic, self._say = showcase, synthetic, say
        self._began_s, self._began_step = time.monotonic(), trainer.step
        self._marked = (trainer.step, 0.0)  # step and seconds at the last measurement of the rate
        self._losses: dict[str, float] = {}
        self._held_out: dict[str, float] = {}

    def go(self) -> RunResult:
        self._fill_dataset()
        trainer, options, found = self._trainer, self._options, dict[str, torch.Tensor]()
        sheet_s = saved_s = time.monotonic()
        with self._board() as note:
            while trainer.step < trainer.config.steps:
                stop, save = trainer.team.agree(self._out_of_time(), time.monotonic() - saved_s > options.save_every_s)
                if stop:
                    break
                if save:
                    saved_s = time.monotonic()
                    self._save(trainer)
                self._take_synthetic()
                found = trainer.train(self._dataset)
                if trainer.step % LOG_EVERY == 0 or trainer.step == 1:
                    self._look(trainer.check(found), note)
                    self._fit()
                if time.monotonic() - sheet_s > options.sheet_every_s:
                    sheet_s = time.monotonic()
                    self._show(note)
            if found:
                self._losses = trainer.check(found)
            self._show(note)
        self._save(trainer)
        return RunResult(trainer.step, time.monotonic() - self._began_s, self._losses, self._held_out)

    def _fill_dataset(self) -> None:
        if self._synthetic is None:
            return
        wait = self._options.synthetic_first or self._dataset.count == 0
        for clip in self._synthetic.clips() if wait else ():
            self._add(clip)

    def _take_synthetic(self) -> None:
        """Add the synthetic clips that are ready."""
        while self._synthetic is not None:
            try:
                clip = self._synthetic.ready()
            except StopIteration:
                self._say(f"The dataset is complete with {self._dataset.count} images at step {self._trainer.step}.")
                self._synthetic = None
                return
            if clip is None:
                return
            self._add(clip)

    def _add(self, clip: SyntheticClip) -> None:
        self._dataset.add(clip.images, clip.landmarks, [("synthetic", 0, len(clip.images))])

    def _out_of_time(self) -> bool:
        minutes = self._options.minutes
        return minutes is not None and time.monotonic() - self._began_s > 60 * minutes

    def _fit(self) -> None:
        """Set the total number of steps from the measured rate; no longer once the learning rate falls."""
        trainer, minutes = self._trainer, self._options.minutes
        if not self._options.fit or minutes is None or trainer.step < LOG_EVERY:
            return
        elapsed_s, steps = time.monotonic() - self._began_s, 0
        if elapsed_s < 60 * minutes * (1 - trainer.config.cool_down):
            recent = max(1, trainer.step - self._marked[0]) / max(1e-9, elapsed_s - self._marked[1])
            steps = trainer.step + max(1, round(recent * (60 * minutes * (1 - SPARE) - elapsed_s)))
        if steps := trainer.team.follow(steps):
            trainer.config = dataclasses.replace(trainer.config, steps=steps)
            self._marked = trainer.step, elapsed_s

    def _look(self, losses: dict[str, float], note: Callable[[dict[str, float]], None]) -> None:
        self._losses = losses
        note(losses)
        rate = (self._trainer.step - self._began_step) / max(1e-9, time.monotonic() - self._began_s)
        text = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self._say(f"step {self._trainer.step} of {self._trainer.config.steps}: {text}; {rate:.2f} steps/s")

    def _show(self, note: Callable[[dict[str, float]], None]) -> None:
        if not self._trainer.team.leads:
            return
        self._held_out = self._showcase.measure(self._trainer)
        note(self._held_out)
        folder = self._options.output / SHEETS
        folder.mkdir(parents=True, exist_ok=True)
        self._showcase.sheet(self._trainer, folder / f"step-{self._trainer.step:07d}.png")
        if self._held_out:
            self._say(", ".join(f"{name} {value:.4f}" for name, value in self._held_out.items()))

    def _save(self, trainer: Trainer) -> None:
        trainer.team.share_statistics(trainer.model)
        if not trainer.team.leads:
            return
        self._options.output.mkdir(parents=True, exist_ok=True)
        save_state(trainer, self._options.output / CHECKPOINT)
        save_model(trainer.ema, self._options.output / MODEL)

    @contextlib.contextmanager
    def _board(self) -> Iterator[Callable[[dict[str, float]], None]]:
        """Open the metrics log: a line of JSON per entry, and TensorBoard if it is installed."""
        if not self._trainer.team.leads:
            yield lambda values: None
            return
        self._options.output.mkdir(parents=True, exist_ok=True)
        board: Any = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            board = SummaryWriter(str(self._options.output / BOARD))

        def note(values: dict[str, float]) -> None:
            step = self._trainer.step
            stream.write(json.dumps({"step": step, "s": round(time.monotonic() - self._began_s, 1), **values}) + "\n")
            stream.flush()
            for name, value in values.items() if board is not None else ():
                board.add_scalar(name, value, step)

        with (self._options.output / METRICS).open("a", encoding="utf-8") as stream:
            yield note
        if board is not None:
            board.close()


def known_points(config: TrainConfig, pack: Pack) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Select the landmarks that are kept for every image.

    Returns:
        (P,) landmark indices, the anchors first, and (P,) positions of their mirrored counterparts.
    Raises:
        TrainingError: the recipe has anchors, and the pack no landmarks.
    """
    if not pack.is_tracked:
        if config.anchors or config.loss.landmarks or config.loss.features:
            raise TrainingError(
                "The recipe needs landmarks, and the pack has none.",
                remedy="Prepare it with crop: face, or leave anchors, features and landmarks out.",
            )
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    mirror = canonical_face().mirror
    rest = np.concatenate(
        [eye.contour for eye in EYES] + [eye.brow for eye in EYES] + [eye.iris_rim for eye in EYES]
        + [np.concatenate(UPPER_LIP), np.concatenate(LOWER_LIP), MOUTH_CORNERS, FACE_OVAL[::2], [NOSE_TIP]]
    )  # fmt: skip
    chosen = dict.fromkeys([*config.anchors, *map(int, rest)])
    chosen |= dict.fromkeys(int(mirror[point]) for point in list(chosen))
    points = np.array(list(chosen), np.intp)
    place = {int(point): number for number, point in enumerate(points)}
    return points, np.array([place[int(mirror[point])] for point in points], np.intp)


def _prefer_speed(device: torch.device) -> None:
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
