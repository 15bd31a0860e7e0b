"""The training step, with its networks, optimisers and the EMA of the weights."""

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
from avatar.system.message import Message
from avatar.training import losses
from avatar.training.config import TrainConfig
from avatar.training.dataset import Batch, FrameDataset, augment
from avatar.training.networks import LandmarkNetwork, PatchDiscriminator
from avatar.training.parallel import Team
from avatar.training.thin_plate import ThinPlate

BETAS = (0.5, 0.999)  # Adam's, as published
COOLED = 0.02  # final fraction of the learning rate
EARLY_STEPS = 10  # warm-up of the EMA, which decays faster in the first steps
Losses = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Pass:
    """Result of a forward pass."""

    prediction: Tensor  # (B, 3, H, W) in [0, 1]
    motion: DenseMotion
    kp_source: Keypoints
    kp_driving: Keypoints


class Trainer:
    """The networks in training; used from one thread, on one device, in one process of a team."""

    def __init__(self, config: TrainConfig, device: torch.device, points: int, team: Team, *, bf16: bool) -> None:
        """Initialise networks and optimisers from the recipe's seed.

        Args:
            config: the recipe.
            device: where to train.
            points: number of landmarks per image, see `FrameDataset.points`; the first are the anchors.
            team: the processes that train together.
            bf16: compute the generator in bfloat16. Keypoints and positions stay in float32.
        """
        torch.manual_seed(config.seed)
        self.config, self.device, self.team, self._bf16 = config, device, team, bf16
        self.model = FirstOrderModel(config.model)
        init_jacobians(self.model)
        self.landmark_net = LandmarkNetwork(config.size, points) if self._needs_landmark_net(points) else None
        self.discriminator = PatchDiscriminator() if config.loss.adversarial or config.loss.matching else None
        for net in (self.model, self.landmark_net, self.discriminator):
            if net is not None:
                _place(net, device)
        self.ema = FirstOrderModel(config.model)
        _place(self.ema, device)
        self.ema.load_state_dict(self.model.state_dict())
        self.ema.eval().requires_grad_(False)
        rate, fused = config.learning_rate, device.type == "cuda"
        self.optimisers = {
            name: torch.optim.Adam(net.parameters(), rate, BETAS, fused=fused)
            for name, net in (("model", self.model), ("reader", self.landmark_net), ("critic", self.discriminator))
            if net is not None
        }
        self.step = 0
        self._random = torch.Generator(device)
        if bf16:
            _use_bf16(self.model, self._autocast)
        self.encode: Callable[[Tensor], Tensor] = self.model.generator.encode
        self.decode: Callable[[Tensor, DenseMotion], Tensor] = self.model.generator.decode

    def train(self, dataset: FrameDataset) -> Losses:
        """Run one step on a batch of the dataset; returns the weighted losses, on the device."""
        batch = self._batch(dataset)
        for group in (group for optimiser in self.optimisers.values() for group in optimiser.param_groups):
            group["lr"] = self.config.learning_rate * schedule(self.step, self.config)
        self.model.train()
        plate = ThinPlate.random(len(batch.source), self._random, self.device)
        done, kp_warped = self._forward(batch, plate)
        found = self._losses(batch, done, kp_warped, plate)
        total = sum(found.values(), torch.zeros((), device=self.device))
        self._optimizer_step("model", self.model, total)
        if self.landmark_net is not None:
            found["reader"] = self._train_landmark_net(self.landmark_net, batch)
        if self.discriminator is not None and self._is_adversarial():
            found["critic"] = self._train_discriminator(self.discriminator, batch.driving, done.prediction.detach())
        self._update_ema()
        self.step += 1
        return {name: loss.detach() for name, loss in found.items()}

    def check(self, found: Losses) -> dict[str, float]:
        """Convert the losses to floats. Raises TrainingError if one is not finite."""
        numbers = {name: float(loss) for name, loss in found.items()}
        if bad := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise TrainingError(
                Message(
                    "The loss {name} became {value} at step {step}; training stopped.",
                    name=bad[0],
                    value=numbers[bad[0]],
                    step=self.step,
                ),
                remedy="Resume from the last checkpoint (--resume) with a smaller learning_rate.",
            )
        return numbers

    @torch.no_grad()
    def predict(self, source: Tensor, driving: Tensor) -> Pass:
        """Run the EMA model on (B, 3, H, W) images in [0, 1], in float32."""
        net = self.ema
        kp_source, kp_driving = net.kp_detector(source), net.kp_detector(driving)
        motion = net.generator.dense_motion_network(source, kp_source, kp_driving)
        return Pass(net.generator.decode(net.generator.encode(source), motion), motion, kp_source, kp_driving)

    def _batch(self, dataset: FrameDataset) -> Batch:
        """Sample the batch of the current step; depends on the step only, so that a resumed run sees the same data."""
        key = [self.config.seed, self.step, self.team.rank]
        self._random.manual_seed(int(np.random.default_rng(key).integers(2**62)))
        share = max(1, self.config.batch // self.team.size)
        batch = dataset.sample(share, self.config.shares, np.random.default_rng([*key, 1]))
        return augment(batch, dataset, self.config.flip, self.config.jitter, self.config.zoom, self._random)

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
            * losses.warp(batch.source, batch.driving, done.motion.deformation, done.motion.occlusion_map, moving),
        }
        if weights.structure:
            found["structure"] = weights.structure * losses.ssim(done.prediction, batch.driving)
        if weights.separation:
            found["separation"] = weights.separation * losses.separation(done.kp_driving)
        if weights.anchors and anchors:
            found["anchors"] = weights.anchors * self._anchor_loss(batch, done)
        if self.landmark_net is not None:
            found |= self._landmark_losses(self.landmark_net, batch, done.prediction)
        if self.discriminator is not None and self._is_adversarial():
            found |= self._adversarial_losses(self.discriminator, batch.driving, done.prediction)
        return found

    def _anchor_loss(self, batch: Batch, done: Pass) -> Tensor:
        """Compute the L1, a scalar, of the first keypoints to their landmarks."""
        count = len(self.config.anchors)
        wrong = (done.kp_source.value[:, :count] - batch.source_points[:, :count]).abs()
        wrong = wrong + (done.kp_driving.value[:, :count] - batch.driving_points[:, :count]).abs()
        return (wrong.mean(dim=(1, 2)) * batch.known).mean()

    def _landmark_losses(self, landmark_net: LandmarkNetwork, batch: Batch, prediction: Tensor) -> Losses:
        """Compute the losses of the landmark network, scalars, for the (B, 3, H, W) prediction."""
        landmark_net.requires_grad_(False)
        with self._autocast():
            seen, points = landmark_net(prediction)
            with torch.no_grad():
                wanted, _ = landmark_net(batch.driving)
        landmark_net.requires_grad_(True)
        trusted = min(1.0, self.step / max(1, 0.1 * self.config.steps))  # ramp: the network starts untrained
        return {
            "features": self.config.loss.features * losses.feature_distance(seen, wanted),
            "landmarks": self.config.loss.landmarks * trusted * _landmark_error(points, batch),
        }

    def _adversarial_losses(self, discriminator: PatchDiscriminator, driving: Tensor, prediction: Tensor) -> Losses:
        """Compute the generator's adversarial losses, scalars, for (B, 3, H, W) images in [0, 1]."""
        discriminator.requires_grad_(False)
        with self._autocast():
            seen, logits = discriminator(prediction)
            with torch.no_grad():
                wanted, _ = discriminator(driving)
        discriminator.requires_grad_(True)
        return {
            "adversarial": self.config.loss.adversarial * (1 - logits.float()).square().mean(),
            "matching": self.config.loss.matching * losses.feature_distance(seen, wanted),
        }

    def _train_landmark_net(self, landmark_net: LandmarkNetwork, batch: Batch) -> Tensor:
        """Train the landmark network for one step; returns its loss, a scalar."""
        with self._autocast():
            _, points = landmark_net(batch.driving)
        loss = _landmark_error(points, batch)
        self._optimizer_step("reader", landmark_net, loss)
        return loss

    def _train_discriminator(self, discriminator: PatchDiscriminator, driving: Tensor, prediction: Tensor) -> Tensor:
        """Train the discriminator for one step on (B, 3, H, W) images in [0, 1]; returns its loss, a scalar."""
        with self._autocast():
            _, real = discriminator(driving)
            _, drawn = discriminator(prediction)
        loss: Tensor = (1 - real.float()).square().mean() + drawn.float().square().mean()
        self._optimizer_step("critic", discriminator, loss)
        return loss

    def _optimizer_step(self, name: str, net: nn.Module, loss: Tensor) -> None:
        """Backpropagate a scalar loss and update a network."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.team.share_gradients(net)
        nn.utils.clip_grad_norm_(net.parameters(), self.config.clip_norm)
        optimiser.step()

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Update the EMA of the weights; batch-norm statistics are copied, because they are averages already."""
        keep = min(self.config.average, (1 + self.step) / (EARLY_STEPS + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - keep)
        for kept, now in zip(self.ema.buffers(), self.model.buffers(), strict=True):
            kept.copy_(now)

    def _is_adversarial(self) -> bool:
        return self.step >= self.config.adversarial_from * self.config.steps

    def _needs_landmark_net(self, points: int) -> bool:
        return points > 0 and (self.config.loss.features > 0 or self.config.loss.landmarks > 0)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            yield


def _place(net: nn.Module, device: torch.device) -> None:
    net.to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs know only the pair


def schedule(step: int, config: TrainConfig) -> float:
    """Return the learning-rate factor at a step: linear warm-up, plateau, cosine decay to COOLED."""
    ramp = min(1.0, (step + 1) / max(1, config.warm_up))
    falling = (step / config.steps - (1 - config.cool_down)) / max(config.cool_down, 1e-9)
    return ramp * (COOLED + (1 - COOLED) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, falling)))))


