"""Build of v4l2_shim.c, and reading of the frames that a program wrote to its simulated device."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from avatar.cv import cv2
from avatar.frames import RgbImage

SOURCE = Path(__file__).with_suffix(".c")


def skip_or_fail(missing: str, remedy: str) -> None:
    """Skip and name what is missing; where everything must be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{missing}: .ci/run installs it")
    pytest.skip(f"{missing}: {remedy}")


@dataclass(frozen=True)
class Shim:
    """A simulated device; start the program with `environment`."""

    library: Path
    file: Path  # takes the frames
    device: str = "/dev/video10"

    @classmethod
    def build(cls, folder: Path, device: str = "/dev/video10") -> Shim:
        """Compile it; skips the test where that cannot be."""
        if sys.platform != "linux":
            pytest.skip("v4l2loopback is Linux's")
        if shutil.which("gcc") is None:
            skip_or_fail("gcc is missing", "apt install gcc libc6-dev")
        library = folder / "shim.so"
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-ldl", "-lpthread"]
        subprocess.run(["gcc", "-o", str(library), str(SOURCE), *options], check=True)
        return cls(library, folder / "frames.raw", device)

    def environment(self, fault: str = "", every: int = 1, **more: str) -> dict[str, str]:
        """Return the environment for programs that write to or read from the device.

        Args:
            fault: the fault of the device.
            every: keep only every Nth frame.
            more: module="0.12.7", caps="all", card=NAME, input=STATUS; see v4l2_shim.c.
        """
        return os.environ | {
            "LD_PRELOAD": str(self.library),
            "MASQUE_SHIM_DEVICE": self.device,
            "MASQUE_SHIM_FILE": str(self.file),
            "MASQUE_SHIM_FAULT": fault,
            "MASQUE_SHIM_EVERY": str(every),
            **{f"MASQUE_SHIM_{name.upper()}": value for name, value in more.items()},
        }

    def unplug(self) -> None:
        """Make the device vanish."""
        self.file.with_name(self.file.name + ".gone").touch()

    def times_s(self) -> list[float]:
        """Return the times at which frames were written, including frames that were not kept; monotonic clock."""
        return [time_ns * 1e-9 for time_ns, _, _ in self._written()]

    def sizes(self) -> list[tuple[int, int]]:
        """Return width and height of all written frames, including frames that were not kept."""
        return [(width, height) for _, width, height in self._written()]

    def _written(self) -> list[tuple[int, int, int]]:
        path = self.file.with_name(self.file.name + ".times")
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(ns), int(width), int(height)) for ns, width, height in map(str.split, lines)]

    def frames(self, width_px: int, height_px: int) -> list[RgbImage]:
        """Return all complete frames, decoded as other programs would: planar YUV 4:2:0, BT.601."""
        data = np.fromfile(self.file, np.uint8) if self.file.exists() else np.zeros(0, np.uint8)
        size = width_px * height_px * 3 // 2
        assert len(data) % size == 0, f"{len(data)} bytes are no whole number of frames of {size}"
        return [
            np.asarray(cv2.cvtColor(part.reshape(-1, width_px), cv2.COLOR_YUV2RGB_I420))
            for part in data.reshape(-1, size)
        ]
