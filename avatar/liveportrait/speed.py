"""Benchmark of all implementations of LivePortrait that this machine supports, at full size with random weights.

    python -m avatar.liveportrait.speed [--device auto|cpu|cuda|cuda:N|mps] [--frames N] [--json FILE] [--only WORD ...]

Each implementation alternates with the plain model, so that other load slows both alike. A frame is everything from
the driver's uint8 crop to the avatar's: extraction of the motion, its transfer, stitching, W and G.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from avatar.fomm.precision import faster_precision
from avatar.fomm.random_model import random_image
from avatar.fomm.speed import (
    PLAIN,
    Bench,
    Report,
    Runner,
    Speed,
    SpeedReport,
    Variant,
    describe_device,
    images_to_bytes,
    random_clip,
    run_comparison,
    tidy,
)
from avatar.fomm.stream import as_bytes
from avatar.frames import RgbImage
from avatar.liveportrait.config import LivePortraitConfig
from avatar.liveportrait.fast import FastOptions, FastRuntime
from avatar.liveportrait.model import IMAGE_SIDE, LivePortraitModel, Rendering
from avatar.liveportrait.motion import MotionParameters, relative_motion
from avatar.liveportrait.random_model import random_model
from avatar.liveportrait.runtime import PlainRuntime, Runtime
from avatar.liveportrait.warping import Warped

AUTHORS, COMPILED = "plain model, autocast", "plain model, autocast, compiled"
_ROUNDS = {"cpu": (1, 0)}  # frames of a round, and before the first: a frame of the plain model takes seconds
_OTHER_ROUNDS = (6, 4)


class RuntimeRunner:
    """A frame as the engine computes it, with relative motion and stitching, by any runtime."""

    def __init__(self, model: LivePortraitModel, runtime: Runtime) -> None:
        self._model, self._runtime = model, runtime
        self._source: MotionParameters | None = None
        self._reference: MotionParameters | None = None
        self._appearance = self._x_s = self._x_d = torch.empty(0)

    @property
    def precision(self) -> str:
        """Name of the dtype of W and G."""
        return self._runtime.precision

    @property
    def notes(self) -> list[str]:
        """Sentences on what was given up."""
        return self._runtime.notes

    def set_source(self, rgb: RgbImage) -> None:
        """Prepare a portrait, (256, 256, 3)."""
        image = self._image(rgb)
        self._source = self._model.motion(image)
        self._x_s = self._source.transformed()
        self._appearance = self._model.appearance(image)
        self._runtime.prepare(self._appearance, self._x_s)

    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference frame, (256, 256, 3)."""
        self._reference = self._model.motion(self._image(rgb))

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Compute a frame, (256, 256, 3) to (512, 512, 3)."""
        assert self._source is not None and self._reference is not None
        driving = self._runtime.motion(self._image(rgb))
        self._x_d = self._model.stitch(self._x_s, relative_motion(self._source, driving, self._reference))
        picture: RgbImage = np.asarray(as_bytes(self._runtime.render(self._x_d).image).cpu().numpy())
        return picture

    @property
    def parts_ms(self) -> dict[str, float]:
        """Times of the three networks, each by itself and outside of any graph."""
        if isinstance(self._runtime, AutocastRuntime):
            return {}
        image, model = torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE, device=self._runtime.device), self._model
        warp: Callable[[Tensor], Warped] = partial(model.warping_module, self._appearance, self._x_s)
        generate: Callable[[Tensor], Tensor] = model.spade_generator
        if isinstance(self._runtime, FastRuntime):
            warp, generate = self._runtime.networks.warp, self._runtime.networks.generator
        with torch.inference_mode():
            features = warp(self._x_d).features
            parts: dict[str, Callable[[], object]] = {
                "M": lambda: model.motion(image), "W": lambda: warp(self._x_d), "G": lambda: generate(features)
            }  # fmt: skip
            return {name: self._time_ms(part) for name, part in parts.items()}

    def _time_ms(self, part: Callable[[], object]) -> float:
        """Time one part, after a first run on CUDA, where the first ones search for algorithms."""
        if self._runtime.device.type == "cuda":
            part()
            torch.cuda.synchronize(self._runtime.device)
        started = time.perf_counter()
        part()
        if self._runtime.device.type == "cuda":
            torch.cuda.synchronize(self._runtime.device)
        return (time.perf_counter() - started) * 1e3

    def _image(self, rgb: RgbImage) -> Tensor:
        """Convert (H, W, 3) uint8 to (1, 3, H, W) in [0, 1] on the device."""
        pixels = torch.from_numpy(np.array(rgb)).to(self._runtime.device)
        return pixels.permute(2, 0, 1)[None].float() / 255


class AutocastRuntime(PlainRuntime):
    """The plain model as the authors run it on CUDA: float16 by autocast, and torch.compile if asked for."""

    precision = "float16"

    def __init__(self, model: LivePortraitModel, *, compiled: bool) -> None:
        super().__init__(model)
        if compiled:
            for network in (model.warping_module, model.spade_generator):
                network.compile(mode="max-autotune")

    def render(self, x_d: Tensor) -> Rendering:
        """Generate the image; see `Runtime`."""
        with torch.autocast(self.device.type, torch.float16):
            return super().render(x_d)


def compare_speeds(
    config: LivePortraitConfig | None = None,
    *,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    only: tuple[str, ...] = (),
    report: Report = lambda _: None,
    keep: Callable[[SpeedReport], None] = lambda _: None,
) -> SpeedReport:
    """Benchmark all implementations of the model on a device.

    Args:
        config: the structure; the published model by default.
        frames: minimum number of measured frames, rounded up to whole rounds; None: 2 on a CPU, 100 elsewhere.
        seed: seed of weights and images.
        device: where to run.
        only: substrings of the names to measure in addition to the plain model; empty for all.
        report: called with the name of the next implementation.
        keep: called with the results so far, after each implementation.
    """
    place = torch.device(device)
    frames = frames or (2 if place.type == "cpu" else 100)
    length, settling = _ROUNDS.get(place.type, _OTHER_ROUNDS)
    counted = max(1, length - 1)  # of the frames of a round
    rounds = -(-frames // counted)
    model = random_model(config, seed)
    source = images_to_bytes(random_image(1, IMAGE_SIDE, seed=seed + 1))[0]
    reference, *clip = images_to_bytes(random_clip(rounds * length + 1, IMAGE_SIDE, 3, seed=seed + 2))
    bench = Bench(source, clip, place, reference=reference, round_frames=length, settling=settling)
    machine, done = describe_device(place), list[Speed]()
    for variant in _variants(model, place):
        if only and variant.name != PLAIN and not any(word in variant.name for word in only):
            continue
        report(variant.name)
        done.append(bench.measure(variant))
        keep(SpeedReport(machine, rounds * counted, tuple(done)))
    bench.close()
    tidy()
    return SpeedReport(machine, rounds * counted, tuple(done))


def _variants(model: LivePortraitModel, device: torch.device) -> Iterator[Variant]:
    """Yield all implementations on a device, the plain one first because the others are compared with it."""

    def copied() -> LivePortraitModel:
        return copy.deepcopy(model).to(device)  # of its own, so that its memory is measurable

    def plain() -> Runner:
        own = copied()
        return RuntimeRunner(own, PlainRuntime(own))

    def autocast(compiled: bool) -> Runner:
        own = copied()
        return RuntimeRunner(own, AutocastRuntime(own, compiled=compiled))

    def ours(options: FastOptions) -> Runner:
        own = copied()
        return RuntimeRunner(own, FastRuntime(own, options))

    yield Variant(PLAIN, plain)
    single, brain = torch.float32, torch.bfloat16
    if device.type == "cuda":
        yield Variant(AUTHORS, partial(autocast, compiled=False))
        yield Variant(COMPILED, partial(autocast, compiled=True))
        yield Variant("torch", partial(ours, FastOptions()))
        yield Variant("torch, no graph", partial(ours, FastOptions(graph=False)))
        yield Variant("torch bfloat16", partial(ours, FastOptions(precision=brain)))
    elif device.type == "cpu" and faster_precision(device) == brain:
        yield Variant("torch bfloat16", partial(ours, FastOptions(precision=brain)))
    yield Variant("torch float32", partial(ours, FastOptions(precision=single)))


def main() -> None:
    """Run the command line."""
    run_comparison("Measure every way of computing LivePortrait.", compare_speeds)


if __name__ == "__main__":
    main()
