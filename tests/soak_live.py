"""An hour of `live` with faults, and what it held meanwhile: memory, threads, file handles, the age of what it sent.

    python tests/soak_live.py --minutes 60 --json soak.json

Not a test of the suite: it takes as long as it says. Tracker, warp engine, pyvirtualcam's backend (on the device that
v4l2_shim.c plays) and recorder are the real ones; the camera plays the built-in portrait. Faults come in turns: the
camera dies, the face is lost, the engine raises, the disk is full, the device vanishes.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from v4l2_shim import Shim  # noqa: E402

from avatar.bench import bench_portrait, driving_pictures  # noqa: E402
from avatar.errors import CameraError, EngineError  # noqa: E402
from avatar.frames import Frame, RgbImage  # noqa: E402
from avatar.live.events import EngineFailed, Event, FaceLost, OutputFailed, SourceBack, SourceLost  # noqa: E402
from avatar.live.options import LiveOptions  # noqa: E402
from avatar.live.performer import open_performer  # noqa: E402
from avatar.live.tools import LiveTools  # noqa: E402
from avatar.outputs.recorder import Recorder  # noqa: E402
from avatar.outputs.virtual_camera import VirtualCamera  # noqa: E402
from avatar.pipeline import Pipeline  # noqa: E402
from avatar.sources.base import SourceFacts  # noqa: E402

RATE = 30
FAULT_EVERY_S, FAULT_LASTS_S, SAMPLE_EVERY_S = 12.0, 3.0, 5.0
SETTLED_SHARE = 0.2  # of the time; what grows after that, grows


class Faults:
    """What is wrong at the moment."""

    def __init__(self) -> None:
        self.camera = self.face = self.engine = False
        self.injected: collections.Counter[str] = collections.Counter()


class Camera:
    """The built-in portrait, moving, 30 times a second; dies and shows an empty room when told to."""

    name, facts = "soak camera", SourceFacts(640, 480, RATE)

    def __init__(self, pictures: list[RgbImage], faults: Faults) -> None:
        self._pictures, self._faults, self._number = pictures, faults, 0
        self._due_s, self._stopping = time.monotonic(), threading.Event()
        if faults.camera:
            raise CameraError("The camera is not plugged in.", remedy="Plug it in.")

    def read(self) -> Frame:
        self._due_s = max(self._due_s + 1 / RATE, time.monotonic() - 1 / RATE)
        if self._stopping.wait(max(0.0, self._due_s - time.monotonic())) or self._faults.camera:
            raise CameraError("The camera was unplugged.", remedy="Plug it in.")
        self._number += 1
        rgb = self._pictures[self._number % len(self._pictures)]
        return Frame(np.full_like(rgb, 90) if self._faults.face else rgb, self._number, time.monotonic_ns())

    def interrupt(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self._stopping.set()


def breakable(options: LiveOptions, faults: Faults) -> Any:
    """The warp engine, which raises once when told to."""
    performer = open_performer(options)
    draw = performer.draw

    def draw_or_raise(*arguments: Any) -> RgbImage:
        if faults.engine:
            faults.engine = False
            raise EngineError("The engine was told to fail.", remedy="")
        return draw(*arguments)

    performer.draw = draw_or_raise  # type: ignore[method-assign]
    return performer


class Soak:
    """One session, its faults and its samples."""

    def __init__(self, folder: Path, disk: Path | None, played: Path) -> None:
        self.faults, self.told = Faults(), collections.Counter[str]()
        self._folder, self._disk, self._gone = folder, disk, played.with_name(played.name + ".gone")
        self._pictures = [
            picture for _, picture in zip(range(90), driving_pictures(bench_portrait(640, 480)), strict=False)
        ]
        self._recordings = 0
        self._again: list[Callable[[], None]] = []  # what the next moment without a fault has to repair
        tools = LiveTools(
            open_source=lambda spec, size, rate: Camera(self._pictures, self.faults),
            open_performer=lambda options: breakable(options, self.faults),
        )
        self.pipeline = Pipeline(LiveOptions(source="soak"), on_event=self._notice, tools=tools)

    def run(self, minutes: float) -> dict[str, Any]:
        """Run and report."""
        began_s, samples = time.monotonic(), []
        self._send()
        self._record(self._folder)
        self.pipeline.start()
        kinds, next_fault_s, next_sample_s = self._kinds(), began_s + FAULT_EVERY_S, began_s
        while (now_s := time.monotonic()) < began_s + 60 * minutes:
            if now_s >= next_fault_s:
                kind, begin, end = next(kinds)
                self.faults.injected[kind] += 1
                begin()
                time.sleep(FAULT_LASTS_S)
                end()
                next_fault_s = time.monotonic() + FAULT_EVERY_S
            if now_s >= next_sample_s:
                samples.append(self._sample(now_s - began_s))
                next_sample_s += SAMPLE_EVERY_S
            time.sleep(0.1)
        statistics = self.pipeline.statistics()
        stop_s = time.monotonic()
        clean = self.pipeline.stop()
        return {
            "minutes": minutes,
            "faults": dict(self.faults.injected),
            "events": dict(self.told),
            "clean_stop": clean,
            "stop_s": round(time.monotonic() - stop_s, 2),
            "threads_after": threading.active_count(),
            "oldest_sent_ms": max(sample["oldest_sent_ms"] for sample in samples),
            "growth": growth(samples),
            "last": statistics.as_json(),
            "samples": samples,
        }

    def _kinds(self) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
        while True:
            yield (
                "camera dies",
                lambda: setattr(self.faults, "camera", True),
                lambda: setattr(self.faults, "camera", False),
            )
            yield "face lost", lambda: setattr(self.faults, "face", True), lambda: setattr(self.faults, "face", False)
            yield "engine raises", lambda: setattr(self.faults, "engine", True), lambda: None
            yield "device vanishes", self._gone.touch, self._repair_device
            if self._disk is not None:
                yield "disk full", self._fill_disk, self._repair_disk

    def _send(self) -> None:
        self.pipeline.add_output("virtual camera", lambda: VirtualCamera(rate=RATE))

    def _record(self, folder: Path) -> None:
        self._recordings += 1
        path = folder / f"{self._recordings}.mp4"
        self.pipeline.add_output("recording", lambda: Recorder(path))

    def _repair_device(self) -> None:
        self._gone.unlink()
        self._send()

    def _fill_disk(self) -> None:
        assert self._disk is not None
        self._record(self._disk)
        (self._disk / "ballast").write_bytes(bytes(1_900_000))

    def _repair_disk(self) -> None:
        for folder in (self._disk, self._folder):
            for file in folder.iterdir() if folder is not None else ():
                file.unlink()
        self._record(self._folder)

    def _notice(self, event: Event) -> None:
        counted = (SourceLost, SourceBack, FaceLost, EngineFailed, OutputFailed)
        if isinstance(event, counted):
            name = type(event).__name__ + (f" {event.name}" if isinstance(event, OutputFailed) else "")
            self.told[name] += 1
        if isinstance(event, OutputFailed):
            self.told[event.error.what] += 1

    def _sample(self, at_s: float) -> dict[str, Any]:
        statistics = self.pipeline.statistics()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {
            "at_s": round(at_s, 1),
            "memory_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
            "threads": threading.active_count(),
            "handles": len(list(Path("/proc/self/fd").iterdir())),
            "oldest_sent_ms": statistics.oldest_sent_ms,
            "engine_rate": statistics.engine_rate,
            "drawn": statistics.drawn,
        }


def growth(samples: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each figure, the least and the most after it settled, and the slope per hour of a straight line through it."""
    settled = samples[round(SETTLED_SHARE * len(samples)) :]
    hours = np.array([sample["at_s"] for sample in settled]) / 3600
    found = {}
    for name in ("memory_mb", "threads", "handles"):
        values = np.array([sample[name] for sample in settled], float)
        slope = float(np.polyfit(hours, values, 1)[0]) if len(settled) > 2 else 0.0
        found[name] = {"least": float(values.min()), "most": float(values.max()), "per_hour": round(slope, 2)}
    return found


def main() -> int:
    """Build the played device, start again under it, run, and print the report without its samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="write the report with every sample")
    args = parser.parse_args()
    if "MASQUE_SOAK" in os.environ:
        return _soak(Path(os.environ["MASQUE_SOAK"]), args)
    with tempfile.TemporaryDirectory(prefix="masque-soak-") as name:
        folder = Path(name)
        shim = Shim.build(folder)
        environment = shim.environment(every=10**9) | {"MASQUE_SOAK": name, "MASQUE_SETTINGS": f"{name}/settings.toml"}
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


def _soak(folder: Path, args: argparse.Namespace) -> int:
    recordings, disk = folder / "recordings", folder / "disk"
    recordings.mkdir()
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not mounted:
        print("No tmpfs may be mounted here (only root may), so the disk does not fill up.", file=sys.stderr)
    try:
        played = Path(os.environ["MASQUE_SHIM_FILE"])
        report = Soak(recordings, disk if mounted else None, played).run(args.minutes)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps({name: value for name, value in report.items() if name != "samples"}, indent=1))
    return 0 if report["clean_stop"] else 1


if __name__ == "__main__":
    sys.exit(main())