def init_jacobians(model: FirstOrderModel) -> None:
    """Initialise every jacobian to the identity, as published, so that motion starts as translation."""
    head = model.kp_detector.jacobian
    if head is not None and head.bias is not None:
        with torch.no_grad():
            head.weight.zero_()
            head.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(head.bias) // 4))


def _landmark_error(points: Tensor, batch: Batch) -> Tensor:
    """Compute the L1 of predicted (B, P, 2) landmarks to the known ones of the driving frames."""
    return ((points - batch.driving_points).abs().mean(dim=(1, 2)) * batch.known).mean()


def _part(kp: Keypoints, part: slice) -> Keypoints:
    return Keypoints(kp.value[part], None if kp.jacobian is None else kp.jacobian[part])


def _use_bf16(model: FirstOrderModel, autocast: Callable[[], Any]) -> None:
    """Compute the hourglass and heads of the dense motion network in bfloat16, with float32 outputs.

    The geometry around them stays in float32: bfloat16 would round positions to half a pixel.
    """
    net = model.generator.dense_motion_network

    def autocasted(precise: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Wrap a module to run under autocast and return float32, (B, C, H, W) both."""

        def forward(x: Tensor) -> Tensor:
            """Map (B, C, H, W) to float32."""
            with autocast():
                answer: Tensor = precise(x)
            return answer.float()

        return forward

    heads: list[Any] = [net.hourglass, net.mask, net.occlusion]
    for module in heads:
        if module is not None:
            module.forward = autocasted(module.forward)
