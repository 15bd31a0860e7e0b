"""The packages that this copy of Masque needs, and the command that starts it.

Standard library only, because every command imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata, util
from typing import TYPE_CHECKING

from avatar.errors import SetupError
from avatar.system.foreign_text import typed
from avatar.system.installation import IMPORT_ROOT, INSTALLED
from avatar.system.message import Message

if TYPE_CHECKING:
    from packaging.markers import Marker

DISTRIBUTION = "masque"
# Packages of the wheel's extras, by import name.
EXTRAS = {
    "PyQt5": "app",
    "pyvirtualcam": "app",
    "sounddevice": "app",
    "skimage": "app",
    "torch": "torch",
    "yaml": "torch",
    "face_alignment": "torch",
    "wgpu": "graphics",
    "onnxruntime": "onnx",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "ray": "cluster",
    "starlette": "cluster",  # which Ray Serve brings
    "fsspec": "cluster",
}
_APART = dict.fromkeys(
    ("ray", "starlette"), "ray[serve]>=2.60,<3"
)  # large and needed for clusters only, so not installed by run.py
_FOR_MAKERS = {"onnx", "onnxscript"}  # not installed by run.py


def own_command(*words: str) -> list[str]:
    """Return the command that starts this copy of Masque in another process, without set-up."""
    if INSTALLED:
        return [sys.executable, "-P", "-m", "ui", *words]  # -P: ignore a folder `ui` in the current directory
    return [sys.executable, str(IMPORT_ROOT / "run.py"), "--no-setup", *words]


def how_to_install(module: str) -> str:
    """Return the remedy for a missing package, including all other missing packages of its extra.

    They are named individually, because `pip install masque[app]` would ask the package index, where another project
    has that name.
    """
    if not INSTALLED and module in _APART:
        return pip_install([_APART[module]])
    if not INSTALLED:
        file = "requirements-dev.txt" if module in _FOR_MAKERS else "requirements.txt"
        return Message(
            "Start without --no-setup, or type: {python} -m pip install -r {file}",
            python=typed(sys.executable),
            file=file,
        )
    return pip_install(missing_requirements(EXTRAS.get(module, "")) or [module])


def pip_install(requirements: Sequence[str]) -> str:
    """Return the remedy that installs packages into the running Python."""
    packages = " ".join(f'"{requirement}"' for requirement in requirements)
    return Message("Type: {python} -m pip install {packages}", python=typed(sys.executable), packages=packages)


def require(module: str, what: str) -> None:
    """Raise SetupError, with a remedy, unless a required package is installed."""
    if util.find_spec(module) is None:
        raise SetupError(
            Message("{what} needs the package {module}, which is not installed.", what=what, module=module),
            remedy=how_to_install(module),
        )


def missing_requirements(extra: str = "") -> list[str]:
    """Return the wheel's requirements that are not installed: those of an extra or, without one, the general ones."""
    from packaging.requirements import Requirement

    wanted = map(Requirement, metadata.requires(DISTRIBUTION) or ())
    return [
        f"{requirement.name}{requirement.specifier}"
        for requirement in wanted
        if _belongs(requirement.marker, extra) and installed_version(requirement.name) is None
    ]


def installed_version(name: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _belongs(marker: Marker | None, extra: str) -> bool:
    """Return whether a requirement applies to an extra on this system, or in general if `extra` is empty."""
    if marker is None:
        return not extra
    return marker.evaluate({"extra": extra}) and (not extra or not marker.evaluate({"extra": ""}))
