"""Benchmark of all implementations of the model that this machine supports, with random weights.

    python -m avatar.fomm.speed [--device auto|cpu|cuda|cuda:N|mps] [--frames N] [--json FILE] [--only WORD ...]

Times include the conversion from and to uint8, as in `animate` and the live view. Each implementation alternates with
the plain model, ROUND frames each, so that other load slows both alike. A failure is reported as a line of the table.
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
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.config import VOX, ModelConfig
from avatar.fomm.fast import KernelOptions
from avatar.fomm.model import FirstOrderModel
from avatar.fomm.precision import faster_precision
from avatar.fomm.random_model import random_image, random_model
from avatar.fomm.stream import Stream, StreamOptions, as_bytes
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, relative_keypoints
from avatar.system.devices import processor_name
from avatar.system.foreign_text import shown

ROUND = 6  # frames
SETTLING = 4  # warm-up frames: libraries choose algorithms, graphs are recorded
PLAIN, EXACT = "plain model", "plain model, no TF32"
Report = Callable[[str], None]  # called with the name of the next variant


class Runner(Protocol):
    """One implementation of the model."""

    def set_source(self, rgb: RgbImage) -> None:
        """Prepare a portrait."""

    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference frame."""

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Compute a frame."""
        ...


@dataclass(frozen=True)
class Variant:
    """An implementation that is not opened yet."""

    name: str
    open: Callable[[], Runner]


@dataclass(frozen=True)
class Speed:
    """Result of one implementation; without times if it failed."""

    name: str
    precision: str = ""
    median_ms: float | None = None  # per frame, uint8 in to uint8 out
    p95_ms: float | None = None
    plain_ms: float | None = None  # median of the plain model, measured in alternation
    psnr_db: float | None = None  # over all frames, against the plain model in exact float32
    memory_mb: float | None = None  # peak of the additional memory, weights included
    prepare_s: float | None = None  # time to open it and to compute the first frame
    notes: tuple[str, ...] = ()
    error: str = ""
    parts_ms: dict[str, float] = field(default_factory=dict)  # of the last frame, by part; empty: not taken apart

    @property
    def times_faster(self) -> float | None:
        """Speed-up over the plain model."""
        return self.plain_ms / self.median_ms if self.plain_ms and self.median_ms else None

    @property
    def summary(self) -> str:
        """One line: its time and the speed-up, or why it failed."""
        if self.median_ms is None:
            return f"{self.name}: failed: {self.error}"
        faster = "" if self.times_faster is None else f", {self.times_faster:.2f} times as fast as the plain model"
        return f"{self.name}: {self.median_ms:.2f} ms{faster}"


@dataclass(frozen=True)
class SpeedReport:
    """The complete benchmark."""

    machine: dict[str, Any]
    frames: int  # measured frames per implementation
    speeds: tuple[Speed, ...]
    kernels: tuple[dict[str, Any], ...] = ()  # profile of the CUDA kernels: name, calls, us per frame

    def as_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        found = asdict(self)
        for speed, entry in zip(self.speeds, found["speeds"], strict=True):
            entry["times_faster"] = speed.times_faster
            entry["fps"] = None if speed.median_ms is None else 1000 / speed.median_ms
        return found

    def table(self) -> str:
        """Format the report as a table."""
        head = ("way", "precision", "median ms", "p95 ms", "frames/s", "x plain", "PSNR dB", "memory MB", "ready s")
        rows = [head, *(_row(speed) for speed in self.speeds if not speed.error)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [_line(row, widths) for row in rows]
        for speed in self.speeds:
            if speed.parts_ms:
                parts = ", ".join(f"{part} {ms:.1f} ms" for part, ms in speed.parts_ms.items())
                lines.append(f"{speed.name}: {parts}")
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
        "" if faster is None else f"{faster:.2f}",
        "" if psnr is None else f"{psnr:.1f}",
        "" if memory is None else f"{memory:.0f}",
        "" if speed.prepare_s is None else f"{speed.prepare_s:.1f}",
    )


class PlainRunner:
    """The plain float32 model, as the paper's demo runs it: nothing cached, nothing folded."""

    precision = "float32"

    def __init__(self, model: FirstOrderModel, *, tf32: bool) -> None:
        self._model, self._tf32 = model, tf32
        self._device = model.generator.final.weight.device
        self._source = torch.empty(0)
        self._kp: list[Keypoints] = []  # keypoints of the source and of the reference frame

    def set_source(self, rgb: RgbImage) -> None:
        """Keep the portrait and its keypoints."""
        self._source = self._tensor(rgb)
        self._kp = [self._model.detect(self._source)]

    def calibrate(self, rgb: RgbImage) -> None:
        """Keep the reference's keypoints."""
        self._kp = [self._kp[0], self._model.detect(self._tensor(rgb))]

    def animate(self, rgb: RgbImage) -> RgbImage:
        """Compute a frame, encoding the source again, as `make_animation` of the paper's demo does."""
        before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, self._tf32
        try:
            kp_source, kp_reference = self._kp
            kp_norm = relative_keypoints(kp_source, self._model.detect(self._tensor(rgb)), kp_reference)
            prediction = self._model.generate(self._source, kp_source, kp_norm)
            return np.asarray(as_bytes(prediction).cpu().numpy())
        finally:
            torch.backends.cudnn.allow_tf32 = before

    def _tensor(self, rgb: RgbImage) -> Tensor:
        """Convert (H, W, C) uint8 to (1, C, H, W) float32 in [0, 1] on the device."""
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
    """Benchmark all implementations of the model on a device.

    Args:
        config: the structure; the published model of faces by default.
        frames: minimum number of measured frames, rounded up to whole rounds; None: 20 on a CPU, 200 elsewhere.
        seed: seed of weights and images.
        device: where to run.
        only: substrings of the names to measure in addition to the plain model; empty for all.
        report: called with the name of the next implementation.
        keep: called with the results so far, after each implementation.
    """
    frames = frames or (20 if device == "cpu" else 200)
    place = torch.device(device)
    model = random_model(config, seed)  # on the CPU; each implementation copies it, so that its memory is measurable
    source = images_to_bytes(random_image(1, config.frame_size, config.num_channels, seed=seed + 1))[0]
    rounds = -(-frames // (ROUND - 1))
    clip = images_to_bytes(random_clip(rounds * ROUND, config.frame_size, config.num_channels, seed=seed + 2))
    with tempfile.TemporaryDirectory(prefix="masque-speed-") as folder:
        bench = Bench(source, clip, place)
        done: list[Speed] = []
        machine, kernels = describe_device(place), _kernels(model, place, source, clip[1])
        for variant in _variants(model, place, Path(folder)):
            if only and variant.name not in (PLAIN, EXACT) and not any(word in variant.name for word in only):
                continue
            report(variant.name)
            done.append(bench.measure(variant))
            keep(SpeedReport(machine, rounds * (ROUND - 1), tuple(done), kernels))
        bench.close()
        tidy()
    return SpeedReport(machine, rounds * (ROUND - 1), tuple(done), kernels)


def random_clip(count: int, size: int, channels: int, seed: int) -> Tensor:
    """Generate (count, channels, size, size) frames: one random image that sways as a head does."""
    image = random_image(1, size, channels, seed=seed)
    phase = torch.linspace(0, 2 * torch.pi, count)
    angle, zero = 0.2 * torch.sin(phase), torch.zeros(count)
    across, down = 0.15 * torch.sin(2 * phase), zero
    rows = [torch.stack([angle.cos(), -angle.sin(), across], 1), torch.stack([angle.sin(), angle.cos(), down], 1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), [count, channels, size, size], align_corners=True)
    copies = image.expand(count, -1, -1, -1)
    return F.grid_sample(copies, grid, padding_mode="reflection", align_corners=True)


def describe_device(device: torch.device) -> dict[str, Any]:
    """Describe the hardware and software that the times depend on."""
    facts: dict[str, Any] = {"device": str(device), "cpu": processor_name(), "cores": os.cpu_count()}
    facts |= {"threads": torch.get_num_threads(), "python": platform.python_version(), "torch": torch.__version__}
    if device.type == "cuda":
        facts |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        facts["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    with contextlib.suppress(ImportError):
        import onnxruntime

        facts["onnxruntime"] = onnxruntime.__version__
    return facts


class Bench:
    """Benchmark state: the images, and the plain model that all implementations alternate with."""

    def __init__(
        self,
        source: RgbImage,
        clip: list[RgbImage],
        device: torch.device,
        *,
        reference: RgbImage | None = None,
        round_frames: int = ROUND,
        settling: int = SETTLING,
    ) -> None:
        """Set up a benchmark.

        Args:
            source: the portrait.
            clip: driving frames, whole rounds of them.
            device: where the implementations run.
            reference: the reference frame; None: the first of the clip.
            round_frames: frames before the other implementation's turn; the first of several is not measured. With a
                single one, for frames of seconds, every frame counts and none is computed for warming up.
            settling: frames before the first round.
        """
        self._source, self._clip, self._device = source, clip, device
        self._reference = clip[0] if reference is None else reference
        self._round, self._settling = round_frames, settling
        self._plain: Runner | None = None
        self._wanted: list[RgbImage] = []  # frames of the plain model in exact float32

    def measure(self, variant: Variant) -> Speed:
        """Measure one implementation; a failure is reported in the result."""
        tidy()
        try:
            memory = _Memory(self._device)
            started = time.perf_counter()
            runner = variant.open()
            runner.set_source(self._source)
            runner.calibrate(self._reference)
            if self._round > 1:
                runner.animate(self._clip[0])
            prepare_s = time.perf_counter() - started
            for rgb in self._clip[: self._settling]:
                runner.animate(rgb)
            return self._run(variant.name, runner, memory.used_mb(), prepare_s)
        except Exception as error:  # any failure becomes a line of the table
            return Speed(variant.name, error=f"{type(error).__name__}: {shown(error, 500)}")

    def _run(self, name: str, runner: Runner, memory_mb: float | None, prepare_s: float) -> Speed:
        if name == PLAIN:
            self._plain = runner
        times_ms: list[float] = []
        plain_ms: list[float] = []
        results: list[RgbImage] = []
        for start in range(0, len(self._clip), self._round):
            frames = self._clip[start : start + self._round]
            if self._plain is not None and runner is not self._plain:
                _timed(self._plain, frames[:3], plain_ms)
            results += _timed(runner, frames, times_ms)
        if name == EXACT or not self._wanted:
            self._wanted = results
        return Speed(
            name,
            str(getattr(runner, "precision", "")),
            float(np.median(times_ms)),
            float(np.percentile(times_ms, 95)),
            float(np.median(plain_ms)) if plain_ms else None,
            None if results is self._wanted else _psnr_db(self._wanted, results),
            memory_mb,
            prepare_s,
            tuple(getattr(runner, "notes", ())),
            parts_ms=dict(getattr(runner, "parts_ms", {})),
        )

    def close(self) -> None:
        """Release the plain model."""
        self._plain = None


def _timed(runner: Runner, frames: list[RgbImage], times_ms: list[float]) -> list[RgbImage]:
    """Compute frames (H, W, C) uint8 and their times; the first of several has cold caches and is not measured."""
    results = []
    for number, rgb in enumerate(frames):
        start = time.perf_counter()
        results.append(runner.animate(rgb))
        if number > 0 or len(frames) == 1:
            times_ms.append((time.perf_counter() - start) * 1e3)
    return results


def _variants(model: FirstOrderModel, device: torch.device, folder: Path) -> Iterator[Variant]:
    """Yield all implementations on a device, the plain ones first because the others are compared with them."""
    cuda = device.type == "cuda"

    def plain(tf32: bool) -> Runner:
        return PlainRunner(copy.deepcopy(model).to(device), tf32=tf32)

    def ours(**options: Any) -> Runner:
        return Stream(copy.deepcopy(model).to(device), StreamOptions(**options))

    if cuda:
        yield Variant(EXACT, lambda: plain(tf32=False))
    yield Variant(PLAIN, lambda: plain(tf32=True))  # torch's default, as in the demo
    single, half, brain = torch.float32, torch.float16, torch.bfloat16
    if not cuda:
        yield Variant("torch", lambda: ours(precision=single))
        if device.type == "cpu":
            yield Variant("torch without packed", lambda: ours(precision=single, kernels=KernelOptions()))
            if faster_precision(device) == brain:
                yield Variant("torch bfloat16", lambda: ours(precision=brain))
            yield Variant("torch compiled", lambda: ours(compiled=True))
    else:
        usual = KernelOptions.usual(half, device)
        yield Variant("torch", ours)
        yield Variant("torch, no graph", lambda: ours(graph=False))
        yield Variant("torch bfloat16", lambda: ours(precision=brain))
        yield Variant("torch float32", lambda: ours(precision=single))
        yield Variant("torch float32, TF32", lambda: ours(precision=single, kernels=replace(usual, tf32=True)))
        yield from _onnx_variants(model, device, folder)
        yield Variant("torch compiled", lambda: ours(compiled=True))
        for name in ("tf32", "fused", "rows", "aligned", "transposed"):  # one thing changed at a time
            changed = replace(usual, **{name: not getattr(usual, name)})
            with_it = "with" if getattr(changed, name) else "without"
            yield Variant(f"torch {with_it} {name}", partial(ours, precision=half, kernels=changed))
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
    """Profile one frame on CUDA by kernel, for (H, W, C) uint8 images; empty on other devices."""
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
    except Exception as error:  # the profile is optional
        return ({"name": f"no profile: {error}"[:300], "calls": 0, "us": 0.0},)


class _Memory:
    """Peak memory since this object was created."""

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
        """Return the peak of the additional memory in MB. On CUDA that of torch, or of another runtime."""
        if self._device.type == "cuda":
            own = torch.cuda.max_memory_allocated(self._device) / 1e6 - self._before_mb
            if own > 100:  # MB; other runtimes show only in the free memory of the device
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
    """Compute the PSNR in dB over all frames, (H, W, C) uint8 each."""
    squares = np.mean([np.square(a.astype(np.float32) - b).mean() for a, b in zip(wanted, got, strict=True)])
    return 10 * math.log10(255**2 / max(float(squares), 1e-5))


def images_to_bytes(images: Tensor) -> list[RgbImage]:
    """Convert (N, C, H, W) in [0, 1] to N uint8 images, (H, W, C) each."""
    return [as_bytes(image[None]).numpy() for image in images]


def tidy() -> None:
    """Release the memory of the implementation before."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Run the command line; needs only torch, numpy, OpenCV and, for some implementations, ONNX Runtime."""
    run_comparison("Measure every way of computing the First Order Motion Model.", compare_speeds)


def run_comparison(description: str, compare: Callable[..., SpeedReport]) -> None:
    """Run the command line of a comparison: `compare` takes frames, device, only and keep, as `compare_speeds`."""
    parser = argparse.ArgumentParser(description=description)
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
        print(report.speeds[-1].summary, flush=True)

    report = compare(frames=args.frames, device=device, only=tuple(args.only), keep=keep)
    if args.json is not None:
        args.json.write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
    print(report.table())


if __name__ == "__main__":
    main()
