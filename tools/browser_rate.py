"""Measure the browser source in a headless Chromium: `python tools/browser_rate.py [--seconds 20] [--live]`.

Prints as JSON the frames per second that the page shows, the latency from capture until a frame is drawn, and the
processor time of both sides per frame. Chromium draws in software here, so a machine with a graphics chip is faster.
By default frames that were drawn beforehand are sent, which measures this output alone; with --live the avatar is
drawn meanwhile. Needs Linux and Debian's package chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import avatar.cv  # noqa: F401 - before numpy, whose threads would spin: see avatar/__init__.py

# isort: split
import numpy as np
from chromium import COMMAND, Page, chromium

from avatar.frames import Frame
from avatar.live.config import IDLE, LiveConfig
from avatar.live.events import Event
from avatar.live.pipeline import Pipeline
from avatar.outputs.live.browser_source import BrowserSource
from avatar.settings import CameraSettings, CanvasSettings, Settings

RATE = 30
DRAWN = 60  # number of different frames that are sent in turn
WAIT_S = 60.0
COUNT = """
globalThis.counts = {drawn: 0, shown: 0, fresh: false, decode: [], draw: []};
const plain = {decoded, draw};
decoded = async message => {
  const since = performance.now(), done = await plain.decoded(message);
  counts.decode.push(performance.now() - since);
  return done;
};
draw = (...given) => {
  const since = performance.now();
  plain.draw(...given);
  counts.draw.push(performance.now() - since);
  counts.drawn += 1;
  counts.fresh = true;
};
(function tick() {
  if (counts.fresh) counts.shown += 1;
  counts.fresh = false;
  requestAnimationFrame(tick);
})();
"""
MEASURED = "JSON.stringify(counts)"


class Collector:
    """An output that keeps the first frames."""

    facts = ""
    transparent = True
    rate = float(RATE)

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.full = threading.Event()

    def send(self, frame: Frame) -> None:
        """Keep a frame."""
        if len(self.frames) < DRAWN:
            self.frames.append(frame)
        else:
            self.full.set()

    def close(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def live(avatar: str, size: tuple[int, int], background: str) -> Iterator[Pipeline]:
    """Run the pipeline with the idle motion."""
    canvas = CanvasSettings(width_px=size[0], height_px=size[1], background=background)
    settings = Settings(avatar=avatar, camera=CameraSettings(source=IDLE), canvas=canvas)

    def tell(event: Event) -> None:
        print(event, file=sys.stderr)

    pipeline = Pipeline(LiveConfig.of(settings), on_event=tell)
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop(10)


def drawn_frames(avatar: str, size: tuple[int, int], background: str) -> list[Frame]:
    """Return frames of the idle avatar."""
    collector = Collector()
    with live(avatar, size, background) as pipeline:
        pipeline.add_output("collector", lambda: collector)
        if not collector.full.wait(WAIT_S):
            raise SystemExit("The avatar was not drawn in time.")
    return collector.frames


@contextlib.contextmanager
def sending(source: BrowserSource, frames: list[Frame]) -> Iterator[None]:
    """Send the frames in turn, 30 times a second."""
    stopping = threading.Event()

    def run() -> None:
        number, begun_s = 0, time.monotonic()
        while not stopping.wait(max(0.0, begun_s + number / RATE - time.monotonic())):
            number += 1
            frame = frames[number % len(frames)]
            source.send(replace(frame, captured_ns=time.monotonic_ns(), sequence=number, published=number))

    thread = threading.Thread(target=run, name="sending")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def processor_s() -> dict[str, float]:
    """Return the processor time in seconds of this process and of Chromium's, by their kind."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                spent[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    for _ in range(8):  # generations of processes
        ours |= {child for child, parent in parents.items() if parent in ours}
    found = {"masque": time.process_time()}
    for process in ours - {os.getpid()}:
        with contextlib.suppress(OSError):
            kind = re.search(rb"--type=([a-z-]+)", Path(f"/proc/{process}/cmdline").read_bytes())
            name = kind[1].decode() if kind else "browser"
            found[name] = found.get(name, 0.0) + spent[process]
    return found


def measure(source: BrowserSource, page: Page, seconds: float) -> dict[str, Any]:
    """Let the page run for a while and return what it did."""
    page.go_to(source.address)
    deadline_s = time.monotonic() + WAIT_S
    while source.rate() < 1:
        if time.monotonic() > deadline_s:
            raise SystemExit("The page draws nothing.")
        time.sleep(0.1)
    time.sleep(2.0)  # compiling, warming up
    page.ask(COUNT)
    before_s, begun_s = processor_s(), time.monotonic()
    time.sleep(seconds)
    counts = json.loads(page.ask(MEASURED))
    lasted_s, after_s = time.monotonic() - begun_s, processor_s()
    drawn = max(1, counts["drawn"])
    found = {
        "frames_drawn_per_s": counts["drawn"] / lasted_s,
        "frames_shown_per_s": counts["shown"] / lasted_s,
        "latency_ms_p50": source.latency_ms(50),
        "latency_ms_p95": source.latency_ms(95),
        "decode_ms_p50": float(np.median(counts["decode"])),
        "draw_ms_p50": float(np.median(counts["draw"])),
    }
    found |= {
        f"processor_ms_per_frame_{kind}": 1000 * (spent_s - before_s.get(kind, 0.0)) / drawn
        for kind, spent_s in after_s.items()
    }
    return {name: round(value, 1) for name, value in found.items() if value is not None}


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--avatar", default="Zuri")
    parser.add_argument("--size", default="1280x720", help="of the canvas")
    parser.add_argument("--background", default="transparent", help="own: an opaque picture")
    parser.add_argument("--live", action="store_true", help="draw the avatar meanwhile")
    arguments = parser.parse_args()
    if COMMAND is None:
        raise SystemExit("There is no Chromium (Debian: apt install chromium).")
    width, height = (int(side) for side in arguments.size.split("x"))
    chosen = (arguments.avatar, (width, height), arguments.background)
    source = BrowserSource(0)
    with contextlib.ExitStack() as opened:
        opened.callback(source.close)
        if arguments.live:
            opened.enter_context(live(*chosen)).add_output("browser source", lambda: source)
        else:
            opened.enter_context(sending(source, drawn_frames(*chosen)))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        page = opened.enter_context(chromium(folder, (width, height)))
        result = measure(source, page, arguments.seconds)
    print(json.dumps({"size": arguments.size, "live": arguments.live, "load": os.getloadavg()[0], **result}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
