"""Every way of computing the model that this machine has, side by side in one run, with random weights.

    python -m avatar.fomm.speed [--device auto|cpu|cuda|cuda:N|mps] [--frames N] [--json FILE] [--only WORD ...]

A uint8 picture in, a uint8 picture out, as `animate` and the live view need them. Each way takes turns with the plain
model, ROUND frames each, so that a machine with other work slows both alike. What fails is a line in the table.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.devices import processor_name
from avatar.fomm.config import VOX, ModelConfig
from avatar.fomm.fast import Tricks
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.precision import faster_precision
from avatar.fomm.random_model import random_model, random_picture
from avatar.fomm.stream import Stream, StreamOptions, as_bytes
from avatar.foreign_text import shown
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, relative_keypoints

ROUND = 6  # frames
SETTLING = 4  # frames that nobody counts: libraries choose algorithms, graphs are recorded
PLAIN, EXACT = "plain model", "plain model, no TF32"
Report = Callable[[str], None]  # told what is measured next


class Runner(Protocol):
    """One way of computing frames."""

    def set_source(self, rgb: RgbImage) -> None:
        """Prepare a portrait."""

    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference frame."""

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Draw a frame."""
        ...


@dataclass(frozen=True)
class Variant:
    """A way of computing frames, not opened yet."""

    name: str
    open: Callable[[], Runner]


@dataclass(frozen=True)
class Speed:
    """How one way did; without times where it failed."""

    name: str
    precision: str = ""
    median_ms: float | None = None  # per frame, uint8 in to uint8 out
    p95_ms: float | None = None
    plain_ms: float | None = None  # median of the plain model in the same minutes
    psnr_db: float | None = None  # of all its pictures against the plain model's in exact float32
    memory_mb: float | None = None  # most that it needed beside what was there, weights included
    prepare_s: float | None = None  # to open it and to draw the first frame
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def times_faster(self) -> float | None:
        """Than the plain model."""
        return self.plain_ms / self.median_ms if self.plain_ms and self.median_ms else None


@dataclass(frozen=True)
class SpeedReport:
    """The whole measurement."""

    machine: dict[str, Any]
    frames: int  # that counted, of each way
    speeds: tuple[Speed, ...]
    kernels: tuple[dict[str, Any], ...] = ()  # what takes the time on CUDA: name, calls, us per frame

    def as_json(self) -> dict[str, Any]:
        """Plain numbers for a JSON file."""
        found = asdict(self)
        for speed, entry in zip(self.speeds, found["speeds"], strict=True):
            entry["times_faster"] = speed.times_faster
            entry["fps"] = None if speed.median_ms is None else 1000 / speed.median_ms
        return found

    def table(self) -> str:
        """The same for people."""
        head = ("way", "precision", "median ms", "p95 ms", "frames/s", "x plain", "PSNR dB", "memory MB", "ready s")
        rows = [head, *(_row(speed) for speed in self.speeds if not speed.error)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [_line(row, widths) for row in rows]
        lines += [f"{speed.name}: {note}" for speed in self.speeds for note in speed.notes]
        lines += [f"{speed.name}: failed: {speed.error}" for speed in self.speeds if speed.error]
        facts = ", ".join(f"{name} {value}" for name, value in self.machine.items() if value)
        return "\n".join([*lines, "", facts])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(texts + numbers).rstrip()


def _row(speed: Speed) -> tuple[str, ...]:
    assert speed.median_ms is not None and speed.p95_ms is not None
    faster, psnr, memory = speed.times_faster, speed.psnr_db, speed.memory_mb
    return (
        speed.name,
        speed.precision,
        f"{speed.median_ms:.2f}",
        f"{speed.p95_ms:.2f}",
        f"{1000 / speed.median_ms:.1f}",
        "" if faster is None else f"{faster:.1f}",
        "" if psnr is None else f"{psnr:.1f}",
        "" if memory is None else f"{memory:.0f}",
        "" if speed.prepare_s is None else f"{speed.prepare_s:.1f}",
    )


class PlainRunner:
    """The plain float32 model, as the paper's demo runs it: nothing kept, nothing folded."""

    precision = "float32"

    def __init__(self, model: FirstOrderModel, *, tf32: bool) -> None:
        self._model, self._tf32 = model, tf32
        self._device = model.generator.final.weight.device
        self._source = torch.empty(0)
        self._kp: list[Keypoints] = []  # of the source and of the reference frame

    def set_source(self, rgb: RgbImage) -> None:
        """Keep the portrait and its keypoints."""
        self._source = self._tensor(rgb)
        self._kp = [self._model.detect(self._source)]

    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference's keypoints."""
        self._kp = [self._kp[0], self._model.detect(self._tensor(rgb))]

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Encode the source again and draw, as `make_animation` of the paper's demo does."""
        before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, self._tf32
        try:
            kp_source, kp_reference = self._kp
            kp_norm = relative_keypoints(kp_source, self._model.detect(self._tensor(rgb)), kp_reference)
            prediction = self._model.generate(self._source, kp_source, kp_norm)
            return np.asarray(as_bytes(prediction).cpu().numpy())
        finally:
            torch.backends.cudnn.allow_tf32 = before

    def _tensor(self, rgb: RgbImage) -> Tensor:
        return torch.from_numpy(rgb.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255


def compare_speeds(
    config: ModelConfig = VOX,
    *,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    only: tuple[str, ...] = (),
    report: Report = lambda _: None,
    keep: Callable[[SpeedReport], None] = lambda _: None,
) -> SpeedReport:
    """Measure every way of computing the model that there is on a device.

    Args:
        config: what to build; the published faces' model by default.
        frames: how many count, at least, in whole rounds; None: 20 on a processor, 200 elsewhere.
        seed: of weights and pictures.
        device: where.
        only: parts of the names of the ways to measure, beside the plain model; all without.
        report: told what comes next.
        keep: given what is known so far, after each way.
    """
    frames = frames or (20 if device == "cpu" else 200)
    place = torch.device(device)
    model = random_model(config, seed)  # on the CPU; every way takes a copy, so that its memory can be told
    source = _bytes(random_picture(1, config.frame_size, config.num_channels, seed=seed + 1))[0]
    rounds = -(-frames // (ROUND - 1))
    clip = _bytes(random_clip(rounds * ROUND, config.frame_size, config.num_channels, seed=seed + 2))
    with tempfile.TemporaryDirectory(prefix="masque-speed-") as folder:
        bench = _Bench(source, clip, place)
        done: list[Speed] = []
        machine, kernels = describe_device(place), _kernels(model, place, source, clip[1])
        for variant in _variants(model, place, Path(folder)):
            if only and variant.name not in (PLAIN, EXACT) and not any(word in variant.name for word in only):
                continue
            report(variant.name)
            done.append(bench.measure(variant))
            keep(SpeedReport(machine, rounds * (ROUND - 1), tuple(done), kernels))
        bench.close()
        _tidy()
    return SpeedReport(machine, rounds * (ROUND - 1), tuple(done), kernels)


def random_clip(count: int, size: int, channels: int, seed: int) -> Tensor:
    """(count, channels, size, size): one random picture that sways, as a head does."""
    picture = random_picture(1, size, channels, seed=seed)
    phase = torch.linspace(0, 2 * torch.pi, count)
    angle, zero = 0.2 * torch.sin(phase), torch.zeros(count)
    across, down = 0.15 * torch.sin(2 * phase), zero
    rows = [torch.stack([angle.cos(), -angle.sin(), across], 1), torch.stack([angle.sin(), angle.cos(), down], 1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), [count, channels, size, size], align_corners=True)
    everywhere = picture.expand(count, -1, -1, -1)
    return F.grid_sample(everywhere, grid, padding_mode="reflection", align_corners=True)


def describe_device(device: torch.device) -> dict[str, Any]:
    """What the times depend on."""
    facts: dict[str, Any] = {"device": str(device), "cpu": processor_name(), "cores": os.cpu_count()}
    facts |= {"threads": torch.get_num_threads(), "python": platform.python_version(), "torch": torch.__version__}
    if device.type == "cuda":
        facts |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        facts["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    with contextlib.suppress(ImportError):
        import onnxruntime

        facts["onnxruntime"] = onnxruntime.__version__
    return facts


class _Bench:
    """The pictures, and the plain model with which all take turns."""

    def __init__(self, source: RgbImage, clip: list[RgbImage], device: torch.device) -> None:
        self._source, self._clip, self._device = source, clip, device
        self._plain: Runner | None = None
        self._wanted: list[RgbImage] = []  # pictures of the plain model in exact float32

    def measure(self, variant: Variant) -> Speed:
        """Measure one way; what goes wrong in it is told in the result."""
        _tidy()
        try:
            memory = _Memory(self._device)
            started = time.perf_counter()
            runner = variant.open()
            runner.set_source(self._source)
            runner.calibrate(self._clip[0])
            runner.animate(self._clip[0])
            prepare_s = time.perf_counter() - started
            for rgb in self._clip[:SETTLING]:
                runner.animate(rgb)
            return self._run(variant.name, runner, memory.used_mb(), prepare_s)
        except Exception as error:  # this is a table of what works: one that does not is a line in it
            return Speed(variant.name, error=f"{type(error).__name__}: {shown(error, 500)}")

    def _run(self, name: str, runner: Runner, memory_mb: float | None, prepare_s: float) -> Speed:
        if name == PLAIN:
            self._plain = runner
        times_ms: list[float] = []
        plain_ms: list[float] = []
        pictures: list[RgbImage] = []
        for start in range(0, len(self._clip), ROUND):
            frames = self._clip[start : start + ROUND]
            if self._plain is not None and runner is not self._plain:
                _timed(self._plain, frames[:3], plain_ms)
            pictures += _timed(runner, frames, times_ms)
        if name == EXACT or not self._wanted:
            self._wanted = pictures
        return Speed(
            name,
            str(getattr(runner, "precision", "")),
            float(np.median(times_ms)),
            float(np.percentile(times_ms, 95)),
            float(np.median(plain_ms)) if plain_ms else None,
            None if pictures is self._wanted else _psnr_db(self._wanted, pictures),
            memory_mb,
            prepare_s,
            tuple(getattr(runner, "notes", ())),
        )

    def close(self) -> None:
        """Let go of the plain model."""
        self._plain = None


def _timed(runner: Runner, frames: list[RgbImage], times_ms: list[float]) -> list[RgbImage]:
    """Draw frames; the first of a round finds others' data in the caches and does not count."""
    pictures = []
    for number, rgb in enumerate(frames):
        start = time.perf_counter()
        pictures.append(runner.animate(rgb))
        if number > 0:
            times_ms.append((time.perf_counter() - start) * 1e3)
    return pictures


def _variants(model: FirstOrderModel, device: torch.device, folder: Path) -> Iterator[Variant]:
    """All ways there are on a device, plain ones first: the others are compared with them."""
    cuda = device.type == "cuda"

    def plain(tf32: bool) -> Runner:
        return PlainRunner(copy.deepcopy(model).to(device), tf32=tf32)

    def ours(**options: Any) -> Runner:
        return Stream(copy.deepcopy(model).to(device), StreamOptions(**options))

    if cuda:
        yield Variant(EXACT, lambda: plain(tf32=False))
    yield Variant(PLAIN, lambda: plain(tf32=True))  # as torch is set by itself, which is how the demo runs
    single, half, brain = torch.float32, torch.float16, torch.bfloat16
    if not cuda:
        yield Variant("torch", lambda: ours(precision=single))
        if device.type == "cpu":
            yield Variant("torch without packed", lambda: ours(precision=single, tricks=Tricks()))
            if faster_precision(device) == brain:
                yield Variant("torch bfloat16", lambda: ours(precision=brain))
            yield Variant("torch compiled", lambda: ours(compiled=True))
    else:
        usual = Tricks.usual(half, device)
        yield Variant("torch", ours)
        yield Variant("torch, no graph", lambda: ours(graph=False))
        yield Variant("torch bfloat16", lambda: ours(precision=brain))
        yield Variant("torch float32", lambda: ours(precision=single))
        yield Variant("torch float32, TF32", lambda: ours(precision=single, tricks=replace(usual, tf32=True)))
        yield from _onnx_variants(model, device, folder)
        yield Variant("torch compiled", lambda: ours(compiled=True))
        for name in ("tf32", "fused", "rows", "aligned", "transposed"):  # one thing changed at a time
            changed = replace(usual, **{name: not getattr(usual, name)})
            with_it = "with" if getattr(changed, name) else "without"
            yield Variant(f"torch {with_it} {name}", partial(ours, precision=half, tricks=changed))
        return
    yield from _onnx_variants(model, device, folder)


def _onnx_variants(model: FirstOrderModel, device: torch.device, folder: Path) -> Iterator[Variant]:
    from avatar.fomm.onnx_export import export_onnx
    from avatar.fomm.onnx_stream import OnnxStream

    def exported(device: str, half: bool, **options: Any) -> Runner:
        export_onnx(model, folder / f"half-{half}", half=half)
        return OnnxStream(folder / f"half-{half}", device=device, **options)

    if device.type == "cuda":
        yield Variant("ONNX Runtime CUDA float32", lambda: exported(str(device), half=False))
        yield Variant("ONNX Runtime CUDA float16", lambda: exported(str(device), half=True))
    elif device.type == "cpu":
        yield Variant("ONNX Runtime", lambda: exported("cpu", half=False))


def _kernels(
    model: FirstOrderModel, device: torch.device, source: RgbImage, driving: RgbImage
) -> tuple[dict[str, Any], ...]:
    """What takes the time of one frame on CUDA, kernel by kernel; empty elsewhere, or where it cannot be told."""
    if device.type != "cuda":
        return ()
    count = 20
    try:
        stream = Stream(copy.deepcopy(model).to(device), StreamOptions(graph=False))
        stream.set_source(source)
        for _ in range(SETTLING):
            stream.animate(driving)
        activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities) as profile:
            for _ in range(count):
                stream.animate(driving)
        found = []
        for event in profile.key_averages():
            us = float(getattr(event, "self_device_time_total", 0) or 0)
            is_kernel = "CUDA" in str(getattr(event, "device_type", ""))
            if us > 0 and is_kernel:
                found.append({"name": event.key[:160], "calls": event.count / count, "us": us / count})
        return tuple(sorted(found, key=lambda entry: -entry["us"])[:60])
    except Exception as error:  # a luxury
        return ({"name": f"no profile: {error}"[:300], "calls": 0, "us": 0.0},)


class _Memory:
    """The most memory that was needed since it was made."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._before_mb = device, 0.0
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._before_mb = torch.cuda.memory_allocated(device) / 1e6
            self._free_mb = torch.cuda.mem_get_info(device)[0] / 1e6
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: forget the peak
            self._before_mb = _resident_mb("VmRSS:") or 0.0

    def used_mb(self) -> float | None:
        """MB since, beside what was there before. On CUDA torch's own, or of others if that is more."""
        if self._device.type == "cuda":
            own = torch.cuda.max_memory_allocated(self._device) / 1e6 - self._before_mb
            if own > 100:  # MB; a runtime beside torch shows only in what the device has left
                return own
            return self._free_mb - torch.cuda.mem_get_info(self._device)[0] / 1e6
        peak = _resident_mb("VmHWM:")
        return None if peak is None else peak - self._before_mb


def _resident_mb(entry: str) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(entry):
                return int(line.split()[1]) / 1e3
    return None


def _psnr_db(wanted: list[RgbImage], got: list[RgbImage]) -> float:
    squares = np.mean([np.square(a.astype(np.float32) - b).mean() for a, b in zip(wanted, got, strict=True)])
    return 10 * math.log10(255**2 / max(float(squares), 1e-5))


def _bytes(pictures: Tensor) -> list[RgbImage]:
    return [as_bytes(picture[None]).numpy() for picture in pictures]


def _tidy() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Measure and print; needs nothing of Masque but torch, numpy, OpenCV and, for its lines, ONNX Runtime."""
    parser = argparse.ArgumentParser(description="Measure every way of computing the First Order Motion Model.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"

    def keep(report: SpeedReport) -> None:
        if args.json is not None:
            args.json.write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
        last = report.speeds[-1]
        ms = "failed" if last.median_ms is None else f"{last.median_ms:.2f} ms"
        print(f"{last.name}: {ms} {last.error}", flush=True)

    report = compare_speeds(frames=args.frames, device=device, only=tuple(args.only), keep=keep)
    if args.json is not None:
        args.json.write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
    print(report.table())


if __name__ == "__main__":
    main()
