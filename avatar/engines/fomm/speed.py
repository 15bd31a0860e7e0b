"""Duration of a whole frame of the fomm engine: crop, model, fine detail, compositing into the portrait.

python -m avatar.engines.fomm.speed [--device auto|cpu|cuda|cuda:N|mps] [--frames N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.fomm.engine import FommEngine
from avatar.fomm.config import VOX, ModelConfig
from avatar.fomm.random_model import random_image, random_model
from avatar.fomm.speed import random_clip
from avatar.fomm.stream import Stream, as_bytes
from avatar.frames import RgbImage
from avatar.system.devices import choose_device

SIDES_PX = (256, 512, 1024)
SETTLING = 4  # warm-up frames, not measured


@dataclass(frozen=True)
class EngineSpeed:
    """Result for one portrait size; the whole portrait is animated."""

    side_px: int
    median_ms: float
    p95_ms: float
    precision: str
    psnr_db: float | None  # relative to the same engine with compositing on the CPU; None on the CPU
    notes: tuple[str, ...]


def measure_engine(device: str, *, config: ModelConfig = VOX, frames: int = 100) -> list[EngineSpeed]:
    """Measure portraits of all sizes with random weights."""
    model = random_model(config).to(device)
    camera = [_as_image(each[None], 720) for each in random_clip(12, config.frame_size, 3, seed=2)]
    return [_measure(Stream(model), side, camera, frames) for side in SIDES_PX]


def _measure(stream: Stream, side_px: int, camera: list[RgbImage], frames: int) -> EngineSpeed:
    """Measure one portrait size with (H, W, 3) uint8 camera frames."""
    portrait = Portrait(_as_image(random_image(1, side_px, seed=1), side_px))
    engine = _ready(stream, portrait, camera[0])
    drawn = [engine.draw(Driving(image=rgb)) for rgb in camera[:SETTLING]][-1]
    psnr_db = None
    if stream.device.type != "cpu":
        other = _ready(_Elsewhere(stream), portrait, camera[0])  # type: ignore[arg-type]
        difference = drawn.astype(np.float32) - other.draw(Driving(image=camera[SETTLING - 1]))
        psnr_db = float(10 * np.log10(255**2 / max(float(np.square(difference).mean()), 1e-5)))
        engine.show(engine.prepare(portrait))
        engine.draw(Driving(image=camera[0]))
    times_ms = []
    for number in range(frames):
        start = time.perf_counter()
        engine.draw(Driving(image=camera[number % len(camera)]))
        times_ms.append((time.perf_counter() - start) * 1e3)
    median, late = float(np.median(times_ms)), float(np.percentile(times_ms, 95))
    return EngineSpeed(side_px, median, late, stream.precision, psnr_db, tuple(stream.notes))


def _ready(stream: Stream, portrait: Portrait, reference: RgbImage) -> FommEngine:
    """Open an engine for a portrait with an (H, W, 3) uint8 reference frame."""
    engine = FommEngine(EngineConfig("fomm", follow_faces=False), stream=stream)
    engine.show(engine.prepare(portrait))
    engine.calibrate(Driving(image=reference))
    return engine


class _Elsewhere:
    """A stream that claims to be on the CPU, so that the engine composites there."""

    device = torch.device("cpu")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _as_image(image: torch.Tensor, side_px: int) -> RgbImage:
    """Resize (1, 3, H, W) in [0, 1] to (side_px, side_px, 3) uint8."""
    image = torch.nn.functional.interpolate(image, (side_px, side_px), mode="bilinear")
    return np.asarray(as_bytes(image).numpy())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the fomm engine at several sizes of portraits.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    place = choose_device(args.device)
    speeds = measure_engine(place.name, frames=args.frames)
    print(place)
    for each in speeds:
        psnr = "" if each.psnr_db is None else f", {each.psnr_db:.1f} dB to finishing on the processor"
        print(
            f"{each.side_px} px in {each.precision}: {each.median_ms:.2f} ms, 95 %: {each.p95_ms:.2f} ms{psnr}",
            *each.notes,
        )
    if args.json is not None:
        report = {"device": str(place), "speeds": [asdict(each) for each in speeds]}
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
