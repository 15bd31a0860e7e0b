"""Checks of Python, of the packages in requirements.txt, and of conflicting packages."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from importlib import metadata

from avatar.doctor.check import AGAIN, BROKEN, OK, WARNING, Check
from avatar.system.installation import IMPORT_ROOT, INSTALLED
from avatar.system.program import DISTRIBUTION, installed_version, pip_install

REQUIREMENTS = IMPORT_ROOT / "requirements.txt"
_PYTHON = ".venv/bin/python" if sys.platform != "win32" else r".venv\Scripts\python"
INSTALL_REQUIREMENTS = f"Type: {_PYTHON} -m pip install -r requirements.txt"

# They share one folder: the last one installed wins, and removing either removes both. pip does not detect this.
CLASHES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}


def look_at_python() -> Iterator[Check]:
    """Check version and word size."""
    version = ".".join(map(str, sys.version_info[:3]))
    bits = 8 * struct.calcsize("P")
    remedy = "Install 64-bit Python 3.11, 3.12 or 3.13 and start Masque with it."
    if not (3, 11) <= sys.version_info[:2] <= (3, 13) or bits != 64:
        yield Check("python", BROKEN, f"Python {version}, {bits} bit, is not supported.", remedy)
        return
    where = "in an environment of its own" if sys.prefix != sys.base_prefix else "without an environment of its own"
    yield Check("python", OK, f"Python {version}, 64 bit, {where}.")


def look_at_packages() -> Iterator[Check]:
    """Check that the packages this copy needs are installed, and without conflicting ones."""
    wrong = list(_wrong_packages())
    for name, have, wanted in wrong:
        state = BROKEN if have is None else WARNING
        what = f"{name} is not installed." if have is None else f"{name} is {have}, and {wanted} is wanted."
        yield Check("packages", state, what, pip_install([f"{name}{wanted}"]) if INSTALLED else INSTALL_REQUIREMENTS)
    if not wrong:
        yield Check("packages", OK, f"Everything in {'the wheel' if INSTALLED else REQUIREMENTS.name} is installed.")
    for module, names in CLASHES.items():
        there = [name for name in names if installed_version(name) is not None]
        if len(there) > 1:
            what = f"{' and '.join(there)} are both installed and overwrite each other's {module}."
            yield Check("packages", BROKEN, what, AGAIN)


def _wrong_packages() -> Iterator[tuple[str, str | None, str]]:
    """Yield name, installed version or None, and required version of each unmet requirement."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, _wanted()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        have = installed_version(requirement.name)
        if have is None or not requirement.specifier.contains(have.split("+")[0], prereleases=True):
            yield requirement.name, have, str(requirement.specifier)


def _wanted() -> list[str]:
    """Return the requirements of this copy: of the wheel without its extras, or of requirements.txt."""
    if INSTALLED:
        return metadata.requires(DISTRIBUTION) or []
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]
