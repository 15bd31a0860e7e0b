"""How long the whole engine takes for a camera's frame: crop, model, fine detail, put back into the portrait.

    python -m avatar.engine.fomm.speed [--device auto|cpu|cuda|cuda:N|mps] [--frames N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from avatar.devices import choose_device
from avatar.engine.fomm.engine import FommEngine, FommOptions
from avatar.fomm.config import VOX, ModelConfig
from avatar.fomm.random_model import random_model, random_picture
from avatar.fomm.speed import random_clip
from avatar.fomm.stream import Stream, as_bytes
from avatar.frames import Frame, RgbImage
from avatar.portrait_crop import Box

SIDES_PX = (256, 512, 1024)
SETTLING = 4  # frames that nobody counts


@dataclass(frozen=True)
class EngineSpeed:
    """One size of portrait, all of which is moved."""

    side_px: int
    median_ms: float
    p95_ms: float
    precision: str
    psnr_db: float | None  # against the same engine with its finishing on the processor; None on the processor
    notes: tuple[str, ...]


def measure_engine(device: str, *, config: ModelConfig = VOX, frames: int = 100) -> list[EngineSpeed]:
    """Measure portraits of all sizes with random weights."""
    model = random_model(config).to(device)
    camera = [_picture(each[None], 720) for each in random_clip(12, config.frame_size, 3, seed=2)]
    return [_measure(Stream(model), side, camera, frames) for side in SIDES_PX]


def _measure(stream: Stream, side_px: int, camera: list[RgbImage], frames: int) -> EngineSpeed:
    portrait = Frame(_picture(random_picture(1, side_px, seed=1), side_px), 0, 0)
    engine = FommEngine(FommOptions(crop="none"), stream=stream)
    engine.set_source(portrait)
    engine.calibrate_in(Frame(camera[0], 0, 0), Box(0, 0, 720, 720))
    drawn = [engine.animate(Frame(rgb, 0, 0)).rgb for rgb in camera[:SETTLING]][-1]
    psnr_db = None
    if stream.device.type != "cpu":
        other = FommEngine(FommOptions(crop="none"), stream=_Elsewhere(stream))  # type: ignore[arg-type]
        other.set_source(portrait)
        other.calibrate_in(Frame(camera[0], 0, 0), Box(0, 0, 720, 720))
        difference = drawn.astype(np.float32) - other.animate(Frame(camera[SETTLING - 1], 0, 0)).rgb
        psnr_db = float(10 * np.log10(255**2 / max(float(np.square(difference).mean()), 1e-5)))
        engine.set_source(portrait)
        engine.animate(Frame(camera[0], 0, 0))
    times_ms = []
    for number in range(frames):
        start = time.perf_counter()
        engine.animate(Frame(camera[number % len(camera)], 0, 0))
        times_ms.append((time.perf_counter() - start) * 1e3)
    median, late = float(np.median(times_ms)), float(np.percentile(times_ms, 95))
    return EngineSpeed(side_px, median, late, stream.precision, psnr_db, tuple(stream.notes))


class _Elsewhere:
    """A stream that says it is on the processor, so that the engine finishes its pictures there."""

    device = torch.device("cpu")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _picture(image: torch.Tensor, side_px: int) -> RgbImage:
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
