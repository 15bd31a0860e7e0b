"""Checks of Python, of the packages in requirements.txt, and of conflicting packages."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from importlib import metadata

from avatar.doctor.check import AGAIN, BROKEN, OK, WARNING, Check
from avatar.system.installation import IMPORT_ROOT, INSTALLED
from avatar.system.message import Message, chained
from avatar.system.program import DISTRIBUTION, installed_version, pip_install

REQUIREMENTS = IMPORT_ROOT / "requirements.txt"
_PYTHON = ".venv/bin/python" if sys.platform != "win32" else r".venv\Scripts\python"
INSTALL_REQUIREMENTS = Message("Type: {python} -m pip install -r requirements.txt", python=_PYTHON)

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
        what = Message("Python {version}, {bits} bit, is not supported.", version=version, bits=bits)
        yield Check("python", BROKEN, what, remedy)
        return
    if sys.prefix != sys.base_prefix:
        what = Message("Python {version}, 64 bit, in an environment of its own.", version=version)
    else:
        what = Message("Python {version}, 64 bit, without an environment of its own.", version=version)
    yield Check("python", OK, what)


def look_at_packages() -> Iterator[Check]:
    """Check that the packages this copy needs are installed, and without conflicting ones."""
    wrong = list(_wrong_packages())
    for name, have, wanted in wrong:
        state = BROKEN if have is None else WARNING
        if have is None:
            what = Message("{name} is not installed.", name=name)
        else:
            what = Message("{name} is {have}, and {wanted} is wanted.", name=name, have=have, wanted=wanted)
        yield Check("packages", state, what, pip_install([f"{name}{wanted}"]) if INSTALLED else INSTALL_REQUIREMENTS)
    if not wrong:
        yield Check("packages", OK, "All packages that this copy needs are installed.")
    for module, names in CLASHES.items():
        there = [name for name in names if installed_version(name) is not None]
        if len(there) > 1:
            names_there = chained("{first} and {second}", *there)
            what = Message(
                "{names} are both installed and overwrite each other's {module}.", names=names_there, module=module
            )
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
