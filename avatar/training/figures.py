"""A procedural category: articulated figures that walk on the spot and wave, each in its own colours.

    python -m avatar.training.figures FOLDER [--clips N] [--frames N] [--size PX]

For trying the trainer without images of people. It is also an example of a category without annotations: the
keypoints must find hands, knees and head unsupervised (recipes/figure.yaml).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown

FINER = 4  # supersampling factor, for smooth edges
RATE = Fraction(12)
# Lengths as fractions of the image's side.
TORSO, NECK, HEAD, ARM, LEG = 0.24, 0.035, 0.075, 0.13, 0.16


@dataclass(frozen=True)
class Figure:
    """One identity: colours, build and motion."""

    skin: tuple[int, int, int]
    shirt: tuple[int, int, int]
    trousers: tuple[int, int, int]
    ground: tuple[tuple[int, int, int], tuple[int, int, int]]  # background gradient, top and bottom
    spots: tuple[tuple[float, float, float, tuple[int, int, int]], ...]  # on the background: x, y, radius, colour
    size: float  # scale of the lengths above
    width: float  # width of the limbs
    place: tuple[float, float]  # position of the hips
    pace: float  # steps per second
    wave: float  # waves of the raised arm per second
    phase: float
    lean: float  # amplitude of the body's sway, radians


def random_figure(random: np.random.Generator) -> Figure:
    """Sample an identity; deterministic for a given generator state."""

    def colour(low: int = 30, high: int = 255) -> tuple[int, int, int]:
        red, green, blue = random.integers(low, high, size=3).tolist()
        return red, green, blue

    spots = tuple(
        (float(random.random()), float(random.random()), float(random.uniform(0.03, 0.12)), colour(90, 220))
        for _ in range(5)
    )
    return Figure(
        skin=colour(120), shirt=colour(), trousers=colour(), ground=(colour(120, 240), colour(60, 180)), spots=spots,
        size=float(random.uniform(0.85, 1.1)), width=float(random.uniform(0.045, 0.065)),
        place=(float(random.uniform(0.42, 0.58)), float(random.uniform(0.56, 0.6))),
        pace=float(random.uniform(0.5, 1.0)), wave=float(random.uniform(0.6, 1.2)),
        phase=float(random.uniform(0, 6)), lean=float(random.uniform(0.05, 0.15)),
    )  # fmt: skip


def joints(figure: Figure, time_s: float) -> dict[str, tuple[float, float]]:
    """Compute the (x, y) of every joint at a time, as fractions of the image's side."""
    turn = 2 * math.pi
    step = math.sin(turn * figure.pace * time_s + figure.phase)
    wave = math.sin(turn * figure.wave * time_s + 2 * figure.phase)
    lean = figure.lean * math.sin(turn * 0.5 * figure.pace * time_s + figure.phase)

    def beyond(start: tuple[float, float], length: float, angle: float) -> tuple[float, float]:
        """Return the point at a distance of `length`, at an angle from straight down."""
        return start[0] + figure.size * length * math.sin(angle), start[1] + figure.size * length * math.cos(angle)

    hips = (figure.place[0] + 0.02 * step, figure.place[1])
    neck = beyond(hips, TORSO, math.pi + lean)
    head = beyond(neck, NECK + HEAD, math.pi + 1.5 * lean)
    found = {"hips": hips, "neck": neck, "head": head}
    for side, sign in (("left", 1), ("right", -1)):
        swing = 0.5 * sign * step
        shoulder = beyond(neck, 0.06, sign * math.pi / 2)
        upper = (2.2 + 0.35 * wave) if side == "left" else -0.5 + 0.5 * swing
        lower = upper + (0.7 + 0.7 * wave if side == "left" else -0.3)
        found[f"{side} shoulder"] = shoulder
        found[f"{side} elbow"] = beyond(shoulder, ARM, upper)
        found[f"{side} hand"] = beyond(found[f"{side} elbow"], ARM, lower)
        hip = beyond(hips, 0.04, sign * math.pi / 2)
        found[f"{side} hip"] = hip
        found[f"{side} knee"] = beyond(hip, LEG, 0.12 * sign + 0.6 * swing)
        found[f"{side} foot"] = beyond(found[f"{side} knee"], LEG, 0.1 * sign + 0.6 * swing - 0.35 * abs(swing))
    return found


def draw(figure: Figure, time_s: float, size: int) -> RgbImage:
    """Render the figure at a time, as (size, size, 3) uint8 RGB."""
    side = FINER * size
    ramp = np.linspace(0, 1, side)[:, None, None]
    rgb = np.ascontiguousarray(
        np.broadcast_to((1 - ramp) * figure.ground[0] + ramp * figure.ground[1], (side, side, 3)).astype(np.uint8)
    )
    for x, y, radius, colour in figure.spots:
        cv2.circle(rgb, (round(x * side), round(y * side)), round(radius * side), colour, -1)
    found = {name: (round(x * side), round(y * side)) for name, (x, y) in joints(figure, time_s).items()}
    thick = round(figure.size * figure.width * side)

    def limb(*names: str, colour: tuple[int, int, int], width: int = thick) -> None:
        for first, second in pairwise(names):
            cv2.line(rgb, found[first], found[second], colour, width)

    for away in ("right", "left"):
        limb(f"{away} hip", f"{away} knee", f"{away} foot", colour=figure.trousers)
        cv2.circle(rgb, found[f"{away} foot"], round(0.6 * thick), (40, 40, 40), -1)
    limb("right shoulder", "right elbow", "right hand", colour=figure.skin)
    limb("hips", "neck", colour=figure.shirt, width=round(2.6 * thick))
    limb("neck", "head", colour=figure.skin)
    cv2.circle(rgb, found["head"], round(figure.size * HEAD * side), figure.skin, -1)
    limb("left shoulder", "left elbow", "left hand", colour=figure.skin)
    for hand in ("left hand", "right hand"):
        cv2.circle(rgb, found[hand], round(0.7 * thick), figure.skin, -1)
    return np.asarray(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA))


def write_clips(folder: Path, clips: int, frames: int, size: int, seed: int = 0) -> None:
    """Write each identity as a folder of PNG frames: figure-000, figure-001, ..."""
    from avatar.images.load import save_png

    for number in range(clips):
        figure = random_figure(np.random.default_rng([seed, number]))
        place = folder / f"figure-{number:03d}"
        place.mkdir(parents=True, exist_ok=True)
        for index in range(frames):
            save_png(place / f"{index:04d}.png", draw(figure, index / float(RATE), size))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: write clips."""
    parser = argparse.ArgumentParser(prog="python -m avatar.training.figures", description="Draw a category.")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--clips", type=int, default=240, help="identities (default: 240)")
    parser.add_argument("--frames", type=int, default=24, help="of each (default: 24)")
    parser.add_argument("--size", type=int, default=64, help="sides, pixels (default: 64)")
    args = parser.parse_args(argv)
    write_clips(args.folder, args.clips, args.frames, args.size)
    name = shown(args.folder, MOST_OF_SENTENCE)
    print(f"{name}: {args.clips} clips of {args.frames} frames, {args.size} x {args.size}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
