"""One training step, and what it needs: networks, optimisers, the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar.errors import TrainingError
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.model import FirstOrderModel
from avatar.motion.keypoints import Keypoints
from avatar.training import losses
from avatar.training.bank import Batch, FrameBank, augment
from avatar.training.config import TrainConfig
from avatar.training.networks import LandmarkReader, PatchDiscriminator
from avatar.training.parallel import Team
from avatar.training.thin_plate import ThinPlate

BETAS = (0.5, 0.999)  # of Adam, as published
COOLED = 0.02  # of the learning rate, at the end
EARLY_STEPS = 10  # the average follows faster while it is young
Losses = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Pass:
    """What the model makes of a batch."""

    prediction: Tensor  # (B, 3, H, W)
    motion: DenseMotion
    kp_source: Keypoints
    kp_driving: Keypoints


class Trainer:
    """The networks in training; used from one thread, on one device, as one of a team."""

    def __init__(self, config: TrainConfig, device: torch.device, points: int, team: Team, *, half: bool) -> None:
        """Build everything from the recipe's seed.

        Args:
            config: the recipe.
            device: where to train.
            points: landmarks that are known of every picture, see `FrameBank.points`; the first are the anchors.
            team: the processes that train together.
            half: compute the generator in bfloat16. Keypoints and positions stay in float32.
        """
        torch.manual_seed(config.seed)
        self.config, self.device, self.team, self._half = config, device, team, half
        self.model = FirstOrderModel(config.model)
        start_frames(self.model)
        self.reader = LandmarkReader(config.size, points) if self._reads(points) else None
        self.critic = PatchDiscriminator() if config.loss.adversarial or config.loss.matching else None
        for net in (self.model, self.reader, self.critic):
            if net is not None:
                _place(net, device)
        self.average = FirstOrderModel(config.model)
        _place(self.average, device)
        self.average.load_state_dict(self.model.state_dict())
        self.average.eval().requires_grad_(False)
        rate, fused = config.learning_rate, device.type == "cuda"
        self.optimisers = {
            name: torch.optim.Adam(net.parameters(), rate, BETAS, fused=fused)
            for name, net in (("model", self.model), ("reader", self.reader), ("critic", self.critic))
            if net is not None
        }
        self.step = 0
        self._random = torch.Generator(device)
        if half:
            _soften_precision(self.model, self._autocast)
        self.encode: Callable[[Tensor], Tensor] = self.model.generator.encode
        self.decode: Callable[[Tensor, DenseMotion], Tensor] = self.model.generator.decode

    def train(self, bank: FrameBank) -> Losses:
        """One step on a batch from the bank; the losses, weighted, still on the device."""
        batch = self._batch(bank)
        for group in (group for optimiser in self.optimisers.values() for group in optimiser.param_groups):
            group["lr"] = self.config.learning_rate * schedule(self.step, self.config)
        self.model.train()
        plate = ThinPlate.random(len(batch.source), self._random, self.device)
        done, kp_warped = self._forward(batch, plate)
        found = self._losses(batch, done, kp_warped, plate)
        total = sum(found.values(), torch.zeros((), device=self.device))
        self._descend("model", self.model, total)
        if self.reader is not None:
            found["reader"] = self._train_reader(self.reader, batch)
        if self.critic is not None and self._adversarial():
            found["critic"] = self._train_critic(self.critic, batch.driving, done.prediction.detach())
        self._follow()
        self.step += 1
        return {name: loss.detach() for name, loss in found.items()}

    def check(self, found: Losses) -> dict[str, float]:
        """The losses as numbers. Raises TrainingError if one is none."""
        numbers = {name: float(loss) for name, loss in found.items()}
        if bad := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise TrainingError(
                f"The loss {bad[0]} became {numbers[bad[0]]} at step {self.step}; training stopped.",
                remedy="Go on from the last checkpoint (--resume) with a smaller learning_rate.",
            )
        return numbers

    @torch.no_grad()
    def predict(self, source: Tensor, driving: Tensor) -> Pass:
        """What the averaged weights make of (B, 3, H, W) pictures, in float32."""
        net = self.average
        kp_source, kp_driving = net.kp_detector(source), net.kp_detector(driving)
        motion = net.generator.dense_motion_network(source, kp_source, kp_driving)
        return Pass(net.generator.decode(net.generator.encode(source), motion), motion, kp_source, kp_driving)

    def _batch(self, bank: FrameBank) -> Batch:
        """The same for the same step: a run that goes on later draws what an unbroken one would have drawn."""
        key = [self.config.seed, self.step, self.team.rank]
        self._random.manual_seed(int(np.random.default_rng(key).integers(2**62)))
        share = max(1, self.config.batch // self.team.size)
        batch = bank.sample(share, self.config.shares, np.random.default_rng([*key, 1]))
        return augment(batch, bank, self.config.flip, self.config.jitter, self.config.zoom, self._random)

    def _forward(self, batch: Batch, plate: ThinPlate) -> tuple[Pass, Keypoints]:
        net, count = self.model, len(batch.source)
        warped = plate.warp(batch.driving)
        kp = net.kp_detector(torch.cat([batch.source, batch.driving, warped]))
        source, driving, kp_warped = (_part(kp, slice(i * count, (i + 1) * count)) for i in range(3))
        motion = net.generator.dense_motion_network(batch.source, source, driving)
        with self._autocast():
            prediction = self.decode(self.encode(batch.source), motion)
        return Pass(prediction.float(), motion, source, driving), kp_warped

    def _losses(self, batch: Batch, done: Pass, kp_warped: Keypoints, plate: ThinPlate) -> Losses:
        weights, anchors = self.config.loss, len(self.config.anchors)
        attention = torch.ones_like(batch.driving[:, :1])
        if weights.attention and anchors:
            places = batch.driving_points[:, :anchors]
            attention = losses.attention_map(places, batch.known, self.config.size, weights.attention)
        moving = torch.ones_like(attention)
        if weights.moving:
            moving = (1 + weights.moving * losses.motion_map(batch.source, batch.driving)) / (1 + weights.moving)
            attention = attention * moving
        value, jacobian = losses.equivariance(done.kp_driving, kp_warped, plate)
        found = {
            "pixels": weights.pixels * losses.pixels(done.prediction, batch.driving, attention),
            "edges": weights.edges * losses.edges(done.prediction, batch.driving, attention),
            "equivariance": weights.equivariance_value * value + weights.equivariance_jacobian * jacobian,
            "deformed": weights.deformed
            * losses.deformed(batch.source, batch.driving, done.motion.deformation, done.motion.occlusion_map, moving),
        }
        if weights.structure:
            found["structure"] = weights.structure * losses.structure(done.prediction, batch.driving)
        if weights.separation:
            found["separation"] = weights.separation * losses.separation(done.kp_driving)
        if weights.anchors and anchors:
            found["anchors"] = weights.anchors * self._anchored(batch, done)
        if self.reader is not None:
            found |= self._read(self.reader, batch, done.prediction)
        if self.critic is not None and self._adversarial():
            found |= self._judged(self.critic, batch.driving, done.prediction)
        return found

    def _anchored(self, batch: Batch, done: Pass) -> Tensor:
        """L1 of the first keypoints against the landmarks they are to sit on."""
        count = len(self.config.anchors)
        wrong = (done.kp_source.value[:, :count] - batch.source_points[:, :count]).abs()
        wrong = wrong + (done.kp_driving.value[:, :count] - batch.driving_points[:, :count]).abs()
        return (wrong.mean(dim=(1, 2)) * batch.known).mean()

    def _read(self, reader: LandmarkReader, batch: Batch, prediction: Tensor) -> Losses:
        reader.requires_grad_(False)
        with self._autocast():
            seen, points = reader(prediction)
            with torch.no_grad():
                wanted, _ = reader(batch.driving)
        reader.requires_grad_(True)
        trusted = min(1.0, self.step / max(1, 0.1 * self.config.steps))  # it learns from nothing, too
        return {
            "features": self.config.loss.features * losses.feature_distance(seen, wanted),
            "landmarks": self.config.loss.landmarks * trusted * _off(points, batch),
        }

    def _judged(self, critic: PatchDiscriminator, driving: Tensor, prediction: Tensor) -> Losses:
        critic.requires_grad_(False)
        with self._autocast():
            seen, opinion = critic(prediction)
            with torch.no_grad():
                wanted, _ = critic(driving)
        critic.requires_grad_(True)
        return {
            "adversarial": self.config.loss.adversarial * (1 - opinion.float()).square().mean(),
            "matching": self.config.loss.matching * losses.feature_distance(seen, wanted),
        }

    def _train_reader(self, reader: LandmarkReader, batch: Batch) -> Tensor:
        with self._autocast():
            _, points = reader(batch.driving)
        loss = _off(points, batch)
        self._descend("reader", reader, loss)
        return loss

    def _train_critic(self, critic: PatchDiscriminator, driving: Tensor, prediction: Tensor) -> Tensor:
        with self._autocast():
            _, real = critic(driving)
            _, drawn = critic(prediction)
        loss: Tensor = (1 - real.float()).square().mean() + drawn.float().square().mean()
        self._descend("critic", critic, loss)
        return loss

    def _descend(self, name: str, net: nn.Module, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.team.share_gradients(net)
        nn.utils.clip_grad_norm_(net.parameters(), self.config.clip_norm)
        optimiser.step()

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow the weights; statistics of batch-norms are averages already."""
        keep = min(self.config.average, (1 + self.step) / (EARLY_STEPS + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        for kept, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(now)

    def _adversarial(self) -> bool:
        return self.step >= self.config.adversarial_from * self.config.steps

    def _reads(self, points: int) -> bool:
        return points > 0 and (self.config.loss.features > 0 or self.config.loss.landmarks > 0)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            yield


def _place(net: nn.Module, device: torch.device) -> None:
    net.to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs know only the pair


def schedule(step: int, config: TrainConfig) -> float:
    """Share of the learning rate at a step: a ramp, a plateau, a cosine down to COOLED."""
    ramp = min(1.0, (step + 1) / max(1, config.warm_up))
    falling = (step / config.steps - (1 - config.cool_down)) / max(config.cool_down, 1e-9)
    return ramp * (COOLED + (1 - COOLED) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, falling)))))


