"""The virtual environment beside run.py: its required contents, and checks whether they are complete.

A stamp inside it names the requirements it was created for and is written only after everything succeeded. A marker
outside it exists during an installation. A marker without a held lock means that an installation was killed and that
the environment cannot be trusted.
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

from avatar.system.small_files import read_json

STAMP = "masque-setup.json"


@dataclass(frozen=True)
class Environment:
    """Location and required contents of the environment."""

    root: Path
    requirements: tuple[str, ...]  # files beside run.py, each installed in a separate step
    make_command: tuple[str, ...] = ()  # command that creates it, with its folder appended; empty: this Python's venv

    @property
    def folder(self) -> Path:
        """Folder of the environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Path of its interpreter."""
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def work(self) -> Path:
        """Folder of lock, logs and marker, outside the environment so that they survive its removal."""
        return self.root / ".setup"

    @property
    def marker(self) -> Path:
        """Path of the file that exists while the environment is being changed."""
        return self.work / "installing"

    @property
    def without_uv(self) -> Path:
        """Path of the file that exists after uv failed during an installation; from then on pip is used."""
        return self.work / "without-uv"

    @property
    def log(self) -> Path:
        """Path of the last output of venv, pip and uv."""
        return self.work / "pip.log"

    def is_ready(self) -> bool:
        """Return whether all requirements were installed for this Python and are unchanged; takes about 1 ms."""
        if self.marker.exists() or not self.python.exists():
            return False
        installed = self._stamp()
        return all(installed.get(name) == self.fingerprint(name) for name in self.requirements)

    def missing(self) -> list[str]:
        """Return the names of the requirements files whose current contents are not installed."""
        installed = self._stamp()
        return [name for name in self.requirements if installed.get(name) != self.fingerprint(name)]

    def fingerprint(self, name: str) -> str:
        """Hash a requirements file, the files it includes, the Python version and the platform."""
        digest = hashlib.sha256(python_tag().encode())
        for file in self.requirements[: self.requirements.index(name) + 1]:
            digest.update((self.root / file).read_bytes())
        return digest.hexdigest()

    def is_usable(self) -> bool:
        """Return whether pip can reuse the environment: complete, and created by this Python."""
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
        """Record, atomically, that a requirements file is installed."""
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
    """Return the tag that compiled packages depend on, for instance "cpython 3.11 linux x86_64"."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return f"{sys.implementation.name} {version} {sys.platform} {platform.machine()}"


def base_python() -> str:
    """Return the Python to create an environment with: the base one, if this one runs in an environment."""
    return str(getattr(sys, "_base_executable", "") or sys.executable)
