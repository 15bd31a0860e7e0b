"""Python, the packages of requirements.txt, and those that must not be installed beside each other."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from importlib import metadata

from avatar import manifest
from avatar.doctor.check import AGAIN, BROKEN, OK, WARNING, Check

# They share one folder: the last one installed wins, and removing either leaves nothing. pip does not see it.
_CLASHES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}


def look_at_python() -> Iterator[Check]:
    """Version and word size."""
    version = ".".join(map(str, sys.version_info[:3]))
    bits = 8 * struct.calcsize("P")
    remedy = "Install 64-bit Python 3.11, 3.12 or 3.13 and start Masque with it."
    if not (3, 11) <= sys.version_info[:2] <= (3, 13) or bits != 64:
        yield Check("python", BROKEN, f"Python {version}, {bits} bit, is not supported.", remedy)
        return
    where = "in an environment of its own" if sys.prefix != sys.base_prefix else "without an environment of its own"
    yield Check("python", OK, f"Python {version}, 64 bit, {where}.")


def look_at_packages() -> Iterator[Check]:
    """Whether what requirements.txt asks for is here, and alone."""
    wrong = list(_wrong_packages())
    for name, have, wanted in wrong:
        state = BROKEN if have is None else WARNING
        what = f"{name} is not installed." if have is None else f"{name} is {have}, and {wanted} is wanted."
        yield Check("packages", state, what, f"Type: {_pip()} install -r requirements.txt")
    if not wrong:
        yield Check("packages", OK, "Everything in requirements.txt is installed.")
    for module, names in _CLASHES.items():
        there = [name for name in names if _version(name) is not None]
        if len(there) > 1:
            what = f"{' and '.join(there)} are both installed and overwrite each other's {module}."
            yield Check("packages", BROKEN, what, AGAIN)


def _wrong_packages() -> Iterator[tuple[str, str | None, str]]:
    """(name, version here or None, version wanted) of each requirement that is not met."""
    from packaging.requirements import Requirement

    text = (manifest.MANIFEST.parent.parent / "requirements.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not (line := re.sub(r"(^|\s)#.*", "", line).strip()):
            continue
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        have = _version(requirement.name)
        if have is None or not requirement.specifier.contains(have.split("+")[0], prereleases=True):
            yield requirement.name, have, str(requirement.specifier)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pip() -> str:
    return ".venv/bin/python -m pip" if sys.platform != "win32" else r".venv\Scripts\python -m pip"