def start_frames(model: FirstOrderModel) -> None:
    """Let every local frame begin as the identity, as published: motion starts out as shifts."""
    frames = model.kp_detector.jacobian
    if frames is not None and frames.bias is not None:
        with torch.no_grad():
            frames.weight.zero_()
            frames.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(frames.bias) // 4))


def _off(points: Tensor, batch: Batch) -> Tensor:
    """L1 of landmarks that the reader sees against those that are known."""
    return ((points - batch.driving_points).abs().mean(dim=(1, 2)) * batch.known).mean()


def _part(kp: Keypoints, part: slice) -> Keypoints:
    return Keypoints(kp.value[part], None if kp.jacobian is None else kp.jacobian[part])


def _soften_precision(model: FirstOrderModel, autocast: Callable[[], Any]) -> None:
    """Let the hourglass and heads of the dense motion network compute in half precision and answer in float32.

    What lies around them is geometry: bfloat16 would round positions to half a pixel.
    """
    net = model.generator.dense_motion_network

    def softened(precise: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:

        def forward(x: Tensor) -> Tensor:
            with autocast():
                answer: Tensor = precise(x)
            return answer.float()

        return forward

    heads: list[Any] = [net.hourglass, net.mask, net.occlusion]
    for module in heads:
        if module is not None:
            module.forward = softened(module.forward)
