"""Memory test program: tracks a synthetic clip, chooses the reference frame, visits every face, prints the memory.

usage: long_motion.py FRAMES     (a program of its own, as memory is measured over a whole process)
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from motion_samples import make_face

import avatar.offline.driving_motion
from avatar.engines.crop import square_of_track
from avatar.frames import Frame
from avatar.motion.reference import choose_reference
from avatar.motion.shots import Shots
from avatar.motion.template import load_template, save_template
from avatar.offline.driving_motion import read_motion
from avatar.sources.facts import DrivingFacts
from avatar.tracking import Face


class LongClip:
    """Frames of one grey."""

    def __init__(self, frames: int) -> None:
        self.facts = DrivingFacts(
            Path("long.mp4"), 64, 48, Fraction(30), Fraction(1, 30), frames / 30, frames, has_audio=False
        )
        self.notes: list[str] = []
        self.end_s = frames / 30
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self._frames):
            yield Frame(np.full((48, 64, 3), 90, np.uint8), number, number * 33_333_333)

    def __enter__(self) -> LongClip:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Swaying:
    """Sees a face that is never twice the same."""

    def __init__(self) -> None:
        self._faces = [make_face(yaw=10 * np.sin(n / 7), jawOpen=0.3 + 0.2 * np.sin(n / 3)) for n in range(40)]
        self._count = 0

    def track(self, rgb: Any, time_s: float | None = None) -> Face | None:
        self._count += 1
        if self._count % 50 == 0:
            return None
        return self._faces[self._count % len(self._faces)].shifted(float(np.sin(self._count)), 0.0)

    def detect(self, rgb: Any) -> list[Face]:
        return self._faces[:1]

    def reset(self) -> None:
        pass


def main() -> None:
    frames = int(sys.argv[1])
    module: Any = avatar.offline.driving_motion
    module.open_turned = lambda path, turn_deg: LongClip(frames)
    module.turn_of_clip = lambda path, tracker: 0
    motion = read_motion(Path("long.mp4"), Swaying(), lambda done, total: None)  # type: ignore[arg-type]
    reference = choose_reference(motion.track, make_face())
    shots = Shots(motion.track, reference)
    if len(sys.argv) > 2:
        save_template(motion.track, Path(sys.argv[2]))
        again = load_template(Path(sys.argv[2]))
        again.face(frames - 1)
    square_of_track((part for _, part in motion.track.seen_landmarks()), 64, 48)
    total = sum(float(shots.face(number).landmarks[0, 0]) for number in range(frames))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, reference, total)


if __name__ == "__main__":
    main()
