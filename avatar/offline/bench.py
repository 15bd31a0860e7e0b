"""Duration of each stage on this machine: tracking, motion, drawing and encoding of one frame.

The built-in portrait is animated by the built-in motion. Tracking needs images of a driver: these show the same
portrait, shifted and rolled a little from frame to frame, at the size that a camera of that resolution would deliver.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.cv import cv2
from avatar.errors import FaceError, LibraryError
from avatar.frames import RgbImage
from avatar.system.devices import processor_name, usable_cores
from avatar.system.installation import INSTALL_AGAIN
from avatar.tracking.face import Face

if TYPE_CHECKING:
    from avatar.engines.warp.engine import WarpEngine
    from avatar.engines.warp.graphics.choice import OpenChip
    from avatar.offline.bench_chip import BenchPicture, ChipResult

SIZES = (("512x512", 512, 512), ("720p", 1280, 720), ("1080p", 1920, 1080))
STAGES = ("tracking", "motion", "drawing", "encode")
LIVE = STAGES[:3]  # stages that a live frame waits for; encoding runs in parallel
WARM_UP = 5  # frames that are not counted, while caches fill and clocks rise
CAMERA_MS = 1000 / 30
HEAD_SHARE = 0.36  # height of the head over that of the bench portrait
PACKAGES = ("numpy", "opencv-python", "av", "ai-edge-litert")
RATE = Fraction(30)


@dataclass(frozen=True)
class Spread:
    """Distribution of milliseconds per frame."""

    median_ms: float
    p95_ms: float
    mean_ms: float

    @staticmethod
    def of(times_ms: list[float]) -> Spread:
        """Summarise the times of one or more frames."""
        return Spread(float(np.median(times_ms)), float(np.quantile(times_ms, 0.95)), float(np.mean(times_ms)))


@dataclass(frozen=True)
class SizeResult:
    """Result for one output size."""

    name: str
    width_px: int
    height_px: int
    prepare_ms: float  # duration of preparing a portrait, once
    stages: dict[str, Spread]  # by name in STAGES
    live: Spread  # sum of the stages of LIVE per frame


@dataclass(frozen=True)
class BenchReport:
    """Results for all sizes."""

    machine: dict[str, Any]
    frames: int  # number of counted frames per size
    sizes: tuple[SizeResult, ...]
    chip: ChipResult | None = None  # None: not looked for

    def as_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Format the report: median and 95th percentile of each stage, and their share of a camera's period."""
        head = ("size", *STAGES, "live", "of 30 fps", f"x {self.sizes[0].name}", "portrait, once")
        rows = [head, *(self._row(size) for size in self.sizes)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        facts = ", ".join(f"{name} {value}" for name, value in self.machine["versions"].items())
        busy = self.machine["load_before"]
        lines += [
            "",
            "Milliseconds per frame, median / 95 %. live: tracking, motion and drawing, for which a live frame waits;",
            f"of 30 fps: its share of a camera's {CAMERA_MS:.0f} ms; x {self.sizes[0].name}: how many times as long as "
            "that size; portrait, once: milliseconds to prepare one.",
        ]
        cores = f"{self.machine['cores']} cores, {self.machine['threads']} threads"
        lines.append(f"{self.machine['cpu']}; {cores}; {facts}")
        if self.chip is not None:
            lines.append(self.chip.sentence())
        if busy is not None and busy > 0.5 * self.machine["cores"]:
            lines.append(f"The machine was busy already (load {busy:.1f}), so these times are too long.")
        return "\n".join(lines)

    def _row(self, size: SizeResult) -> tuple[str, ...]:
        stages = (f"{size.stages[name].median_ms:.1f} / {size.stages[name].p95_ms:.1f}" for name in STAGES)
        live = f"{size.live.median_ms:.1f} / {size.live.p95_ms:.1f}"
        of_camera = f"{size.live.median_ms / CAMERA_MS:.0%}"
        of_first = f"{size.live.median_ms / self.sizes[0].live.median_ms:.1f}"
        return (size.name, *stages, live, of_camera, of_first, f"{size.prepare_ms:.0f}")


@dataclass(eq=False)
class _Clock:
    times_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.times_ms[name].append(1000 * (time.perf_counter() - started))


def run_bench(
    *,
    frames: int = 90,
    sizes: tuple[tuple[str, int, int], ...] = SIZES,
    progress: Callable[[int, int], None] = lambda done, total: None,
    open_chip: Callable[[], OpenChip] | None = None,
) -> BenchReport:
    """Measure every size one after the other.

    Args:
        frames: number of counted frames per size.
        sizes: (name, width, height) of the drawn and of the tracked frames.
        progress: called with the number of frames done and the total.
        open_chip: opens the graphics chip to measure drawing on it too, or raises NoChipError; None: do not.
    Raises:
        LibraryError: the built-in portrait is missing.
        WeightsError: the face model is missing.
    """
    machine = describe_machine()
    total = len(sizes) * (frames + WARM_UP)
    done = itertools.count(1)
    results = [_run_size(*size, frames, lambda: progress(next(done), total)) for size in sizes]
    chip = None
    if open_chip is not None:
        from avatar.offline.bench_chip import measure_chip

        chip = measure_chip(open_chip, [_picture(*size, frames) for size in sizes])
    return BenchReport(machine, frames, tuple(results), chip)


def bench_portrait(width_px: int, height_px: int) -> RgbImage:
    """Crop the built-in portrait to head and shoulders, (height_px, width_px, 3). Raises: LibraryError, FaceError."""
    from avatar.images.load import load_image
    from avatar.library.builtin import builtin_avatars
    from avatar.tracking import open_tracker

    found = builtin_avatars()
    if not found:
        raise LibraryError("The built-in portrait is missing.", remedy=INSTALL_AGAIN)
    rgb = load_image(found[0].image_path)
    with contextlib.closing(open_tracker()) as tracker:
        face = next(iter(tracker.detect(rgb)), None)
    if face is None:
        remedy = "Run: python run.py models verify"
        raise FaceError("The tracker does not find the built-in portrait's face.", remedy=remedy)
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    scale = HEAD_SHARE * height_px / float(high[1] - low[1])
    x, y = (low + high) / 2
    matrix = np.array([[scale, 0, width_px / 2 - scale * x], [0, scale, 0.46 * height_px - scale * y]])
    options = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
    return np.asarray(cv2.warpAffine(rgb, matrix, (width_px, height_px), **options))


def driving_images(portrait: RgbImage) -> Iterator[RgbImage]:
    """Yield the (H, W, 3) portrait, shifted and rolled a little, without end; one image per 30th of a second."""
    height, width = portrait.shape[:2]
    for number in range(10**9):
        turn = 2 * math.pi * number / 60
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 6 * math.sin(turn), 1 + 0.03 * math.sin(2 * turn))
        matrix[:, 2] += 0.03 * height * np.array([math.sin(turn + 1), math.sin(2 * turn)])
        yield np.asarray(cv2.warpAffine(portrait, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def describe_machine() -> dict[str, Any]:
    """Return facts about the machine that the times depend on."""
    from avatar import __version__

    versions = {"masque": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    cores = usable_cores()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    facts = {"cpu": processor_name(), "cores": cores, "threads": cv2.getNumThreads(), "system": platform.platform()}
    return facts | {"load_before": load, "versions": versions}


def _run_size(name: str, width_px: int, height_px: int, frames: int, progress: Callable[[], None]) -> SizeResult:
    from avatar.engines.base import Driving, Portrait
    from avatar.motion.idle import load_idle
    from avatar.motion.reference import choose_reference
    from avatar.tracking import open_tracker

    portrait, idle, clock = bench_portrait(width_px, height_px), load_idle(), _Clock()
    with (
        contextlib.closing(open_tracker(live=True)) as tracker,
        contextlib.closing(_timed_engine(clock)) as engine,
        _encoder(width_px, height_px) as write,
    ):
        source = tracker.detect(portrait)[0]
        started = time.perf_counter()
        engine.show(engine.prepare(Portrait(portrait, source)))
        prepare_ms = 1000 * (time.perf_counter() - started)
        engine.calibrate(Driving(face=idle.face(choose_reference(idle, source)), frame_width_px=idle.width_px))
        for number, driving in zip(range(frames + WARM_UP), driving_images(portrait), strict=False):
            time_s = number / RATE
            with clock.stage("tracking"):
                tracker.track(driving, float(time_s))
            face = idle.face(number % len(idle))
            with clock.stage("drawing"):  # includes the stage "motion"
                drawn = engine.draw(Driving(face=face))
            with clock.stage("encode"):
                write(drawn, float(time_s))
            progress()
    return _sum_up(name, width_px, height_px, prepare_ms, clock)


def _picture(name: str, width_px: int, height_px: int, frames: int) -> BenchPicture:
    """Gather what is drawn on the chip at one size: the same as on the processor."""
    from avatar.motion.idle import load_idle
    from avatar.motion.reference import choose_reference
    from avatar.offline.bench_chip import BenchPicture
    from avatar.tracking import open_tracker

    portrait, idle = bench_portrait(width_px, height_px), load_idle()
    with contextlib.closing(open_tracker()) as tracker:
        source = tracker.detect(portrait)[0]
    faces = [idle.face(number % len(idle)) for number in range(frames + WARM_UP)]
    return BenchPicture(name, portrait, source, idle.face(choose_reference(idle, source)), faces)


def _sum_up(name: str, width_px: int, height_px: int, prepare_ms: float, clock: _Clock) -> SizeResult:
    counted = {stage: times_ms[WARM_UP:] for stage, times_ms in clock.times_ms.items()}
    both = zip(counted["drawing"], counted["motion"], strict=True)
    counted["drawing"] = [drawing - motion for drawing, motion in both]
    live = [sum(times) for times in zip(*(counted[stage] for stage in LIVE), strict=True)]
    stages = {stage: Spread.of(times_ms) for stage, times_ms in counted.items()}
    return SizeResult(name, width_px, height_px, prepare_ms, stages, Spread.of(live))


def _timed_engine(clock: _Clock) -> WarpEngine:
    """Create a warp engine that measures the duration of motion transfer separately."""
    from avatar.engines.warp.engine import WarpEngine

    class TimedEngine(WarpEngine):
        def _carried_over(self, face: Face) -> Any:
            with clock.stage("motion"):
                return super()._carried_over(face)

    return TimedEngine()


@contextlib.contextmanager
def _encoder(width_px: int, height_px: int) -> Iterator[Callable[[RgbImage, float], None]]:
    """Open a temporary video file; yields a writer of (height_px, width_px, 3) uint8 frames and times."""
    from avatar.outputs.files.video_file import open_output
    from avatar.sources.facts import DrivingFacts

    with tempfile.TemporaryDirectory(prefix="masque-bench-") as folder:
        path = Path(folder) / "bench.mp4"
        facts = DrivingFacts(path, width_px, height_px, RATE, 1 / (RATE * 1000), 0.0, 0, has_audio=False)
        with open_output(path, width_px, height_px, facts) as writer:
            yield writer.write
