"""The virtual environment beside run.py: what it must hold, and whether it does.

A stamp inside it names the requirements it was made for and is written only after everything succeeded. A
marker outside it says that an installation is under way; finding it with nobody holding the lock means that
one was killed, and that nothing in the environment can be trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from avatar.small_files import read_json

STAMP = "masque-setup.json"


@dataclass(frozen=True)
class Environment:
    """Where the environment is and what it must hold."""

    root: Path
    requirements: tuple[str, ...]  # files beside run.py, each installed by a step of its own
    make_command: tuple[str, ...] = ()  # makes the environment, its folder added; empty: this Python's venv

    @property
    def folder(self) -> Path:
        """The environment itself."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The interpreter inside it."""
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def work(self) -> Path:
        """Lock, logs and marker; beside the environment, so that they outlive it."""
        return self.root / ".setup"

    @property
    def marker(self) -> Path:
        """Exists while the environment is being changed."""
        return self.work / "installing"

    @property
    def log(self) -> Path:
        """Everything that venv and pip said the last time."""
        return self.work / "pip.log"

    def is_ready(self) -> bool:
        """Whether all that is required was installed, for this Python, and nothing changed since; takes about 1 ms."""
        if self.marker.exists() or not self.python.exists():
            return False
        installed = self._stamp()
        return all(installed.get(name) == self.fingerprint(name) for name in self.requirements)

    def missing(self) -> list[str]:
        """Names of the requirements files that are not installed as they are now."""
        installed = self._stamp()
        return [name for name in self.requirements if installed.get(name) != self.fingerprint(name)]

    def fingerprint(self, name: str) -> str:
        """One hash over a requirements file, those it is built on, the Python and the platform."""
        digest = hashlib.sha256(python_tag().encode())
        for file in self.requirements[: self.requirements.index(name) + 1]:
            digest.update((self.root / file).read_bytes())
        return digest.hexdigest()

    def is_usable(self) -> bool:
        """Whether pip can work on what is there: made by this Python, not killed half-way."""
        if self.marker.exists() or not self.python.exists():
            return False
        question = "import pip; from avatar.bootstrap.environment import python_tag; print(python_tag())"
        here = str(Path(__file__).resolve().parent.parent.parent)
        answer = subprocess.run(
            [str(self.python), "-c", question], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": here},
        )  # fmt: skip
        return answer.returncode == 0 and answer.stdout.strip() == python_tag()

    def record(self, name: str) -> None:
        """Note that a requirements file is installed; whole or not at all."""
        stamp = self._stamp() | {name: self.fingerprint(name)}
        draft = self.folder / (STAMP + ".part")
        draft.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        draft.replace(self.folder / STAMP)

    def _stamp(self) -> dict[str, str]:
        try:
            stamp = read_json(self.folder / STAMP)
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}


def python_tag() -> str:
    """What a compiled package depends on, for instance "cpython 3.11 linux x86_64"."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return f"{sys.implementation.name} {version} {sys.platform} {platform.machine()}"


def base_python() -> str:
    """The Python to make an environment with: the one outside, where this one runs inside an environment."""
    return str(getattr(sys, "_base_executable", "") or sys.executable)
