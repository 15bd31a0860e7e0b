"""Soak test of the live pipeline with fault injection: `python tools/soak.py [--minutes 60]`, in Masque's environment.

The driver is the animated built-in portrait with a magenta border; magenta in an output means that a camera frame
leaked. Every few seconds a fault is injected (camera, face, engine, disk, output), or the avatar or reference frame is
changed. Memory, threads and open files are sampled. The exit code is 1 if they grow, a frame leaked, or something did
not recover. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from avatar.engines.base import EngineConfig
from avatar.engines.registry import create_engine
from avatar.errors import CameraError, OutputError
from avatar.frames import Frame, RgbImage
from avatar.live.config import LiveConfig
from avatar.live.events import Event
from avatar.live.live_engine import LiveEngine
from avatar.live.motion_source import DrivingState
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.offline.bench import bench_portrait, driving_images
from avatar.outputs.live.recorder import Recorder
from avatar.settings import CanvasSettings, MotionSettings
from avatar.sources.base import SourceFacts

MAGENTA = (255, 0, 255)
EDGE_PX = 40
FILE_LIMIT = 3_000_000  # bytes: how full the disk is
SAMPLE_S = 5.0
SETTLING = 0.3  # fraction of the time after which nothing may grow any more
GROWTH_MB_PER_HOUR = 30.0
FAULTS = (
    "camera fails", "camera falls silent", "face lost", "black picture", "engine fails", "engine fails twice",
    "output vanishes", "other avatar", "no avatar", "calibrate", "recentre", "mirror", "freeze", "motion",
    "new recording",
)  # fmt: skip


@dataclass
class World:
    """Injected faults and observations."""

    camera_error: Exception | None = None
    silent: bool = False
    hidden: bool = False  # the face
    black: bool = False
    engine_failures: int = 0  # pending failures
    output_error: Exception | None = None
    leaks: int = 0
    seen: int = 0  # checked frames
    told: collections.Counter[str] = field(default_factory=collections.Counter)


class Camera:
    """A fake camera: the moving portrait, 30 times a second."""

    name = "soak"

    def __init__(self, world: World, images: list[RgbImage]) -> None:
        self._world, self._images = world, images
        self._sequence, self._stopping = 0, threading.Event()
        self._due_s = time.monotonic()
        height, width = images[0].shape[:2]
        self.facts = SourceFacts(width, height, 30.0)

    def read(self) -> Frame:
        """Wait for the next frame."""
        while True:
            self._due_s = max(self._due_s + 1 / 30, time.monotonic() - 0.1)
            self._stopping.wait(max(0.0, self._due_s - time.monotonic()))
            if self._stopping.is_set():
                raise CameraError("closed", remedy="")
            if self._world.camera_error is not None:
                raise self._world.camera_error
            if not self._world.silent:
                break
        self._sequence += 1
        rgb = self._images[self._sequence % len(self._images)]
        if self._world.hidden or self._world.black:
            rgb = np.full_like(rgb, 0 if self._world.black else 128)
            rgb[:EDGE_PX] = MAGENTA
        return Frame(rgb, self._sequence, time.monotonic_ns())

    def interrupt(self) -> None:
        """End a `read`."""
        self._stopping.set()

    def close(self) -> None:
        """Let go."""
        self._stopping.set()


class FailingEngine(LiveEngine):
    """The warp engine, which fails when it is told to."""

    def __init__(self, world: World, config: LiveConfig) -> None:
        super().__init__(create_engine(EngineConfig(motion=config.motion)), config.motion)
        self._world = world

    def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
        """Draw, or fail."""
        if self._world.engine_failures > 0:
            self._world.engine_failures -= 1
            raise RuntimeError("the soak test broke the engine")
        return super().draw(state, frame_width_px, time_s)


class Watcher:
    """A paced output that checks every frame for leaked camera frames."""

    facts = "looks on"
    rate = 30.0

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, frame: Frame) -> None:
        """Check one frame."""
        if self._world.output_error is not None:
            error, self._world.output_error = self._world.output_error, None
            raise error
        image = frame.rgb[::4, ::4].astype(int)
        magenta = (image[..., 0] > 200) & (image[..., 1] < 70) & (image[..., 2] > 200)
        self._world.leaks += int(magenta.sum()) > 20
        self._world.seen += 1

    def repeat(self) -> None:
        """Do nothing: there is no new frame."""

    def close(self) -> None:
        """Do nothing."""


class Soak:
    """State of one run."""

    def __init__(self, folder: Path, seed: int, lines: int) -> None:
        self._canvas = CanvasSettings(16 * lines // 9 // 2 * 2, lines)
        self.world, self._folder, self._random = World(), folder, random.Random(seed)
        images = []
        for _, image in zip(range(120), driving_images(bench_portrait(640, 360)), strict=False):
            marked = image.copy()
            marked[:EDGE_PX] = marked[-EDGE_PX:] = marked[:, :EDGE_PX] = marked[:, -EDGE_PX:] = MAGENTA
            images.append(marked)
        other = folder / "other.png"
        from avatar.images.load import save_png

        save_png(other, bench_portrait(480, 480))
        self._avatars = ["astronaut", str(other)]
        tools = LiveTools(
            open_source=lambda spec, size, rate: Camera(self.world, images),
            open_engine=lambda config: FailingEngine(self.world, config),
        )
        self.pipeline = Pipeline(LiveConfig(source="soak", canvas=self._canvas), on_event=self._note, tools=tools)
        self.samples: list[dict[str, float]] = []
        self.faults: collections.Counter[str] = collections.Counter()
        self.came_back = False
        self._recordings = 0
        self._later: list[tuple[float, Callable[[], None]]] = []

    def run(self, minutes: float) -> None:
        """Inject faults until the time is up."""
        began_s = time.monotonic()
        self.pipeline.add_output("watcher", lambda: Watcher(self.world))
        self._record()
        self.pipeline.start()
        next_fault_s, next_sample_s = 20.0, 15.0
        while (now_s := time.monotonic() - began_s) < minutes * 60:
            for due_s, action in [each for each in self._later if each[0] <= time.monotonic()]:
                self._later.remove((due_s, action))
                action()
            if now_s >= next_fault_s:
                next_fault_s = now_s + self._random.uniform(2, 8)
                self.happen(self._random.choice(FAULTS))
            if now_s >= next_sample_s:
                next_sample_s += SAMPLE_S
                self.samples.append(self._sample(now_s))
            time.sleep(0.05)
        self._mend()

    def _mend(self) -> None:
        """End all faults and check that the pipeline recovers; sets `came_back`."""
        for _, action in self._later:
            action()
        world, until_s = self.world, time.monotonic() + 60
        world.engine_failures, drawn = 0, self.pipeline.statistics().drawn
        while not self.came_back and time.monotonic() < until_s:
            time.sleep(0.2)
            self.came_back = self.pipeline.statistics().drawn >= drawn + 10

    def happen(self, fault: str) -> None:
        """Inject a fault or a change; a fault is ended a little later."""
        self.faults[fault] += 1
        world, pipeline, after = self.world, self.pipeline, self._after
        if fault == "camera fails":
            world.camera_error = CameraError("The soak test pulled the plug.", remedy="Wait.")
            after(2.0, lambda: setattr(world, "camera_error", None))
        elif fault in ("camera falls silent", "face lost", "black picture"):
            name = {"camera falls silent": "silent", "face lost": "hidden", "black picture": "black"}[fault]
            setattr(world, name, True)
            after(2.5, lambda: setattr(world, name, False))
        elif fault.startswith("engine"):
            world.engine_failures = 2 if fault.endswith("twice") else 1
        elif fault == "output vanishes":
            world.output_error = OutputError("The soak test took the device away.", remedy="Wait.")
            after(2.0, lambda: pipeline.add_output("watcher", lambda: Watcher(world)))
        elif fault == "other avatar":
            self._change(avatar=self._random.choice(self._avatars))
        elif fault == "new recording":
            self._record()
        elif fault == "freeze":
            pipeline.freeze(True)
            after(1.0, lambda: pipeline.freeze(False))
        else:
            others: dict[str, Callable[[], object]] = {
                "no avatar": lambda: self._change(avatar="nobody"),
                "calibrate": self._random.choice([pipeline.calibrate, pipeline.start_guided_calibration]),
                "recentre": pipeline.recentre,
                "mirror": lambda: self._change(mirror_driving=self._random.random() < 0.5),
                "motion": lambda: self._change(motion=MotionSettings(strength_head=self._random.uniform(0.5, 1.5))),
            }
            others[fault]()

    def _change(self, **changes: Any) -> None:
        self.pipeline.apply(dataclasses.replace(self.pipeline.config, **changes))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    def _record(self) -> None:
        """Start a new recording in place of the last but one; each reaches the file limit at some point."""
        self._recordings += 1
        path = self._folder / f"{self._recordings % 2}.mp4"
        self.pipeline.add_output("recording", lambda: Recorder(path, self._canvas.size))

    def _note(self, event: Event) -> None:
        self.world.told[type(event).__name__] += 1

    def _sample(self, now_s: float) -> dict[str, float]:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        statistics = self.pipeline.statistics()
        return {
            "minute": round(now_s / 60, 3),
            "memory_mb": round(pages * resource.getpagesize() / 1e6, 1),
            "threads": float(threading.active_count()),
            "tasks": float(_entries("/proc/self/task")),
            "handles": float(_entries("/proc/self/fd")),
            "engine_rate": statistics.engine_rate,
            "latency_p95_ms": statistics.latency.p95_ms if statistics.latency else 0.0,
        }


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def judge(soak: Soak, clean: bool) -> dict[str, Any]:
    """Compute the results and the failed checks."""
    settled = soak.samples[round(SETTLING * len(soak.samples)) :]
    hours = np.array([sample["minute"] / 60 for sample in settled])
    memory = np.array([sample["memory_mb"] for sample in settled])
    growth = float(np.polyfit(hours, memory, 1)[0]) if len(settled) > 2 else 0.0
    half = len(settled) // 2
    more = {
        name: float(np.median([s[name] for s in settled[half:]]) - np.median([s[name] for s in settled[:half]]))
        for name in ("threads", "tasks", "handles")
    }
    world, told = soak.world, soak.world.told
    wrong = [f"{name} grew by {value:g}" for name, value in more.items() if value > 1]
    if hours[-1] > 0.4 and growth > GROWTH_MB_PER_HOUR:
        wrong.append(f"memory grows by {growth:.0f} MB an hour")
    if world.leaks:
        wrong.append(f"{world.leaks} frames show the camera")
    if not clean:
        wrong.append("it did not stop cleanly")
    if not soak.came_back:
        wrong.append("it did not draw again")
    statistics = soak.pipeline.statistics()
    return {
        "wrong": wrong,
        "minutes": soak.samples[-1]["minute"],
        "load": os.getloadavg()[0],
        "faults": dict(soak.faults),
        "told": dict(told),
        "frames_looked_at": world.seen,
        "drawn": statistics.drawn,
        "oldest_sent_ms": round(statistics.oldest_sent_ms, 1),
        "memory_mb": [float(memory.min()), float(memory.max())],
        "memory_mb_per_hour": round(growth, 1),
        "threads": [min(s["threads"] for s in settled), max(s["threads"] for s in settled)],
        "handles": [min(s["handles"] for s in settled), max(s["handles"] for s in settled)],
        "samples": soak.samples,
    }


def main() -> int:
    """Run the test, print the results, and return 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lines", type=int, default=720, help="height of what is sent; fewer on a busy machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all samples to a file")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with tempfile.TemporaryDirectory(prefix="masque-soak-") as folder:
        soak = Soak(Path(folder), args.seed, args.lines)
        try:
            soak.run(args.minutes)
        except KeyboardInterrupt:
            print("Stopped early.")
        clean = soak.pipeline.stop()
        report = judge(soak, clean)
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in report.items() if name != "samples"}, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
