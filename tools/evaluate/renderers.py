"""Compare the warp engine's two renderers: every clip drives every portrait, and each frame is drawn on both.

    python -m tools.evaluate.renderers CLIPS... --portraits PICTURES... [--every N] [--size N]

Prints, per portrait, how much the images differ at most, how long each renderer takes from scene to image, and how much
CPU time that costs the thread that draws and the whole process. The exit code is 1 if any frame disagrees.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.engines.warp.graphics.choice import LARGEST_DIFFERENCE, LEAST_PSNR_DB, compare, open_this_chip
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import Place, ProcessorRenderer, Renderer
from avatar.engines.warp.scene import Scene
from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.sources.video import open_driving
from avatar.tracking import open_tracker
from avatar.tracking.face import Face

CLOCKS = {"elapsed": time.perf_counter, "thread": time.thread_time, "process": time.process_time}


class Both:
    """Draws each scene on the processor and on the chip, and notes times and differences."""

    place = Place("cpu")
    notes: tuple[str, ...] = ()

    def __init__(self, chip: Renderer) -> None:
        self._chip, self._processor = chip, ProcessorRenderer()
        self.times_s: dict[str, list[tuple[float, float]]] = {name: [] for name in CLOCKS}  # processor, chip
        self.differences: list[tuple[float, int]] = []  # PSNR in dB, largest difference

    def settle(self, portrait: WarpPortrait) -> None:
        """Have no choice."""

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw on both; return the processor's image."""
        drawn, spent = [], []
        for renderer in (self._processor, self._chip):
            began = [clock() for clock in CLOCKS.values()]
            drawn.append(renderer.draw(layers, scene))
            spent.append([clock() - start for clock, start in zip(CLOCKS.values(), began, strict=True)])
        for name, processor_s, chip_s in zip(CLOCKS, *spent, strict=True):
            self.times_s[name].append((processor_s, chip_s))
        self.differences.append(compare(*drawn))
        return drawn[0]

    def close(self) -> None:
        """Leave the chip to whoever opened it."""


def main() -> int:
    """Compare, and print a line per portrait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--portraits", type=Path, nargs="+", required=True)
    parser.add_argument("--every", type=int, default=10, help="use every Nth frame of a clip (default: 10)")
    parser.add_argument("--size", type=int, default=512, help="longer side of the frames in pixels (default: 512)")
    args = parser.parse_args()
    cv2.setNumThreads(2)
    try:
        chip = open_this_chip(accept_software=True)
        driving = [_faces(clip, args.every) for clip in args.clips]
        print(f"{chip.name}, {len(driving)} clips, {args.size} px; milliseconds: processor / chip")
        agree = [_compared(path, driving, chip.renderer, args.size) for path in args.portraits]
    except AvatarError as error:
        print(error, file=sys.stderr)
        return 1
    chip.renderer.close()
    return 0 if all(agree) else 1


def _faces(clip: Path, every: int) -> list[tuple[Face, int]]:
    """Track a clip; return the faces of every Nth frame and the frame's width. Raises AvatarError."""
    return list(_tracked(clip, every))


def _tracked(clip: Path, every: int) -> Iterator[tuple[Face, int]]:
    with open_driving(clip) as frames, contextlib.closing(open_tracker()) as tracker:
        for number, frame in enumerate(frames):
            face = tracker.track(frame.rgb, frame.captured_ns * 1e-9)
            if face is not None and number % every == 0:
                yield face, frame.width_px


def _compared(path: Path, driving: list[list[tuple[Face, int]]], chip: Renderer, size_px: int) -> bool:
    """Draw one portrait on both, driven by all clips. Raises AvatarError."""
    rgb = load_image(path)
    with contextlib.closing(open_tracker()) as tracker:
        faces = tracker.detect(rgb)
    if not faces:
        print(f"{path.stem}: no face")
        return True
    both = Both(chip)
    engine = WarpEngine(renderer=both)
    engine.show(engine.prepare(Portrait(rgb, faces[0]), size_px))
    for clip in driving:
        engine.calibrate(Driving(face=clip[0][0], frame_width_px=clip[0][1]))
        for face, width_px in clip:
            engine.draw(Driving(face=face, frame_width_px=width_px))
    worst_db, worst = min(db for db, _ in both.differences), max(level for _, level in both.differences)
    times = (
        f"{name} " + " / ".join(f"{1000 * value:.1f}" for value in np.median(spent, axis=0))
        for name, spent in both.times_s.items()
    )
    print(f"{path.stem}: {len(both.differences)} frames, {worst_db:.1f} dB, {worst} of 255; {', '.join(times)}")
    return worst_db >= LEAST_PSNR_DB and worst <= LARGEST_DIFFERENCE


if __name__ == "__main__":
    sys.exit(main())
