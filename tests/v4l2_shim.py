"""Builds v4l2_shim.c and reads back what a program wrote to the device that it plays."""

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
    """A played device; start the program with `environment`."""

    library: Path
    file: Path  # takes the frames
    device: str = "/dev/video10"

    @classmethod
    def build(cls, folder: Path) -> Shim:
        """Compile it; skips the test where that cannot be."""
        if sys.platform != "linux":
            pytest.skip("v4l2loopback is Linux's")
        if shutil.which("gcc") is None:
            skip_or_fail("gcc is missing", "apt install gcc libc6-dev")
        library = folder / "shim.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"], check=True
        )
        return cls(library, folder / "frames.raw")

    def environment(self, fault: str = "", every: int = 1) -> dict[str, str]:
        """What the program that writes must be started with; only every Nth frame is kept."""
        return os.environ | {
            "LD_PRELOAD": str(self.library),
            "MASQUE_SHIM_DEVICE": self.device,
            "MASQUE_SHIM_FILE": str(self.file),
            "MASQUE_SHIM_FAULT": fault,
            "MASQUE_SHIM_EVERY": str(every),
        }

    def unplug(self) -> None:
        """Make the device vanish."""
        self.file.with_name(self.file.name + ".gone").touch()

    def times_s(self) -> list[float]:
        """When each frame was written, those that were not kept too; on the monotonic clock."""
        path = self.file.with_name(self.file.name + ".times")
        return [int(line) * 1e-9 for line in path.read_text().splitlines()] if path.exists() else []

    def frames(self, width_px: int, height_px: int) -> list[RgbImage]:
        """Every whole frame that was written, decoded as other programs would: planar YUV 4:2:0, BT.601."""
        data = np.fromfile(self.file, np.uint8) if self.file.exists() else np.zeros(0, np.uint8)
        size = width_px * height_px * 3 // 2
        assert len(data) % size == 0, f"{len(data)} bytes are no whole number of frames of {size}"
        return [
            np.asarray(cv2.cvtColor(part.reshape(-1, width_px), cv2.COLOR_YUV2RGB_I420))
            for part in data.reshape(-1, size)
        ]
