"""A PipeWire of its own, which plays cameras and microphones to programs that are given its environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from v4l2_shim import skip_or_fail

PROGRAMS = {
    "dbus-daemon": "dbus",
    "pipewire": "pipewire",
    "pw-cli": "pipewire-bin",
    "wireplumber": "wireplumber",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-pipewire",
}


@contextlib.contextmanager
def running_pipewire(folder: Path) -> Iterator[dict[str, str]]:
    """Run PipeWire in `folder`; yields the environment in which its programs find each other."""
    if sys.platform != "linux":
        pytest.skip("PipeWire is Linux's")
    for program, packages in PROGRAMS.items():
        if shutil.which(program) is None:
            skip_or_fail(f"{program} is missing", f"apt install {packages}")
    folder.chmod(0o700)
    environment = os.environ | {
        "XDG_RUNTIME_DIR": str(folder),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    try:
        start("dbus-daemon", "--session", f"--address=unix:path={folder}/bus", "--nofork")
        wait_for((folder / "bus").exists, "the session bus")
        start("pipewire")
        wait_for((folder / "pipewire-0").exists, "PipeWire")
        start("wireplumber")
        wait_for(lambda: "WirePlumber" in objects(environment, "Client"), "WirePlumber")
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(10)


def objects(environment: dict[str, str], kind: str) -> str:
    done = subprocess.run(
        ["pw-cli", "ls", kind], env=environment, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not start"
        time.sleep(0.05)
