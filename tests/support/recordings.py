"""Recordings of live sessions: frames' times, a played microphone, readers, and a disk that fills up."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.sources.microphone import RATE_HZ, SoundBlock
from avatar.sources.video import open_driving

START_NS = 7_000_000_000_123  # a monotonic clock has been running for long
PERIOD_NS = 1_000_000_000 / 30


def playable(path: Path) -> int:
    """How many frames a reader finds that passes over a packet cut in two, as players do."""
    with open_driving(path) as clip:
        return sum(1 for _ in clip)


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own that fills up; skipped where none may be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("a tmpfs may not be mounted here (only root may)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class FakeMicrophone:
    """Hears a clap: silence but for a tenth of a second of noise, `clap_s` after START_NS."""

    def __init__(self, clap_s: float = 1.0, *, begins_s: float = -0.5, dies_s: float = 1e9, drift: float = 1.0) -> None:
        self._clap_s, self._at_s, self._dies_s, self._drift = clap_s, begins_s, dies_s, drift
        self.heard_until_s, self.closed = 1e9, False

    def take(self) -> list[SoundBlock]:
        """Blocks of 20 ms, up to half a second at a call: sound is here before its picture."""
        blocks = []
        for _ in range(25):
            if self._at_s > min(self.heard_until_s, self._dies_s):
                break
            times = self._at_s + np.arange(960) / RATE_HZ
            clap = (times >= self._clap_s) & (times < self._clap_s + 0.1)
            samples = np.where(clap, 0.8 * np.sin(np.arange(960)), 0).astype(np.float32)
            blocks.append(SoundBlock(samples, START_NS + round(self._at_s * self._drift * 1e9)))
            self._at_s += 0.02
        return blocks

    def close(self) -> None:
        self.closed = True


def clap_time_s(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(samples) > 0.3)) / RATE_HZ
